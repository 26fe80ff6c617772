"""Rotated eigenfunctions, tracks and logarithmic epochs: what the pictures say, without a browser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phiscope
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import ShapeError
from phiscope.figures import log_epochs, track_picture, turned, turned_map, turned_values
from phiscope.figures.classes import obstacle
from phiscope.figures.tracks import GONE
from phiscope.measurement.record import Measurement
from phiscope.page.charts import rounded
from phiscope.page.payload import page_data
from phiscope.page.tracks import lowest_strength, picture_frame
from phiscope.page.turned import gap_words, turn_of
from synthetic_runs import Recipe, write_run

CLASSES = 4


def features_and_classes(strengths: list[float], n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Features whose centered eigenvalues are near these, with classes mixed into the leading ones."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % CLASSES
    values = rng.normal(size=(n, len(strengths)))
    values[:, :CLASSES] += 2.0 * np.linalg.qr(rng.normal(size=(CLASSES, CLASSES)))[0][y]
    whitened = np.linalg.qr(values - values.mean(axis=0))[0] * math.sqrt(n)
    return whitened * np.sqrt(strengths), y


def measured(strengths: list[float]) -> tuple[Measurement, np.ndarray]:
    features, y = features_and_classes(strengths)
    return phiscope.diagonalize(features, targets=y, num_classes=CLASSES), features


EQUAL = [
    9.0,
    *(4.0 - 0.05 * k for k in range(5)),
    *(2.0 * 0.7**k for k in range(3)),
    *(0.1 - 0.001 * k for k in range(9)),
]


# ---- rotated ---------------------------------------------------------------------------------------


def test_the_leading_part_is_rotated_as_the_whole_is() -> None:
    measurement, _ = measured(EQUAL)
    part, whole = turned(measurement, centered=True, count=4), rotate_to_classes(measurement, centered=True)
    assert part is not None
    kept = part.rotation.shape[0]
    # Wanted were the ten of a class map, and the cluster that the tenth begins goes on to the end.
    assert kept == len(EQUAL)
    np.testing.assert_allclose(part.rotation, whole.rotation[:kept, :kept], atol=1e-12)
    apart, _ = measured([*EQUAL[:9], *(0.1 * 0.7**k for k in range(9))])
    early = turned(apart, centered=True)
    assert early is not None
    # As many as a class map shows: the classes and six.
    assert early.rotation.shape == (10, 10)
    np.testing.assert_allclose(early.rotation, rotate_to_classes(apart, centered=True).rotation[:10, :10], atol=1e-12)


def test_collapsed_classes_become_one_column_each() -> None:
    y = np.repeat(np.arange(CLASSES), 10)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(CLASSES, CLASSES)))[0]
    rotated = turned(phiscope.diagonalize(rotation[y], targets=y, num_classes=CLASSES), centered=False)
    assert rotated is not None
    heat = turned_map(rotated, class_names=tuple("abcd"))
    # Each function is one class's indicator over the root of its share.
    np.testing.assert_allclose(heat.values, math.sqrt(CLASSES) * np.eye(CLASSES), atol=1e-9)
    assert heat.clusters == ((0, CLASSES),)
    assert heat.row_labels == tuple("abcd")


def test_stored_values_turn_as_the_functions_do_and_a_cut_cluster_stays() -> None:
    measurement, features = measured(EQUAL)
    rotated = turned(measurement, centered=True)
    assert rotated is not None
    plain = measurement.eigenfunctions(features[:50], centered=True)
    naive = rotated.eigenfunctions(features[:50])
    values, beyond = turned_values(rotated, plain[:, :6])
    assert (1, 6) in rotated.rotated
    assert beyond == ()
    np.testing.assert_allclose(values, naive[:, :6], atol=1e-9)
    assert np.abs(values - plain[:, :6]).max() > 0.1
    cut, beyond = turned_values(rotated, plain[:, :4])
    assert beyond == ((1, 6),)
    np.testing.assert_array_equal(cut, plain[:, :4])
    with pytest.raises(ShapeError, match=r"\(g, k\)"):
        turned_values(rotated, plain[:, 0])


def test_where_all_strengths_differ_nothing_turns() -> None:
    measurement, features = measured([2.0**-k for k in range(8)])
    plain = measurement.eigenfunctions(features[:50], centered=True)
    turn = turn_of(measurement, plain, centered=True)
    assert turn is not None
    assert turn.frame["ranges"] == turn.frame["beyond"] == []
    assert turn.frame["functions"] == turn.frame["columns"] == {}
    np.testing.assert_array_equal(turn.values, plain)


def test_a_turn_holds_only_what_differs() -> None:
    measurement, features = measured(EQUAL)
    turn = turn_of(measurement, measurement.eigenfunctions(features[:50], centered=True)[:, :12], centered=True)
    assert turn is not None
    assert turn.frame["ranges"][0] == [2, 6]
    assert turn.frame["beyond"] == [[10, 18]]
    assert set(turn.frame["functions"]) == {"2", "3", "4", "5", "6"}
    assert set(turn.frame["columns"]) == {"2", "3", "4", "5", "6", "10"}
    assert turn.frame["columns"]["2"] == [row[1] for row in rounded(turn.heat.values)]
    two = turn.frame["functions"]["2"]
    order = np.argsort(turn.values[:, 1])  # type: ignore[index]
    assert two["ends"][0][0] == order[-1]
    assert two["ends"][1][0] == order[0]
    assert 0 < two["rho"] < 1
    toward = [turn.frame["functions"][str(k)]["toward"] for k in range(2, 7)]
    named = [c for c in toward if c is not None]
    assert 2 <= len(named) == len(set(named))


def test_what_cannot_be_rotated_says_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    assert "needs classes" in obstacle(phiscope.diagonalize(rng.normal(size=(30, 4))), centered=True)
    without = write_run(tmp_path / "a", Recipe(epochs=(0, 1), keep_eigenvectors=0))
    assert "keep_eigenvectors=0" in page_data({"a": without})["runs"][0]["unturned"]["train"]
    values = write_run(tmp_path / "b", Recipe(epochs=(0, 1), classes=None))
    data = page_data({"b": values})["runs"][0]
    assert "needs classes" in data["unturned"]["train"]
    assert data["turns"]["train"]["centered"] == [None, None]
    assert list(data["tracks"]["train"]["centered"]) == ["diagonalized"]
    some = write_run(tmp_path / "c", Recipe(epochs=(0, 1), keep_eigenvectors=3))
    ranges = [pair for frame in page_data({"c": some})["runs"][0]["turns"]["train"]["raw"] for pair in frame["ranges"]]
    assert all(stop <= 3 for _, stop in ranges)


def test_gaps_name_the_sampling_error_where_it_decides() -> None:
    assert gap_words(10_000) == "5 %"
    assert gap_words(50).startswith("20 %, the sampling error")


def test_cells_are_rounded_and_holes_are_none() -> None:
    assert rounded([[0.126, math.nan], [-0.001, math.inf]]) == [[0.13, None], [0.0, None]]
    assert math.copysign(1, rounded([-0.001])[0]) == 1


# ---- tracks ----------------------------------------------------------------------------------------


def functions(seed: int, k: int, g: int = 60) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(g, k)))[0] * math.sqrt(g)


def test_lines_are_named_by_their_place_at_the_last_record() -> None:
    e = functions(0, 3)
    picture = track_picture([(4, e), (7, e[:, [2, 0, 1]]), (9, -e[:, [2, 1, 0]])], ["epoch 0", "epoch 1", "epoch 2"])
    assert picture.records == (4, 7, 9)
    assert [line.places for line in picture.lines] == [(3, 1, 1), (2, 3, 2), (1, 2, 3)]
    assert all(line.alive and line.start == 0 for line in picture.lines)
    assert all(math.isclose(overlap, 1) for line in picture.lines for overlap in line.overlaps)
    assert len({(line.color, line.symbol) for line in picture.lines}) == 3
    assert "3 are recognized one record earlier (epoch 1), 3 all the way back to epoch 0" in picture.note


@pytest.mark.parametrize(("share", "breaks"), [(0.45, True), (0.55, False)])
def test_a_line_breaks_where_the_overlap_falls_below_the_threshold(share: float, breaks: bool) -> None:
    e = functions(1, 3)
    mixed = e[:, [0]] * math.sqrt(share) + e[:, [2]] * math.sqrt(1 - share)
    # The other half goes to a function that is shown at neither record.
    picture = track_picture([(0, e[:, :2]), (1, np.column_stack([mixed, e[:, 1]]))], ["epoch 0", "epoch 1"])
    first = picture.lines[0]
    assert (first.places, first.start) == (((1,), 1) if breaks else ((1, 1), 0))
    lost = [line for line in picture.lines if not line.alive]
    assert [line.color for line in lost] == ([GONE] if breaks else [])
    assert f"{1 if breaks else 2} {'is' if breaks else 'are'} recognized" in picture.note


def test_every_function_of_every_record_is_on_exactly_one_line() -> None:
    records = [functions(seed, k) for seed, k in ((0, 5), (0, 5), (1, 8), (1, 6), (2, 6))]
    picture = track_picture(list(enumerate(records)), [f"epoch {i}" for i in range(5)])
    found = [(line.start + i, place) for line in picture.lines for i, place in enumerate(line.places)]
    assert sorted(found) == [(t, k + 1) for t, table in enumerate(records) for k in range(table.shape[1])]
    assert picture.functions == 8
    assert len({(line.color, line.symbol) for line in picture.lines if line.alive}) == 6


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([], "gallery=0"),
        ([functions(0, 3)], "one record only"),
        ([functions(0, 3), functions(0, 3, g=61)], "different samples"),
        ([functions(0, 3), functions(0, 3) * math.nan], "NaN"),
        ([functions(0, 3, g=3)] * 2, "larger gallery"),
        ([functions(0, 3), np.zeros((60, 0))], "no eigenfunctions"),
    ],
)
def test_where_tracks_are_impossible_the_note_says_why(tables: list[np.ndarray], words: str) -> None:
    picture = track_picture(list(enumerate(tables)), [f"epoch {i}" for i in range(len(tables))])
    assert picture.lines == ()
    assert words in picture.note


def test_a_run_without_gallery_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), gallery=False))
    data = page_data({"a": run})["runs"][0]
    assert "gallery=0" in data["tracks"]["train"]["raw"]["diagonalized"]["note"]
    assert data["track_layouts"] == {}
    # The class map needs no gallery.
    assert any(frame["columns"] for frame in data["turns"]["train"]["centered"])


def test_a_collapsing_run_has_both_pictures_on_one_axis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1, 2)))
    data = page_data({"a": run})["runs"][0]
    both = data["tracks"]["train"]["centered"]
    assert set(both) == {"diagonalized", "rotated"}
    assert both["diagonalized"]["records"] == (0, 1, 2)
    places = [line[1][-1] for line in both["diagonalized"]["lines"] if len(line) > 3]
    assert places == list(range(1, 9))
    low = 10 ** data["track_layouts"]["strength"]["yaxis"]["range"][0]
    assert low < lowest_strength(both["diagonalized"], data["curves"]["train"]["centered"])


def test_the_lowest_strength_is_that_of_lines_that_reach_the_end() -> None:
    frame: dict[str, Any] = {"records": (0, 2), "lines": [[0, (2, 1), [0.9], "#000000", "circle"], [0, (3,), []]]}
    curves = [{"k": [1, 2, 3], "eigenvalues": [1.0, 0.5, 0.001]}, None, {"k": [1], "eigenvalues": [0.7]}]
    assert lowest_strength(frame, curves) == 0.5
    assert lowest_strength({"records": (0, 2), "lines": [[0, (3,), []]]}, curves) == 1.0
    assert picture_frame(track_picture([], []))["lines"] == []


# ---- epochs ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-6), min_size=1, max_size=30))
def test_every_epoch_has_its_own_place_in_order(epochs: list[float]) -> None:
    axis = log_epochs(epochs)
    positive = sorted({epoch for epoch in epochs if epoch > 0})
    assert (axis is None) == (len(positive) < 2)
    if axis is None:
        return
    drawn = positive if axis.zero is None else [axis.zero, *positive]
    assert (axis.zero is None) == (0 not in epochs)
    assert axis.low < drawn[0]
    assert drawn[-1] < axis.high
    assert drawn == sorted(set(drawn))
    assert len(axis.ticks) == len(axis.labels) >= 1
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    if axis.zero is not None:
        assert axis.gap is not None
        assert axis.zero < axis.gap < positive[0]
        assert (axis.ticks[0], axis.labels[0]) == (axis.zero, "0")


def test_a_negative_epoch_has_no_logarithm() -> None:
    assert log_epochs([-1, 1, 10]) is None
    assert log_epochs([math.nan, 1, 10]) == log_epochs([1, 10])
    assert log_epochs([]) is None


def test_an_accuracy_from_chance_on_stays_on_a_linear_axis(tmp_path: Path) -> None:
    from phiscope.figures import history_sections
    from phiscope.page.charts import history_spec

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={}))
    lines = [{"train_accuracy": 0.001, "train_loss": 0.001}, {"train_accuracy": 1.0, "train_loss": 1.0}]
    for record, scalars in zip(run.records, lines, strict=True):
        record.scalars.update(scalars)  # type: ignore[attr-defined]
    panels = {panel.name: panel for panel in history_sections({"a": run})[0].panels}
    assert not panels["accuracy"].y.log
    assert panels["loss"].y.log
    assert history_spec(panels["loss"])["layout"]["yaxis"]["ticktext"][-1] == "1"
