"""Features that the caller chose instead of a head's input: a layer's output, or the model's, with outputs or without.

Encoders, embeddings, cosine heads, heads that are no module: what to read is said by ``features=``, what it is read
against by ``outputs=`` (measured) or ``head=`` (a matrix). Without either, numbers that need outputs are absent.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from phiscope.errors import HeadError, InputError, ShapeError, UnknownNameError, named_kind
from phiscope.inputs.parts import described
from phiscope.inputs.settings import check_flag
from phiscope.network.batch import Batch
from phiscope.network.feature_map import batch_on, split_on
from phiscope.network.hooks import Caller, cut_off
from phiscope.network.layer_calls import ModuleCall, module_calls
from phiscope.network.layer_plan import ReadingChoice, check_width, plan_reading
from phiscope.network.layer_reading import Heard, LayerReading, layers_listened, mask_of
from phiscope.network.linear_layers import linear_kind, named_layers, unwrapped_name, weight_and_bias
from phiscope.network.output_layout import spelled, tensor_at, tensors_in
from phiscope.network.rows import FeatureMap, Rows, RowsOf, check_finite
from phiscope.network.samples import label_rule

OUTPUT = "output"
"""What the model returns, as a name for features and outputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenHead:
    """A linear map that the caller names or brings; the features are not its input, or nobody knows.

    Attributes:
        read: gives W (C, p) and b (C,) or None, of the network as it is, or with other tensors in their place.
        called: its name, for people.
    """

    read: Callable[[Mapping[str, Tensor] | None], tuple[Tensor | None, Tensor | None]]
    called: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenFeatures(FeatureMap):
    """A feature map phi that ends at a layer of the caller's choice.

    Attributes:
        reading: how the layer is read, settled on the first batch.
        beside: how outputs are read; None where none are measured.
        given: the head that outputs are made with; None without one.
    """

    reading: LayerReading
    beside: LayerReading | None = None
    given: GivenHead | None = None
    repeated: bool = False

    @property
    def name(self) -> str:
        """The layer's name, or "output"."""
        return self.reading.source.key

    @property
    def module(self) -> nn.Module:
        """The layer."""
        return self.reading.source.module

    @property
    def pools_padding(self) -> bool:
        """See `FeatureMap.pools_padding`."""
        return self.reading.ignores_mask and self.reading.how == "pooled"

    def described(self) -> dict[str, str]:
        """What was measured, by name."""
        told = {"model": type(self.model).__name__, "features": str(self.reading), "reading": self.reading.in_words()}
        if self.beside is not None:
            told["outputs"] = f"{self.beside}, measured"
        if self.given is not None:
            told["head"] = f"{self.given.called}, applied to these features"
        return told

    def rows(self, batch: Batch, *, call: Caller | None = None, index: int | None = None) -> Rows:
        """Run one batch; see `FeatureMap.rows`."""
        call = call or self.caller()
        with self._layers(batch) as heard:
            answer = call(batch)
        return self._rows(heard, answer, batch, index, tensors=call.tensors)

    @contextmanager
    def listened(self, batch: Batch) -> Iterator[RowsOf]:
        """See `FeatureMap.listened`."""
        with self._layers(batch) as heard:
            yield lambda answer, index, checked: self._rows(heard, answer, batch, index, checked=checked)

    @contextmanager
    def _layers(self, batch: Batch) -> Iterator[Heard]:
        both = (self.reading, self.beside)
        readings = [one for one in both if one is not None and one.source.module is not self.model]
        with layers_listened(self.model, readings, mask_of(batch), batch.owner) as heard:
            yield heard

    def _rows(
        self,
        heard: Heard,
        answer: Any,
        batch: Batch,
        index: int | None,
        *,
        tensors: Mapping[str, Tensor] | None = None,
        checked: bool = True,
    ) -> Rows:
        told = self._told(self.reading, heard, answer, batch, index)
        leading = tuple(told.shape[:-1])
        features = told.reshape(-1, told.shape[-1])
        if checked:
            check_finite(features, index)
        outputs = None
        if self.beside is not None:
            outputs = self._told(self.beside, heard, answer, batch, index)
            outputs = outputs.reshape(-1, outputs.shape[-1])
            if len(outputs) != len(features):
                raise ShapeError(
                    f"features have {len(features)} rows and outputs {len(outputs)}; expected one row of outputs each"
                )
        weight, bias = (None, None) if self.given is None else self.given.read(tensors)
        if weight is not None and weight.shape[1] != features.shape[1]:
            raise ShapeError(
                f"the head has W of shape {tuple(weight.shape)}, expected (C, p) with the p = {features.shape[1]} "
                f"features of {self.name!r}"
            )
        return Rows(
            features=features,
            leading=leading,
            weight=None if weight is None else weight.detach().to(features.device),
            bias=None if bias is None else bias.detach().to(features.device),
            precision=features.dtype,
            outputs=outputs,
            repeated=self.repeated,
            channels=(self.beside or self.reading).channels,
        )

    def _told(self, reading: LayerReading, heard: Heard, answer: Any, batch: Batch, index: int | None) -> Tensor:
        if reading.source.module is not self.model:
            return heard.told(reading, 0 if index is None else index)
        tensor = tensor_at(answer, reading.source.place)
        if tensor is None:
            raise InputError(f"{spelled(reading.source.place)} of the model is no tensor in this batch")
        return reading.reduced(cut_off(tensor), mask_of(batch), batch.owner)


