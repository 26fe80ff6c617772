"""A copy of a network with units of one linear layer cut out of it, and the check that nothing else changed.

Layers of the copy are cut in place: under every name that leads to them, with their hooks, modes and frozen parameters,
they stay the layers that they were, with fewer units.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from phiscope.errors import InputError, PhiscopeError, first_line, named_kind
from phiscope.network.batch import Batch
from phiscope.network.feature_map import batch_on
from phiscope.network.hooks import Caller, Ear, listening
from phiscope.network.isolation import isolated
from phiscope.network.linear_layers import at_rest, computes_its_own
from phiscope.surgery.samples import first_of
from phiscope.typing import FloatArray, IntArray

PER_UNIT = (nn.BatchNorm1d, nn.SyncBatchNorm, nn.PReLU)
"""Layers that keep numbers of their own for each unit."""

AGREES = 1e-4
"""Largest relative difference, on one batch, between the smaller network's features and the kept ones."""


def as_linear(module: nn.Module, what: str) -> nn.Linear:
    """A layer whose units can be cut: an nn.Linear that multiplies its input with its weight and does nothing else.

    Args:
        module: the layer.
        what: what the caller calls it, for the error.

    Raises:
        InputError: it is another layer, has a forward of its own, or a weight that a hook makes.
    """
    if isinstance(module, nn.modules.conv._ConvNd):
        raise InputError(
            f"the {what} is {named_kind(module)}: channels are scored (score_units of what "
            "phiscope.measure_layers gives), but only units of nn.Linear are removed here"
        )
    if not isinstance(module, nn.Linear):
        raise InputError(f"the {what} is {named_kind(module)}; expected an nn.Linear")
    if computes_its_own(module) or "forward" in vars(module):
        raise InputError(
            f"the {what} is {named_kind(module)} with a forward of its own, and what it does beside its weight (an "
            "adapter, a scale) would be lost with units; merge it into a plain nn.Linear first"
        )
    # Not module.weight: reading it makes a parametrized one anew, which moves what spectral_norm keeps.
    if module._parameters.get("weight") is None and not parametrize.is_parametrized(module, "weight"):
        raise InputError(
            f"the {what}'s weight is made by a hook at every call (the older torch.nn.utils.weight_norm or "
            "spectral_norm, or a pruning mask); expected a parameter: call "
            "torch.nn.utils.remove_weight_norm, remove_spectral_norm or prune.remove on the layer first"
        )
    return module


def copied(network: nn.Module) -> nn.Module:
    """A copy of a network, also of one that carries tensors from its last pass.

    Raises:
        InputError: something in it cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in vars(module).values():
            # What is left of a graph, as a weight that a hook makes: torch copies none, and each pass makes it anew.
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(network, memo)
    except Exception as error:  # of any class inside somebody else's network
        raise InputError(
            f"this {type(network).__name__} cannot be copied ({_told(error)}); "
            "remove what holds no plain copy, such as tensors of an earlier pass, handles or open files"
        ) from error


def cut_copy(
    network: nn.Module,
    layers: tuple[nn.Linear, nn.Linear],
    data: Any,
    kept: IntArray,
    affine: tuple[FloatArray, FloatArray],
) -> nn.Module:
    """A copy of which a layer has the kept units alone, and its reader other weights.

    Args:
        network: it is left as it is.
        layers: whose units are cut, and that which reads them.
        data: one batch of it is run through both networks.
        kept: the units that stay, in the layer's order.
        affine: new weight (C, k) and bias (C,) of the reader.

    Raises:
        InputError: the two layers do not follow each other, one shares a parameter with another layer, or what stands
            between them is no function of single units.
    """
    first, second = layers
    if first.out_features != second.in_features:
        raise InputError(
            f"the layer has {first.out_features} units and the consumer reads {second.in_features}; they do not follow "
            "each other"
        )
    for one, what in ((first, "layer"), (second, "consumer")):
        _check_untied(network, one, what)
    names = {module: name for name, module in network.named_modules()}
    smaller = copied(network)
    cut = _linear_at(smaller, names[first])
    index = torch.from_numpy(kept).to(cut.weight.device)
    _keep_rows(cut, index)
    _put_affine(_linear_at(smaller, names[second]), affine)
    first_batch = first_of(data)
    with isolated(network, data=data):
        batch = batch_on(network, first_batch, None, lambda _: None)
        expected = _heard(Caller(network), second, batch)
    with _in_words():
        while (module := _given_fewer(smaller, batch, first.out_features, len(kept))) is not None:
            _check_untied(smaller, module, "layer between them")
            _keep_units(module, index)
        with isolated(smaller):
            read = _heard(Caller(smaller), smaller.get_submodule(names[second]), batch)
    _check_same(read, expected[:, index.to(expected.device)])
    return smaller


def _check_untied(network: nn.Module, module: nn.Module, what: str) -> None:
    """Refuse a layer that shares a parameter: cut here and whole there it would silently become two."""
    own = {id(parameter): name for name, parameter in module.named_parameters()}
    inside = set(module.modules())
    for name, other in network.named_modules():
        for parameter in () if other in inside else other._parameters.values():
            if parameter is not None and id(parameter) in own:
                shared = own[id(parameter)]
                raise InputError(
                    f"the {shared} of the {what} is also a parameter of {name!r} (tied), which would keep all units; "
                    "untie it first, as in layer.weight = nn.Parameter(layer.weight.detach().clone()), or cut another "
                    "layer"
                )


@contextmanager
def _in_words() -> Iterator[None]:
    """What a network that needs all units says of it, in one sentence."""
    try:
        yield
    except PhiscopeError:
        raise
    except Exception as error:  # whatever somebody else's forward raises at another width
        raise InputError(
            "the smaller network does not run: something between the two layers, or beside them, needs all units "
            f"({_told(error)}); pass layer= and consumer= that follow each other"
        ) from error


def _told(error: Exception) -> str:
    """Class and message of an error of somebody else's code; the class alone where it says nothing."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def _heard(call: Caller, reader: nn.Module, batch: Batch) -> Tensor:
    """What the reader reads of one batch, shape (rows, p); meant for the inside of `isolated`."""
    with listening({"reader": reader}, keep_features=True, keep_outputs=False) as calls:
        call(batch)
    heard = calls.get("reader", [])
    if len(heard) != 1 or heard[0].features is None:
        raise InputError(f"the consumer ran {len(heard)} times on one batch; units are removed where it runs once")
    return heard[0].features.flatten(0, -2)


