"""Which eigenfunctions of one feature map live on in another, as a map."""

from __future__ import annotations

from phiscope.analysis.comparison import Comparison
from phiscope.figures.model import HeatMap

MOST = 40
"""So many leading eigenfunctions of each map are drawn."""


def overlap_map(comparison: Comparison, *, most: int = MOST) -> HeatMap:
    """Squared overlaps of the leading eigenfunctions: row j of map a, column k of map b.

    Squares, because signs are arbitrary; a row sums to the share of e_j that the drawn columns hold.

    Args:
        comparison: from `phiscope.compare`.
        most: draw at most so many rows and columns.

    Returns:
        The map, values 0..1, with the clusters of both maps that begin inside it.
    """
    drawn = comparison.overlap[:most, :most]
    rows, columns = (
        tuple((start, min(stop, size)) for start, stop in clusters if start < size - 1)
        for clusters, size in zip(comparison.clusters, drawn.shape, strict=True)
    )
    return HeatMap(
        title="Squared overlap of eigenfunctions",
        row_title="eigenfunction j of a",
        column_title="eigenfunction k of b",
        row_labels=tuple(str(j + 1) for j in range(len(drawn))),
        values=tuple(tuple(row) for row in (drawn**2).tolist()),
        low=0.0,
        high=1.0,
        diverging=False,
        clusters=columns,
        row_clusters=rows,
        scale="0: orthogonal, 1: the same function",
    )
