"""Panels and maps as plotly specifications."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from phiscope.figures.model import Axis, Panel
from phiscope.page.charts import history_spec, map_spec, panel_layout, rounded
from synthetic_runs import Recipe, write_run


def test_cells_are_rounded_and_holes_are_none() -> None:
    assert rounded([[0.126, math.nan], [-0.001, math.inf]]) == [[0.13, None], [0.0, None]]
    assert math.copysign(1, rounded([-0.001])[0]) == 1


def test_layers_with_long_names_are_told_apart() -> None:
    names = tuple(f"bert.encoder.layer.{index}" for index in range(12))
    panel = Panel(name="flow", title="", x=Axis(title="", names=names), y=Axis(title=""))
    shown = panel_layout(panel)["xaxis"]["ticktext"]
    assert len(set(shown)) == 12
    assert all(len(text) <= 17 for text in shown)


def test_plotly_accepts_every_specification(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    from phiscope.figures import class_map, history_sections, operator_figure

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1)))
    measured = run.records[-1].measurement()
    for panel in operator_figure(measured, centered=True).panels:
        go.Figure(layout=panel_layout(panel, top=30, lowest=1e-4))
    for section in history_sections({"a": run}):
        for panel in section.panels:
            go.Figure(**history_spec(panel))
    heat = class_map(measured)
    assert heat is not None
    go.Figure(**map_spec(heat, columns=len(heat.values[0])))
    with pytest.raises(ValueError, match="Invalid"):
        go.Figure(layout={"no_such_thing": 1})