@dataclass(frozen=True, kw_only=True)
class FeatureChoice:
    """What the caller chose; see `phiscope.measure`.

    Attributes:
        features: a layer, its dotted name, or "output"; None = the input of the head.
        outputs: the same, for what the features are read against; None = the head's.
        head: a layer, its dotted name, (W, b), or None.
        reading: what becomes of positions.
        padding: whether positions that an attention mask leaves out count.
        next_token: whether labels at positions are those of the next token; None asks the model's loss.
    """

    features: nn.Module | str | None = None
    outputs: nn.Module | str | None = None
    head: Any = None
    reading: ReadingChoice = field(default_factory=ReadingChoice)
    padding: bool = False
    next_token: bool | None = None

    def __post_init__(self) -> None:
        check_flag(self.padding, name="padding")

    @property
    def is_chosen(self) -> bool:
        """Whether the features are anything but the input of a head that is a layer."""
        return self.features is not None or self.outputs is not None or isinstance(self.head, (tuple, list))


def choose_features(
    model: nn.Module, batch: Batch, choice: FeatureChoice, device: torch.device | None
) -> ChosenFeatures:
    """Settle on the first batch what is read and how; meant for the inside of `isolated`.

    Raises:
        UnknownNameError: no layer has the name.
        InputError: the layer did not run, or cannot be read as features of these samples.
        ShapeError: outputs or head do not fit.
    """
    if choice.features is None and choice.outputs is not None:
        raise InputError('outputs was given without features; say which with features=<a layer, its name, or "output">')
    if choice.outputs is not None and choice.head is not None:
        raise InputError("both head and outputs were given; expected one of them, or neither")
    start = ChosenFeatures(model=model, device=device, reading=_NOTHING, padding=choice.padding)
    call = start.caller()
    calls, answer = module_calls(call, batch), call(batch)
    # A head without features to go with acts on what the model returns.
    source = _source(model, calls, answer, OUTPUT if choice.features is None else choice.features, "features")
    beside = None if choice.outputs is None else _source(model, calls, answer, choice.outputs, "outputs")
    mask, size = mask_of(batch), batch.size
    reading, repeated = _planned(source, beside, batch, choice.reading)
    check_width(source.key, reading.n_features, choice.reading.max_features, flattened=reading.how == "flattened")
    if beside is not None:
        leading = (size,) if reading.how != "positions" else (size, *_inner(reading, source))
        other = plan_reading(beside, size=size, leading=leading, choice=ReadingChoice(), mask=mask)
        _check_outputs(beside.key, other.n_features, choice.reading.max_features)
    made = replace(
        start,
        reading=reading,
        repeated=repeated,
        beside=None if beside is None else other,
        given=None if choice.head is None else _given(model, choice.head, reading.n_features),
    )
    made.rows(batch, index=0)
    return made


