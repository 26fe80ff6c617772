"""Class indices that leave most classes out: rows of sums only for classes that occur.

A class index is at once the place of its row of sums, as long as there are few classes. Where they may be many, one
label of 999,999 among ten samples would ask for a million rows; then each class gets a row when it first occurs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phiscope.moments.moments import Moments, with_groups
from phiscope.typing import IntArray

DENSE_CLASSES = 4096
"""Classes up to which each has a row, whether it occurs or not."""


class Labels:
    """Which row of sums belongs to which class.

    Args:
        num_classes: how many classes there are, where that is known.

    Example:
        >>> labels = Labels(None)
        >>> labels.rows_of(np.array([0, 2])).tolist(), labels.rows_of(np.array([2, 999_999])).tolist()
        ([0, 2], [2, 3])
        >>> labels.n_classes, labels.classes.tolist()
        (1000000, [0, 1, 2, 999999])
    """

    def __init__(self, num_classes: int | None) -> None:
        self.n_classes = 0 if num_classes is None else num_classes
        self.classes: IntArray | None = np.zeros(0, dtype=np.int64) if self.n_classes > DENSE_CLASSES else None
        self._order = np.zeros(0, dtype=np.int64)

    def rows_of(self, targets: IntArray) -> IntArray:
        """Row of each sample, shape (n,), for class indices of shape (n,); new classes get the next ones."""
        before, self.n_classes = self.n_classes, max(self.n_classes, int(targets.max(initial=-1)) + 1)
        if self.n_classes <= DENSE_CLASSES:
            return targets
        if self.classes is None:
            # Until now the index was the row.
            self.classes, self._order = np.arange(before), np.arange(before)
        named, member = np.unique(targets, return_inverse=True)
        new = named[~np.isin(named, self.classes)]
        if len(new):
            self.classes = np.concatenate([self.classes, new])
            self._order = np.argsort(self.classes, kind="stable")
        return np.asarray(self._order[np.searchsorted(self.classes, named, sorter=self._order)][member.reshape(-1)])

    @property
    def n_rows(self) -> int:
        """Rows of sums so far."""
        return max(self.n_classes, 1) if self.classes is None else len(self.classes)

    def on(self, moments: Moments) -> Moments:
        """Moments with a row for each class of these labels, and its name."""
        if not moments.classes:
            return moments
        padded = with_groups(moments, self.n_rows)
        return padded if self.classes is None else replace(padded, labels=self.classes, num_classes=self.n_classes)
