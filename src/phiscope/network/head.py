"""The head: the last linear layer whose output is the model's output; found, checked, kept as a copy.

It is found by running a batch and comparing what layers return with what the model returns. Equal values may be a
coincidence (a head that starts at zero, say), so the output of a layer that fits is then replaced by random numbers,
which the model's output has to follow. A layer that gives one part of the output, from which another part is made, is
no head either: of (distances of z to prototypes, z) the layer that made z is part of the features.

Where the model's output is a function of what a layer returned (a temperature, a soft cap, the mean of two heads), no
layer's output is the model's. A layer that is asked for by name is then taken with the outputs that are its own;
without a name, the only one of fitting shape, when it is the linear layer that ran last and the model's output keeps
the order of its outputs: a ReLU behind a layer makes features, a temperature does not.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from phiscope.errors import AmbiguousHeadError, EmptyDataError, HeadError, NoHeadError, named_kind, with_article
from phiscope.network.batch import Batch
from phiscope.network.hooks import Caller, LayerCall, listening, replacing
from phiscope.network.linear_layers import LinearKind, linear_kind, linear_layers, named_layers, unwrapped_name
from phiscope.network.output_layout import Layout, keeps_order, relate, same_bits, spelled, tensor_at, tensors_in

_SHOWN = 8
_SEED = 20240410

Place = tuple[str | int, ...]
Outputs = list[tuple[Place, Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """The last linear layer: outputs = features W^T + b.

    Attributes:
        name: dotted name in the model, inside compile and data-parallel wrappers.
        weight: W, shape (C, p), a copy.
        bias: b, shape (C,), a copy; None for a head without bias.
        kind: "linear", "conv1x1" for a convolution with kernel 1, or "probed" where the layer was asked for its matrix.
        layout: how its output becomes the model's: which tensor, which positions, which last function.
        candidates: names of all linear layers that were considered.

    Example:
        >>> Head(name="fc", weight=torch.eye(2), bias=None, kind="linear")(torch.tensor([[3.0, 4.0]]))
        tensor([[3., 4.]])
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    kind: LinearKind
    layout: str = "the output: as it is"
    candidates: tuple[str, ...] = ()

    def __call__(self, features: Tensor) -> Tensor:
        """Return outputs (n, C) of features (n, p)."""
        return torch.nn.functional.linear(features, self.weight, self.bias)


@dataclass(frozen=True, kw_only=True)
class FoundHead:
    """A head and its place.

    Attributes:
        name: dotted name of the layer in the unwrapped model.
        module: the layer.
        layout: how its output becomes the model's.
        candidates: names of all linear layers that were considered.
        own: the outputs are the layer's own; the model's are a function of them, or other ones.
        n_calls: how often it ran on the first batch.
        unread: parts of the model's output that do not come from it, in words.
    """

    name: str
    module: nn.Module
    layout: Layout
    candidates: tuple[str, ...]
    own: bool = False
    n_calls: int = 1
    unread: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """Name and class, for people."""
        return f"{self.name or 'the model itself'} ({type(self.module).__name__})"

    def words(self) -> str:
        """How the outputs belong to the model's output."""
        ending = "" if self.layout.ending == "none" else f" before its {self.layout.ending}"
        where = f" in the last of its {self.n_calls} calls" if self.n_calls > 1 else ""
        own = f"the layer's own output{where}{ending}; the model's output is another function of it"
        return own if self.own else str(self.layout)


OWN = Layout(path=(), calls=-1, arrangement="rows", reading="flat", ending="none")
"""From a layer's last call to rows, where its own outputs are what counts."""