def _check_outputs(key: str, n_outputs: int, most: int) -> None:
    """Refuse to measure the outputs of a vocabulary, whose covariance would be C x C."""
    if n_outputs > most:
        raise InputError(
            f"outputs {key!r} have C = {n_outputs} columns, more than {most}: what is measured needs a C x C "
            f"covariance, here {8 * n_outputs**2 / 2**30:.3g} GiB; if a linear layer or a tied embedding gives them, "
            'name it with head=, as in head="lm_head": from its weights the same numbers take p x p'
        )


def _planned(
    source: ModuleCall, beside: ModuleCall | None, batch: Batch, choice: ReadingChoice
) -> tuple[LayerReading, bool]:
    """How the features are read, and whether one target counts for all positions of its input."""
    size, mask = batch.size, mask_of(batch)
    pooled = plan_reading(source, size=size, leading=(size,), choice=choice, mask=mask, owner=batch.owner)
    if pooled.form in ("vectors", "nodes") or (source.shape is not None and len(source.shape) < 3):
        return pooled, False
    inner = _inner(pooled, source)
    targets = None if batch.targets is None else tuple(batch.targets.shape)
    free = choice.tokens is None and choice.maps is None
    fits = targets is not None and targets[: 1 + len(inner)] == (size, *inner)
    # As many values for an input as it has positions are not one value for each of these.
    at_each = fits and (len(targets or ()) > 1 + len(inner) or not _is_floating(batch.targets))
    answers_at_each = beside is not None and len(beside.shape or ()) > 2
    if pooled.how == "positions" or (free and (at_each or answers_at_each)):
        aligned = plan_reading(source, size=size, leading=(size, *inner), choice=choice, mask=mask)
        return aligned, targets is not None and not fits
    return pooled, False


def _is_floating(targets: Tensor | None) -> bool:
    return targets is not None and targets.is_floating_point()


def _inner(reading: LayerReading, source: ModuleCall) -> tuple[int, ...]:
    shape = source.shape or ()
    if reading.time_first:
        return shape[:1]
    return shape[1:-1] if reading.channels == "last" else shape[2:]


def _source(model: nn.Module, calls: list[ModuleCall], answer: Any, wanted: Any, role: str) -> ModuleCall:
    """The call of the layer that was asked for, the last of several."""
    named = named_layers(model)
    if isinstance(wanted, nn.Module):
        name = next((name for name, module in named.items() if module is wanted), None)
        if name is None:
            raise InputError(f"the {type(wanted).__name__} given as {role} is not a layer of this model")
    elif isinstance(wanted, str):
        name = unwrapped_name(wanted, named)
    else:
        raise InputError(f'{role} is {named_kind(wanted)}; expected a layer, its dotted name, or "output"')
    if name == "" or (name.split(".")[0] == OUTPUT and (name == OUTPUT or name not in named)):
        return _of_output(model, calls, answer, name, role)
    ran = [one for one in calls if one.key == name] or [one for one in calls if one.module is named.get(name)]
    if not ran and name in named:
        inside = [one for one in named if one.startswith(f"{name}.")][:4]
        hint = f"; inside it are {', '.join(map(repr, inside))}" if inside else ""
        raise InputError(f"{role}={name!r} cannot be read: it did not run as a module in the forward pass{hint}")
    if not ran:
        near = difflib.get_close_matches(name, [*named, OUTPUT], n=3)
        raise UnknownNameError("layer", name, near or [OUTPUT, *[one.name for one in calls][-8:]])
    return ran[-1]


def _of_output(model: nn.Module, calls: list[ModuleCall], answer: Any, name: str, role: str) -> ModuleCall:
    wanted = tuple(name.split(".")[1:])
    places = {place: tensor for place, tensor in tensors_in(answer) if tensor.ndim > 0}
    found = next((place for place in places if tuple(map(str, place))[: len(wanted)] == wanted), None)
    if found is None:
        listed = ", ".join(repr(".".join((OUTPUT, *map(str, place)))) for place in places) or "no tensor"
        raise InputError(f"{role}={name!r}: the model returned {named_kind(answer)} that holds {listed}")
    return ModuleCall(
        name=".".join((OUTPUT, *map(str, found))),
        module=model,
        call=1,
        order=len(calls),
        place=found,
        shape=tuple(places[found].shape),
        width=calls[-1].width if calls else None,
        reads=None,
    )


