"""Eigenfunctions followed through training by what they are, not by their place in the spectrum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError
from phiscope.inputs.arrays import as_array, as_rows, brief
from phiscope.inputs.settings import is_between, rows_listed
from phiscope.linalg import dense
from phiscope.typing import FloatArray, IntArray

LEAST_OVERLAP = 0.5
"""A match needs more than this squared overlap: of orthonormal functions at most one can hold more than half of a
given one, so a match above it is never arbitrary."""

ABSENT = -1
"""What `Tracks.index` holds where a track has not begun or has ended."""


TRACKS_SHOWN = 12
"""So many tracks are printed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Eigenfunctions through T records; a track is one function for as long as it can be recognized.

    Attributes:
        index: which eigenfunction (counted from 0) the track is at each time, shape (T, tracks); -1 where it is not
            there. Tracks are in the order of their beginning, then of their index.
        overlap: squared overlap with the same track one record earlier, shape (T, tracks), 0..1; NaN where a
            track begins or is absent.
        sign: +1 or -1, so that sign times function does not flip along a track, shape (T, tracks).
        least_overlap: matches at or below this end a track.
    """

    index: IntArray
    overlap: FloatArray
    sign: FloatArray
    least_overlap: float

    def __str__(self) -> str:
        """One line for each of the longest tracks: which eigenfunction it is at each record."""
        there = self.index >= 0
        order = np.argsort(-there.sum(axis=0), kind="stable")[:TRACKS_SHOWN]
        lines = [
            f"Tracks: {self.index.shape[1]} over {len(self.index)} records (a match needs a squared overlap above "
            f"{self.least_overlap:g}); k of the {len(order)} longest at each record, - where absent"
        ]
        for track in order:
            places = " ".join(f"{k + 1 if k >= 0 else '-':>3}" for k in self.index[:, track])
            known = self.overlap[np.isfinite(self.overlap[:, track]), track]
            lines.append(f"  {places}" + (f"   least overlap {known.min():.2f}" if len(known) else ""))
        return "\n".join(lines)

    def follow(self, values: Iterable[Any]) -> FloatArray:
        """Read a curve along the tracks.

        Args:
            values: for each record one number for each eigenfunction, T arrays of shape (k_t,) or longer, such as
                eigenvalues or quality.

        Returns:
            Shape (T, tracks), NaN where a track is absent.

        Raises:
            ShapeError: not one array for each record, or one that is too short.
        """
        rows = [as_array(part, name="values").astype(np.float64) for part in values]
        if len(rows) != len(self.index):
            raise ShapeError(f"{len(rows)} arrays of values came for {len(self.index)} records; expected one each")
        curve = np.full(self.index.shape, np.nan)
        for time, (row, index) in enumerate(zip(rows, self.index, strict=True)):
            there = index >= 0
            if row.ndim != 1 or (there.any() and len(row) <= index.max()):
                raise ShapeError(
                    f"values of record {time} have shape {row.shape}, expected at least ({index.max() + 1},)"
                )
            curve[time, there] = row[index[there]]
        return curve


def track(functions: Iterable[Any], *, weights: Any = None, least_overlap: float = LEAST_OVERLAP) -> Tracks:
    """Follow eigenfunctions from record to record by their overlap on the same samples.

    Two successive records are matched one to one so that the sum of squared overlaps is largest (linear assignment);
    a match with a squared overlap of `least_overlap` or less ends the track, and what is left over begins a new one.
    Overlaps are E[e_j e_k] over these samples divided by both norms: exact when they are all the samples that
    were measured, and with an error of order 1 / sqrt(n) when they are some of them (a gallery).

    Inside a cluster of nearly equal eigenvalues single functions turn freely and tracks break; follow the functions of
    `rotate_to_classes`, which do not.

    Args:
        functions: for each record in time order the values of its eigenfunctions on the same n samples in the same
            order, T arrays of shape (n, k_t): ``m.eigenfunctions(features)``, or
            ``record.extras("train")["gallery_centered"]`` of each record of a run.
        weights: non-negative sample weights, shape (n,).
        least_overlap: squared overlap that a match has to exceed, 0..1.

    Returns:
        The tracks.

    Raises:
        ShapeError: the records differ in n, or the weights in length.
        EmptyDataError: no record, or no more samples than functions, where every overlap is large.
        InputError: least_overlap or weights out of range.
        NonFiniteError: NaN or Inf.

    Source: assignment Kuhn 1955; the use and the threshold are phiscope's own.

    Example:
        >>> e = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> tracks = track([e, e[:, ::-1], -e])
        >>> tracks.index.tolist(), tracks.sign.tolist()
        ([[0, 1], [1, 0], [0, 1]], [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]])
    """
    if not is_between(least_overlap, 0, 1):
        raise InputError(f"least_overlap is {brief(least_overlap)}, expected a squared overlap between 0 and 1")
    records = _unit_columns(functions, weights)
    ends = list(range(records[0].shape[1]))
    columns = [[(0, j, np.nan, 1.0)] for j in ends]
    for time in range(1, len(records)):
        matches = _matches(records[time - 1].T @ records[time], least_overlap)
        following: list[int] = [ABSENT] * records[time].shape[1]
        for j, (k, shared) in matches.items():
            following[k] = ends[j]
            columns[ends[j]].append(
                (time, k, min(shared**2, 1.0), columns[ends[j]][-1][3] * (-1.0 if shared < 0 else 1.0))
            )
        for k in [k for k, name in enumerate(following) if name == ABSENT]:
            following[k] = len(columns)
            columns.append([(time, k, np.nan, 1.0)])
        ends = following
    return _arranged(columns, len(records), least_overlap)


def _matches(shared: FloatArray, least_overlap: float) -> dict[int, tuple[int, float]]:
    """Earlier index -> (later index, overlap), one to one."""
    earlier, later = scipy.optimize.linear_sum_assignment(shared**2, maximize=True)
    pairs = zip(earlier.tolist(), later.tolist(), strict=True)
    return {j: (k, float(shared[j, k])) for j, k in pairs if shared[j, k] ** 2 > least_overlap}


def _arranged(columns: list[list[tuple[int, int, float, float]]], n_records: int, least_overlap: float) -> Tracks:
    shape = (n_records, len(columns))
    index, overlap, sign = np.full(shape, ABSENT, dtype=np.int64), np.full(shape, np.nan), np.ones(shape)
    for name, steps in enumerate(columns):
        for time, k, squared, direction in steps:
            index[time, name], overlap[time, name], sign[time, name] = k, squared, direction
    return Tracks(index=index, overlap=overlap, sign=sign, least_overlap=least_overlap)


def _unit_columns(functions: Iterable[Any], weights: Any) -> list[NDArray[np.float64]]:
    """Functions times sqrt(weight), each of norm 1 on these samples."""
    listed = rows_listed(
        functions, name="functions", of="the values of eigenfunctions for each record, as [e_0, e_1] with shapes (n, k)"
    )
    records = [as_rows(part, name="functions", letter="k").astype(np.float64) for part in listed]
    if not records:
        raise EmptyDataError("no record came, expected the values of eigenfunctions for each record")
    n = len(records[0])
    root = np.ones(n) if weights is None else as_array(weights, name="weights").astype(np.float64)
    if root.shape != (n,):
        raise ShapeError(f"weights have shape {root.shape}, expected (n,) with n = {n} samples")
    if not np.isfinite(root).all() or (root < 0).any():
        raise InputError("weights hold negative, NaN or infinite entries, expected non-negative numbers")
    for time, record in enumerate(records):
        if len(record) != n:
            raise ShapeError(f"record {time} has {len(record)} samples and record 0 has {n}; expected the same samples")
        if not np.isfinite(record).all():
            raise NonFiniteError(
                f"functions of record {time} hold NaN or Inf, expected finite numbers", where="functions"
            )
        if record.shape[1] >= (root > 0).sum():
            raise EmptyDataError(
                f"record {time} has {record.shape[1]} functions on {(root > 0).sum()} samples, where every overlap is "
                "large; pass more samples or fewer functions"
            )
    scaled = [np.sqrt(root)[:, None] * record for record in records]
    norms = [dense.row_lengths(record.T) for record in scaled]
    # A function that vanishes on these samples overlaps with nothing.
    return [record / np.where(norm > 0, norm, 1.0) for record, norm in zip(scaled, norms, strict=True)]
