"""Which eigenfunction of the last record was which before, as data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phiscope.figures import track_picture
from phiscope.figures.tracks import GONE


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
