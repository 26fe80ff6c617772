"""A network read as the theory's: linear layers, one activation between them, and the variances of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, first_line, named_kind
from phiscope.network.batch import BatchReader
from phiscope.network.hooks import Caller, LayerCall, listening
from phiscope.network.isolation import isolated, placement, unwrapped
from phiscope.network.linear_layers import linear_kind, named_layers
from phiscope.network.output_layout import tensors_in
from phiscope.theory.activations import ACTIVATIONS, recognized
from phiscope.typing import FloatArray

SCOPE = f"the theory is of fully connected networks with {', '.join(ACTIVATIONS)} between their linear layers"
"""What a network has to be; said wherever one is refused."""


@dataclass(frozen=True, kw_only=True)
class LinearLayer:
    """One linear layer as the theory sees it.

    Attributes:
        name: dotted name.
        n_inputs: of a unit.
        n_units: how many there are.
        weight_variance: g = n_inputs times the mean square of the weights; 1/3 in PyTorch's default initialization.
        bias_variance: g_b, the mean square of the biases; 0 where there are none.
    """

    name: str
    n_inputs: int
    n_units: int
    weight_variance: float
    bias_variance: float


@dataclass(frozen=True, kw_only=True)
class FullyConnected:
    """A fully connected network and what its hidden layers made of some inputs.

    Attributes:
        layers: linear layers in forward order; the last one makes the outputs.
        activation: name of the one between them.
        rows: the inputs as the first layer reads them, shape (P, D).
        hidden: activations of each hidden layer, shapes (P, N).
    """

    layers: tuple[LinearLayer, ...]
    activation: str
    rows: FloatArray = field(repr=False)
    hidden: tuple[FloatArray, ...] = field(repr=False)

    @property
    def weight_variances(self) -> tuple[float, ...]:
        """Of each layer, g."""
        return tuple(layer.weight_variance for layer in self.layers)

    @property
    def bias_variances(self) -> tuple[float, ...]:
        """Of each layer, g_b."""
        return tuple(layer.bias_variance for layer in self.layers)


def read_network(model: nn.Module, inputs: Any) -> FullyConnected:
    """Read a network by running it once, in eval mode; it, its mode and every random state are as before.

    What lies between two linear layers is recognized by what it does, not by its class, so that a function in
    `forward` or a module of one's own is as good as torch's.

    Args:
        model: any module; compile and data-parallel wrappers are looked through.
        inputs: x of P samples as the model takes it; None takes 64 standard normal rows.

    Raises:
        InputError: the network is not of the theory's kind; the message names what is not.
        EmptyDataError: no sample.
        NonFiniteError: NaN or Inf in the weights or the inputs.
    """
    model = unwrapped(model)
    linear = _only_linear(model)
    device, dtype = placement(model)
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"the network is in {dtype}; expected float32 or float64, as by model.float()")
    given = _normal_rows(linear) if inputs is None else inputs
    batch = BatchReader(model=model, device=device, dtype=dtype).inputs(given)
    if batch.size == 0:
        raise EmptyDataError("the inputs hold no sample, expected x of shape (P, ...) with P >= 2")
    with isolated(model), listening(linear, keep_features=True, keep_outputs=True) as calls:
        try:
            output = Caller(model)(batch)
        except (RuntimeError, TypeError) as error:
            if inputs is None:
                reason = first_line(error, 120)
                raise InputError(f"the network does not take rows of numbers ({reason}); pass inputs=") from error
            raise
    _check_outputs(calls, output)
    return _read(model, _in_order(calls, linear))


def _only_linear(model: nn.Module) -> dict[str, nn.Module]:
    """Linear layers by name; anything else that has parameters of its own is refused by name."""
    linear: dict[str, nn.Module] = {}
    for name, module in named_layers(model).items():
        own = [*module.parameters(recurse=False)]
        if linear_kind(module) == "linear":
            linear[name] = module
        elif own and not any(name.startswith(f"{other}.") for other in linear):
            raise InputError(f"{name or 'the model'!r} is {named_kind(module)}, and {SCOPE}")
    if len(linear) < 2:
        raise InputError(f"{type(model).__name__} has {len(linear)} linear layers, expected two or more: {SCOPE}")
    return linear


def _normal_rows(linear: Mapping[str, nn.Module]) -> Tensor:
    first = next(iter(linear.values()))
    width = getattr(first, "in_features", None)
    if not isinstance(width, int):
        raise InputError(f"how many inputs {named_kind(first)} takes cannot be read; pass inputs=")
    return torch.randn(64, width, generator=torch.Generator().manual_seed(0))


def _in_order(calls: Mapping[str, list[LayerCall]], linear: Mapping[str, nn.Module]) -> list[tuple[str, LayerCall]]:
    for name in linear:
        count = len(calls.get(name, []))
        if count != 1:
            raise InputError(f"the layer {name!r} ran {count} times, expected once: {SCOPE}")
    return sorted(((name, made[0]) for name, made in calls.items()), key=lambda pair: pair[1].order)


def _read(model: nn.Module, calls: list[tuple[str, LayerCall]]) -> FullyConnected:
    names = set(ACTIVATIONS)
    for (name, call), (following, after) in pairwise(calls):
        if call.shape[:-1] != (len(_array(call.features)),):
            raise InputError(f"the layer {name!r} gives {call.shape}, expected (P, N): {SCOPE}")
        made, read = _array(call.output), _array(after.features)
        known = set(recognized(made, read)) if made.shape == read.shape else set()
        names &= known
        if not names:
            other = ", ".join(_others(model))
            raise InputError(
                f"what lies between {name!r} and {following!r} is not the one activation of the theory"
                + (f" (the network has {other})" if other else "")
                + f"; {SCOPE}"
            )
    return FullyConnected(
        layers=tuple(_layer(name, call) for name, call in calls),
        activation=next(name for name in reversed(ACTIVATIONS) if name in names),
        rows=_array(calls[0][1].features),
        hidden=tuple(_array(call.features) for _, call in calls[1:]),
    )


def _others(model: nn.Module) -> list[str]:
    """Modules without parameters whose work is no activation that the theory knows, by name and class."""
    quiet = (nn.ReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Linear)
    return [
        f"{type(module).__name__} {name!r}"
        for name, module in named_layers(model).items()
        if name and not isinstance(module, quiet) and not list(module.children())
    ]


def _layer(name: str, call: LayerCall) -> LinearLayer:
    weight = _array(call.weight)
    bias = np.zeros(1) if call.bias is None else _array(call.bias)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise NonFiniteError(f"the weights of {name!r} hold NaN or Inf, expected finite numbers", where="weights")
    if not weight.any():
        raise InputError(f"the weights of {name!r} are zero everywhere, so that no kernel comes through it")
    return LinearLayer(
        name=name,
        n_inputs=weight.shape[1],
        n_units=weight.shape[0],
        weight_variance=weight.shape[1] * float(np.square(weight).mean()),
        bias_variance=float(np.square(bias).mean()),
    )


def _check_outputs(calls: Mapping[str, list[LayerCall]], output: Any) -> None:
    """What the last linear layer gave is what the model gives: nothing comes after it."""
    last = max((made[-1] for made in calls.values()), key=lambda call: call.order, default=None)
    given = next((tensor for _, tensor in tensors_in(output)), None)
    if last is None or last.output is None or given is None:
        raise InputError(f"the model ran no linear layer or gave no numbers; {SCOPE}")
    same = given.numel() == last.output.numel() and torch.allclose(
        given.reshape(last.output.shape), last.output, rtol=0.0, atol=0.0, equal_nan=True
    )
    if not same:
        raise InputError(f"the model's output is not that of its last linear layer, and {SCOPE}")


def _array(tensor: Tensor | None) -> FloatArray:
    if tensor is None:
        raise InputError(f"a linear layer was given no numbers; {SCOPE}")
    return np.asarray(tensor.detach().double().cpu().numpy())
