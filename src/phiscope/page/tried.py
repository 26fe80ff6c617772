"""Pictures that were kept with a run: what was tried on the network afterwards, as it was drawn then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phiscope.figures.kept import kept_sheets
from phiscope.figures.model import Dots, Line, Panel
from phiscope.page.charts import Spec, escaped, finite, panel_layout

if TYPE_CHECKING:
    from phiscope.runs import Run

_SYMBOLS = {"circle": "circle", "square": "square", "triangle": "triangle-up", "diamond": "diamond", "cross": "x"}
_DASHES = {"solid": "solid", "dashed": "6px,4px", "dotted": "dot"}
_FEW = 40
"""Lines of so few points have markers."""


def tried_cards(runs: Mapping[str, Run]) -> tuple[list[dict[str, Any]], list[Spec]]:
    """What the page says of kept pictures, one entry a picture, and the specifications of their panels in order.

    Args:
        runs: by the label under which they are shown.
    """
    cards: list[dict[str, Any]] = []
    specs: list[Spec] = []
    for index, (label, run) in enumerate(runs.items()):
        sheets, problems = kept_sheets(run.path)
        for sheet in sheets:
            panels = [part for part in sheet.parts if isinstance(part, Panel)]
            cards.append(
                {
                    "run": index,
                    "label": label,
                    "title": sheet.headline or sheet.name,
                    "caption": sheet.caption,
                    "problem": "",
                    "key": _key(panels),
                    "panels": [_panel(panel, len(specs) + place) for place, panel in enumerate(panels)],
                }
            )
            specs += [panel_spec(panel) for panel in panels]
        cards += [{"run": index, "label": label, "title": "", "problem": problem, "panels": []} for problem in problems]
    return cards, specs


def _panel(panel: Panel, place: int) -> dict[str, Any]:
    drawn: list[Line | Dots] = [*panel.lines, *panel.dots]
    return {
        "place": place,
        "title": panel.title,
        "y": panel.y.title,
        "note": panel.note,
        "description": panel.description() if panel.lines else f"{panel.y.title} over {panel.x.title}",
        "x": panel.x.title,
        "tables": [_table(curve) for curve in drawn],
    }


def _table(curve: Line | Dots) -> dict[str, Any]:
    """The numbers of a curve, for those who read them and for machines."""
    columns: list[tuple[float, ...]] = [curve.x, curve.y]
    if isinstance(curve, Line) and curve.low:
        columns += [curve.low, curve.high]
    cells = [[_words(value) for value in row] for row in zip(*columns, strict=True)]
    label = curve.label or (curve.tag if isinstance(curve, Line) else "")
    return {"label": label, "band": len(columns) > 2, "rows": cells}


def _words(value: float) -> str:
    kept = finite(value, 4)
    return "–" if kept is None else f"{kept:.4g}"


def _key(panels: list[Panel]) -> list[tuple[str, str, str]]:
    """Label, color and dash of every line that has a name."""
    lines = [line for panel in panels for line in panel.lines if line.label]
    dots = [(dots.label, dots.color, "solid") for panel in panels for dots in panel.dots if dots.label]
    return list(dict.fromkeys([*((line.label, line.color, line.dash) for line in lines), *dots]))


def panel_spec(panel: Panel) -> Spec:
    """A panel with lines, their bands, and points, as a plotly specification that nothing changes afterwards."""
    layout = panel_layout(panel)
    layout["height"] = 260
    layout["margin"] = {"l": 52, "r": 12, "t": 18, "b": 40}
    layout["yaxis"]["title"]["text"] = ""  # said above the panel
    layout["yaxis"]["automargin"] = True
    bands = [_band(line) for line in panel.lines if line.low]
    lines = [_curve(line, panel) for line in panel.lines]
    dots = [_points(one) for one in panel.dots]
    return {"data": [*bands, *lines, *dots], "layout": layout}


def _band(line: Line) -> Spec:
    ends = [(x, low, high) for x, low, high in zip(line.x, line.low, line.high, strict=True) if low == low]
    there, back = [(x, low) for x, low, _ in ends], [(x, high) for x, _, high in reversed(ends)]
    red, green, blue = (int(line.color[place : place + 2], 16) for place in (1, 3, 5))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [finite(x) for x, _ in there + back],
        "y": [finite(y) for _, y in there + back],
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.16)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _curve(line: Line, panel: Panel) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(line.x) <= _FEW else "lines",
        "x": [finite(value) for value in line.x],
        "y": [finite(value) for value in line.y],
        "line": {"color": line.color, "width": 1.8, "dash": _DASHES[line.dash]},
        "marker": {"size": 4, "color": line.color},
        "hovertemplate": f"{escaped(line.label)}<br>{escaped(panel.x.title)} %{{x}}: %{{y:.4~g}}<extra></extra>",
        "connectgaps": False,
    }


def _points(dots: Dots) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [finite(value) for value in dots.x],
        "y": [finite(value) for value in dots.y],
        "marker": {"size": 7, "color": dots.color, "symbol": _SYMBOLS[dots.symbol], "opacity": 0.8},
        "hovertemplate": f"{escaped(dots.label)} (%{{x:.3~g}}, %{{y:.3~g}})<extra></extra>",
    }
