"""Measuring many layers of a network in one streaming pass over data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phiscope.distributed import crew_of
from phiscope.errors import EmptyDataError, InputError, named_kind
from phiscope.inputs.arrays import classes_of_head
from phiscope.inputs.batches import batches_of, known_length, peeked
from phiscope.inputs.order import check_order
from phiscope.inputs.prepared import unprepared
from phiscope.inputs.progress import bar_of
from phiscope.inputs.repeats import Repeats
from phiscope.inputs.settings import check_max_samples, device_of
from phiscope.measurement.layer_moments import HeadRows, LayerMoments
from phiscope.measurement.layers import Layers
from phiscope.moments.shards import LAYERS_SHARD_MEMORY, shards_for_all
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import Batch, answered, with_targets
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.layer_calls import ChannelAxis, ModuleCall, module_calls
from phiscope.network.layer_choice import Choice, choose
from phiscope.network.layer_plan import ReadingChoice, check_width, plan_reading
from phiscope.network.layer_reading import LayerReading, Maps, Tokens, layers_listened, mask_of
from phiscope.network.samples import samples_of


def measure_layers(
    model: nn.Module,
    data: Any,
    layers: str | Iterable[str] = "auto",
    *,
    maps: Maps | None = None,
    tokens: Tokens | None = None,
    padding: bool = False,
    next_token: bool | None = None,
    channels: ChannelAxis | None = None,
    head: Any = None,
    features: nn.Module | str | None = None,
    outputs: nn.Module | str | None = None,
    targets: Any = None,
    device: torch.device | str | None = None,
    max_samples: int | None = None,
    max_features: int = 4096,
    rank_tolerance: float = 1e-4,
    progress: bool | None = None,
) -> Layers:
    """Diagonalize the features of many layers at once, against the network's outputs and the targets.

    A layer's features are its output; the head's name stands for what the head reads, which is what `measure`
    measures. Spans of outputs are measured from data, so D_LR, used variance and utilization say how far a
    layer's features already are the network's output functions. The model, its mode, hooks, buffers and
    every random state are as before, also after an exception. Under torch.distributed each rank measures its own
    samples, also where `measure` would merge them.

    Args:
        model: any module; compile and data-parallel wrappers are looked through.
        data: anything `measure` takes.
        layers: "auto" = the outputs of blocks and stages, in a chain of single layers the last output before the
            next layer with weights, and the head's input; or dotted names and fnmatch patterns. A module that
            is called k times has k entries, ``name@1`` to ``name@k``.
        maps: what becomes of (n, C, H, W): "pooled" = mean over positions, "flattened", "positions" = each position
            is a sample. None = pooled, or positions where the network answers at each position.
        tokens: what becomes of (n, T, p): "pooled", "first", "last", "positions", or None as for maps. Positions
            that the batch's `attention_mask` leaves out do not count.
        padding: count tokens that the batch's attention mask leaves out as samples, too.
        next_token: see `measure`.
        channels: axis of the features where there are positions, "first" or "last"; None = found by the width of
            the last layer with weights.
        head: see `measure`.
        features: see `measure`; the last entry is then these features instead of the head's input.
        outputs: see `measure`; every layer is read against them.
        targets: see `measure`.
        device: see `measure`.
        max_samples: see `measure`; counts the network's answers.
        max_features: largest p of a layer; moments are p x p each.
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        progress: see `measure`.

    Returns:
        A mapping from layer to measurement in forward order; each provenance says how the layer was read.

    Raises:
        UnknownNameError: no layer has the name or matches the pattern; the nearest are offered.
        InputError: a layer asked for does not run, cannot be read, or has too many features.
        NonFiniteError: a feature is NaN or Inf; the message names the layer and the batch.
        NoHeadError: no linear layer produces the model's output.

    Source:
        arXiv:2410.04264v1, section 2, for the last layer; other layers are read the same way by phiscope.

    Example:
        >>> import itertools
        >>> signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)))
        >>> net = nn.Sequential(nn.Identity(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> told = measure_layers(net, signs, ["0", "3"])
        >>> list(told), round(told["0"]["effective_dimension"], 9)
        (['0', '3'], 3.0)
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is {named_kind(model)}; expected a torch.nn.Module (arrays go to diagonalize)")
    check_max_samples(max_samples)
    data = unprepared(data, split=False)
    check_order(data, targets)
    wanted = ReadingChoice(maps=maps, tokens=tokens, channels=channels, max_features=max_features)
    chosen = FeatureChoice(
        features=features, outputs=outputs, head=head, reading=wanted, padding=padding, next_token=next_token
    )
    model = unwrapped(model)
    where = device_of(device)

    def run() -> _Pass:
        first, batches = peeked(batches_of(data))
        feature_map = feature_map_of(model, first, chosen, device=where, targets=targets)
        plan = _planned(feature_map, next(with_targets(iter([first]), feature_map.reader(), targets)), layers, wanted)
        gathered = _Pass(feature_map=feature_map, plan=plan)
        repeats = Repeats()
        read = with_targets(repeats.watch(batches), feature_map.reader(), targets)
        words: dict[str, Any] = {"total": known_length(data), "desc": "layers", "unit": "batch", "leave": False}
        with bar_of(read, shown=progress, **words) as bar:
            gathered.read(bar, max_samples)
        # A generator with array targets is not asked for more samples than were wanted.
        read.close()
        gathered.head.doubts = (*repeats.doubts, *gathered.head.doubts)
        return gathered

    with isolated(model, data=data, device=where):
        # Ranks do not merge here, but those of a sharded model have to enter each forward pass together.
        return crew_of("local", data, model).attempt(run, model).layers(rank_tolerance)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is measured and how, settled on the first batch."""

    readings: tuple[LayerReading | None, ...]
    left_out: dict[str, str]
    drop_copies: bool


def _planned(feature_map: FeatureMap, batch: Batch, layers: str | Iterable[str], wanted: ReadingChoice) -> _Plan:
    calls = module_calls(feature_map.caller(), batch)
    choice = choose(feature_map.model, calls, layers, feature_map)
    rows = feature_map.rows(batch, index=0)
    batch = answered(batch, rows.leading)
    left_out = dict(choice.left_out)
    readings: list[tuple[int, LayerReading | None]] = []
    for one in choice.calls:
        try:
            reading = plan_reading(
                one,
                size=batch.size,
                leading=rows.leading,
                choice=wanted,
                mask=mask_of(batch),
                owner=batch.owner,
                other_text=_reads_other_text(feature_map.model, one),
            )
        except InputError as error:
            if one.key in choice.required:
                raise
            left_out[one.key] = str(error)
            continue
        check_width(one.key, reading.n_features, wanted.max_features, flattened=reading.how == "flattened")
        readings.append((one.order, reading))
    if choice.with_head:
        check_width(feature_map.name, rows.features.shape[1], wanted.max_features)
        order = max((one.order for one in calls if one.module is feature_map.module), default=len(calls))
        readings.append((order, None))
    if not readings:
        reasons = "; ".join(dict.fromkeys(left_out.values()))
        raise InputError(f"none of the layers asked for can be measured: {reasons}")
    ordered = tuple(reading for _, reading in sorted(readings, key=lambda pair: pair[0]))
    return _Plan(readings=ordered, left_out=left_out, drop_copies=_is_auto(layers, choice))


def _is_auto(layers: str | Iterable[str], choice: Choice) -> bool:
    return layers == "auto" and choice.with_head


def _reads_other_text(model: nn.Module, one: ModuleCall) -> bool:
    # Sequence to sequence: equal lengths of the two texts would otherwise pass for equal positions.
    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return bool(both) and "encoder" in one.name.split(".")


class _Pass:
    """What one pass has gathered so far."""

    def __init__(self, *, feature_map: FeatureMap, plan: _Plan) -> None:
        self.feature_map = feature_map
        self.left_out = dict(plan.left_out)
        self.readings = list(plan.readings)
        self.drop_copies = plan.drop_copies
        self.call = feature_map.caller()
        self.n_samples = 0
        self.ignored = 0
        self.head = HeadRows(feature_map=feature_map)
        self.moments: list[LayerMoments] = []

    def read(self, batches: Iterable[Batch], max_samples: int | None) -> None:
        """Add batches until there are enough samples."""
        for index, batch in enumerate(batches):
            self.add(batch, index, None if max_samples is None else max_samples - self.n_samples)
            if max_samples is not None and self.n_samples >= max_samples:
                return

    def add(self, batch: Batch, index: int, left: int | None) -> None:
        """Add one batch, of which at most `left` answers of the network count."""
        mask = mask_of(batch)
        heard_layers = [one for one in self.readings if one is not None]
        with layers_listened(self.feature_map.model, heard_layers, mask, batch.owner) as heard:
            rows = self.feature_map.rows(batch, call=self.call, index=index)
        batch = answered(batch, rows.leading)
        samples = samples_of(batch, rows, self.feature_map)
        chosen = samples.rows[:left]
        self.ignored += samples.ignored
        answers = self.head.answers(rows, samples, chosen, batch)
        if len(chosen) == 0:
            return
        self.n_samples += len(chosen)
        told = [
            (rows.features, torch.arange(len(rows.features)))
            if one is None
            else one.rows(heard.told(one, index), rows.leading, batch.size, mask)
            for one in self.readings
        ]
        if not self.moments:
            told = self._begin(told, samples.targets is not None and not samples.targets.is_floating_point())
        for one, (features, owner) in zip(self.moments, told, strict=True):
            one.add(features, owner, answers, index, mask)

    def _begin(
        self, told: list[tuple[torch.Tensor, torch.Tensor]], classes: bool
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Start the moments; "auto" leaves out what the head reads anyway."""
        if self.drop_copies:
            copies = set(self._copies_of_head(told))
            told = [one for place, one in enumerate(told) if place not in copies]
            self.readings = [one for place, one in enumerate(self.readings) if place not in copies]
        n_shards = shards_for_all([features.shape[1] for features, _ in told])
        num_classes = classes_of_head(self.head.n_outputs) if classes and self.head.affine is not None else None
        self.moments = [
            LayerMoments(
                reading=one,
                head=self.head,
                num_classes=num_classes,
                n_shards=n_shards,
                shard_memory=LAYERS_SHARD_MEMORY // len(self.readings),
            )
            for one in self.readings
        ]
        return told

    def _copies_of_head(self, told: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[int]:
        target = next(features for one, (features, _) in zip(self.readings, told, strict=True) if one is None)
        for place, (one, (features, _)) in enumerate(zip(self.readings, told, strict=True)):
            if one is not None and features.shape == target.shape and _agree(features, target):
                self.left_out[one.source.key] = self.head.same_words
                yield place

    def layers(self, rank_tolerance: float) -> Layers:
        """Finish the pass."""
        if not self.moments:
            raise EmptyDataError(
                f"the data hold no sample to measure ({self.ignored} were left out by label -100 or mask)"
            )
        told = {one.key: one.measurement(rank_tolerance, self.ignored) for one in self.moments}
        samples = {one.key: one.samples for one in self.moments if one.samples is not None}
        return Layers(measurements=told, head=self.head.name, left_out=self.left_out, samples=samples)


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    size = float(b.abs().max()) if b.numel() else 0.0
    return bool(torch.allclose(a.float(), b.float(), rtol=1e-5, atol=1e-6 * size, equal_nan=True))
