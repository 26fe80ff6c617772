"""Figures drawn with matplotlib: every curve and mark is there."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Polygon, Rectangle

import phiscope
from collapsed import CLASSES, collapsed
from phiscope.errors import MissingDependencyError
from phiscope.figures.model import Axis, Line, Panel, Sheet
from phiscope.figures.paper.draw import drawn


def test_a_measurements_figure_draws_all_curves_and_marks() -> None:
    drawing = collapsed().figure()
    assert len(drawing.axes) == 3
    spectrum = drawing.axes[0]
    assert spectrum.get_yscale() == "log"
    legend = spectrum.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"raw", "centered", "nearly equal"}
    assert {text.get_text() for text in spectrum.texts} == {f"{CLASSES} classes"}
    drawing.canvas.draw()


def test_a_measurements_figure_shows_what_chance_reaches_and_where_order_means_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(101, 6))
    white = np.linalg.qr(rows - rows.mean(axis=0))[0]
    measured = phiscope.diagonalize(white * [9, 3, 1, 1, 1, 0.2], targets=rng.integers(0, 3, 101))
    drawing = measured.figure()
    chance = next(line for line in drawing.axes[1].lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 6)
    np.testing.assert_allclose(chance.get_ydata(), np.arange(1, 7) / 100, rtol=1e-12)
    assert "by chance" in {text.get_text() for text in drawing.axes[1].texts}
    assert not any(text.get_text() == "by chance" for axes in drawing.axes[::2] for text in axes.texts)
    # A span is a polygon to matplotlib before 3.9.
    (span,) = (patch for patch in drawing.axes[0].patches if isinstance(patch, Rectangle | Polygon))
    ends = span.get_extents().transformed(drawing.axes[0].transData.inverted()).intervalx
    np.testing.assert_allclose(ends, (2.7, 5.3), rtol=1e-9)
    drawing.canvas.draw()


def test_a_measurements_figure_without_outputs_still_draws() -> None:
    drawing = phiscope.diagonalize(np.random.default_rng(0).normal(size=(30, 4))).figure()
    assert any("Not measured" in text.get_text() for text in drawing.axes[2].texts)
    drawing.canvas.draw()


def test_a_measurements_figure_names_the_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[figures\]"):
        collapsed().figure()


def test_points_on_the_end_of_an_axis_are_drawn_whole_and_ticks_are_plain() -> None:
    """Halves of points at D_LR = 0 and at the first and last epoch; "4e-01" beside "0.1"; a hat beside its letter."""
    line = Line(label="a", color="#000000", x=(0.0, 5.0, 10.0), y=(0.0, 0.5, 1.0), tag="end")
    axis, share = Axis(title="epoch", low=0.0, high=10.0), Axis(title="Π̂(k)", low=0.0, high=1.0)
    panel = Panel(name="one", title="one", x=axis, y=share, lines=(line,))
    log = replace(
        panel,
        name="why",
        y=Axis(title="evenness", log=True, low=0.1, high=0.9),
        lines=(replace(line, y=(0.2, 0.4, 0.8)),),
    )
    drawing = drawn(Sheet(name="a", headline="", caption="", parts=(panel, log)))
    first, second = drawing.axes[:2]
    assert first.get_xlim() == pytest.approx((-0.2, 10.2))
    assert first.get_ylim() == pytest.approx((-0.02, 1.02))
    assert first.get_ylabel() == r"$\hat{\Pi}$(k)"
    drawing.canvas.draw()
    named = [tick.get_text() for tick in second.get_yticklabels(minor=True) if tick.get_text()]
    assert "0.2" in named
    assert not any("e" in one or "10" in one for one in named)
    (tag,) = first.texts
    assert tag.get_path_effects()


def test_axes_whose_curves_keep_away_from_the_ends_stay_as_they_were_said() -> None:
    line = Line(label="a", color="#000000", x=(2.0, 8.0), y=(0.4, 0.6))
    panel = Panel(
        name="one",
        title="one",
        x=Axis(title="epoch", low=0.0, high=10.0),
        y=Axis(title="U", low=0.0, high=1.0),
        lines=(line,),
    )
    axes = drawn(Sheet(name="a", headline="", caption="", parts=(panel,))).axes[0]
    assert axes.get_xlim() == (0.0, 10.0)
    assert axes.get_ylim() == (0.0, 1.0)
