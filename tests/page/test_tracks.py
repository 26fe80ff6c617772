"""Tracks on the page: both pictures on one axis, or the reason why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phiscope.figures import track_picture
from phiscope.page.payload import page_data
from phiscope.page.tracks import lowest_strength, picture_frame
from synthetic_runs import Recipe, write_run


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
