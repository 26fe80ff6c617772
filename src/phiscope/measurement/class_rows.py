"""Means and shares of the classes that occur: of a vocabulary of 50,000 words a text holds some thousands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import RunFormatError
from phiscope.moments.moments import Moments, spread_over
from phiscope.typing import FloatArray, IntArray

LARGEST_SPREAD = 2**32
"""Bytes that a row for each class may take when it is made from a file, whoever wrote that."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassRows:
    """One row for each class that occurs.

    Attributes:
        labels: the classes, ascending, shape (m,).
        means: mean features of each, shape (m, p).
        weights: share of each, shape (m,), sums to 1.
        n_classes: C, those that never occur included.
    """

    labels: IntArray
    means: FloatArray
    weights: FloatArray
    n_classes: int

    @cached_property
    def is_sparse(self) -> bool:
        """Whether fewer than half of the classes occur, so that a row for each would mostly be empty."""
        return 2 * len(self.labels) < self.n_classes

    def late(self) -> dict[str, Any]:
        """Means and shares of all classes, made when they are first read: NaN and 0 where a class never occurs."""
        return {
            "class_means": partial(spread_over, self.means, self.labels, self.n_classes, np.nan),
            "class_weights": partial(spread_over, self.weights, self.labels, self.n_classes, 0.0),
        }


def class_rows_of(moments: Moments) -> ClassRows | None:
    """Of moments; None where targets are no classes.

    Example:
        >>> from phiscope.moments.accumulator import MomentAccumulator
        >>> accumulator = MomentAccumulator(num_classes=9)
        >>> accumulator.update([[1.0], [3.0], [5.0]], targets=[7, 2, 7])
        >>> rows = class_rows_of(accumulator.result())
        >>> rows.labels.tolist(), rows.means.tolist(), rows.n_classes
        ([2, 7], [[3.0], [3.0]], 9)
    """
    if not moments.classes:
        return None
    labels = np.arange(len(moments.group_weights)) if moments.labels is None else moments.labels
    there = np.flatnonzero(moments.group_weights > 0)
    there = there[np.argsort(labels[there], kind="stable")]
    return ClassRows(
        labels=labels[there],
        means=moments.group_means[there, : moments.n_features].copy(),
        weights=moments.group_weights[there] / moments.weight,
        n_classes=moments.n_classes,
    )


def class_rows_from(path: str | PathLike[str], labels: NDArray[Any], known: dict[str, Any]) -> ClassRows:
    """Of a file that keeps the classes that occur alone.

    Args:
        path: the file, for errors.
        labels: the classes as the file has them, shape (m,).
        known: its ``class_means`` (m, p), ``class_weights`` (m,) and ``n_classes``.

    Raises:
        RunFormatError: the labels are no ascending classes below C, or rows of all classes would fill the memory.
    """
    means, weights, n_classes = known["class_means"], known["class_weights"], known["n_classes"]
    counts = np.abs(labels) < 2**53
    whole = np.where(counts, labels, 0).astype(np.int64)
    good = means is not None and weights is not None and n_classes is not None and bool((whole == labels).all())
    if not good or (len(whole) and not (whole[0] >= 0 and whole[-1] < n_classes and (np.diff(whole) > 0).all())):
        raise RunFormatError(f"{path} has class_labels that are no ascending classes below {n_classes}; it is damaged")
    if 8 * n_classes * max(means.shape[1], 1) > LARGEST_SPREAD:
        raise RunFormatError(f"{path} names {n_classes} classes of {means.shape[1]} features, more than can be read")
    return ClassRows(labels=whole, means=means, weights=weights, n_classes=n_classes)
