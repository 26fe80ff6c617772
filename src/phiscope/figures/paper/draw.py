"""Sheets drawn with matplotlib, as wide as a column of a paper or as two; pyplot's global state is not touched.

No other module of the package but `drawing.py` knows matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from phiscope.errors import InputError, MissingDependencyError
from phiscope.figures.model import Axis, Dots, HeatMap, Line, Panel, Pictures, Sheet, ending
from phiscope.figures.palette import DIVERGING, GHOST, INK, SEQUENTIAL
from phiscope.figures.spectra import FLOOR
from phiscope.inputs.arrays import brief
from phiscope.inputs.settings import is_between

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from phiscope.figures.paper.drawing import Drawing

Columns = Literal[1, 2]
"""How wide a figure is: one column of a page, or both."""

WIDTHS: dict[int, float] = {1: 3.35, 2: 7.0}
"""Widths in inches: 85 and 178 millimeters, which the columns of most journals and conferences hold."""

DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}
"""A line's dash in matplotlib's letters."""

SYMBOLS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "X"}

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8A8F98",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    # Letters stay letters, so that a journal can set and a reader can search them.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}
"""What every figure looks like; used inside `rc_context`, so that nobody else's settings change."""

SETTLED = 2
"""Ticks follow the room that is left for them, and the room follows the ticks: after so many rounds neither moves."""

NAMED = 24
"""At most about so many places are named on an axis."""

NAME_LETTERS = 26
"""Letters of such a name."""

ROOM = 0.02
"""Share of an axis that is added where a curve lies on its end."""


def check_columns(columns: Any) -> None:
    """Refuse a width that figures do not come in.

    Raises:
        InputError: it is neither 1 nor 2.
    """
    if not is_between(columns, 1, 2) or columns not in WIDTHS:
        raise InputError(f"columns={brief(columns)}; a figure is 1 or 2 columns wide")