def find_head(call: Caller, batch: Batch, head: nn.Module | str | None) -> FoundHead:
    """Run a batch and choose the last linear layer whose output is the model's output.

    Passes over the batch: one for shapes, one for the values of the layers that fit, and for each layer whose values
    agree one in which its output is replaced by random numbers: the model's output has to follow them. Where another
    part of the output follows, too, two more tell whether a later layer stands between. Only then is the layer the
    head, and not one that happens to agree.

    Args:
        call: the model.
        batch: any batch.
        head: None to search; a layer or its dotted name to check that one alone.

    Raises:
        NoHeadError: no layer fits, or the chosen one does not.
        AmbiguousHeadError: several layers produce different parts of the output.
        HeadError: the output holds no floating tensor, or a layer is lazy.
        EmptyDataError: the batch has no sample.
    """
    if batch.size == 0:
        raise EmptyDataError("the first batch has no sample, so the head cannot be searched on it")
    layers = linear_layers(call.model)
    considered = layers if head is None else _chosen(call.model, layers, head)
    outputs, calls, places, steady = _fitting_calls(call, batch, considered, chosen=head is not None)
    confirmed: list[tuple[int, str, Layout]] = []
    inner: set[Place] = set()
    for name, heard in calls.items():
        tensors = [one.output for one in heard if one.output is not None]
        agreeing = [place for place, output in outputs if relate(tensors, output, place) is not None]
        searched = [(place, output) for place, output in outputs if head is None or place in agreeing]
        layouts, followed = _confirmed(call, batch, considered[name], agreeing, searched)
        answers = [followed[place] for place in followed if place in steady]
        later = {o: considered[o] for o, told in calls.items() if told[-1].order > heard[-1].order}
        if head is None and (any(answers) or (answers and _feeds(call, batch, considered[name], later))):
            inner |= {layout.path for layout in layouts}
        else:
            confirmed += [(heard[-1].order, name, layout) for layout in layouts]
    if confirmed:
        name, layout = _last(confirmed)
        read = {one.path for _, other, one in confirmed if other == name and one.calls == layout.calls}
        unread = tuple(f"{spelled(place)} {shape}" for place, shape in places.items() if place not in read)[:_SHOWN]
        return FoundHead(name=name, module=considered[name], layout=layout, candidates=tuple(layers), unread=unread)
    outputs = [(place, output) for place, output in outputs if place not in inner]
    fitting = _of_fitting_shape(calls, outputs)
    own = next(iter(calls), None) if head is not None else _only_one(calls, fitting)
    its = None if own is None else _own_layout(call, batch, considered[own], needs_order=head is None)
    if own is None or its is None:
        last = list(named_layers(call.model).items())[-3:]
        told = ", ".join(f"{name or 'the model itself'!r} ({class_of(module)})" for name, module in last)
        raise _no_head(considered, calls, outputs, fitting, chosen=head is not None, last_layers=told)
    return FoundHead(
        name=own,
        module=considered[own],
        layout=its,
        candidates=tuple(layers),
        own=True,
        n_calls=len(calls[own]),
    )


def _of_fitting_shape(calls: Mapping[str, list[LayerCall]], outputs: Outputs) -> list[str]:
    """Layers that returned as many numbers as the model, the last that ran first."""
    fitting = [name for name, heard in calls.items() if any(_fits(heard, output) for _, output in outputs)]
    return sorted(fitting, key=lambda name: -calls[name][-1].order)


def _only_one(calls: Mapping[str, list[LayerCall]], fitting: list[str]) -> str | None:
    """The one layer of fitting shape, if it is the linear layer that ran last."""
    last = len(fitting) == 1 and all(heard[-1].order <= calls[fitting[0]][-1].order for heard in calls.values())
    return fitting[0] if last else None


def _own_layout(call: Caller, batch: Batch, module: nn.Module, *, needs_order: bool) -> Layout | None:
    """How a layer's own output becomes rows, samples first; None where the model's output has to keep its order."""
    with replacing(module, seed=_SEED) as told:
        answer = call(batch)
    own, tensors = told[-1], [tensor for _, tensor in tensors_in(answer)]
    if any(keeps_order(own, tensor) for tensor in tensors):
        return OWN
    swapped = replace(OWN, arrangement="swapped")
    if own.ndim == 3 and any(keeps_order(own.transpose(0, 1), tensor) for tensor in tensors):
        return swapped
    if needs_order:
        return None
    # Time first inside, and a function of it outside that tells nothing of the order.
    return swapped if own.ndim == 3 and own.shape[0] != batch.size == own.shape[1] else OWN


