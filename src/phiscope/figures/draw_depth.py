"""The picture of depth, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phiscope.errors import MissingDependencyError
from phiscope.figures.depth import depth_figure
from phiscope.figures.draw import DASHES, STYLE
from phiscope.figures.model import Panel
from phiscope.figures.palette import INK
from phiscope.layers import Layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

NAMED = 24
"""At most about so many layers are named on the axis."""


def layers_figure(layers: Layers) -> Drawing:
    """Dimensions, shares and utilization over depth; no global state of pyplot is touched.

    Args:
        layers: what to draw.

    Returns:
        A ``matplotlib.figure.Figure`` of three panels; ``savefig`` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Drawing
        from matplotlib.ticker import LogFormatter
    except ImportError as error:
        raise MissingDependencyError("matplotlib", purpose="Layers.figure()", extra="figures") from error
    told = depth_figure(layers)
    with rc_context(STYLE):
        drawing = Drawing(figsize=(11.5, 4.2), layout="constrained", dpi=120)
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
