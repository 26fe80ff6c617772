"""Figures as data: what they say is checked without drawing anything."""

from __future__ import annotations

import math
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

import phiscope
from phiscope.errors import MissingDependencyError, ShapeError
from phiscope.figures import (
    Mark,
    class_map,
    degenerate_clusters,
    extreme_samples,
    history_sections,
    operator_figure,
    span_map,
)
from phiscope.figures.draw import measurement_figure
from phiscope.figures.history import TRAINING
from phiscope.figures.spectra import DENSE, DRAWN, drawn_indices
from phiscope.measurement.record import Measurement
from synthetic_runs import Recipe, write_run

CLASSES = 4


def collapsed(classes: int = CLASSES, each: int = 10, p: int = 8) -> Measurement:
    """Features that are nothing but orthogonal class indicators."""
    y = np.repeat(np.arange(classes), each)
    features = np.eye(classes, p)[y]
    return phiscope.diagonalize(features, features[:, :classes], targets=y, num_classes=classes)


def test_collapsed_features_draw_a_spectrum_that_ends_at_the_mark() -> None:
    figure = operator_figure(collapsed(), centered=True)
    spectrum, quality, utilization = figure.panels
    assert [mark.at for mark in spectrum.marks] == [CLASSES - 1]
    assert spectrum.marks[0].label == f"{CLASSES} classes − 1"
    assert spectrum.lines[0].x == (1, 2, 3)
    np.testing.assert_allclose(spectrum.lines[0].y, 1.0, atol=1e-12)
    np.testing.assert_allclose(quality.lines[0].y, [1 / 3, 2 / 3, 1], atol=1e-12)
    np.testing.assert_allclose(utilization.lines[0].y, [1 / 3, 2 / 3, 1], atol=1e-12)
    assert spectrum.y.log
    assert not quality.y.log


def test_the_raw_operator_is_marked_at_the_number_of_classes() -> None:
    panel = operator_figure(collapsed()).panels[0]
    assert [(mark.at, mark.label) for mark in panel.marks] == [(CLASSES, f"{CLASSES} classes")]


def test_regression_is_marked_at_the_output_rank() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5))
    measured = phiscope.diagonalize(features, features[:, :2], targets=features[:, 0])
    assert [mark.label for mark in operator_figure(measured, centered=True).panels[0].marks] == ["output rank 2"]


def test_absent_curves_say_why() -> None:
    figure = operator_figure(phiscope.diagonalize(np.random.default_rng(0).normal(size=(30, 4))))
    assert figure.panels[0].lines
    assert [panel.lines for panel in figure.panels[1:]] == [(), ()]
    assert "targets" in figure.panels[1].note
    assert "outputs" in figure.panels[2].note
    assert figure.panels[2].note in figure.panels[2].description()


def test_several_measurements_share_the_panels() -> None:
    figure = operator_figure([("a", collapsed()), ("b", collapsed())], dashes=["solid", "dashed"])
    lines = figure.panels[0].lines
    assert [(line.label, line.dash) for line in lines] == [("a", "solid"), ("b", "dashed")]
    assert lines[0].color != lines[1].color
    assert len(figure.panels[0].marks) == 1


def test_figures_are_frozen() -> None:
    panel = operator_figure(collapsed()).panels[0]
    with pytest.raises(FrozenInstanceError):
        panel.title = "other"  # type: ignore[misc]


@given(st.integers(1, 20_000))
def test_thinning_keeps_both_ends_and_every_leading_eigenfunction(count: int) -> None:
    kept = drawn_indices(count)
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert len(kept) <= DRAWN
    assert (np.diff(kept) > 0).all()
    assert kept[: min(count, DENSE)].tolist() == list(range(min(count, DENSE)))


def test_nothing_is_thinned_out_around_the_mark() -> None:
    kept = set(drawn_indices(2048, (Mark(at=1000, label="1000 classes"),)).tolist())
    assert {998, 999, 1000, 1001} <= kept
    assert not {898, 899, 900, 901} <= kept


@given(st.lists(st.floats(1e-6, 1e6), min_size=0, max_size=30))
def test_clusters_are_disjoint_and_hold_only_close_neighbors(values: list[float]) -> None:
    rho = np.sort(np.asarray(values))[::-1]
    inside = {k for start, stop in degenerate_clusters(rho) for k in range(start, stop - 1)}
    close = {k for k in range(len(rho) - 1) if rho[k] - rho[k + 1] < 0.05 * rho[k]}
    assert inside == close


def test_class_map_of_collapsed_classes_has_unit_mean_squares() -> None:
    heat = class_map(collapsed(), centered=True, class_names=tuple("abcd"))
    assert heat is not None
    assert heat.row_labels == tuple("abcd")
    values = np.asarray(heat.values)
    np.testing.assert_allclose((values**2).mean(axis=0), 1.0, atol=1e-9)
    assert heat.clusters == ((0, 3),)
    assert heat.low == -heat.high


