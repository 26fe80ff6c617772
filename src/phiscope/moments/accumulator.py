"""The streaming pass: batches in, `Moments` out, memory constant in the number of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError
from phiscope.inputs.arrays import (
    as_array,
    as_count,
    as_row_tensor,
    as_rows,
    as_targets,
    as_weights,
    check_weight_ratio,
)
from phiscope.moments.dealing import Deal, Dealer
from phiscope.moments.device_scatter import DeviceScatter
from phiscope.moments.labels import Labels, what_to_do
from phiscope.moments.moments import DOUBLE_EPS, Layout, Moments
from phiscope.moments.pilots import Pilots
from phiscope.moments.precision import PRECISIONS, check_precision, check_range, eps_of, has_double, reach_of
from phiscope.moments.scatter import Scatter
from phiscope.moments.shards import HALVES, MOST_SHARD_MEMORY, Naming, ShardMoments, Streams, outgrown, shards_for
from phiscope.typing import FloatArray, IntArray

SHARD_BLOCK_ROWS = 512
"""Rows per matrix product of one shard."""

MOST_CLASSES = 1_000_000
"""Class indices from here on are taken for values that were meant as floats, unless num_classes says otherwise."""


class MomentAccumulator:
    """Gathers moments of features, outputs and targets batch by batch in float64.

    The first rows are kept as they are; if no more come than p, they stay rows and nothing of size p x p is
    ever made. After that memory no longer grows with the number of samples.

    Args:
        num_classes: number of classes for integer targets; None takes the largest target plus one.
        n_shards: disjoint random shards to gather, from which intervals are made; None takes up to 20 that fit
            into 64 MiB, or 2 halves, which correct for the size of the sample but give no interval; 1 gathers none.
        shard_memory: bytes that the sums of all shards may take; where classes that occur late make them more, the
            shards are merged into 2 halves.
        precision: "exact" multiplies in float64; "fast" in float32, blocks of a few thousand rows about a pilot mean,
            summed in float64: about half the time, and eigenvalues off by some 1e-7 of the largest one.
        device: a torch device on which features that are tensors are multiplied, without a copy of them here; None
            brings them to the CPU, as does "exact" on a device that has no float64.
        output_eps: relative rounding of outputs that were widened before; what comes says its own.

    Raises:
        InputError: another precision.

    Example:
        >>> accumulator = MomentAccumulator()
        >>> accumulator.update([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> accumulator.result().covariance("features").dense().tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        n_shards: int | None = 1,
        shard_memory: int = MOST_SHARD_MEMORY,
        precision: str = "exact",
        device: torch.device | None = None,
        output_eps: float = DOUBLE_EPS,
    ) -> None:
        check_precision(precision)
        self._precision = precision
        self._device = None if device is None or (precision == "exact" and not has_double(device)) else device
        self._num_classes = None if num_classes is None else as_count(num_classes, name="num_classes")
        self._n_shards = None if n_shards is None else as_count(n_shards, name="n_shards")
        self._shard_memory = shard_memory
        self._reach: dict[str, float] = {}
        self._lightest, self._heaviest = math.inf, 0.0
        self._output_eps = output_eps
        self._labels = Labels(self._num_classes)
        self._layout: Layout | None = None
        self._batches = self._first_shards = 0
        self._streams: Streams | None = None
        self._dealer: Dealer | None = None

    def update(
        self,
        features: Any,
        outputs: Any = None,
        targets: Any = None,
        weights: Any = None,
        units: Any = None,
        deal: Deal | None = None,
    ) -> None:
        """Add one batch.

        Args:
            features: shape (b, p).
            outputs: shape (b, C), or None; in every batch or in none.
            targets: integers (b,) as classes, floats (b,) or (b, c) as regression values, or None.
            weights: non-negative, shape (b,), or None for weight 1; samples of weight 0 do not count.
            units: integers (b,) that name what was sampled independently, when several rows come from one
                sample (tokens of one text, positions of one image); None when every row is a sample of its own.
            deal: says the shard of each row in place of `units`, where that is known beyond this batch.

        Raises:
            ShapeError: shapes do not fit together or to earlier batches.
            NonFiniteError: NaN or Inf, with the index of the batch; nothing of the batch was added.
            TargetError: class indices that are negative or not below num_classes.
        """
        phi = self._rows(features, name="features", letter="p")
        parts = [phi]
        out = None if outputs is None else self._answers(outputs)
        goal = None if targets is None else as_targets(targets)
        weight = as_weights(weights, len(phi), batch=self._batches)
        for name, part in (("outputs", out), ("targets", goal)):
            if part is not None and len(part) != len(phi):
                raise ShapeError(f"features have {len(phi)} samples but {name} have {len(part)}; they have to match")
        is_class = goal is not None and goal.ndim == 1
        layout = (phi.shape[1], 0 if out is None else out.shape[1], 0, is_class)
        if out is not None:
            parts.append(out)
        if goal is not None and not is_class:
            layout = (layout[0], layout[1], goal.shape[1], False)
            parts.append(goal)
        self._check_layout(layout)
        groups = goal if goal is not None and is_class else np.zeros(len(phi), dtype=np.int64)
        self._check_values(parts)
        self._check_weights(weight)
        if is_class:
            self._check_classes(groups)
        elif goal is not None and self._num_classes is not None:
            raise TargetError(
                f"num_classes = {self._num_classes} came with float targets, which are regression values; pass "
                "integers if they are classes, or leave num_classes out"
            )
        owner = None if units is None else as_array(units, name="units").astype(np.int64)
        if owner is not None and owner.shape != (len(phi),):
            raise ShapeError(f"units have shape {owner.shape}, expected (b,) with b = {len(phi)} features")
        groups = self._labels.rows_of(groups) if is_class else groups
        streams = self._started()
        # Shards are drawn for the whole batch: a sample whose rows fill several blocks stays in one of them.
        if outgrown(self._shard_memory, sum(layout[:3]), self._labels.n_rows, len(streams)):
            streams.fold(HALVES)
        shard = None if len(streams) == 1 else self._dealt(weight > 0, owner, deal) % len(streams)
        try:
            streams.add(parts, groups, weight, shard)
        except MemoryError as error:
            raise InputError(self._too_wide(layout, error)) from error
        self._batches += 1

    def _too_wide(self, layout: Layout, error: MemoryError) -> str:
        width = sum(layout[:3])
        return (
            f"p = {layout[0]} features, C = {layout[1]} outputs and {layout[2]} regression targets need matrices of "
            f"{width} x {width} numbers, {8 * width**2 / 2**30:.3g} GiB each, and memory ran out ({error}); pass the "
            "head (W, b) instead of many outputs, or k for the leading eigenfunctions of many features"
        )

    def _rows(self, data: Any, *, name: str, letter: str) -> Any:
        stays = self._device is not None and isinstance(data, torch.Tensor)
        return as_row_tensor(data, name=name, letter=letter) if stays else as_rows(data, name=name, letter=letter)

    def _answers(self, outputs: Any) -> Any:
        self._output_eps = max(self._output_eps, eps_of(outputs))
        return self._rows(outputs, name="outputs", letter="C")

    def _check_layout(self, layout: Layout) -> None:
        if self._layout is None:
            self._layout = layout
        elif layout != self._layout:
            raise ShapeError(
                f"batch {self._batches} has (p, C, regression targets, classes) = {layout}, earlier batches had "
                f"{self._layout}; every batch has to have the same columns"
            )

    def _started(self) -> Streams:
        if self._streams is None:
            layout = self._layout or (0, 0, 0, False)
            n_shards = self._n_shards or shards_for(sum(layout[:3]), self._labels.n_rows)
            self._first_shards = n_shards
            block_rows = None if n_shards <= HALVES else SHARD_BLOCK_ROWS
            make: Callable[[Pilots], Scatter] = partial(Scatter, holds=n_shards == 1)
            if self._device is not None:
                make = partial(DeviceScatter, device=self._device)
            self._streams = Streams(layout, n_shards, block_rows, PRECISIONS[self._precision], make)
        return self._streams

    def _check_values(self, parts: list[Any]) -> None:
        names = ["features", *(["outputs"] if self._layout and self._layout[1] else []), "targets"]
        for name, part in zip(names, parts, strict=False):
            if len(part) == 0:
                continue
            reach = reach_of(part)
            if not math.isfinite(reach):
                rows = np.flatnonzero(~np.isfinite(as_array(part, name=name)).all(axis=1))
                more = f" and in {len(rows) - 1} more of its rows" if len(rows) > 1 else ""
                raise NonFiniteError(
                    f"{name} hold NaN or Inf in batch {self._batches} (sample {rows[0]} of that batch){more}, expected "
                    "finite numbers; the training probably diverged, or rows are missing and have to be dropped",
                    where=name,
                    batch=self._batches,
                )
            self._reach[name] = max(self._reach.get(name, 0.0), reach)

    def _check_weights(self, weights: FloatArray) -> None:
        """Across batches, as within each of them."""
        positive = weights[weights > 0]
        if len(positive):
            lightest = min(self._lightest, float(positive.min()))
            heaviest = max(self._heaviest, float(positive.max()))
            check_weight_ratio(lightest, heaviest)
            self._lightest, self._heaviest = lightest, heaviest

    def _check_classes(self, groups: IntArray) -> None:
        low, high = (int(groups.min()), int(groups.max())) if len(groups) else (0, 0)
        bound = MOST_CLASSES if self._num_classes is None else self._num_classes
        if low >= 0 and high < bound:
            return
        below = f" and below num_classes = {bound}"
        if self._num_classes is None:
            below = "" if low < 0 else f" and, unless num_classes says otherwise, below {bound}"
        raise TargetError(
            f"integer targets in batch {self._batches} run from {low} to {high}, expected class indices from 0{below}; "
            f"relabel them, drop ignored samples, or pass floats if they are values{what_to_do(groups, bound)}"
        )

    def _dealt(self, counted: NDArray[np.bool_], units: IntArray | None, deal: Deal | None) -> IntArray:
        # To as many shards as there were at first: those that were merged since are the same modulo their number.
        if deal is not None:
            return deal(counted, self._first_shards)
        self._dealer = self._dealer or Dealer(self._first_shards)
        return self._dealer.batch(counted, units)

    def shards(self) -> ShardMoments:
        """Moments of the disjoint random shards that hold samples; intervals are made from them."""
        named = self._naming()
        return ShardMoments([], named) if self._streams is None else self._streams.shards(named)

    def _naming(self) -> Naming:
        """What is known by now: later batches change nothing of moments that were given away."""
        return partial(_named, labels=copy(self._labels), output_eps=self._output_eps)

    def result(self) -> Moments:
        """The moments of everything so far; more batches may follow.

        Raises:
            EmptyDataError: fewer than two samples came.
        """
        return self.result_with_shards()[0]

    def _check_enough(self) -> Streams:
        n = 0 if self._streams is None else self._streams.n_samples
        if self._streams is None or n < 2:
            raise EmptyDataError(
                f"{n} sample{'s' * (n != 1)} came with positive weight, expected at least 2; "
                "check that the data are not empty or used up (a generator can be read only once)"
            )
        for name, reach in self._reach.items():
            check_range(reach, name=name, precision=self._precision)
        return self._streams

    def result_with_shards(self) -> tuple[Moments, Sequence[Moments]]:
        """`result` and `shards` in one go.

        Raises:
            EmptyDataError: fewer than two samples came.
        """
        return self._both(consume=False)

    def finish(self) -> tuple[Moments, Sequence[Moments]]:
        """`result_with_shards` for the last time: memory is handed over instead of copied, and no batch may follow.

        Raises:
            EmptyDataError: fewer than two samples came.
        """
        both = self._both(consume=True)
        self._streams = None
        return both

    def _both(self, *, consume: bool) -> tuple[Moments, Sequence[Moments]]:
        streams = self._check_enough()
        named = self._naming()
        total = named(streams.total(consume=consume))
        return total, streams.shards(named, total, consume=consume)


def _named(moments: Moments, *, labels: Labels, output_eps: float) -> Moments:
    return replace(labels.on(moments), output_eps=output_eps)
