"""Figures drawn with matplotlib: every curve and mark is there."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.patches import Polygon, Rectangle

import phiscope
from collapsed import CLASSES, collapsed
from phiscope.errors import MissingDependencyError


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
