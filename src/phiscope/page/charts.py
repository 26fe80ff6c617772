"""Panels and maps as plotly specifications: plain dictionaries that go into the page as JSON."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phiscope.figures.classes import SHOWN_CLASSES
from phiscope.figures.model import Axis, HeatMap, Line, Panel, ending
from phiscope.figures.palette import DIVERGING, INK, SEQUENTIAL
from phiscope.figures.spectra import FLOOR

Spec = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif"
_DASHES = {"solid": "solid", "dashed": "6px,4px", "dotted": "dot"}
_GRID = "#E8EAED"


LONGEST_NAME = 40
"""Letters of a class name that are kept."""


def visible(name: str) -> str:
    r"""A name with its blanks to be seen, since tokens differ by them, and cut to 40 letters.

    Example:
        >>> visible(" the"), visible("new\nline"), visible("red fox")
        ('␣the', 'new⏎line', 'red fox')
    """
    text = name.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "")
    inner = text.strip(" ")
    if not inner:
        return "␣" * min(len(text), LONGEST_NAME) or "(empty)"
    start, end = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
    whole = "␣" * start + inner + "␣" * end
    return whole if len(whole) <= LONGEST_NAME else whole[: LONGEST_NAME - 1] + "…"


def escaped(text: str) -> str:
    """Text for a plotly label, which reads a subset of HTML."""
    return html.escape(text, quote=False)


def finite(value: float | None, digits: int = 5) -> float | None:
    """The value with so many significant digits, None when NaN or infinite: JSON knows neither."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def rounded(values: ArrayLike) -> list[Any]:
    """Cells with two decimals as nested lists, None where NaN or infinite.

    Example:
        >>> rounded([[0.123, float("nan")]])
        [[0.12, None]]
    """
    # Adding zero turns -0.0 into 0.0. One call for the whole table: a long run has millions of cells.
    table = np.round(np.asarray(values, dtype=np.float64), 2) + 0.0
    if not np.isfinite(table).all():
        table = np.where(np.isfinite(table), table.astype(object), np.array(None))
    cells: list[Any] = table.tolist()
    return cells


def panel_layout(panel: Panel, *, top: float | None = None, lowest: float | None = None) -> Spec:
    """Axes and marks of a panel.

    Args:
        panel: the figure as data.
        top: right end of the horizontal axis, None to follow the data.
        lowest: lower end of a logarithmic vertical axis that leaves its own open.
    """
    layout: Spec = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "margin": {"l": 46, "r": 12, "t": 18, "b": 36},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "xaxis": _axis(panel.x, panel.x.low, panel.x.high if panel.x.high is not None else top),
        "yaxis": _axis(panel.y, panel.y.low if panel.y.low is not None else lowest, panel.y.high),
        "shapes": [],
        "annotations": [],
    }
    _mark(layout, panel)
    return layout


def _mark(layout: Spec, panel: Panel) -> None:
    """Put the panel's marks in: a dotted line each, with its words at the top."""
    for mark in panel.marks:
        layout["shapes"].append(
            {
                "type": "line",
                "x0": mark.at,
                "x1": mark.at,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": INK, "width": 1, "dash": "dot"},
                "layer": "below",
            }
        )
        place = math.log10(mark.at) if panel.x.log else mark.at
        layout["annotations"].append(
            {
                "x": place,
                "xanchor": _anchor(place, layout["xaxis"].get("range")),
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "text": escaped(mark.label),
                "showarrow": False,
                "font": {"size": 11},
            }
        )


def _anchor(place: float, ends: Sequence[float] | None) -> str:
    """Which end of the words stands at a mark, so that none reach over the end of the axis."""
    if ends is None:
        return "center"
    share = (place - ends[0]) / (ends[1] - ends[0])
    return "right" if share > 0.75 else "left" if share < 0.25 else "center"


def _axis(axis: Axis, low: float | None, high: float | None) -> Spec:
    spec: Spec = {
        "title": {"text": escaped(axis.title), "standoff": 6},
        "fixedrange": True,
        "showgrid": True,
        "gridcolor": _GRID,
        "zeroline": False,
        "linecolor": "#8A8F98",
        "showline": True,
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": "#8A8F98",
        "tickangle": 0,
    }
    if axis.names:
        places = list(range(1, len(axis.names) + 1))
        spec |= {
            "tickmode": "array",
            "tickvals": places,
            "ticktext": [escaped(ending(name, 17)) for name in axis.names],
        }
        spec |= {"tickangle": -35, "automargin": True}
    if axis.log:
        spec |= {"type": "log"} | _log_ticks(axis, low, high)
    if low is not None and high is not None:
        ends = [low, high]
        spec["range"] = [math.log10(max(end, FLOOR / 10)) for end in ends] if axis.log else ends
    else:
        spec["rangemode"] = "tozero" if low == 0 else "normal"
    return spec


def _log_ticks(axis: Axis, low: float | None, high: float | None) -> Spec:
    """Ticks written as a reader writes them: 1, 2, 5, 10 for counts and powers of ten otherwise."""
    if low is None or high is None:
        return {"dtick": 1, "exponentformat": "power"}
    if axis.whole:
        ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
        shown = [tick for tick in ticks if low <= tick <= high]
        return {"tickvals": shown, "ticktext": [str(tick) for tick in shown]}
    powers = range(math.ceil(math.log10(max(low, FLOOR / 10))), math.floor(math.log10(high)) + 1)
    if len(powers) < 2:
        steps = [step * 10.0**power for power in range(-9, 2) for step in (1, 2, 5)]
        few = [step for step in steps if low <= step <= high]
        return {"tickvals": few, "ticktext": [f"{step:g}" for step in few]}
    shown_powers = [power for power in powers if len(powers) <= 6 or power % 2 == 0]
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    words = ["1" if power == 0 else "10" + str(power).translate(raised) for power in shown_powers]
    return {"tickvals": [10.0**power for power in shown_powers], "ticktext": words}


