"""Which eigenfunction of the last record was which before, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phiscope.analysis.tracking import LEAST_OVERLAP, track
from phiscope.figures.palette import OKABE_ITO

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star")
"""Marker of the first seven eigenfunctions, of the next seven and so on: with the color it names a line."""

GONE = "#9AA0A8"
"""Tracks that end before the last record."""


@dataclass(frozen=True, kw_only=True)
class TrackLine:
    """One eigenfunction for as long as it is recognized from record to record.

    Attributes:
        start: where it begins, as a position in `TrackPicture.records`.
        places: its place k in the spectrum, counted from 1, at its first record and each one after.
        overlaps: its squared overlap with itself one record earlier, 0..1; one less than places.
        color: by its place at the last record; gray when it ends before.
        symbol: marker, by its place at the last record.
        alive: whether it reaches the last record.
    """

    start: int
    places: tuple[int, ...]
    overlaps: tuple[float, ...]
    color: str
    symbol: str
    alive: bool


@dataclass(frozen=True, kw_only=True)
class TrackPicture:
    """Tracks of one split and operator.

    Attributes:
        records: positions of the records that are compared, among those of the run.
        lines: those that reach the last record by their place there, then those that end before.
        functions: the largest number of eigenfunctions at a record.
        n_samples: samples on which overlaps are judged.
        least_overlap: a squared overlap at or below this ends a track.
        note: one sentence: how many can be followed, or why none can.
    """

    records: tuple[int, ...] = ()
    lines: tuple[TrackLine, ...] = ()
    functions: int = 0
    n_samples: int = 0
    least_overlap: float = LEAST_OVERLAP
    note: str = ""


def track_picture(
    values: Sequence[tuple[int, NDArray[np.float64]]], moments: Sequence[str], *, step: str = "record"
) -> TrackPicture:
    """Follow eigenfunctions from record to record, or from layer to layer, by their overlap on the same samples.

    The eigenvectors of two records belong to two feature maps and cannot be compared without the features of both
    on the same samples; so the stored values on the gallery samples are compared.

    Args:
        values: position of a record and its eigenfunctions on the same samples in the same order, shape (g, k).
        moments: words for each of these records, such as ``epoch 3``.
        step: what they are: "record" or "layer".

    Returns:
        The tracks, or a picture without lines whose note says why.

    Example:
        >>> e = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> picture = track_picture([(0, e), (1, e[:, ::-1])], ["epoch 0", "epoch 1"])
        >>> [line.places for line in picture.lines]
        [(2, 1), (1, 2)]
    """
    reason = _obstacle([table for _, table in values])
    if reason:
        return TrackPicture(note=reason)
    found = track([table for _, table in values])
    lines = [_line(found.index[:, i], found.overlap[:, i]) for i in range(found.index.shape[1])]
    lines.sort(key=lambda line: (not line.alive, line.places[-1] if line.alive else line.start))
    alive = [line for line in lines if line.alive]
    known = sum(len(line.places) > 1 for line in alive)
    whole = sum(line.start == 0 for line in alive)
    note = (
        f"Of the {len(alive)} eigenfunctions at {moments[-1]}, {known} {_are(known)} recognized one {step} earlier "
        f"({moments[-2]}), {whole} all the way back to {moments[0]}."
    )
    return TrackPicture(
        records=tuple(index for index, _ in values),
        lines=tuple(lines),
        functions=max(table.shape[1] for _, table in values),
        n_samples=len(values[0][1]),
        least_overlap=found.least_overlap,
        note=note,
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _obstacle(tables: Sequence[NDArray[np.float64]]) -> str:
    """Why these values cannot be tracked; empty when they can."""
    if not tables:
        return (
            "No values of the eigenfunctions were stored (an observer with gallery=0, or inputs that cannot be shown "
            "one by one). The stored eigenvectors alone do not tell: those of two records belong to two feature maps, "
            "and no moments between records are stored."
        )
    if len(tables) < 2:
        return "The values of the eigenfunctions were stored at one record only, and following them takes two."
    if any(table.ndim != 2 or not table.shape[1] for table in tables):
        return "A record has no eigenfunctions (constant features), so there is nothing to follow them through."
    samples = {len(table) for table in tables}
    if len(samples) > 1:
        return f"The records hold values on different samples ({min(samples)} to {max(samples)} of them)."
    if not all(np.isfinite(table).all() for table in tables):
        return "Some stored values of the eigenfunctions are NaN or infinite."
    widest = max(table.shape[1] for table in tables)
    if widest >= len(tables[0]):
        return (
            f"The values of {widest} eigenfunctions were stored on {len(tables[0])} samples, and on so few every "
            "overlap is large; keep a larger gallery."
        )
    return ""


def _line(index: NDArray[np.int64], overlap: NDArray[np.float64]) -> TrackLine:
    there = np.flatnonzero(index >= 0)
    alive = bool(index[-1] >= 0)
    last = int(index[there[-1]])
    return TrackLine(
        start=int(there[0]),
        places=tuple((index[there] + 1).tolist()),
        overlaps=tuple(overlap[there[1:]].tolist()),
        color=OKABE_ITO[last % len(OKABE_ITO)] if alive else GONE,
        symbol=SYMBOLS[(last // len(OKABE_ITO)) % len(SYMBOLS)] if alive else "circle",
        alive=alive,
    )
