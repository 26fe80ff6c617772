"""Figures as data, drawn with matplotlib for print and notebooks: a measurement, layers over depth, a comparison.

No other module of the package but `drawing.py` knows matplotlib, and pyplot's global state is not touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.analysis.comparison import Comparison
from phiscope.errors import MissingDependencyError
from phiscope.figures.depth import depth_figure
from phiscope.figures.model import HeatMap, Line, Panel
from phiscope.figures.overlaps import overlap_map
from phiscope.figures.palette import GHOST, INK, OKABE_ITO, SEQUENTIAL
from phiscope.figures.spectra import FLOOR, operator_figure
from phiscope.findings.held_out import quality_null
from phiscope.measurement.layers import Layers
from phiscope.spectrum.clusters import degenerate_clusters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phiscope.figures.drawing import Drawing
    from phiscope.measurement.record import Measurement

DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}
"""A line's dash in matplotlib's letters."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8A8F98",
    "legend.frameon": False,
}
"""What every printed figure looks like; used inside `rc_context`, so that nobody else's settings change."""

NAMED = 24
"""At most about so many layers are named on the axis."""


def _blank_of(purpose: str) -> type[Drawing]:
    """The class of empty figures.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("matplotlib", purpose=purpose, extra="figures") from error
    from phiscope.figures.drawing import Drawing

    return Drawing


def measurement_figure(measurement: Measurement) -> Drawing:
    """Spectrum, Pi*(k) and Pihat(k), raw and centered, in one picture.

    The number of classes (the output rank in regression) is marked, clusters of nearly equal centered eigenvalues are
    shaded in the spectrum, and beside the centered Pi*(k) stands what targets that say nothing would reach. The figure
    belongs to no global state: pyplot is not touched.

    Args:
        measurement: what to draw.

    Returns:
        A ``matplotlib.figure.Figure`` of three panels that a notebook shows; ``savefig`` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    blank = _blank_of("Measurement.figure()")
    from matplotlib import rc_context

    centered = operator_figure([("centered", measurement)], centered=True, colors=OKABE_ITO[:1])
    raw = operator_figure([("raw", measurement)], colors=OKABE_ITO[1:2], dashes=["dashed"])
    with rc_context(STYLE):
        drawing = blank(figsize=(10.5, 3.6), layout="constrained", dpi=120)
        pairs = zip(raw.panels, centered.panels, strict=True)
        for axes, pair in zip(drawing.subplots(1, 3), pairs, strict=True):
            if pair[1].name == "eigenvalues":
                _draw_clusters(axes, measurement)
            _draw_panel(axes, (pair[0], _with_chance(pair[1], measurement)))
        drawing.suptitle(_headline(measurement), fontsize=9, x=0.01, ha="left", color=INK)
    return drawing


def _with_chance(panel: Panel, measurement: Measurement) -> Panel:
    """The panel of Pi*(k) with its null level; any other as it is."""
    if panel.name != "cumulative_quality" or not panel.lines:
        return panel
    places = panel.lines[0].x
    level = quality_null(int(places[-1]), measurement.independent_samples)
    chance = Line(
        label="by chance", x=places, y=tuple(float(level[int(k) - 1]) for k in places), color=INK, dash="dotted"
    )
    return replace(panel, lines=(*panel.lines, chance))


def _draw_clusters(axes: Axes, measurement: Measurement) -> None:
    label, n = "nearly equal", measurement.independent_samples
    for start, stop in degenerate_clusters(measurement.centered.eigenvalues, n_samples=n):
        # Inside it the order of single functions means nothing; at its end cumulative values do.
        axes.axvspan(start + 0.7, stop + 0.3, color=GHOST, alpha=0.2, lw=0, zorder=0, label=label)
        label = ""


def _headline(measurement: Measurement) -> str:
    facts = f"n = {measurement.n_samples} samples, p = {measurement.n_features} features"
    if measurement.evidence is None or measurement.evidence.output_rank == 0:
        return facts
    evidence = measurement.evidence
    word = "regime cannot be told" if evidence.regime is None else f"{evidence.regime} regime"
    distance = "" if evidence.dynamical_low_rank is None else f", D_LR = {evidence.dynamical_low_rank:.3g}"
    reached = "k90 never reached" if evidence.k90 is None else f"k90 = {evidence.k90}"
    return f"{word}: {reached}, output rank r = {evidence.output_rank}{distance}; {facts}"


