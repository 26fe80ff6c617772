"""Which eigenfunctions of one feature map live on in another, as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phiscope.compare import Comparison
from phiscope.errors import MissingDependencyError
from phiscope.figures.model import HeatMap
from phiscope.figures.palette import INK, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

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
    )


def comparison_figure(comparison: Comparison) -> Drawing:
    """Draw the map of squared overlaps; pyplot is not touched.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Drawing
    except ImportError as error:
        raise MissingDependencyError("matplotlib", purpose="Comparison.figure()", extra="figures") from error
    drawing = Drawing(figsize=(5.6, 4.8), layout="constrained", dpi=120)
    axes = drawing.subplots()
    _draw_map(axes, overlap_map(comparison))
    reading = "centered" if comparison.centered else "raw"
    drawing.suptitle(
        f"{reading} eigenfunctions, n = {comparison.n_samples}, CKA = {comparison.cka:.3f}", fontsize=9, color=INK
    )
    return drawing


def _draw_map(axes: Axes, heat: HeatMap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    values = np.asarray(heat.values)
    rows, columns = values.shape
    extent = (0.5, columns + 0.5, rows + 0.5, 0.5)
    colors = LinearSegmentedColormap.from_list("shares", SEQUENTIAL)
    image = axes.imshow(values, vmin=heat.low, vmax=heat.high, cmap=colors, extent=extent, aspect="auto")
    axes.set(title=heat.title, xlabel=heat.column_title, ylabel=heat.row_title)
    for start, stop in heat.clusters:
        axes.plot([start + 0.6, stop + 0.4], [0.5, 0.5], color=INK, lw=3, clip_on=False, solid_capstyle="butt")
    for start, stop in heat.row_clusters:
        axes.plot([0.5, 0.5], [start + 0.6, stop + 0.4], color=INK, lw=3, clip_on=False, solid_capstyle="butt")
    drawn = axes.figure.colorbar(image, ax=axes, shrink=0.8)
    drawn.set_label("0: orthogonal, 1: the same function", fontsize=8)
