"""The moments of one layer beside the network's outputs, and the measurement they give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phiscope.errors import NonFiniteError, ShapeError
from phiscope.inputs.arrays import as_array, as_head
from phiscope.measurement.assemble import measurement_from_moments
from phiscope.measurement.record import Measurement
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.row_table import classes_named, distinct_whole, doubts_about_labels
from phiscope.network import FeatureMap, HeadFeatures, Rows
from phiscope.network.batch import Batch
from phiscope.network.layer_reading import LayerReading
from phiscope.network.samples import MASK_UNREAD, Samples, units_of
from phiscope.spectrum.output_coordinates import reduced_head
from phiscope.typing import FloatArray

SAMPLES = 256
"""Of so many samples each layer's features are kept, so that eigenfunctions of two layers can be compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The network's answers of one batch that count.

    Attributes:
        place: (R,) for each answer its row below, -1 for answers that do not count.
        outputs: (s, C), or fewer columns that span the same functions; None where there are none.
        targets: (s,) integers, (s, c) floats, or None.
        units: (s,) which input each comes from.
    """

    place: Tensor
    outputs: Tensor | None
    targets: Tensor | None
    units: Tensor


class HeadRows:
    """The head during a pass: its name and weights, and the answers it gives."""

    def __init__(self, *, feature_map: FeatureMap) -> None:
        self.feature_map = feature_map
        self.name = feature_map.name
        self.n_outputs = 0
        self.affine: tuple[FloatArray, FloatArray] | None = None
        self.readings: Counter[str] = Counter()
        self.doubts: tuple[str, ...] = ()
        self.whole: frozenset[float] | None = frozenset()
        self.ignored_keys: tuple[str, ...] = ()
        self.n_batches = 0
        self._spanning: tuple[FloatArray, FloatArray] | None = None
        self._inputs = 0

    def answers(self, rows: Rows, samples: Samples, chosen: Tensor, batch: Batch) -> Answers:
        """The outputs before any softmax, with targets, of the chosen rows."""
        self.n_outputs = rows.n_outputs or 0
        if rows.weight is not None and self._spanning is None:
            self.affine = as_head((rows.weight, rows.bias), rows.features.shape[1])
            self._spanning = reduced_head(self.affine)
        self.n_batches += 1
        self.readings[samples.reading] += 1
        self.ignored_keys = batch.ignored or self.ignored_keys
        values = None
        if samples.targets is not None and rows.n_outputs != 1:
            values = as_array(samples.targets, name="targets")
        self.whole = distinct_whole(values, self.whole)
        self.doubts = tuple(dict.fromkeys((*self.doubts, *samples.doubts)))
        place = torch.full((len(rows.features),), -1)
        place[chosen] = torch.arange(len(chosen))
        units = self._inputs + units_of(rows, batch)[chosen]
        self._inputs += max(batch.size, 1)
        return Answers(
            place=place,
            outputs=self._outputs(rows, chosen),
            targets=None if samples.targets is None else samples.targets[: len(chosen)],
            units=units,
        )

    def own_layer(self) -> dict[str, str]:
        """The entry of the features that the head reads, or that were chosen."""
        phi, described = self.feature_map, self.feature_map.described()
        if isinstance(phi, HeadFeatures):
            return {"layer": f"{phi.found.called}, input"}
        return {"layer": described["features"], "reading": described["reading"]}

    @property
    def same_words(self) -> str:
        """Why a layer with the same features is left out."""
        by_head = isinstance(self.feature_map, HeadFeatures)
        who = f"head {self.name!r} reads" if by_head else f"{self.name!r} gives"
        return f"its features are the ones that {who}"

    @property
    def measures_outputs(self) -> bool:
        """Whether outputs are measured rather than made by a head."""
        return self._spanning is None

    def _outputs(self, rows: Rows, chosen: Tensor) -> Tensor | None:
        if self._spanning is None:
            # As they came: their type says how they were rounded.
            return None if rows.outputs is None else rows.outputs[chosen.to(rows.outputs.device)]
        return torch.from_numpy(_as_numbers(rows.features, chosen) @ self._spanning[0].T + self._spanning[1])

    def provenance(self) -> dict[str, str]:
        """What is the same for all layers."""
        described = self.feature_map.described()
        told = {
            "source": "network layer",
            **{name: text for name, text in described.items() if name not in ("features", "reading")},
            "targets": "; ".join(self.readings),
            "batches": str(self.n_batches),
        }
        return told | ({"ignored_inputs": ", ".join(self.ignored_keys)} if self.ignored_keys else {})


def _as_numbers(rows: Tensor, chosen: Tensor) -> FloatArray:
    return as_array(rows[chosen.to(rows.device)], name="features").astype(np.float64)


class LayerMoments:
    """Gathers the moments of one layer.

    Args:
        reading: how the layer is read; None for the input of the head.
        head: shared by all layers.
        num_classes: for integer targets.
        n_shards: for intervals.
        shard_memory: bytes that the sums of all shards may take.
    """

    def __init__(
        self,
        *,
        reading: LayerReading | None,
        head: HeadRows,
        num_classes: int | None,
        n_shards: int,
        shard_memory: int,
    ) -> None:
        self.reading = reading
        self.head = head
        self.key = head.name if reading is None else reading.source.key
        self._moments = MomentAccumulator(num_classes=num_classes, n_shards=n_shards, shard_memory=shard_memory)
        self._width = 0
        self._precision = ""
        self._device = ""
        self._unmasked = False
        self._samples: list[NDArray[np.float32]] | None = []

    def add(self, features: Tensor, owner: Tensor, answers: Answers, index: int, mask: Tensor | None) -> None:
        """Add one batch: features (S, p), and for each the index of the answer it belongs to."""
        at = answers.place[owner]
        if not bool((at >= 0).all()):
            features, at = features[(at >= 0).to(features.device)], at[at >= 0]
        self._check(features, index)
        if self.reading is not None and self.reading.ignores_mask and mask is not None:
            self._unmasked = self._unmasked or not bool(mask.all())
        self._precision, self._device = str(features.dtype), str(features.device)
        self._keep(features, at, len(answers.units))
        self._moments.update(
            features,
            # The head's own spans follow from its weights, as `measure` takes them.
            outputs=None if answers.outputs is None or self._by_head else answers.outputs[at],
            targets=None if answers.targets is None else answers.targets[at],
            units=answers.units[at],
        )

    def _keep(self, features: Tensor, at: Tensor, n_answers: int) -> None:
        if self._samples is None or not torch.equal(at, torch.arange(n_answers)):
            # Several rows a sample, as with positions: no other layer has them.
            self._samples = None
            return
        room = SAMPLES - sum(map(len, self._samples))
        if room > 0:
            self._samples.append(as_array(features[:room], name="features").astype(np.float32))

    @property
    def samples(self) -> NDArray[np.float32] | None:
        """Features of the first samples, shape (g, p); None where a sample has several rows."""
        return None if self._samples is None else np.concatenate(self._samples)

    @property
    def _by_head(self) -> bool:
        return self.reading is None and not self.head.measures_outputs

    def _check(self, features: Tensor, index: int) -> None:
        self._width = self._width or features.shape[1]
        if features.shape[1] != self._width:
            raise ShapeError(
                f"layer {self.key!r} has p = {features.shape[1]} features in batch {index} and {self._width} before; "
                "inputs of different sizes can be pooled or taken position by position, not flattened"
            )
        if not bool(torch.isfinite(features).all()):
            raise NonFiniteError(
                f"features of layer {self.key!r} hold NaN or Inf in batch {index}, expected finite numbers; the "
                "training probably diverged or the data need cleaning",
                where=f"layer {self.key}",
                batch=index,
            )

    def measurement(self, rank_tolerance: float, ignored: int) -> Measurement:
        """Finish: every number the moments allow."""
        moments, shards = self._moments.result_with_shards()
        measured = measurement_from_moments(
            moments,
            shards=shards,
            head=self.head.affine if self.reading is None else None,
            rank_tolerance=rank_tolerance,
            provenance=self._provenance(ignored),
            warnings=[*self._warnings(), *doubts_about_labels(classes_named(self.head.whole, moments.n_samples))],
        )
        measured = replace(measured, n_outputs=self.head.n_outputs or None)
        if self.reading is None or "head_excess_loss" not in measured.numbers:
            return measured
        # Layers above may fit what no linear head on this one can: the difference would be negative, or clipped at 0.
        numbers = {name: value for name, value in measured.numbers.items() if name != "head_excess_loss"}
        absent = {**measured.absent, "head_excess_loss": "the network's head does not read this layer"}
        return replace(measured, numbers=numbers, absent=absent)

    def _provenance(self, ignored: int) -> dict[str, str]:
        told = self.head.own_layer()
        if self.reading is not None:
            told = {"layer": str(self.reading), "reading": self.reading.in_words()}
        told |= {"device": self._device, "precision": self._precision}
        if ignored:
            told["left_out"] = f"{ignored} positions or samples, by label -100 or attention mask"
        return self.head.provenance() | told

    def _warnings(self) -> list[str]:
        warnings = list(self.head.doubts)
        if self._unmasked:
            warnings.append(MASK_UNREAD)
        return warnings