def _given(model: nn.Module, head: Any, width: int) -> GivenHead:
    if isinstance(head, (tuple, list)):
        return _given_matrix(model, head, width)
    named = named_layers(model)
    if not isinstance(head, (str, nn.Module)):
        hint = ": a matrix alone goes in as (W, None)" if getattr(head, "ndim", 0) == 2 else ""
        raise HeadError(
            f"head is {described(head)}; expected a layer, its dotted name, or (W, b) with W of shape (C, p){hint}"
        )
    name = next((name for name, one in named.items() if one is head), None) if isinstance(head, nn.Module) else head
    name = unwrapped_name(name, named) if isinstance(name, str) else None
    module = None if name is None else named.get(name)
    if module is None:
        if isinstance(head, nn.Module):
            kind = type(head).__name__
            raise HeadError(f"the {kind} given as head is not a layer of this model; pass a layer of it, or its name")
        raise UnknownNameError("layer", head, [one for one in named if one])
    if isinstance(module, nn.Embedding):
        return _given_matrix(model, (module.weight, None), width, called=f"{name} ({type(module).__name__}, tied)")
    if linear_kind(module) is None:
        raise HeadError(
            f"head {name!r} is {named_kind(module)}, not a linear layer; expected one, an embedding, or (W, b)"
        )
    called = f"{name} ({type(module).__name__})"
    if isinstance(module, nn.Linear) and isinstance(module.weight, nn.Parameter):
        return _given_matrix(model, (module.weight, module.bias), width, called=called)

    def read(tensors: Mapping[str, Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
        # Where its parameters are in a layer like this one is not known, so neither is its initial state.
        kind = next((part.dtype for part in module.parameters()), torch.get_default_dtype())
        return (None, None) if tensors is not None else weight_and_bias(module, torch.empty(1, width, dtype=kind))

    return GivenHead(read=read, called=called)


def _given_matrix(model: nn.Module, head: Any, width: int, called: str = "(W, b) as given") -> GivenHead:
    if len(head) != 2:
        raise ShapeError(
            f"head has {len(head)} parts; expected (W, b) with W of shape (C, p) and b of shape (C,) or None"
        )
    try:
        # Shared with the caller, who may change it between records.
        weight, bias = (None if part is None else torch.as_tensor(part) for part in head)
    except (TypeError, ValueError, RuntimeError) as error:
        raise HeadError(
            f"head is {described(head)}; expected (W, b), arrays of numbers of shapes (C, p) and (C,)"
        ) from error
    if weight is None or weight.ndim != 2 or weight.shape[1] != width:
        shape = None if weight is None else tuple(weight.shape)
        raise ShapeError(f"head has W of shape {shape}, expected (C, p) with p = {width} features")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"head has b of shape {tuple(bias.shape)}, expected (C,) with C = {len(weight)}")
    known = {id(part): key for key, part in model.named_parameters()}
    places = [None if part is None else known.get(id(part)) for part in head]

    def read(tensors: Mapping[str, Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
        if tensors is None:
            return weight, bias
        # Under earlier parameters the matrix is the earlier one, where it is the network's own.
        if places[0] is None:
            return None, None
        return tensors[places[0]], None if places[1] is None else tensors[places[1]]

    return GivenHead(read=read, called=called)


_NOTHING = LayerReading(
    source=ModuleCall(name="", module=nn.Identity(), call=1, order=0, shape=None, width=None, reads=None),
    form="vectors",
    n_features=0,
)


def feature_map_of(
    model: nn.Module, raw: Any, choice: FeatureChoice, *, device: torch.device | None, targets: Any = None
) -> FeatureMap:
    """The feature map that the caller asks for, settled on one raw batch; meant for the inside of `isolated`."""
    found: FeatureMap
    if not choice.is_chosen:
        found = split_on(model, raw, head=choice.head, device=device, targets=targets).feature_map
        found = replace(found, padding=choice.padding)
    else:
        found = choose_features(model, batch_on(model, raw, device, targets), choice, device)
    batch = batch_on(model, raw, device, targets)
    return replace(found, labels=label_rule(found.caller(), batch, choice.next_token))
