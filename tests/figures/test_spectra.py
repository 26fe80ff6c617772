"""The picture of the method as data: what it says is checked without drawing anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phiscope
from collapsed import CLASSES, collapsed
from phiscope.figures import (
    Mark,
    operator_figure,
)
from phiscope.figures.spectra import DENSE, DRAWN, drawn_indices


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


def _still(**other: object) -> phiscope.Measurement:
    rng = np.random.default_rng(1)
    known = {
        "features": rng.normal(size=(60, 5)),
        "head": (rng.normal(size=(3, 5)), None),
        "targets": np.arange(60) % 3,
    }
    return phiscope.diagonalize(**(known | other))


MADE_WITHOUT = "Not measured: this record was made without {}."
ARE = "Not measured: the {} are {} on these samples."
SHIFTED = (
    "Not measured: the outputs differ from one another by constants only, and classes do not see a shift that all "
    "share."
)


@pytest.mark.parametrize(
    ("changed", "centered", "notes"),
    [
        ({}, True, ("", "", "")),
        ({"targets": None}, True, ("", MADE_WITHOUT.format("targets"), "")),
        ({"head": None}, True, ("", "", MADE_WITHOUT.format("outputs"))),
        ({"targets": np.zeros(60, int)}, True, ("", ARE.format("targets", "constant"), "")),
        ({"targets": np.zeros(60, int)}, False, ("", "", "")),
        ({"targets": np.ones((60, 3))}, True, ("", ARE.format("targets", "constant"), "")),
        ({"targets": np.zeros((60, 3))}, False, ("", ARE.format("targets", "zero"), "")),
        ({"head": None, "outputs": np.ones((60, 3))}, True, ("", "", ARE.format("outputs", "constant"))),
        ({"head": (np.ones((3, 5)), None)}, True, ("", "", SHIFTED)),
        ({"head": (np.zeros((3, 5)), None)}, False, ("", "", ARE.format("outputs", "zero"))),
        ({"features": np.ones((60, 5))}, True, (ARE.format("features", "constant"),) * 3),
        ({"features": np.zeros((60, 5))}, False, (ARE.format("features", "zero"),) * 3),
    ],
)
def test_an_empty_panel_says_what_is_true_of_it(changed: dict, centered: bool, notes: tuple[str, ...]) -> None:
    """Of constant targets, outputs or features it said that the record had been made without targets or outputs."""
    assert tuple(panel.note for panel in operator_figure(_still(**changed), centered=centered).panels) == notes


def test_classes_that_never_occur_move_no_mark() -> None:
    """Minimal features of two classes end at one, however many names a dataset has."""
    rng = np.random.default_rng(0)
    features, head = rng.normal(size=(60, 5)), (rng.normal(size=(4, 5)), None)
    two = phiscope.diagonalize(features, head=head, targets=np.arange(60) % 2, num_classes=4)
    assert [(m.at, m.label) for m in operator_figure(two, centered=True).panels[0].marks] == [(1, "2 of 4 classes − 1")]
    assert [(m.at, m.label) for m in operator_figure(two).panels[0].marks] == [(2, "2 of 4 classes")]
    one = phiscope.diagonalize(features, head=head, targets=np.zeros(60, int), num_classes=4)
    assert [m.label for m in operator_figure(one, centered=True).panels[0].marks] == ["output rank 3"]