def history_spec(panel: Panel) -> Spec:
    """One scalar over epochs, with a mark that the page moves to the chosen epoch.

    The page puts the epochs into ``customdata`` as well, because on a logarithmic axis epoch 0 is drawn elsewhere.
    """
    low, high = _log_ends(panel) if panel.y.log else (panel.y.low, None)
    bounded = Panel(
        name=panel.name,
        title=panel.title,
        x=panel.x,
        y=Axis(title="", low=low, high=high, log=panel.y.log),
        lines=panel.lines,
    )
    layout = panel_layout(bounded)
    layout["margin"] = {"l": 46, "r": 10, "t": 6, "b": 34}
    layout["xaxis"]["title"]["standoff"] = 4
    layout["xaxis"]["nticks"] = 6
    layout["yaxis"] |= {"nticks": 5, "automargin": True}
    layout["shapes"] = [
        {
            "type": "line",
            "x0": 0,
            "x1": 0,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": "#8A8F98", "width": 1},
            "layer": "below",
        }
    ]
    return {"data": [_history_trace(line, panel.x.title) for line in panel.lines], "layout": layout}


def _history_trace(line: Line, unit: str) -> Spec:
    trace = {
        "type": "scatter",
        "mode": "lines+markers" if len(line.x) <= 40 else "lines",
        "x": [finite(value, 9) for value in line.x],
        "y": [finite(value) for value in line.y],
        "name": escaped(line.label),
        "line": {"color": line.color, "width": 1.8, "dash": _DASHES[line.dash]},
        "marker": {"size": 4 if len(line.x) > 1 else 8, "color": line.color},
        "hovertemplate": f"{escaped(line.label)}<br>{unit} %{{customdata}}: %{{y:.4~g}}<extra></extra>",
        "connectgaps": False,
    }
    # Of a mean over seeds: the ends of its interval, which the page draws as a band.
    return trace | ({"low": list(map(finite, line.low)), "high": list(map(finite, line.high))} if line.low else {})


def _log_ends(panel: Panel) -> tuple[float | None, float | None]:
    """Ends of a logarithmic axis that holds all positive values, so that its ticks can be written out."""
    values = [value for line in panel.lines for value in line.y if math.isfinite(value) and value > 0]
    if not values or min(values) < FLOOR:
        return None, None
    return min(values) / 1.3, max(values) * 1.3


NAMED_ROWS = 100
"""Up to so many rows of a map are all named; of more, some."""


def map_spec(heat: HeatMap, *, columns: int) -> Spec:
    """A heat map without its values and the ticks of its columns, which the page puts in as it has room."""
    colors = DIVERGING if heat.diverging else SEQUENTIAL
    labels = [visible(label) for label in heat.row_labels]
    axes = Panel(name="map", title=heat.title, x=Axis(title=heat.column_title), y=Axis(title=""))
    layout = panel_layout(axes)
    layout["margin"] = {"l": min(24 + 7 * min(max(map(len, labels), default=0), 16), 136), "r": 8, "t": 6, "b": 40}
    layout["xaxis"] |= {"range": [0.5, columns + 0.5], "showgrid": False}
    _name_rows(layout, labels)
    trace = {
        "type": "heatmap",
        "z": [],
        "zmin": heat.low,
        "zmax": heat.high,
        "colorscale": [[i / (len(colors) - 1), color] for i, color in enumerate(colors)],
        "xgap": 1,
        "ygap": 1 if len(labels) <= 24 else 0,
        "x0": 1,
        "dx": 1,
        "showscale": False,
        # One a row; the page repeats it for each column.
        "text": [escaped(label) for label in labels],
        "hovertemplate": "%{text}, e<sub>%{x}</sub>: %{z:.2f}<extra></extra>",
    }
    return {"data": [trace], "layout": layout}


def _name_rows(layout: Spec, labels: Sequence[str]) -> None:
    """The height of a map and the names of its rows: as many as can be read, the last one in any case."""
    rows = len(labels)
    step = 1 if rows <= NAMED_ROWS else math.ceil(rows / 50)
    shown = [row for row in range(0, rows, step) if rows - 1 - row >= step] + [rows - 1] * bool(rows)
    height = 26 if rows <= 24 else 16 if rows <= SHOWN_CLASSES else 12 if rows <= NAMED_ROWS else 10
    layout["height"] = 62 + rows * height
    layout["yaxis"] |= {
        "range": [rows - 0.5, -0.5],
        "tickmode": "array",
        "tickvals": shown,
        "ticktext": [escaped(_short(labels[row])) for row in shown],
        "showgrid": False,
        "ticks": "",
        "tickfont": {"size": 12 if rows <= 24 else 10},
    }


def _short(label: str) -> str:
    return label if len(label) <= 17 else label[:16] + "…"


def gradient(colors: Sequence[str]) -> str:
    """The color scale as a CSS gradient, for the legend under a map."""
    return f"linear-gradient(90deg, {', '.join(colors)})"