def drawn(sheet: Sheet, *, columns: Columns | None = None, purpose: str = "a figure") -> Drawing:
    """Draw a sheet.

    Args:
        sheet: what to draw.
        columns: 1 or 2, the width; None takes the sheet's own.
        purpose: what needs matplotlib, for the error.

    Returns:
        A ``matplotlib.figure.Figure`` that a notebook shows; `save` writes it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        InputError: another number of columns.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("matplotlib", purpose=purpose, extra="figures") from error
    from matplotlib import rc_context
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from phiscope.figures.paper.drawing import Drawing

    columns = sheet.columns if columns is None else columns
    check_columns(columns)
    across = min(sheet.across if columns == 2 else max(sheet.across // 3, 1), max(len(sheet.parts), 1))
    down = -(-max(len(sheet.parts), 1) // across)
    headline = textwrap.fill(sheet.headline, 118 if columns == 2 else 56)
    height = down * sheet.height + 0.14 * (headline.count("\n") + 1 if headline else 0)
    with rc_context(STYLE):
        layout = ConstrainedLayoutEngine()
        drawing = Drawing(figsize=(WIDTHS[columns], height), layout=layout, dpi=120)
        drawing.tell(sheet, columns)
        places = drawing.subplots(down, across, squeeze=False).ravel()
        for axes, part in zip(places, sheet.parts, strict=False):
            _paint(axes, part)
        for axes in places[len(sheet.parts) :]:
            axes.set_axis_off()
        if headline:
            drawing.suptitle(headline, fontsize=8, x=0.005, ha="left", color=INK)
        for _ in range(SETTLED):
            layout.execute(drawing)
        # From here on the same figure is the same picture, at whatever resolution it is asked for.
        drawing.set_layout_engine("none")
    return drawing


def _paint(axes: Axes, part: Panel | HeatMap | Pictures) -> None:
    if isinstance(part, Panel):
        _paint_panel(axes, part)
    elif isinstance(part, HeatMap):
        _paint_map(axes, part)
    else:
        _paint_pictures(axes, part)


def _paint_panel(axes: Axes, panel: Panel) -> None:
    _paint_shades(axes, panel)
    for line in panel.lines:
        _paint_line(axes, line)
    for dots in panel.dots:
        _paint_dots(axes, dots)
    axes.set(title=panel.title, xlabel=_set(panel.x.title), ylabel=_set(panel.y.title))
    if panel.x.names:
        _name_places(axes, panel.x.names)
    # Logarithmic axes cannot follow data that are not there.
    if not panel.lines and not panel.dots:
        axes.text(0.5, 0.5, textwrap.fill(panel.note, 30), transform=axes.transAxes, ha="center", va="center")
        return
    _scale(axes, panel)
    _paint_marks(axes, panel)
    labels = [line.label for line in panel.lines if line.label] + [dots.label for dots in panel.dots if dots.label]
    if labels:
        axes.legend(loc=_legend_place(panel))


def _set(title: str) -> str:
    """A title whose hat stands on its letter: fonts put the sign that is written behind it anywhere."""
    return title.replace("Π̂", r"$\hat{\Pi}$")


def _legend_place(panel: Panel) -> Literal["best", "lower left", "upper left"]:
    """Where the curves are not; matplotlib looks for it, which takes long of many points, only where nobody knows."""
    if panel.dots or not panel.x.log:
        return "best"
    if panel.y.log:
        return "lower left"
    # A share is small at small k, but for two classes or targets, of which one function holds nearly all.
    return "upper left" if all(line.y[0] < 0.5 for line in panel.lines if len(line.y)) else "best"


def _paint_line(axes: Axes, line: Line) -> None:
    from matplotlib.patheffects import withStroke

    marker = "o" if line.dash != "dotted" and len(line.x) <= 80 else ""
    axes.plot(line.x, line.y, DASHES[line.dash], color=line.color, label=line.label, lw=1.1, ms=1.8, marker=marker)
    if line.tag:
        # A white edge around the letters: other lines pass below them.
        edge = [withStroke(linewidth=1.8, foreground="white")]
        end = (line.x[-1], line.y[-1])
        where: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": 6, "path_effects": edge}
        axes.annotate(line.tag, end, xytext=(-2, 2), **where)
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=line.color, alpha=0.2, lw=0, zorder=1)


def _paint_dots(axes: Axes, dots: Dots) -> None:
    marker = SYMBOLS[dots.symbol]
    size = 26 if len(dots.x) == 1 else 7
    axes.scatter(dots.x, dots.y, s=size, color=dots.color, marker=marker, label=dots.label, lw=0, alpha=0.85, zorder=3)


def _paint_shades(axes: Axes, panel: Panel) -> None:
    label = "nearly equal"
    for start, stop in panel.shades:
        # Inside it the order of single functions means nothing; at its end cumulative values do.
        axes.axvspan(start + 0.7, stop + 0.3, color=GHOST, alpha=0.2, lw=0, zorder=0, label=label)
        label = ""


def _scale(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter

    from phiscope.figures.paper.drawing import PlainTicks

    for axis, told in ((axes.xaxis, panel.x), (axes.yaxis, panel.y)):
        if told.whole and not told.log and not told.names:
            axis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    if panel.x.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        if panel.x.whole:
            axes.set_xticks(_whole_ticks(panel))
            axes.xaxis.set_minor_formatter(NullFormatter())
    if panel.x.low is not None and not panel.x.log:
        axes.set_xlim(*_roomy(panel.x, [line.x for line in panel.lines]))
    if not panel.y.log:
        axes.set_ylim(*_roomy(panel.y, [line.y for line in panel.lines]))
        return
    axes.set_yscale("log")
    heights = [*(line.y for line in panel.lines), *(dots.y for dots in panel.dots)]
    lowest = min((value for row in heights for value in row if value > 0), default=FLOOR)
    if panel.x.names or panel.name == "why":
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(PlainTicks())
    if not panel.x.names:
        axes.set_ylim(max(lowest / 2, FLOOR) if panel.y.low is None else panel.y.low, panel.y.high)


def _roomy(axis: Axis, drawn: Sequence[Sequence[float]]) -> tuple[float | None, float | None]:
    """Ends of an axis, a little farther out where a curve would lie on one and its points be cut in halves."""
    if axis.low is None or axis.high is None:
        return axis.low, axis.high
    room = ROOM * (axis.high - axis.low)
    low, high = (any(abs(x - end) < abs(room) for row in drawn for x in row) for end in (axis.low, axis.high))
    return axis.low - low * room, axis.high + high * room


def _whole_ticks(panel: Panel) -> list[int]:
    """Whole numbers to name on a logarithmic axis: each up to 5, else powers of ten, some between in two decades."""
    shown = [value for line in panel.lines for value in line.x] + [value for dots in panel.dots for value in dots.x]
    low, high = min(shown, default=1), max(shown, default=1)
    between = (1, 2, 3, 4, 5) if high <= 5 else (1, 2, 5) if high < 100 * low else (1,)
    every = (factor * 10**power for power in range(len(str(int(high)))) for factor in between)
    return [tick for tick in every if low <= tick <= high]


def _name_places(axes: Axes, names: tuple[str, ...]) -> None:
    step = -(-len(names) // NAMED) or 1
    places = list(range(len(names) - 1, -1, -step))[::-1]
    # "$" would start a formula.
    words = [ending(names[place], NAME_LETTERS).replace("$", r"\$") for place in places]
    axes.set_xticks([place + 1 for place in places], words, rotation=45, ha="right", fontsize=6)


def _paint_marks(axes: Axes, panel: Panel) -> None:
    first = panel.lines[0].color if panel.lines else INK
    named = False
    for mark in panel.marks:
        color = mark.color or first
        if mark.axis == "y":
            axes.axhline(mark.at, color=INK, ls=":", lw=0.8, zorder=0, label=mark.label)
            continue
        axes.axvline(mark.at, color=color, ls=":", lw=0.8, zorder=0)
        if not named:
            # Right of the mark a spectrum has fallen and leaves the top free; a share has risen and leaves it taken.
            height, named = 0.95 if panel.y.log else 0.2, True
            where: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate(mark.label, (mark.at, height), xytext=(4, 0), fontsize=7, color=INK, **where)


def _paint_map(axes: Axes, heat: HeatMap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    values = np.asarray(heat.values)
    rows, columns = values.shape
    extent = (0.5, columns + 0.5, rows + 0.5, 0.5)
    colors = LinearSegmentedColormap.from_list("cells", DIVERGING if heat.diverging else SEQUENTIAL)
    image = axes.imshow(values, vmin=heat.low, vmax=heat.high, cmap=colors, extent=extent, aspect="auto")
    axes.set(title=heat.title, xlabel=heat.column_title, ylabel=heat.row_title)
    if heat.row_labels and rows <= 2 * NAMED:
        axes.set_yticks(
            range(1, rows + 1), [ending(one, NAME_LETTERS).replace("$", r"\$") for one in heat.row_labels], fontsize=6
        )
    for start, stop in heat.clusters:
        axes.plot([start + 0.6, stop + 0.4], [0.5, 0.5], color=INK, lw=2, clip_on=False, solid_capstyle="butt")
    for start, stop in heat.row_clusters:
        axes.plot([0.5, 0.5], [start + 0.6, stop + 0.4], color=INK, lw=2, clip_on=False, solid_capstyle="butt")
    scale = axes.figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    scale.outline.set_linewidth(0.4)
    scale.set_label(heat.scale, fontsize=7)


def _paint_pictures(axes: Axes, pictures: Pictures) -> None:
    """Draw rows of small pictures or texts, each with its caption."""
    axes.set_axis_off()
    axes.set_title(pictures.title)
    rows = len(pictures.row_labels)
    places = max((len(row) for row in pictures.captions), default=1)
    width = places + (0.6 if pictures.gap else 0.0)
    axes.set(xlim=(-1.1, width), ylim=(rows, 0))
    for row, label in enumerate(pictures.row_labels):
        axes.text(-0.1, row + 0.5, label, ha="right", va="center", color=INK, fontsize=7)
        for place, caption in enumerate(pictures.captions[row]):
            left = place + (0.6 if pictures.gap and place >= pictures.gap else 0.0)
            if pictures.images:
                image = pictures.images[row][place]
                shown = image[..., 0] if image.shape[-1] == 1 else image
                extent = (left + 0.06, left + 0.94, row + 0.76, row + 0.02)
                axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")
                axes.text(left + 0.5, row + 0.8, caption, ha="center", va="top", fontsize=5, color=INK)
            else:
                words = pictures.texts[row][place].replace("$", r"\$")
                axes.text(left + 0.02, row + 0.1, words, va="top", fontsize=5, color=INK, wrap=True)
                axes.text(left + 0.02, row + 0.9, caption, va="bottom", fontsize=5, color=INK)
    axes.set(xlim=(-1.1, width), ylim=(rows, 0))