def _draw_panel(axes: Axes, pair: tuple[Panel, ...]) -> None:
    """Draw the raw and the centered version of one panel into the same axes."""
    first = pair[0]
    for panel in pair:
        for line in panel.lines:
            axes.plot(
                line.x,
                line.y,
                DASHES[line.dash],
                color=line.color,
                label=line.label,
                lw=1.6,
                ms=2.8,
                marker="" if line.dash == "dotted" else "o",
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title=first.title, xlabel=first.x.title, ylabel=first.y.title)
    if first.y.log:
        axes.set_yscale("log")
        lowest = min((value for panel in pair for line in panel.lines for value in line.y), default=FLOOR)
        axes.set_ylim(max(lowest / 2, FLOOR), first.y.high)
    else:
        axes.set_ylim(first.y.low, first.y.high)
    if not any(panel.lines for panel in pair):
        axes.text(0.5, 0.5, first.note, transform=axes.transAxes, ha="center", va="center", wrap=True)
        return
    _draw_marks(axes, pair)
    # A share is small at small k, and the level of chance runs along the bottom.
    axes.legend(loc="lower left" if first.y.log else "upper left")


def _draw_marks(axes: Axes, panels: tuple[Panel, ...]) -> None:
    for panel in panels:
        if not panel.lines:
            continue
        for mark in panel.marks:
            axes.axvline(mark.at, color=panel.lines[0].color, ls=":", lw=1, zorder=0)
    for mark in panels[0].marks[:1] if panels[0].lines else ():
        # Right of the mark a spectrum has fallen and leaves the top free; a share has risen and leaves it taken.
        height = 0.95 if panels[0].y.log else 0.2
        axes.annotate(
            mark.label,
            (mark.at, height),
            xycoords=("data", "axes fraction"),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )


def layers_figure(layers: Layers) -> Drawing:
    """Dimensions, shares and utilization over depth; no global state of pyplot is touched.

    Args:
        layers: what to draw.

    Returns:
        A ``matplotlib.figure.Figure`` of three panels that a notebook shows; ``savefig`` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    blank = _blank_of("Layers.figure()")
    from matplotlib import rc_context
    from matplotlib.ticker import LogFormatter

    told = depth_figure(layers)
    with rc_context(STYLE):
        drawing = blank(figsize=(11.5, 4.2), layout="constrained", dpi=120)
        for axes, panel in zip(drawing.subplots(1, 3), told.figure.panels, strict=True):
            _draw(axes, panel, told.layers)
            if axes.get_yscale() == "log":
                axes.yaxis.set_minor_formatter(LogFormatter())
        drawing.suptitle(told.headline, fontsize=9, x=0.01, ha="left", color=INK)
    return drawing


def _draw(axes: Axes, panel: Panel, names: tuple[str, ...]) -> None:
    for line in panel.lines:
        axes.plot(line.x, line.y, DASHES[line.dash], color=line.color, label=line.label, lw=1.6, ms=3.5, marker="o")
    # Logarithmic axes cannot follow data that are not there.
    if panel.y.log and panel.lines:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    if panel.y.low is not None:
        axes.set_ylim(panel.y.low, panel.y.high)
    axes.set_xlim(panel.x.low, panel.x.high)
    step = -(-len(names) // NAMED) or 1
    places = list(range(len(names) - 1, -1, -step))[::-1]
    axes.set_xticks(
        [place + 1 for place in places],
        # "$" would start a formula.
        [_short(names[place]).replace("$", r"\$") for place in places],
        rotation=45,
        ha="right",
        fontsize=7,
    )
    axes.set(title=panel.title, ylabel=panel.y.title)
    for mark in panel.marks:
        axes.axhline(mark.at, color=INK, ls=":", lw=1, zorder=0, label=mark.label)
    if panel.lines:
        axes.legend(fontsize=8)


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]


def comparison_figure(comparison: Comparison) -> Drawing:
    """Draw the map of squared overlaps; pyplot is not touched.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    drawing = _blank_of("Comparison.figure()")(figsize=(5.6, 4.8), layout="constrained", dpi=120)
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
