"""Hooks, and their removal: what goes into a layer and comes out of it during one forward pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from phiscope.errors import InputError
from phiscope.inputs.parts import described
from phiscope.network.batch import Batch, parameter_names
from phiscope.network.isolation import placement
from phiscope.network.linear_layers import channels_back, channels_last, is_keras, named_layers, weight_and_bias


@dataclass
class LayerCall:
    """One call of a linear layer; tensors have their features on the last axis.

    Attributes:
        order: how many calls of any listened layer came before, in this pass.
        shape: shape of the output.
        features: the input (..., p), a copy; None unless asked for.
        output: the output (..., C), a copy; None unless asked for.
        weight: W (C, p) at the time of the call; None unless features were asked for.
        bias: b (C,) at the time of the call, or None.
        precision: dtype of the output, coarser than the input's where the model switches autocast on.
    """

    order: int
    shape: tuple[int, ...]
    weight: Tensor | None
    bias: Tensor | None
    precision: torch.dtype
    features: Tensor | None = None
    output: Tensor | None = None


@dataclass(frozen=True)
class Caller:
    """Calls a model on a batch, with its own parameters or with others in their place.

    Attributes:
        model: the network, unwrapped.
        tensors: parameters and buffers by name that stand in for the model's own; the model is not touched.
    """

    model: nn.Module
    tensors: Mapping[str, Tensor] | None = None

    def __call__(self, batch: Batch) -> Any:
        """Return the model's output.

        Raises:
            InputError: the model fails, and it may be for want of the labels.
        """
        try:
            return self._called(batch)
        except Exception as error:  # whatever somebody else's forward raises for want of them
            _refuse_for_labels(self.model, batch, error)
            error.add_note(_how_called(self.model, batch))
            raise

    def _called(self, batch: Batch) -> Any:
        kwargs = dict(batch.kwargs)
        if self.tensors is None:
            return self.model(*batch.args, **kwargs)
        if any(map(is_keras, self.model.modules())):
            with _exchanged(self.model, self.tensors):
                return self.model(*batch.args, **kwargs)
        return torch.func.functional_call(self.model, dict(self.tensors), batch.args, kwargs)


def _refuse_for_labels(model: nn.Module, batch: Batch, error: Exception) -> None:
    """Say beside the model's own error that it was called without labels, where it has a place for them."""
    key = batch.target_key
    if key is not None and key in parameter_names(model) and key not in batch.kwargs:
        raise InputError(
            f"{type(model).__name__}.forward failed ({error}), and phiscope measures without {key!r}; where the loss "
            f"needs them, compute it only if {key} is not None"
        ) from error


NAMES_SHOWN = 6
"""Parameters of forward that are named; those of a language model would fill a page."""


def _how_called(model: nn.Module, batch: Batch) -> str:
    """What came and what to do, beside the error of somebody else's forward, which stays as it is."""
    given = [described(value) for value in batch.args]
    given += [f"{name}={described(value)}" for name, value in batch.kwargs.items()]
    names = parameter_names(model)
    takes = ", ".join([*names[:NAMES_SHOWN], *["..."] * (len(names) > NAMES_SHOWN)]) or "nothing by name"
    came = " and ".join(given) or "nothing"
    return (
        f"phiscope called {type(model).__name__}.forward with {came}, as it reads a batch of these data; it takes "
        f"{takes}. Where that is something else, let a batch be a mapping from these names to what belongs there, and "
        "pass targets= for the targets"
    )


