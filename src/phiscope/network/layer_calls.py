"""Which modules run in a forward pass, in which order, and what each returns: one pass with an ear on all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phiscope.network.batch import Batch
from phiscope.network.hooks import Caller, Ear
from phiscope.network.linear_layers import named_layers
from phiscope.network.output_layout import tensors_in

Place = tuple[str | int, ...]
ChannelAxis = Literal["first", "last"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModuleCall:
    """One call of a module in a forward pass.

    Attributes:
        name: dotted name in the unwrapped model.
        module: the module.
        call: which of its calls this is, from 1.
        calls: how often it is called in one pass.
        order: how many calls of any module were complete before.
        place: where in its output the first floating tensor is; () for a bare tensor.
        shape: shape of that tensor; None when the output holds none.
        width: outputs of the last layer with weights that had run by then, and where such a layer puts them;
            None when there was none.
        reads: `order` of the childless module that ran just before, when this one reads its output; else None.
    """

    name: str
    module: nn.Module
    call: int
    calls: int = 1
    order: int
    place: Place = ()
    shape: tuple[int, ...] | None
    width: tuple[int, ChannelAxis] | None
    reads: int | None

    @property
    def key(self) -> str:
        """The name; with the number of the call behind an @ when there are several."""
        return self.name if self.calls == 1 else f"{self.name}@{self.call}"


def module_calls(call: Caller, batch: Batch) -> list[ModuleCall]:
    """Run a batch and list every call of every module inside the model, in the order they ended.

    Meant for the inside of `isolated`. One tensor is kept alive at a time.
    """
    notes = _Notes()
    with _all_listened(call.model, notes):
        call(batch)
    totals = Counter(one.name for one in notes.calls)
    return [replace(one, calls=totals[one.name]) for one in notes.calls]


def is_leaf(module: nn.Module) -> bool:
    """Say whether a module is one layer: without children, or with nothing but parametrizations or Keras' weights."""
    return all(name in ("parametrizations", "_torch_params") for name, _ in module.named_children())


def has_weights(module: nn.Module) -> bool:
    """Say whether a leaf mixes its inputs: it has a parameter that is a matrix (a norm has none)."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


@dataclass
class _Notes:
    calls: list[ModuleCall] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    width: tuple[int, ChannelAxis] | None = None
    reading: dict[str, int | None] = field(default_factory=dict)
    # Kept alive, so that no later tensor can sit at the same address.
    latest: tuple[int, Tensor] | None = None

    def before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.reading[name] = self._origin([*args, *kwargs.values()])

        return hook

    def after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found = ((place, tensor) for place, tensor in tensors_in(output) if tensor.ndim > 0)
            place, tensor = next(found, ((), None))
            order = len(self.calls)
            if is_leaf(module):
                self.width = _width(module) or self.width
                if tensor is not None:
                    self.latest = (order, tensor.detach())
            self.seen[name] += 1
            told = ModuleCall(
                name=name,
                module=module,
                call=self.seen[name],
                order=order,
                place=place,
                shape=None if tensor is None else tuple(tensor.shape),
                width=self.width,
                reads=self.reading.pop(name, None),
            )
            self.calls.append(told)

        return hook

    def _origin(self, inputs: list[Any]) -> int | None:
        if self.latest is None:
            return None
        order, tensor = self.latest
        same = [one for one in inputs if isinstance(one, Tensor) and one.data_ptr() == tensor.data_ptr()]
        return order if same else None


@contextmanager
def _all_listened(model: nn.Module, notes: _Notes) -> Iterator[None]:
    ear = Ear()
    try:
        for name, module in _once(named_layers(model)):
            # TorchScript takes no hooks; its parts are left out with that reason.
            if name and not isinstance(module, torch.jit.ScriptModule):
                ear.before(module, notes.before(name))
                ear.after(module, notes.after(name))
        yield
    finally:
        ear.on = False
        ear.close()


def _once(named: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    seen: set[int] = set()
    for name, module in named.items():
        if id(module) not in seen:
            seen.add(id(module))
            yield name, module


def _width(module: nn.Module) -> tuple[int, ChannelAxis] | None:
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.out_channels, "first"
    # Attribute names of torch's layers and of those that follow them: norms, embeddings, transformers' Conv1D.
    places: tuple[tuple[str, ChannelAxis], ...] = (
        ("num_features", "first"),
        ("num_channels", "first"),
        ("out_features", "last"),
        ("nf", "last"),
        ("embedding_dim", "last"),
        ("hidden_size", "last"),
        ("units", "last"),
        ("filters", "last"),
    )
    for name, axis in places:
        if isinstance(size := getattr(module, name, None), int):
            return size * (2 if getattr(module, "bidirectional", False) else 1), axis
    weight = getattr(module, "weight", None)
    return (len(weight), "last") if isinstance(weight, Tensor) and weight.ndim == 1 and len(weight) > 1 else None
