"""Eigenfunctions rotated toward the classes, on the page: only what differs, or the reason why nothing turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import phiscope
from phiscope.figures.classes import obstacle
from phiscope.page.charts import rounded
from phiscope.page.payload import page_data
from phiscope.page.turned import gap_words, turn_of
from rotated_features import EQUAL, measured
from synthetic_runs import Recipe, write_run


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
