"""The samples that an intervention is judged on, read as `phiscope.measure` reads them.

Which rows count (no padding, no label -100, the next token's label where the model predicts it) is asked of
`phiscope.network.samples` alone, so that everything that judges a network judges it on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import EmptyDataError, InputError
from phiscope.inputs.batches import batches_of
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import Batch, answered
from phiscope.network.isolation import isolated
from phiscope.network.rows import Rows
from phiscope.network.samples import samples_of, units_of
from phiscope.typing import IntArray


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a trial is made on.

    Attributes:
        network: unwrapped.
        data: samples with targets.
        max_samples: so many; None = all.
    """

    network: nn.Module
    data: Any
    max_samples: int | None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The rows of one batch that count.

    Attributes:
        rows: of these alone.
        targets: of each, on the CPU, classes (n,) or values (n, c); None where the batch has none.
        units: which input of the batch each comes from, (n,).
        head: the head that reads the features, as a provenance names it; empty where none is a layer.
    """

    rows: Rows
    targets: Tensor | None
    units: Tensor
    head: str

    def first(self, room: int) -> Counted:
        """At most so many of them."""
        targets = None if self.targets is None else self.targets[:room]
        few = torch.arange(min(room, len(self.units)))
        return replace(self, rows=rows_at(self.rows, few), targets=targets, units=self.units[:room])


def rows_at(rows: Rows, places: Tensor) -> Rows:
    """Some rows of a batch, as rows of their own."""
    kept = places.to(rows.features.device)
    outputs = None if rows.outputs is None else rows.outputs[kept]
    return replace(rows, features=rows.features[kept], outputs=outputs, leading=(len(kept),))


def counted(feature_map: FeatureMap, batch: Batch, rows: Rows) -> Counted:
    """The rows of a batch that count, with their targets.

    Args:
        feature_map: says whether padding counts, and whether labels are those of the next token.
        batch: with its targets; without them every row that is no padding counts.
        rows: of the whole batch.
    """
    chosen = samples_of(batch, rows, feature_map)
    targets = None if chosen.targets is None else chosen.targets.detach().cpu()
    return Counted(
        rows=rows_at(rows, chosen.rows),
        targets=targets,
        units=units_of(rows, batch)[chosen.rows],
        head=feature_map.described().get("head", ""),
    )


def without_targets(batch: Batch) -> Batch:
    """The same batch, of which every row that is no padding counts."""
    return replace(batch, targets=None, target_key=None)


class Parts:
    """Targets of all batches, and which input each comes from."""

    def __init__(self) -> None:
        self._targets: list[Any] = []
        self._units: list[Any] = []
        self._inputs = 0

    def add(self, targets: Tensor, units: Tensor) -> None:
        """Add those of one batch."""
        self._targets.append(targets.numpy())
        self._units.append(self._inputs + units.numpy())
        self._inputs += 1 + int(units.max()) if len(units) else 0

    def whole(self) -> tuple[Any, IntArray]:
        """All targets, and the input of each."""
        if not sum(map(len, self._targets)):
            raise EmptyDataError("no sample came; check that the data are not empty")
        return np.concatenate(self._targets), np.concatenate(self._units)


def _no_change(batch: Batch) -> AbstractContextManager[None]:
    return nullcontext()


def samples_of_trial(
    tried: Tried, around: Callable[[Batch], AbstractContextManager[None]] = _no_change
) -> Iterator[tuple[Counted, Tensor]]:
    """What counts of each batch, with its targets, in eval mode; `around` goes around these passes alone.

    Raises:
        InputError: the data hold no targets.
    """
    count, feature_map = 0, None
    for index, raw in enumerate(batches_of(tried.data)):
        with isolated(tried.network, data=tried.data):
            feature_map = feature_map or feature_map_of(tried.network, raw, FeatureChoice(), device=None)
            batch = feature_map.reader()(raw)
            with around(batch):
                rows = feature_map.rows(batch, index=index)
            batch = answered(batch, rows.leading)
        told = counted(feature_map, batch, rows)
        if tried.max_samples is not None:
            told = told.first(tried.max_samples - count)
        if told.targets is None:
            raise InputError("damage needs targets; pass (x, y) batches or a mapping with labels")
        count += len(told.units)
        yield told, told.targets
        if tried.max_samples is not None and count >= tried.max_samples:
            return
