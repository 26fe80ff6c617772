"""The streaming pass: batches in, `Moments` out, memory constant in the number of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.arrays import FloatArray, IntArray, as_array, as_rows, as_targets
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError
from phiscope.moments import Moments, add_scatter, fold, group_sums, mirror, moments_from_rows, with_groups

BLOCK_ROWS = 2048
"""Rows per matrix product: large enough for full BLAS speed, small enough to stay near the cache."""

Layout = tuple[int, int, int, bool]


class _Scatter:
    """Sums about fixed pilot means, one per group, so that no second pass over the samples is needed.

    The pilot means come from the first samples of each group. They differ from the final means by about one
    spread, so moving the scatter to the final means at the end costs no digits.
    """

    def __init__(self, layout: Layout, n_groups: int) -> None:
        width = sum(layout[:3])
        self.layout = layout
        self.scatter = np.zeros((width, width), order="F")
        self.pilot = np.zeros((n_groups, width))
        self.sums = np.zeros((n_groups, width))
        self.squares = np.zeros(n_groups)
        self.weights = np.zeros(n_groups)
        self.counts = np.zeros(n_groups, dtype=np.int64)
        self.has_pilot = np.zeros(n_groups, dtype=bool)
        self.squared_weight = 0.0

    def _grow(self, n_groups: int) -> None:
        extra = n_groups - len(self.counts)
        if extra > 0:
            self.pilot = np.pad(self.pilot, ((0, extra), (0, 0)))
            self.sums = np.pad(self.sums, ((0, extra), (0, 0)))
            self.squares, self.weights = np.pad(self.squares, (0, extra)), np.pad(self.weights, (0, extra))
            self.counts, self.has_pilot = np.pad(self.counts, (0, extra)), np.pad(self.has_pilot, (0, extra))

    def set_pilot(self, sums: FloatArray, counts: IntArray, fresh: NDArray[np.bool_]) -> None:
        """Fix the pilot means of the groups marked fresh."""
        self.pilot[fresh] = sums[fresh] / counts[fresh, None]
        self.has_pilot |= fresh

    def add(self, rows: FloatArray, groups: IntArray, weights: FloatArray) -> None:
        """Add one block; `rows` is overwritten."""
        self._grow(int(groups.max()) + 1)
        n_groups = len(self.counts)
        counts = np.bincount(groups, minlength=n_groups)
        fresh = (counts > 0) & ~self.has_pilot
        if fresh.any():
            self.set_pilot(group_sums(rows, groups, np.ones(len(rows)), n_groups), counts, fresh)
        rows -= self.pilot[groups] if n_groups > 1 else self.pilot[0]
        self.sums += group_sums(rows, groups, weights, n_groups)
        features = rows[:, : self.layout[0]]
        self.squares += np.bincount(groups, weights * np.einsum("ij,ij->i", features, features), n_groups)
        self.counts += counts
        self.weights += np.bincount(groups, weights, n_groups)
        self.squared_weight += float(weights @ weights)
        if (weights != 1.0).any():
            rows *= np.sqrt(weights)[:, None]
        self.scatter = add_scatter(self.scatter, rows)

    def moments(self) -> Moments:
        """The moments so far, moved from the pilot means to the true ones."""
        divisor = np.where(self.weights > 0, self.weights, 1.0)
        shift = self.sums / divisor[:, None]
        scaled = (shift * np.sqrt(self.weights)[:, None])[self.weights > 0]
        features = shift[:, : self.layout[0]]
        squares = self.squares - self.weights * np.einsum("ij,ij->i", features, features)
        return Moments(
            n_samples=int(self.counts.sum()),
            weight=float(self.weights.sum()),
            squared_weight=self.squared_weight,
            n_features=self.layout[0],
            n_outputs=self.layout[1],
            n_values=self.layout[2],
            classes=self.layout[3],
            group_counts=self.counts.copy(),
            group_weights=self.weights.copy(),
            group_means=self.pilot + shift,
            # Rounding can leave -1e-17 for a class without spread.
            group_squares=np.maximum(squares, 0.0),
            within=mirror(add_scatter(self.scatter.copy(order="F"), scaled, sign=-1.0)),
        )


class MomentAccumulator:
    """Gathers moments of features, outputs and targets batch by batch in float64.

    The first max(p, 2048) rows are kept as they are; if no more come than p, they stay rows and nothing of
    size p x p is ever made. After that memory no longer grows with the number of samples.

    Args:
        num_classes: number of classes for integer targets; None takes the largest target plus one.

    Example:
        >>> accumulator = MomentAccumulator()
        >>> accumulator.update([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> accumulator.result().covariance("features").matrix.tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, *, num_classes: int | None = None) -> None:
        if num_classes is not None and num_classes < 1:
            raise InputError(f"num_classes is {num_classes}, expected at least 1; leave it out to infer it")
        self._num_classes = num_classes
        self._layout: Layout | None = None
        self._batches = 0
        self._kept: list[tuple[FloatArray, IntArray, FloatArray]] = []
        self._n_kept = 0
        self._scatter: _Scatter | None = None

    def update(self, features: Any, outputs: Any = None, targets: Any = None, weights: Any = None) -> None:
        """Add one batch.

        Args:
            features: shape (b, p).
            outputs: shape (b, C), or None; in every batch or in none.
            targets: integers (b,) as classes, floats (b,) or (b, c) as regression values, or None.
            weights: non-negative, shape (b,), or None for weight 1; samples of weight 0 do not count.

        Raises:
            ShapeError: shapes do not fit together or to earlier batches.
            NonFiniteError: NaN or Inf, with the index of the batch; nothing of the batch was added.
            TargetError: class indices that are negative or not below num_classes.
        """
        phi = as_rows(features, name="features", letter="p")
        parts = [phi]
        out = None if outputs is None else as_rows(outputs, name="outputs", letter="C")
        goal = None if targets is None else as_targets(targets)
        weight = np.ones(len(phi)) if weights is None else as_array(weights, name="weights").astype(np.float64)
        for name, part in (("outputs", out), ("targets", goal), ("weights", weight)):
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
        self._check_values(parts, groups, weight, is_class)
        for block in self._blocks(parts, groups, weight):
            self._add(*block)
        self._batches += 1

    def _check_layout(self, layout: Layout) -> None:
        if self._layout is None:
            self._layout = layout
        elif layout != self._layout:
            raise ShapeError(
                f"batch {self._batches} has (p, C, regression targets, classes) = {layout}, earlier batches had "
                f"{self._layout}; every batch has to have the same columns"
            )

    def _check_values(self, parts: list[NDArray[Any]], groups: IntArray, weights: FloatArray, is_class: bool) -> None:
        names = ["features", *(["outputs"] if self._layout and self._layout[1] else []), "targets"]
        for name, part in zip(names, parts, strict=False):
            # A sum is NaN or Inf if any entry is; only then look entry by entry (sums may also overflow).
            with np.errstate(over="ignore", invalid="ignore"):
                suspicious = part.dtype.kind == "f" and not np.isfinite(part.sum(dtype=np.float64))
            if suspicious and not np.isfinite(part).all():
                row = int(np.argwhere(~np.isfinite(part).all(axis=1))[0, 0])
                raise NonFiniteError(
                    f"{name} hold NaN or Inf in batch {self._batches} (sample {row} of that batch), expected finite "
                    "numbers; the training probably diverged or the data need cleaning",
                    where=name,
                    batch=self._batches,
                )
        if weights.shape != (len(weights),) or not np.isfinite(weights).all() or (weights < 0).any():
            raise InputError(
                f"weights in batch {self._batches} have to be finite, non-negative numbers of shape (b,); "
                f"got shape {weights.shape} with smallest value {weights.min():g}"
            )
        if is_class and len(groups):
            low, high = int(groups.min()), int(groups.max())
            if low < 0 or (self._num_classes is not None and high >= self._num_classes):
                bound = "" if self._num_classes is None else f" and below num_classes = {self._num_classes}"
                raise TargetError(
                    f"integer targets in batch {self._batches} run from {low} to {high}, expected class indices from "
                    f"0{bound}; relabel them, or drop ignored samples"
                )

    def _blocks(
        self, parts: list[NDArray[Any]], groups: IntArray, weights: FloatArray
    ) -> Iterator[tuple[FloatArray, IntArray, FloatArray]]:
        """Float64 blocks of joined rows without the samples of weight 0; low precision is never upcast whole."""
        width = sum(part.shape[1] for part in parts)
        for start in range(0, len(groups), BLOCK_ROWS):
            part_of = slice(start, min(start + BLOCK_ROWS, len(groups)))
            rows = np.empty((part_of.stop - start, width))
            column = 0
            for part in parts:
                rows[:, column : column + part.shape[1]] = part[part_of]
                column += part.shape[1]
            counted = weights[part_of] > 0
            if counted.all():
                yield rows, groups[part_of], weights[part_of]
            elif counted.any():
                yield rows[counted], groups[part_of][counted], weights[part_of][counted]

    def _add(self, rows: FloatArray, groups: IntArray, weights: FloatArray) -> None:
        """Keep early rows; switch to scatter once there are more than worth keeping."""
        if self._layout is None:
            raise InputError("update() has to come first")
        if self._scatter is not None:
            self._scatter.add(rows, groups, weights)
            return
        self._kept.append((rows, groups, weights))
        self._n_kept += len(rows)
        if self._n_kept > max(self._layout[0], BLOCK_ROWS):
            self._scatter = self._to_scatter(self._layout)
            self._kept = []

    def _to_scatter(self, layout: Layout) -> _Scatter:
        """Pilot means from all kept rows, then their scatter."""
        groups = np.concatenate([block[1] for block in self._kept])
        counts = np.bincount(groups)
        scatter = _Scatter(layout, len(counts))
        sums = np.zeros_like(scatter.pilot)
        for kept_rows, kept_groups, _ in self._kept:
            sums += group_sums(kept_rows, kept_groups, np.ones(len(kept_rows)), len(counts))
        scatter.set_pilot(sums, counts, counts > 0)
        for block in self._kept:
            scatter.add(*block)
        return scatter

    def result(self) -> Moments:
        """The moments of everything so far; more batches may follow.

        Raises:
            EmptyDataError: fewer than two samples came.
        """
        n = self._n_kept if self._scatter is None else int(self._scatter.counts.sum())
        if self._layout is None or n < 2:
            raise EmptyDataError(
                f"{n} sample{'s' * (n != 1)} came with positive weight, expected at least 2; "
                "check that the data are not empty or used up (a generator can be read only once)"
            )
        if self._scatter is not None:
            moments = self._scatter.moments()
        else:
            rows, groups, weights = (np.concatenate(column) for column in zip(*self._kept, strict=True))
            moments = moments_from_rows(self._layout, rows, groups, weights, int(groups.max()) + 1)
            if n > self._layout[0]:
                moments = fold(moments)
        return with_groups(moments, self._num_classes) if self._num_classes and moments.classes else moments
