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


def what_to_do(labels: IntArray, bound: int) -> str:
    """What to do about labels outside 0 .. bound - 1 where they tell what they mean; else nothing.

    Classes that are numbered from 1 or called -1 and 1 are told from a single label, such as 255, that marks samples
    which nobody learns from: who left those out would lose a class without a word.

    Args:
        labels: of one batch, some of them outside.
        bound: number of classes.

    Example:
        >>> what_to_do(np.array([1, 2, 3]), 3)[:41]
        '; if they are numbered from 1, subtract 1'
    """
    beyond = labels[(labels < 0) | (labels >= bound)]
    if len(np.unique(beyond)) != 1 or abs(int(beyond[0])) > 2**16:
        return ""
    label, present = int(beyond[0]), np.unique(labels).tolist()
    if label == -100:
        # The pass over a network has left them out before.
        return "; the label -100 marks samples to leave out: drop these rows, those where targets == -100"
    if present == [-1, 1]:
        return (
            "; if -1 and 1 are the two classes, make them 0 and 1, of a network's data with targets=lambda batch: "
            "(batch[1] > 0).long()"
        )
    leave_out = f"targets=lambda batch: torch.where(batch[1] == {label}, -100, batch[1])"
    if label == bound and 0 not in present:
        return f"; if they are numbered from 1, subtract 1; if {label} marks samples to leave out, {leave_out}"
    return (
        f"; the label {label}, {len(beyond)} times, is the only one outside: if it marks samples to leave out, drop "
        f"these rows, or of a network's data make it -100, as with {leave_out}"
    )
