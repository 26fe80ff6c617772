"""Samples read again and again, block by block: products with their covariance without a p x p array.

Moments whose scatter is known by its products with columns alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import EmptyDataError, NonFiniteError, ShapeError, TargetError
from phiscope.inputs.arrays import as_targets, as_weights, check_reach
from phiscope.inputs.progress import bar_of
from phiscope.inputs.rows import Rows, as_row_source
from phiscope.linalg.operators import PositiveOperator, ProductOperator
from phiscope.linalg.products import add_scatter, mirror, product, row_products
from phiscope.moments.accumulator import MOST_CLASSES
from phiscope.moments.moments import Moments
from phiscope.moments.precision import eps_of
from phiscope.typing import FloatArray, IntArray

BLOCK_BYTES = 2**27
"""One block of features in float64: large enough for full speed of a matrix product, small beside the data."""


class Sweeps:
    """Features with what belongs beside them; every method reads them once.

    Args:
        features: shape (n, p): an array, a memory map, or anything `as_row_source` reads.
        outputs: shape (n, C), or None.
        targets: integers (n,), floats (n,) or (n, c), or None.
        weights: shape (n,), or None.
        num_classes: number of classes; None takes the largest target plus one.
        progress: True shows a bar on stderr for each pass, False none, None one on a terminal.

    Raises:
        InputError: see `phiscope.diagonalize`.
    """

    def __init__(
        self,
        features: Any,
        outputs: Any = None,
        targets: Any = None,
        weights: Any = None,
        num_classes: Any = None,
        *,
        progress: bool | None = False,
    ) -> None:
        self._progress, self._passes = progress, 0
        self._features = table_rows(features, "features", "p")
        self._output_eps = eps_of(outputs)
        self._outputs = None if outputs is None else table_rows(outputs, "outputs", "C")
        goal = None if targets is None else as_targets(targets)
        self.n_rows, self.n_features = self._features.shape
        for name, part in (("outputs", self._outputs), ("targets", goal)):
            if part is not None and part.shape[0] != self.n_rows:
                raise ShapeError(
                    f"features have {self.n_rows} samples but {name} have {part.shape[0]}; they must match"
                )
        self.weights = as_weights(weights, self.n_rows, batch=0)
        self.classes = goal is not None and goal.ndim == 1
        self._values = None if goal is None or self.classes else as_row_source(goal, name="targets")
        self.groups = goal if goal is not None and self.classes else np.zeros(self.n_rows, dtype=np.int64)
        self.n_groups = _group_count(self.groups, num_classes, self.classes)
        counted = self.weights > 0
        self.n_samples, self.weight = int(counted.sum()), float(self.weights.sum())
        if self.n_samples < 2:
            raise EmptyDataError(f"{self.n_samples} samples came with positive weight, expected at least 2")
        self._shares = np.sqrt(self.weights / self.weight)
        self._mean = np.zeros(self.n_features)

    def _blocks(self, *parts: Rows | None) -> Iterator[tuple[slice, FloatArray]]:
        """Joined float64 rows of several parts with their place."""
        size = max(64, BLOCK_BYTES // (8 * self.n_features))
        streams = [part.blocks(size) for part in parts if part is not None]
        start = 0
        self._passes += 1
        words: dict[str, Any] = {"desc": f"pass {self._passes}", "unit": "row", "unit_scale": True, "leave": False}
        with bar_of(shown=self._progress, total=self.n_rows, **words) as bar:
            for block in zip(*streams, strict=True):
                several = len(block) > 1
                rows = np.concatenate(block, axis=1, dtype=np.float64) if several else block[0].astype(np.float64)
                yield slice(start, start + len(rows)), rows
                start += len(rows)
                bar.update(len(rows))

    def _scaled(self, mean: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Blocks A of the features about a mean, or one for each group, with sum A^T A the covariance."""
        for place, rows in self._blocks(self._features):
            rows -= mean[self.groups[place]] if mean.ndim == 2 else mean
            rows *= self._shares[place, None]
            yield place, rows

    def product(self, columns: FloatArray, mean: FloatArray | None = None) -> FloatArray:
        """The covariance times columns, shape (p, b); about group means, shape (K, p), when they are given."""
        found = np.zeros(columns.shape)
        for _, rows in self._scaled(self._mean if mean is None else mean):
            found += product(rows.T, product(rows, columns))
        return found

    def forward(self, columns: FloatArray) -> FloatArray:
        """A times columns, shape (n, b), with A^T A = S."""
        return np.concatenate([product(rows, columns) for _, rows in self._scaled(self._mean)])

    def backward(self, columns: FloatArray) -> FloatArray:
        """A^T times columns of shape (n, b)."""
        found = np.zeros((self.n_features, columns.shape[1]))
        for place, rows in self._scaled(self._mean):
            found += product(rows.T, columns[place])
        return found

    def scatter(self) -> FloatArray:
        """S, shape (p, p)."""
        found = np.zeros((self.n_features, self.n_features), order="F")
        for _, rows in self._scaled(self._mean):
            found = add_scatter(found, rows)
        return mirror(found)

    def gram(self) -> FloatArray:
        """A A^T, shape (n, n); reads the rows once for each block of them."""
        found = np.zeros((self.n_rows, self.n_rows), order="F")
        for left, rows in self._scaled(self._mean):
            for right, others in self._scaled(self._mean):
                if right == left:
                    found[left, left] = row_products(rows)
                elif right.start > left.start:
                    found[left, right] = product(rows, others.T)
                    found[right, left] = found[left, right].T
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """n and p."""
        return self.n_rows, self.n_features

    @property
    def n_outputs(self) -> int:
        """C, 0 when outputs are not given."""
        return 0 if self._outputs is None else self._outputs.shape[1]

    @property
    def shares(self) -> FloatArray:
        """Square roots of the weights' shares, shape (n,)."""
        return self._shares

    def moments(self) -> SweptMoments:
        """Means, traces and all moments with outputs and values, in two passes; the later methods need it first.

        Raises:
            NonFiniteError: NaN or Inf.
        """
        parts = (self._features, self._outputs, self._values)
        p = self.n_features
        means, group_weights = self._means(parts)
        # About the mean of the largest group, so that a constant column stays constant to the last bit.
        pilot = means[int(np.argmax(group_weights))]
        mean = pilot + product(group_weights, means - pilot) / self.weight
        self._mean = mean[:p]
        squares, variances = np.zeros(self.n_groups), np.zeros(p)
        beside, cross = np.zeros((means.shape[1] - p,) * 2), np.zeros((p, means.shape[1] - p))
        for place, rows in self._blocks(*parts):
            groups, weights = self.groups[place], self.weights[place]
            features = rows[:, :p] - means[groups, :p]
            squares += np.bincount(groups, weights * np.einsum("ij,ij->i", features, features), self.n_groups)
            rows -= mean
            rows *= self._shares[place, None]
            variances += np.einsum("ij,ij->j", rows[:, :p], rows[:, :p])
            beside += product(rows[:, p:].T, rows[:, p:])
            cross += product(rows[:, :p].T, rows[:, p:])
        return SweptMoments(
            n_samples=self.n_samples,
            weight=self.weight,
            squared_weight=float(product(self.weights, self.weights)),
            n_features=p,
            n_outputs=self.n_outputs,
            n_values=0 if self._values is None else self._values.shape[1],
            classes=self.classes,
            group_counts=np.bincount(self.groups[self.weights > 0], minlength=self.n_groups),
            group_weights=group_weights,
            group_means=means,
            group_squares=squares,
            output_eps=self._output_eps,
            features=ProductOperator(columns=p, product=self.product, total=float(variances.sum()), entries=variances),
            within_features=ProductOperator(
                columns=p,
                product=lambda columns: self.product(columns, means[:, :p]),
                total=float(squares.sum()) / self.weight,
            ),
            beside=beside,
            cross=cross,
        )

    def _means(self, parts: tuple[Rows | None, ...]) -> tuple[FloatArray, FloatArray]:
        """Mean row of each group, shape (K, d), and the groups' weights."""
        sums: FloatArray | None = None
        pilot, reach = np.zeros(0), 0.0
        for place, rows in self._blocks(*parts):
            low, high = float(rows.min()), float(rows.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                row = place.start + int(np.argwhere(~np.isfinite(rows).all(axis=1))[0, 0])
                raise NonFiniteError(
                    f"features, outputs or targets hold NaN or Inf (sample {row}), expected finite numbers; the "
                    "training probably diverged or the data need cleaning",
                    where="features",
                )
            reach = max(reach, -low, high)
            if sums is None:
                pilot, sums = rows.mean(axis=0), np.zeros((self.n_groups, rows.shape[1]))
            rows -= pilot
            _add_by_group(sums, rows, self.groups[place], self.weights[place])
        check_reach(reach, name="features, outputs or targets")
        weights = np.bincount(self.groups, self.weights, self.n_groups).astype(np.float64)
        means = np.zeros((0, 0)) if sums is None else sums / np.where(weights > 0, weights, 1.0)[:, None]
        means[weights > 0] += pilot
        return means, weights


def _add_by_group(sums: FloatArray, rows: FloatArray, groups: IntArray, weights: FloatArray) -> None:
    """Add weighted rows to the sums of their groups, touching no other group."""
    if len(sums) == 1:
        sums[0] += product(weights, rows)
        return
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    sums[present] += np.add.reduceat(rows[order] * weights[order, None], starts, axis=0)


def table_rows(data: Any, name: str, letter: str) -> Rows:
    """Anything with rows as `Rows` of some columns.

    Raises:
        ShapeError: it does not have two dimensions, or no columns.
    """
    rows = as_row_source(data, name=name)
    if len(rows.shape) != 2 or rows.shape[1] == 0:
        raise ShapeError(
            f"{name} has shape {rows.shape}, expected (n, {letter}) with n samples as rows and {letter} >= 1 columns"
        )
    return rows


def _group_count(groups: NDArray[np.int64], num_classes: Any, classes: bool) -> int:
    if not classes:
        if num_classes is not None:
            raise TargetError(
                f"num_classes = {num_classes} came without integer targets; pass integers if they are classes, or "
                "leave num_classes out"
            )
        return 1
    low, high = (int(groups.min()), int(groups.max())) if len(groups) else (0, 0)
    bound = MOST_CLASSES if num_classes is None else int(num_classes)
    if low < 0 or high >= bound:
        raise TargetError(
            f"integer targets run from {low} to {high}, expected class indices from 0 and below {bound}; relabel them, "
            "drop ignored samples, or pass floats if they are values"
        )
    return high + 1 if num_classes is None else bound


@dataclass(frozen=True, kw_only=True, eq=False)
class SweptMoments(Moments):
    """Moments of features that are too wide for their scatter: products take its place.

    Attributes:
        features: S.
        within_features: S_W.
        beside: covariance of outputs and values, shape (C + c, C + c).
        cross: covariance of features with outputs and values, shape (p, C + c).
    """

    features: ProductOperator
    within_features: ProductOperator
    beside: FloatArray
    cross: FloatArray

    def _beside(self, part: str) -> slice:
        columns = self.columns(part)
        return slice(columns.start - self.n_features, columns.stop - self.n_features)

    def covariance(self, part: str) -> PositiveOperator:
        """Covariance of one part of the columns."""
        if part == "features":
            return self.features
        return PositiveOperator(matrix=self.beside[self._beside(part), self._beside(part)])

    def within_covariance(self) -> PositiveOperator:
        """S_W: covariance of the features about the mean of their class."""
        return self.within_features

    def cross_covariance(self, part: str) -> FloatArray:
        """Covariance of features with outputs or values, shape (p, width)."""
        return self.cross[:, self._beside(part)]

    def output_target_trace(self) -> float:
        """tr cov(f, y) of measured outputs and targets of the same width."""
        if self.classes:
            return super().output_target_trace()
        return float(np.trace(self.beside[self._beside("outputs"), self._beside("values")]))