def _check_same(read: Tensor, expected: Tensor) -> None:
    """What the smaller one's reader reads has to be the kept units."""
    within = AGREES * float(expected.abs().max())
    if read.shape != expected.shape or not torch.allclose(read, expected, rtol=AGREES, atol=within):
        raise InputError(
            "the smaller network's units are not the kept ones: something between the two layers mixes units (a "
            "LayerNorm, a softmax); pass layer= and consumer= with only functions of single units between"
        )


class _Fewer(Exception):  # noqa: N818  a signal, no error
    """Ends a pass where a layer that keeps numbers of all units is given the kept ones alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def _given_fewer(smaller: nn.Module, batch: Batch, units: int, kept: int) -> nn.Module | None:
    """The first layer with a number for each unit that is given the kept ones alone, wherever it is registered."""
    if kept == units:
        return None

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)), None)
        if given is not None and given.ndim > 1 and given.shape[1] == kept and _units_in(module) == units:
            raise _Fewer(module)

    ear = Ear()
    try:
        for module in smaller.modules():
            if isinstance(module, PER_UNIT):
                ear.before(module, hook, first=True)
        with isolated(smaller):
            Caller(smaller)(batch)
    except _Fewer as found:
        return found.module
    finally:
        ear.close()
    return None


def _units_in(module: nn.Module) -> int:
    return int(getattr(module, "num_features", getattr(module, "num_parameters", 0)))


@torch.no_grad()
def _keep_units(module: nn.Module, index: Tensor) -> None:
    """Every tensor that has one number for each unit is cut."""
    units = _units_in(module)
    for tensors in (module._parameters, module._buffers):
        for name, tensor in tensors.items():
            if tensor is not None and tensor.shape[:1] == (units,):
                cut = tensor.detach()[index.to(tensor.device)].clone()
                kept = nn.Parameter(cut, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else cut
                tensors[name] = kept  # type: ignore[assignment]
    for name in ("num_features", "num_parameters"):
        if hasattr(module, name):
            setattr(module, name, len(index))


def _linear_at(smaller: nn.Module, name: str) -> nn.Linear:
    """A layer of the copy with its weight and bias as parameters: what makes them of others is folded in."""
    module: Any = smaller.get_submodule(name)
    if parametrize.is_parametrized(module):
        made, plain = {}, parametrize.type_before_parametrizations(module)
        for tensor, parts in module.parametrizations.items():
            learned = any(one.requires_grad for one in parts.parameters())
            made[tensor] = nn.Parameter(at_rest(module, tensor).clone(), requires_grad=learned)
        # torch's remove_parametrizations takes them from the class, which a copy shares with the given network's layer.
        del module.parametrizations
        module.__class__ = plain
        for tensor, parameter in made.items():
            module.register_parameter(tensor, parameter)
    linear: nn.Linear = module
    return linear


@torch.no_grad()
def _keep_rows(layer: nn.Linear, index: Tensor) -> None:
    layer.weight = _parameter(layer.weight.detach()[index].clone(), layer.weight)
    if layer.bias is not None:
        layer.bias = _parameter(layer.bias.detach()[index].clone(), layer.bias)
    layer.out_features = len(index)


@torch.no_grad()
def _put_affine(layer: nn.Linear, affine: tuple[FloatArray, FloatArray]) -> None:
    weight, bias = (torch.from_numpy(part).to(layer.weight) for part in affine)
    # A bias takes the means of what went, also where there was none; then it is learned as the weight is.
    layer.bias = _parameter(bias.clone(), layer.weight if layer.bias is None else layer.bias)
    layer.weight = _parameter(weight.clone(), layer.weight)
    layer.in_features = weight.shape[1]


def _parameter(tensor: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=like.requires_grad)
