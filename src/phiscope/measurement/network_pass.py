"""One pass over data: the network runs batch by batch, and moments are kept instead of samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phiscope.distributed import Crew
from phiscope.errors import EmptyDataError
from phiscope.inputs.arrays import as_array, as_head, check_reach, classes_of_head
from phiscope.inputs.batches import batches_of, peeked
from phiscope.inputs.progress import bar_of
from phiscope.inputs.repeats import Repeats
from phiscope.inputs.settings import check_max_samples, is_word
from phiscope.metrics.movement import relative_change
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.gathered import Gathered
from phiscope.moments.moments import Moments
from phiscope.moments.precision import PRODUCTS, check_precision, precision_for
from phiscope.moments.row_table import classes_named, distinct_whole, doubts_about_labels
from phiscope.network import FeatureMap, Rows
from phiscope.network.batch import Batch, answered, with_targets
from phiscope.network.initial import InitialFeatures
from phiscope.network.samples import Samples, samples_of, units_of
from phiscope.typing import AffineHead

REBUILT = (
    "the network has other parameters than its initial state (a layer was replaced, wrapped or added), so the features "
    "are not compared with the initial ones; a new observer compares with the network as it is then"
)


def batches_here(crew: Crew, data: Any, max_samples: int | None) -> Iterator[Any] | None:
    """This rank's raw batches; None when ranks merge and this one has nothing to measure."""
    if not crew.merges:
        return batches_of(data)
    if crew.quota(max_samples) == 0 != max_samples or crew.own_inputs == 0:
        return None
    try:
        return peeked(batches_of(data))[1]
    except EmptyDataError:
        return None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reader of the numbers has to know about a pass; plain values, so that ranks can tell each other.

    Attributes:
        network: what was measured, by name: model, head, layout.
        devices: where it ran.
        precisions: of the features.
        products: precision of the products, empty where nothing counted.
        readings: how targets were read.
        ignored_inputs: mapping keys that the model does not take.
        n_batches: batches that were run.
        n_ignored: rows left out by label or mask.
        doubts: sentences about labels and masks.
        whole: the different values of float targets, None where they are no class labels.
        n_samples: how many samples counted.
    """

    network: Mapping[str, str]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    products: tuple[str, ...]
    readings: tuple[str, ...]
    ignored_inputs: tuple[str, ...]
    n_batches: int
    n_ignored: int
    doubts: tuple[str, ...]
    whole: tuple[float, ...] | None
    n_samples: int

    def provenance(self) -> dict[str, str]:
        """As text."""
        told = {
            "source": "network",
            **self.network,
            "targets": "; ".join(self.readings),
            "batches": str(self.n_batches),
            "device": ", ".join(self.devices),
            "precision": ", ".join(self.precisions),
            "products": "; ".join(self.products),
        }
        if self.n_ignored:
            told["left_out"] = f"{self.n_ignored} positions or samples, by label -100 or attention mask"
        if self.ignored_inputs:
            told["ignored_inputs"] = ", ".join(self.ignored_inputs)
        return told

    def warnings(self) -> tuple[str, ...]:
        """What may be wrong with labels and masks."""
        named = None if self.whole is None else frozenset(self.whole)
        return (
            *self.doubts,
            *doubts_about_labels(classes_named(named, self.n_samples)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RankPart:
    """What the pass of one rank gathered.

    Attributes:
        shards: moments of this rank's disjoint shards; empty when no sample counted.
        paired: the same for initial and present features together; None without an initial state.
        head: W (C, p) and b (C,), copies; None without a head.
        head_change: norm(W - W_0) / norm(W_0); None without an initial state.
        seen: about the pass.
    """

    shards: Sequence[Moments]
    paired: Sequence[Moments] | None
    head: AffineHead | None
    head_change: float | None
    seen: Seen


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """How one pass over batches is made; every way to measure a network states it once.

    Attributes:
        targets: see `phiscope.measure`.
        max_samples: stop after exactly so many samples; None = all.
        progress: True shows a bar, False none, None one on a terminal.
        total: number of batches, for the bar; None = not known.
        initial: gives features at initialization, for `initial_kernel_similarity`; None for no comparison.
        corrected: gather shards, from which bias-corrected numbers and intervals are made.
        own_inputs: so many inputs count, and what comes after them does not; None = all.
        precision: of the products, see `phiscope.measure`.

    Raises:
        InputError: max_samples is not a positive integer, or there is no such precision.
    """

    targets: Any = None
    max_samples: int | None = None
    progress: bool | None = False
    total: int | None = None
    initial: InitialFeatures | None = None
    corrected: bool = True
    own_inputs: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_max_samples(self.max_samples)
        if not is_word(self.precision, ("auto",)):
            check_precision(self.precision)


def run_pass(feature_map: FeatureMap, batches: Iterator[Any], options: PassOptions) -> Pass:
    """Run the network on raw batches and keep moments instead of samples; meant for the inside of `isolated`.

    Args:
        feature_map: from `split`.
        batches: raw batches.
        options: how.

    Returns:
        The pass up to the last batch; what was gathered may be too little to measure, which its `result` says.
    """
    running = Pass(feature_map=feature_map, options=options)
    repeats = Repeats()
    read = with_targets(repeats.watch(batches), feature_map.reader(), options.targets)
    with bar_of(read, shown=options.progress, total=options.total, desc="measuring", unit="batch", leave=False) as bar:
        for index, batch in enumerate(bar):
            left = None if options.max_samples is None else options.max_samples - running.n_samples
            running.add(batch, index, left)
            if options.max_samples is not None and running.n_samples >= options.max_samples:
                # Closed here, so that a generator with array targets does not ask for more samples.
                read.close()
                break
    running.doubts = (*repeats.doubts, *running.doubts)
    return running


@dataclass(kw_only=True)
class Pass:
    """What one pass has gathered so far.

    Attributes:
        feature_map: from `split`.
        options: how the pass is made.
    """

    feature_map: FeatureMap
    options: PassOptions
    n_samples: int = 0
    n_inputs: int = 0
    n_batches: int = 0
    ignored: int = 0
    moments: MomentAccumulator | None = None
    paired: MomentAccumulator | None = None
    last: Rows | None = None
    readings: Counter[str] = field(default_factory=Counter)
    ignored_keys: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    whole: frozenset[float] | None = frozenset()
    products: str = ""

    def __post_init__(self) -> None:
        self.now = self.feature_map.caller()

    def add(self, batch: Batch, index: int, left: int | None) -> None:
        """Run one batch and add it; at most `left` of its samples count."""
        self.add_rows(batch, self.feature_map.rows(batch, call=self.now, index=index), index, left)

    def add_rows(self, batch: Batch, rows: Rows, index: int, left: int | None = None) -> None:
        """Add the features of one batch that has been run; at most `left` of its samples count."""
        batch = answered(batch, rows.leading)
        samples = samples_of(batch, rows, self.feature_map)
        units = self.n_inputs + units_of(rows, batch)
        counted = self._counted(units[samples.rows])[:left]
        if len(counted):
            self._sum_up(batch, rows, samples, units, counted, index)
        self._note(batch, rows, samples, len(counted))

    def _sum_up(self, batch: Batch, rows: Rows, samples: Samples, units: Tensor, counted: Tensor, index: int) -> None:
        chosen = samples.rows[counted]
        features = rows.features[chosen.to(rows.features.device)]
        self._start(samples, rows).update(
            features,
            outputs=None if rows.outputs is None else rows.outputs[chosen.to(rows.outputs.device)],
            targets=None if samples.targets is None else samples.targets[counted],
            units=units[chosen],
        )
        initial = self.options.initial
        if initial is not None and self.paired is not None:
            before = initial(batch, index)
            if before is None:
                self._forgo_comparison()
            else:
                self.paired.update(before[chosen.to(before.device)], features)

    def _forgo_comparison(self) -> None:
        """Leave S_init out: a network half of then and half of now is no initial state."""
        self.options, self.paired = replace(self.options, initial=None), None
        self.doubts = (*self.doubts, REBUILT)

    def _note(self, batch: Batch, rows: Rows, samples: Samples, n_counted: int) -> None:
        """Count a batch; one whose features were refused has not come this far."""
        self.last = rows
        self.n_samples += n_counted
        self.n_inputs += batch.size
        self.n_batches += 1
        self.ignored += samples.ignored
        self.readings[samples.reading] += 1
        self.ignored_keys = batch.ignored or self.ignored_keys
        # A single output with 0 and 1 as floats is what a binary cross-entropy takes.
        values = None
        if samples.targets is not None and rows.n_outputs != 1:
            values = as_array(samples.targets, name="targets")
        self.whole = distinct_whole(values, self.whole)
        self.doubts = tuple(dict.fromkeys((*self.doubts, *samples.doubts)))

    def _counted(self, units: Tensor) -> Tensor:
        """Which samples are this pass's own, as indices."""
        if self.options.own_inputs is None:
            return torch.arange(len(units))
        return torch.nonzero(units < self.options.own_inputs)[:, 0]

    def _start(self, samples: Samples, rows: Rows) -> MomentAccumulator:
        if self.moments is None:
            device, wanted = rows.features.device, self.options.precision
            options: dict[str, Any] = {
                "precision": precision_for(device) if wanted == "auto" else wanted,
                "device": None if device.type == "cpu" else device,
            }
            self.products = PRODUCTS[options["precision"]]
            classes = samples.targets is not None and not samples.targets.is_floating_point()
            n_classes = classes_of_head(len(rows.weight)) if classes and rows.weight is not None else None
            self.moments = MomentAccumulator(
                num_classes=n_classes, n_shards=None if self.options.corrected else 1, **options
            )
            self.paired = MomentAccumulator(**options)
        return self.moments

    def result(self) -> Gathered:
        """Finish the pass.

        Raises:
            EmptyDataError: fewer than two samples counted.
        """
        if self.moments is None or self.last is None:
            raise EmptyDataError(
                f"the data hold no sample to measure ({self.ignored} were left out by label -100 or mask)"
            )
        moments, shards = self.moments.finish()
        seen = self._seen(self.last)
        return Gathered(
            moments=moments,
            shards=shards,
            head=self._head(self.last),
            paired=None if self.options.initial is None or self.paired is None else self.paired.result(),
            head_change=self._head_change(self.last),
            provenance=seen.provenance(),
            warnings=seen.warnings(),
        )

    def part(self) -> RankPart | None:
        """Finish the pass of one rank of several, which may hold one sample or none."""
        if self.last is None:
            return None
        return RankPart(
            shards=_shards(self.moments, self.n_samples),
            paired=None if self.options.initial is None else _shards(self.paired, self.n_samples),
            head=self._head(self.last),
            head_change=self._head_change(self.last),
            seen=self._seen(self.last),
        )

    def _head(self, rows: Rows) -> AffineHead | None:
        if rows.weight is None:
            return None
        # Copies, as `as_head` makes them: the training goes on writing into the parameters.
        return as_head((rows.weight, rows.bias), rows.features.shape[1])

    def _head_change(self, rows: Rows) -> float | None:
        before = None if self.options.initial is None else self.options.initial.weight
        now = self._head(rows)
        if before is None or now is None:
            return None
        return relative_change(now[0], as_array(before, name="the initial head").astype(np.float64))

    def _seen(self, rows: Rows) -> Seen:
        return Seen(
            network=self.feature_map.described(),
            devices=(str(rows.features.device),),
            precisions=(str(rows.features.dtype),),
            products=(self.products,) if self.products else (),
            readings=tuple(self.readings),
            ignored_inputs=self.ignored_keys,
            n_batches=self.n_batches,
            n_ignored=self.ignored,
            doubts=self.doubts,
            whole=None if self.whole is None else tuple(sorted(self.whole)),
            n_samples=self.n_samples,
        )


def _shards(accumulator: MomentAccumulator | None, n_samples: int) -> Sequence[Moments]:
    if accumulator is None or n_samples == 0:
        return ()
    if n_samples > 1:
        return accumulator.result_with_shards()[1]
    (single,) = accumulator.shards()
    check_reach(float(abs(single.group_means).max()), name="features")
    return (single,)