def _fitting_calls(
    call: Caller, batch: Batch, layers: Mapping[str, nn.Module], *, chosen: bool
) -> tuple[Outputs, dict[str, list[LayerCall]], dict[Place, tuple[int, ...]], set[Place]]:
    """Outputs, calls of layers, shapes by place, and the places at which two passes give the same."""
    with listening(layers) as shapes:
        answer = call(batch)
    places = {place: tuple(tensor.shape) for place, tensor in tensors_in(answer) if tensor.ndim > 0}
    outputs = _output_tensors(answer, batch.size, chosen=chosen)
    fitting = {
        name: layers[name] for name, heard in shapes.items() if any(_fits(heard, output) for _, output in outputs)
    }
    # Copies of outputs are kept for the fitting layers only: all of a large model's would not fit in memory.
    with listening(fitting, keep_outputs=True) as kept:
        outputs = _output_tensors(call(batch), batch.size, chosen=chosen)
    # The order is that of the first pass, which listened to all.
    calls = {
        name: [replace(one, order=first.order) for one, first in zip(kept.get(name, heard), heard, strict=True)]
        for name, heard in shapes.items()
    }
    steady = {place for place, output in outputs if _same(output, tensor_at(answer, place))}
    return outputs, calls, places, steady


def _output_tensors(output: Any, size: int, *, chosen: bool) -> Outputs:
    # The `.squeeze()` of a batch of one is a single number.
    tensors = [(place, tensor) for place, tensor in tensors_in(output) if tensor.ndim > 0 or size == 1]
    if not tensors and not chosen:
        single = any(True for _ in tensors_in(output))
        what = f"a single number for {size} inputs (a loss?)" if single else named_kind(output)
        what = "complex numbers," if isinstance(output, Tensor) and output.is_complex() else what
        raise HeadError(
            f"the model returned {what} without a floating tensor of outputs; expected a tensor, or a tuple, mapping "
            "or dataclass that holds one: name the layer that gives the outputs with head=<its name>, or measure the "
            "network inside"
        )
    # transformers' outputs may carry hidden states and caches beside; `logits` is what they are about.
    logits: Outputs = [(place, tensor) for place, tensor in tensors if place == ("logits",)]
    return tensors if chosen or not logits else logits


def _fits(heard: list[LayerCall], output: Tensor) -> bool:
    width = heard[0].shape[-1]
    if width == 0 or output.numel() == 0 or output.numel() % width:
        return False
    rows = [math.prod(one.shape[:-1]) for one in heard]
    wanted = output.numel() // width
    return wanted in {*rows, sum(rows), *(one.shape[0] for one in heard)}


def _confirmed(
    call: Caller, batch: Batch, module: nn.Module, places: list[Place], outputs: Outputs
) -> tuple[list[Layout], dict[Place, bool]]:
    """What of the model's output is this layer's, and what else follows it, with whether that may be answers.

    Answers are rows of several numbers that do not keep the order of the layer's; an entropy of logits is no answer.
    """
    if not places:
        return [], {}
    with replacing(module, seed=_SEED) as told:
        answer = call(batch)
    found: list[Layout] = []
    followed: dict[Place, bool] = {}
    for place, before in outputs:
        tensor = tensor_at(answer, place)
        layout = None if tensor is None else relate(told, tensor, place)
        if layout is not None and place in places:
            found.append(layout)
        elif tensor is not None and layout is None and not _same(tensor, before):
            followed[place] = tensor.ndim > 1 and tensor.shape[-1] > 1 and not keeps_order(told[-1], tensor)
    return found, followed if found else {}


def _feeds(call: Caller, batch: Batch, module: nn.Module, later: Mapping[str, nn.Module]) -> bool:
    """Whether what a layer returns decides what a later linear layer returns."""
    with listening(later, keep_outputs=True) as plain:
        call(batch)
    with listening(later, keep_outputs=True) as moved, replacing(module, seed=_SEED):
        call(batch)
    return any(
        one.output is not None and not _same(one.output, other.output)
        for name, told in plain.items()
        for one, other in zip(told, moved.get(name, ()), strict=False)
    )


