"""Moments of features, outputs and targets: everything that the numbers are made of, and their merge.

Every row z = (phi, f, y) joins features, outputs and regression targets; classes are kept by index. What is
kept is a count, a mean for each class and the scatter *within* classes, all in float64. The scatter between
classes follows exactly from the class means, so a within-class spread of 1e-6 beside unit class distances
loses no digits, and neither does a mean of 1000 times the spread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from phiscope.errors import InputError, ShapeError
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import add_outer, add_scatter, group_sums, mirror, product
from phiscope.typing import FloatArray, IntArray

GROUPS_BESIDE = 4
"""Up to a share of 1 / 4 of the columns, groups stay rows beside the scatter within them."""

DOUBLE_EPS = float(np.finfo(np.float64).eps)
"""Relative rounding of double precision, in which all moments are kept."""

Layout = tuple[int, int, int, bool]
"""Columns of features, outputs and regression targets, and whether the targets are classes."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """All moments of one set of samples; merge two with `merge`.

    d = p + C + c columns: features, outputs (if measured), regression targets (if any).

    Attributes:
        n_samples: samples with positive weight.
        weight: sum of the weights (n_samples without weights).
        squared_weight: sum of the squared weights.
        n_features: p.
        n_outputs: C, 0 when outputs were not measured.
        n_values: c, number of regression targets, 0 otherwise.
        classes: True when groups are classes; else there is one group of all samples.
        group_counts: samples of each group, shape (K,).
        group_weights: summed weight of each group, shape (K,).
        group_means: mean row of each group, shape (K, d); 0 where a group is empty.
        group_squares: sum over a group of w norm^2(phi - mu_c), shape (K,).
        within: sum of w (z - mean of its group)(...)^T, shape (d, d); None while rows are kept.
        rows: the samples themselves, shape (n, d), kept while n <= p; None afterwards.
        row_groups: group of each kept row, shape (n,).
        row_weights: weight of each kept row, shape (n,).
        labels: the class of each group, shape (K,), where only classes that occur have one; None where group k is
            class k.
        num_classes: number of classes, where there are labels.
        output_eps: relative rounding of the outputs as they came, that of the coarsest batch.
    """

    n_samples: int
    weight: float
    squared_weight: float
    n_features: int
    n_outputs: int
    n_values: int
    classes: bool
    group_counts: IntArray
    group_weights: FloatArray
    group_means: FloatArray
    group_squares: FloatArray
    within: FloatArray | None = None
    rows: FloatArray | None = None
    row_groups: IntArray | None = None
    row_weights: FloatArray | None = None
    labels: IntArray | None = None
    num_classes: int | None = None
    output_eps: float = DOUBLE_EPS

    @property
    def layout(self) -> Layout:
        """What the columns are; only moments of equal layout merge."""
        return self.n_features, self.n_outputs, self.n_values, self.classes

    @property
    def n_classes(self) -> int:
        """Number of classes, those that never occur included; 1 where targets are none."""
        return len(self.group_counts) if self.num_classes is None else self.num_classes

    @property
    def group_labels(self) -> IntArray:
        """The class of each group, shape (K,)."""
        return np.arange(len(self.group_counts)) if self.labels is None else self.labels

    def by_class(self, values: FloatArray, empty: float = 0.0) -> FloatArray:
        """Values of the groups, shape (K, ...), as those of all classes, shape (num_classes, ...)."""
        return values if self.labels is None else spread_over(values, self.labels, self.n_classes, empty)

    @cached_property
    def mean(self) -> FloatArray:
        """Mean row, shape (d,)."""
        # About the mean of the largest group: averaging offsets keeps a constant column constant to the last bit,
        # where averaging values leaves a rounding of the mean that would pass for spread.
        pilot = self.group_means[int(np.argmax(self.group_weights))]
        return np.asarray(pilot + product(self.group_weights, self.group_means - pilot) / self.weight)

    def columns(self, part: str) -> slice:
        """Columns of ``"features"``, ``"outputs"`` or ``"values"`` in a joined row."""
        p, n_out = self.n_features, self.n_outputs
        return {
            "features": slice(0, p),
            "outputs": slice(p, p + n_out),
            "values": slice(p + n_out, p + n_out + self.n_values),
        }[part]

    def _centered_rows(self, group_mean: FloatArray) -> FloatArray:
        """Rows minus a mean (one, or one per group), scaled so that A^T A is a weighted average."""
        rows, groups, weights = _kept(self)
        centered = rows - (group_mean[groups] if group_mean.ndim == 2 else group_mean)
        if group_mean.ndim == 1:
            # A mean is rounded to its own last digit. Far from zero that would leave a common shift of all rows, which
            # looks like one more direction; the mean of what is left has all digits.
            centered -= product(weights, centered) / self.weight
        return np.asarray(centered * np.sqrt(weights / self.weight)[:, None])

    def _between_rows(self) -> FloatArray:
        """sqrt(pi_c) (mean_c - mean), one row a group: A^T A is the scatter between groups."""
        return np.asarray((self.group_means - self.mean) * np.sqrt(self.group_weights / self.weight)[:, None])

    def covariance(self, part: str) -> PositiveOperator:
        """Covariance of one part of the columns, averaged with weights summing to 1 (no n - 1)."""
        columns = self.columns(part)
        if self.within is None:
            return PositiveOperator(rows=self._centered_rows(self.mean)[:, columns])
        within, between = self.within[columns, columns], self._between_rows()[:, columns]
        if len(self.group_weights) == 1:
            return PositiveOperator(matrix=within, scale=1 / self.weight)
        found = PositiveOperator(matrix=within, rows=between, scale=1 / self.weight)
        # Few groups are kept beside the matrix, which is then not copied; many would make every product dearer.
        few = GROUPS_BESIDE * len(between) <= found.size
        return found if few else PositiveOperator(matrix=found.dense())

    @property
    def effective_samples(self) -> float:
        """How many equally weighted samples say as much, (sum w)^2 / sum w^2 (Kish 1965)."""
        return self.weight**2 / self.squared_weight

    def within_covariance(self) -> PositiveOperator:
        """S_W: covariance of the features about the mean of their class."""
        columns = self.columns("features")
        if self.within is None:
            return PositiveOperator(rows=self._centered_rows(self.group_means)[:, columns])
        return PositiveOperator(matrix=self.within[columns, columns], scale=1 / self.weight)

    def cross_covariance(self, part: str) -> FloatArray:
        """Covariance of features with ``"outputs"`` (Bc) or ``"values"`` (Gc), shape (p, width)."""
        left, right = self.columns("features"), self.columns(part)
        if self.within is None:
            rows = self._centered_rows(self.mean)
            return product(rows[:, left].T, rows[:, right])
        between = self._between_rows()
        inside, across = self.within[left, right] / self.weight, product(between[:, left].T, between[:, right])
        return np.asarray(inside + across)

    def output_target_trace(self) -> float:
        """tr cov(f, y) of measured outputs and targets of the same width, one-hot for classes."""
        if self.classes:
            # One-hot targets: of each class, its own output.
            own = self.columns("outputs").start + self.group_labels
            outputs = self.group_means[np.arange(len(own)), own] - self.mean[own]
            return float(outputs @ self.group_weights / self.weight)
        left, right = self.columns("outputs"), self.columns("values")
        if self.within is None:
            rows = self._centered_rows(self.mean)
            return float(np.einsum("ij,ij->", rows[:, left], rows[:, right]))
        between = self._between_rows()
        joint = np.trace(self.within[left, right]) / self.weight
        return float(joint + np.einsum("ij,ij->", between[:, left], between[:, right]))


def spread_over(values: FloatArray, labels: IntArray, n_classes: int, empty: float) -> FloatArray:
    """Rows at the places of their labels among `n_classes`, all others filled with `empty`."""
    found = np.full((n_classes, *values.shape[1:]), empty)
    found[labels] = values
    return found


def _kept(moments: Moments) -> tuple[FloatArray, IntArray, FloatArray]:
    if moments.rows is None or moments.row_groups is None or moments.row_weights is None:
        raise InputError("these moments no longer hold their rows")
    return moments.rows, moments.row_groups, moments.row_weights


def moments_from_rows(
    layout: Layout, rows: FloatArray, groups: IntArray, weights: FloatArray, n_groups: int
) -> Moments:
    """Moments that keep their rows: exact means, and no p x p array."""
    group_weights = np.bincount(groups, weights, n_groups).astype(np.float64)
    # A pilot mean first: summing deviations instead of values keeps the digits of large means.
    pilot = np.average(rows, axis=0, weights=weights)
    sums = group_sums(rows - pilot, groups, weights, n_groups)
    occupied = group_weights > 0
    means = np.zeros((n_groups, rows.shape[1]))
    means[occupied] = pilot + sums[occupied] / group_weights[occupied, None]
    deviation = (rows - means[groups])[:, : layout[0]]
    squares = np.bincount(groups, weights * np.einsum("ij,ij->i", deviation, deviation), n_groups).astype(np.float64)
    return Moments(
        n_samples=len(rows),
        weight=float(weights.sum()),
        squared_weight=float(product(weights, weights)),
        n_features=layout[0],
        n_outputs=layout[1],
        n_values=layout[2],
        classes=layout[3],
        group_counts=np.bincount(groups, minlength=n_groups),
        group_weights=group_weights,
        group_means=means,
        group_squares=squares,
        rows=rows,
        row_groups=groups,
        row_weights=weights,
    )


def fold(moments: Moments) -> Moments:
    """The same moments with the rows replaced by their d x d scatter; already folded ones come back as they are."""
    if moments.rows is None:
        return moments
    rows, groups, weights = _kept(moments)
    scatter = np.zeros((rows.shape[1], rows.shape[1]), order="F")
    scaled = (rows - moments.group_means[groups]) * np.sqrt(weights)[:, None]
    return replace(moments, within=mirror(add_scatter(scatter, scaled)), rows=None, row_groups=None, row_weights=None)


def with_groups(moments: Moments, n_groups: int) -> Moments:
    """The same moments with room for more classes, the new ones empty; none where only classes that occur have any."""
    extra = n_groups - len(moments.group_counts)
    if extra <= 0 or moments.labels is not None:
        return moments
    return replace(
        moments,
        group_counts=np.pad(moments.group_counts, (0, extra)),
        group_weights=np.pad(moments.group_weights, (0, extra)),
        group_means=np.pad(moments.group_means, ((0, extra), (0, 0))),
        group_squares=np.pad(moments.group_squares, (0, extra)),
    )


def with_all_classes(moments: Moments) -> Moments:
    """The same moments with a group for each class; those that are no classes come back as they are."""
    if moments.labels is None:
        return moments
    return _with_labels(replace(moments, labels=None, num_classes=None), moments.labels, moments.n_classes)


def _with_labels(moments: Moments, places: IntArray, n_groups: int) -> Moments:
    """The same moments with their groups at other places among more of them."""

    def placed(values: FloatArray | IntArray) -> Any:
        found = np.zeros((n_groups, *values.shape[1:]), dtype=values.dtype)
        found[places] = values
        return found

    return replace(
        moments,
        group_counts=placed(moments.group_counts),
        group_weights=placed(moments.group_weights),
        group_means=placed(moments.group_means),
        group_squares=placed(moments.group_squares),
        row_groups=None if moments.row_groups is None else places[moments.row_groups],
    )


def _aligned(first: Moments, second: Moments) -> tuple[Moments, Moments]:
    """Both with the same groups in the same order."""
    if first.labels is None and second.labels is None:
        n_groups = max(len(first.group_counts), len(second.group_counts))
        return with_groups(first, n_groups), with_groups(second, n_groups)
    if first.labels is second.labels:
        return first, second
    union, n_classes = np.union1d(first.group_labels, second.group_labels), max(first.n_classes, second.n_classes)
    a, b = (_with_labels(part, np.searchsorted(union, part.group_labels), len(union)) for part in (first, second))
    return replace(a, labels=union, num_classes=n_classes), replace(b, labels=union, num_classes=n_classes)


def merge(first: Moments, second: Moments) -> Moments:
    """Moments of two disjoint sets of samples together; batches, shards and ranks all go through here.

    Exact up to float64 rounding in any order and any tree (Chan, Golub and LeVeque 1983). Rows are kept while
    there are at most p of them.

    Args:
        first: moments of one set.
        second: moments of another set with the same columns.

    Returns:
        Moments of the union.

    Raises:
        ShapeError: the columns differ.
    """
    if first.layout != second.layout:
        raise ShapeError(
            f"moments with (p, C, c, classes) = {first.layout} cannot merge with {second.layout}; "
            "measure both with the same model and targets"
        )
    first, second = _aligned(first, second)
    if first.rows is not None and second.rows is not None and first.n_samples + second.n_samples <= first.n_features:
        a, b = _kept(first), _kept(second)
        rows, groups, weights = (np.concatenate(part) for part in zip(a, b, strict=True))
        joined = moments_from_rows(first.layout, rows, groups, weights, len(first.group_counts))
        joined = replace(joined, labels=first.labels, num_classes=first.num_classes)
    else:
        joined = _merge_folded(fold(first), fold(second))
    return replace(joined, output_eps=max(first.output_eps, second.output_eps))


def _merge_folded(first: Moments, second: Moments) -> Moments:
    weights = first.group_weights + second.group_weights
    divisor = np.where(weights > 0, weights, 1.0)
    step = second.group_means - first.group_means
    means = first.group_means + step * (second.group_weights / divisor)[:, None]
    # Between the two means of a group lies scatter w_a w_b / (w_a + w_b) step step^T; 0 where one side is empty.
    strength = first.group_weights * second.group_weights / divisor
    bridge = (step * np.sqrt(strength)[:, None])[strength > 0]
    within = add_outer(np.asarray(first.within) + np.asarray(second.within), bridge)
    features = step[:, : first.n_features]
    squares = strength * np.einsum("ij,ij->i", features, features)
    return replace(
        first,
        n_samples=first.n_samples + second.n_samples,
        weight=first.weight + second.weight,
        squared_weight=first.squared_weight + second.squared_weight,
        group_counts=first.group_counts + second.group_counts,
        group_weights=weights,
        group_means=means,
        group_squares=first.group_squares + second.group_squares + squares,
        within=within,
    )