def test_class_names_of_another_length_are_not_used() -> None:
    heat = class_map(collapsed(), class_names=("only one",))
    assert heat is not None
    assert heat.row_labels[0] == "class 0"


def test_an_empty_class_is_an_empty_row() -> None:
    y = np.repeat([0, 1, 3], 10)
    measured = phiscope.diagonalize(np.random.default_rng(1).normal(size=(30, 5)), targets=y, num_classes=4)
    heat = class_map(measured)
    assert heat is not None
    assert all(math.isnan(value) for value in heat.values[2])
    assert not any(math.isnan(value) for value in heat.values[3])


def test_regression_maps_quality_and_utilization_instead() -> None:
    features = np.random.default_rng(0).normal(size=(60, 5))
    measured = phiscope.diagonalize(features, features[:, :1], targets=features[:, 0])
    assert class_map(measured) is None
    heat = span_map(measured)
    assert heat is not None
    assert len(heat.values) == 2
    assert not heat.diverging
    assert span_map(phiscope.diagonalize(features)) is None


def test_extremes_of_a_ramp() -> None:
    (ends,) = extreme_samples(np.arange(10.0)[:, None], count=2)
    assert (ends.largest, ends.smallest) == ((9, 8), (0, 1))
    assert ends.largest_values == (9.0, 8.0)


def test_no_sample_is_on_both_ends_and_nan_is_left_out() -> None:
    (ends,) = extreme_samples(np.array([[1.0], [math.nan], [3.0], [2.0]]), count=6)
    assert ends.largest == (2,)
    assert ends.smallest == (0,)
    with pytest.raises(ShapeError, match=r"\(g, k\)"):
        extreme_samples([1.0, 2.0])


def test_histories_group_splits_and_put_accuracy_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1, 2), scalars={"test_loss": 3.0, "lr": 0.1}))
    sections = history_sections({"a": run})
    training = sections[0]
    assert training.title == TRAINING
    assert [panel.name for panel in training.panels] == ["accuracy", "loss", "lr"]
    assert [line.dash for line in training.panels[1].lines] == ["solid", "dashed"]
    drawn = {panel.name: panel for section in sections[1:] for panel in section.panels}
    assert set(run.number_names()) == set(drawn)
    last = run.records[-1]
    assert drawn["dynamical_low_rank"].lines[1].y[-1] == last.numbers("test")["dynamical_low_rank"]
    assert drawn["dynamical_low_rank"].lines[0].x == (0.0, 1.0, 2.0)


def test_a_diverged_scalar_leaves_counted_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={"train_error": math.inf}))
    panel = next(panel for panel in history_sections({"a": run})[0].panels if panel.name == "error")
    assert panel.lines[0].gaps == 2
    assert "2 values are NaN or infinite" in panel.note


def test_measurement_figure_draws_all_curves_and_marks() -> None:
    drawing = measurement_figure(collapsed())
    assert len(drawing.axes) == 3
    spectrum = drawing.axes[0]
    assert spectrum.get_yscale() == "log"
    legend = spectrum.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"raw", "centered", "nearly equal"}
    assert {text.get_text() for text in spectrum.texts} == {f"{CLASSES} classes"}
    drawing.canvas.draw()


def test_measurement_figure_shows_what_chance_reaches_and_where_order_means_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(101, 6))
    white = np.linalg.qr(rows - rows.mean(axis=0))[0]
    measured = phiscope.diagonalize(white * [9, 3, 1, 1, 1, 0.2], targets=rng.integers(0, 3, 101))
    drawing = measurement_figure(measured)
    chance = next(line for line in drawing.axes[1].lines if line.get_label() == "by chance")
    np.testing.assert_allclose(chance.get_ydata(), np.arange(1, 7) / 100, rtol=1e-12)
    assert not any(line.get_label() == "by chance" for axes in drawing.axes[::2] for line in axes.lines)
    (span,) = (patch for patch in drawing.axes[0].patches if isinstance(patch, Rectangle))
    assert (round(span.get_x(), 9), round(span.get_x() + span.get_width(), 9)) == (2.7, 5.3)
    drawing.canvas.draw()


def test_measurement_figure_without_outputs_still_draws() -> None:
    drawing = measurement_figure(phiscope.diagonalize(np.random.default_rng(0).normal(size=(30, 4))))
    assert any("Not measured" in text.get_text() for text in drawing.axes[2].texts)
    drawing.canvas.draw()


def test_measurement_figure_names_the_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[figures\]"):
        measurement_figure(collapsed())