def _same(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.shape != other.shape:
        return False
    return same_bits(one, other) or torch.allclose(one, other, equal_nan=True)


def _last(confirmed: list[tuple[int, str, Layout]]) -> tuple[str, Layout]:
    by_place: dict[Place, tuple[int, str, Layout]] = {}
    for order, name, layout in confirmed:
        if layout.path not in by_place or order > by_place[layout.path][0]:
            by_place[layout.path] = (order, name, layout)
    names = {name for _, name, _ in by_place.values()}
    if len(names) > 1:
        listed = ", ".join(f"{name!r} ({layout})" for _, name, layout in by_place.values())
        raise AmbiguousHeadError(
            f"several linear layers produce parts of the model's output: {listed}; choose one with head=<its name>",
            candidates=sorted(names),
        )
    # One layer at several places, (logits, softmax(logits)) for example: the plain one tells more.
    plain = [entry for entry in by_place.values() if entry[2].ending == "none"]
    _, name, layout = (plain or list(by_place.values()))[0]
    return name, layout


def _chosen(model: nn.Module, layers: Mapping[str, nn.Module], head: nn.Module | str) -> dict[str, nn.Module]:
    named = named_layers(model)
    if isinstance(head, str):
        name = unwrapped_name(head, named)
        if name not in named:
            near = difflib.get_close_matches(head, layers, n=3, cutoff=0.4) or list(layers)[-_SHOWN:]
            raise NoHeadError(
                f"the model has no layer named {head!r}; did you mean one of {_listed(near)}?",
                candidates=near,
            )
    elif isinstance(head, nn.Module):
        name = next((name for name, module in named.items() if module is head), "")
        if named.get(name) is not head:
            raise NoHeadError(
                f"the {type(head).__name__} given as head is not a layer of this model; pass a layer of it or its "
                f"name, one of {_listed(list(layers)[-_SHOWN:])}",
                candidates=layers,
            )
    else:
        raise NoHeadError(
            f"head is {named_kind(head)}; expected a layer, its dotted name, or (W, b) with W of shape (C, p)",
            candidates=layers,
        )
    module = named[name]
    if (isinstance(module, _NEVER_LINEAR) and linear_kind(module) is None) or (module is model and not layers.get("")):
        raise not_linear(name, module, list(layers))
    return {name: module}


_NEVER_LINEAR = (nn.modules.conv._ConvNd, nn.Embedding, nn.RNNBase, torch.jit.ScriptModule)
"""Layers that are no matrix, or one on other axes than the last."""


def class_of(module: nn.Module) -> str:
    """The class, with its library where the name alone would mislead: not every Linear is torch's."""
    kind = type(module)
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else f"{kind.__module__}.{kind.__qualname__}"


def not_linear(name: str, module: nn.Module, layers: Sequence[str], why: str = "") -> NoHeadError:
    """The refusal of a layer that was chosen as head."""
    inside = [layer for layer in layers if layer and (not name or layer.startswith(name + "."))]
    hint = f"inside it are {_listed(inside[-_SHOWN:])}" if inside else "choose a linear layer"
    return NoHeadError(
        f"layer {name!r} is {with_article(class_of(module))}, not a linear layer or 1x1 convolution{why}; {hint}",
        candidates=inside,
    )


def _no_head(
    layers: Mapping[str, nn.Module],
    calls: Mapping[str, list[LayerCall]],
    outputs: Outputs,
    fitting: list[str],
    *,
    chosen: bool,
    last_layers: str,
) -> NoHeadError:
    shapes = ", ".join(str(tuple(output.shape)) for _, output in outputs[:3])
    way_out = (
        'measure features alone by features="output" (or a layer), or give arrays to '
        "phiscope.diagonalize(features, outputs)"
    )
    if not layers:
        return NoHeadError(
            f"the model has no linear layer or 1x1 convolution that could be the head (its output has shape {shapes}, "
            f"its last layers are {last_layers}); {way_out}"
        )
    if fitting and not chosen:
        return NoHeadError(
            f"no linear layer produces the model's output of shape {shapes}; of fitting shape are "
            f"{_listed(fitting[:_SHOWN])}, the last that ran first: if one of them is the head, of which the output is "
            f"a function, take it with head={fitting[0]!r}, and its own outputs are measured; if there is none, "
            f"{way_out}",
            candidates=[*fitting, *(name for name in layers if name not in fitting)],
        )
    reasons = {
        name: f"returned {calls[name][-1].shape}, which is not what the model returned"
        if name in calls
        else "did not run as a module in the forward pass"
        for name in layers
    }
    # The layers that ran last are the ones a reader thinks of; those that never ran come after.
    ordered = sorted(layers, key=lambda name: -calls[name][-1].order if name in calls else 1)
    shown = "; ".join(f"{name!r} {reasons[name]}" for name in ordered[:_SHOWN])
    more = f"; and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    start = "the chosen layer does not produce" if chosen else "no linear layer produces"
    return NoHeadError(
        f"{start} the model's output of shape {shapes}: {shown}{more}. Choose a layer that runs with head=<its name>, "
        f"or {way_out}",
        candidates=ordered,
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