@contextmanager
def _exchanged(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Lend a model's parameters other numbers; Keras' variables hold the parameters, and would not see others."""
    own = dict([*model.named_parameters(), *model.named_buffers()])
    before = {name: tensor.data for name, tensor in own.items() if name in tensors}
    try:
        for name in before:
            own[name].data = tensors[name]
        yield
    finally:
        for name, data in before.items():
            own[name].data = data


@dataclass(eq=False)
class Ear:
    """Hooks that hear something only while they are switched on.

    Ctrl-C can come between the registration of a hook and the note of how to remove it. Such a hook stays, and does
    nothing: switching off needs no list of hooks. `deafened` removes it.

    Attributes:
        on: whether the hooks of this ear do anything.
    """

    on: bool = True
    _handles: list[RemovableHandle] = field(default_factory=list)

    def before(self, module: nn.Module, hook: Callable[..., Any], *, first: bool = False) -> None:
        """Call a hook with (module, args, kwargs) before the module runs; `first` = before all other hooks."""
        handle = module.register_forward_pre_hook(_Hook(self, hook), prepend=first, with_kwargs=True)
        self._handles.append(handle)

    def after(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        """Call a hook after the module has run."""
        self._handles.append(module.register_forward_hook(_Hook(self, hook)))

    def close(self) -> None:
        """Switch off, then remove the hooks."""
        self.on = False
        while self._handles:
            self._handles[-1].remove()
            self._handles.pop()


class _Hook:
    """A hook with the switch it obeys."""

    def __init__(self, ear: Ear, hook: Callable[..., Any]) -> None:
        self.ear = ear
        self._hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the hook does, or nothing."""
        return self._hook(*args, **kwargs) if self.ear.on else None


def deafened(model: nn.Module) -> int:
    """Remove every hook of this package that Ctrl-C left on a network; return how many there were."""
    count = 0
    for module in named_layers(model).values():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            left = {key: hook for key, hook in hooks.items() if isinstance(hook, _Hook)}
            for key, hook in left.items():
                hook.ear.on = False
                hooks.pop(key)
                module._forward_pre_hooks_with_kwargs.pop(key, None)
            count += len(left)
    return count


def is_plain(value: Any) -> bool:
    """Say whether something is a tensor of numbers with axes: not nested, not sparse."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested and value.ndim > 0


@dataclass(kw_only=True)
class _Notes:
    keep_features: bool
    keep_outputs: bool
    calls: dict[str, list[LayerCall]] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self.keep_features:
                taken = channels_last(module, cut_off(args[0] if args else next(iter(kwargs.values()))))
                # A copy, because what follows may write into it (an in-place ReLU on a shared tensor).
                self.inputs[name] = taken.clone()
                self.weights[name] = self._weights(module, taken)

        return hook

    def after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not is_plain(output):
                return
            told = channels_last(module, output.detach())
            weight, bias = self.weights.pop(name, (None, None))
            call = LayerCall(
                order=sum(map(len, self.calls.values())),
                shape=tuple(told.shape),
                weight=weight,
                bias=bias,
                precision=told.dtype,
                features=self.inputs.pop(name, None),
                output=told.clone() if self.keep_outputs else None,
            )
            self.calls.setdefault(name, []).append(call)

        return hook

    def _weights(self, module: nn.Module, taken: Tensor) -> tuple[Tensor, Tensor | None]:
        # Asked for before the layer runs: FSDP gathers them for the run and frees them right after it.
        weight, bias = weight_and_bias(module, taken)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return weight.clone(), None if bias is None else bias.clone()
        return weight, bias


_differentiating: ContextVar[bool] = ContextVar("_differentiating", default=False)


def cut_off(tensor: Tensor) -> Tensor:
    """The tensor without how it was made, unless that is asked for by `differentiated`."""
    return tensor if _differentiating.get() else tensor.detach()


@contextmanager
def differentiated(model: nn.Module, batch: Batch) -> Iterator[tuple[Batch, list[Tensor]]]:
    """Let features be differentiated by the inputs of a batch while the block runs; meant for the inside of `isolated`.

    Where inputs are whole numbers, such as token ids, it is by what the first embedding makes of them. Nobody's
    backward hooks on modules hear of it.

    Args:
        model: the network, unwrapped.
        batch: inputs.

    Yields:
        The batch to run, and a list that holds what to differentiate by once it has run.
    """
    leaves: list[Tensor] = []
    ear = Ear()
    quiet = [(module, module._backward_hooks, module._backward_pre_hooks) for module in model.modules()]
    before = torch.is_grad_enabled()
    switch = _differentiating.set(True)
    try:
        for module, _, _ in quiet:
            module._backward_hooks, module._backward_pre_hooks = OrderedDict(), OrderedDict()
        lent = _with_leaf(batch, leaves)
        for module in model.modules() if not leaves else ():
            if isinstance(module, nn.Embedding):
                ear.after(module, _embedding_leaf(leaves))
        torch.set_grad_enabled(True)
        yield lent, leaves
    finally:
        torch.set_grad_enabled(before)
        ear.on = False
        ear.close()
        _differentiating.reset(switch)
        for module, hooks, earlier in quiet:
            module._backward_hooks, module._backward_pre_hooks = hooks, earlier


def _with_leaf(batch: Batch, leaves: list[Tensor]) -> Batch:
    """The batch with a copy of its first floating input that gradients lead to."""
    args, kwargs = list(batch.args), dict(batch.kwargs)
    places: list[tuple[Any, Any]] = [(args, i) for i in range(len(args))] + [(kwargs, name) for name in kwargs]
    for holder, place in places:
        if is_differentiable(holder[place], batch.size):
            leaves.append(holder[place].detach().clone().requires_grad_())
            # A copy goes in: the model may write into it, which a leaf forbids.
            with torch.enable_grad():
                holder[place] = leaves[0].clone()
            break
    return replace(batch, args=tuple(args), kwargs=kwargs)


def is_differentiable(value: Any, size: int) -> bool:
    """Whether an input is a tensor of floating numbers with a row for each sample."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 0 and len(value) == size


def _embedding_leaf(leaves: list[Tensor]) -> Callable[..., Tensor | None]:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        if leaves:
            return None
        leaves.append(output.detach().clone().requires_grad_())
        return leaves[0].clone()

    return hook


@contextmanager
def listening(
    layers: Mapping[str, nn.Module], *, keep_features: bool = False, keep_outputs: bool = False
) -> Iterator[dict[str, list[LayerCall]]]:
    """Note the calls of some linear layers while the block runs; the hooks go when it ends, however it ends.

    Args:
        layers: layers by name.
        keep_features: keep a copy of each input.
        keep_outputs: keep a copy of each output.

    Yields:
        The calls of each layer by name, in order; layers that did not run are absent.
    """
    notes = _Notes(keep_features=keep_features, keep_outputs=keep_outputs)
    ear = Ear()
    try:
        for name, module in layers.items():
            ear.before(module, notes.before(name))
            ear.after(module, notes.after(name))
        yield notes.calls
    finally:
        ear.on = False
        ear.close()


@contextmanager
def replacing(module: nn.Module, *, seed: int) -> Iterator[list[Tensor]]:
    """Let a linear layer return random numbers while the block runs.

    Args:
        module: the layer.
        seed: of a generator of its own; the global random states are not used.

    Yields:
        What the layer returned at each call, features last.
    """
    told: list[Tensor] = []
    generator = torch.Generator().manual_seed(seed)

    def hook(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
        if not is_plain(output):
            return output
        shape = channels_last(layer, output).shape
        numbers = torch.randn(shape, generator=generator).to(output.dtype).to(output.device)
        told.append(numbers)
        # A copy goes out: the model may write into it.
        return channels_back(layer, numbers).clone()

    ear = Ear()
    try:
        ear.after(module, hook)
        yield told
    finally:
        ear.on = False
        ear.close()


def moved(tensors: dict[str, Tensor], device: torch.device | None) -> dict[str, Tensor]:
    """Return tensors by name, on a device; None leaves them where they are."""
    return tensors if device is None else {name: tensor.to(device) for name, tensor in tensors.items()}


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, shared ones once, detached, without copying."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach() for name, tensor in named}


def stand_ins(model: nn.Module, device: torch.device | None) -> dict[str, Tensor] | None:
    """Return copies of a model's tensors on another device; None when they are there already."""
    # The model itself is never moved: an optimizer may hold its parameters.
    if device is None or placement(model)[0] == torch.empty(0, device=device).device:
        return None
    return moved(own_tensors(model), device)
