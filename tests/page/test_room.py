"""A long run brings less to a page than it stored: fewer functions, then fewer records, evenly spaced."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phiscope.page.frames import run_frames
from phiscope.page.room import BUDGETS, LEAST_FUNCTIONS, Room, spread
from synthetic_runs import Recipe, write_run


def cells(frame: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(frame["cells"]), np.int8).reshape(-1, frame["n"])


def test_a_long_run_keeps_fewer_functions_and_then_fewer_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=range(9), p=12, n=60, splits=("train",)))
    whole = run_frames(run)["planes"]["train"]["centered"]
    assert {len(frame["scale"]) for frame in whole} == {8}
    # 40 samples, 9 records, two operators: room for six functions, then for less than all records of four.
    monkeypatch.setitem(BUDGETS, "planes", 2 * 9 * 40 * 6)
    few = run_frames(run)["planes"]["train"]["centered"]
    assert [len(frame["scale"]) for frame in few] == [6] * 9
    assert np.array_equal(cells(few[3]), cells(whole[3])[:6])
    monkeypatch.setitem(BUDGETS, "planes", 2 * 3 * 40 * LEAST_FUNCTIONS)
    less = run_frames(run)["planes"]["train"]["centered"]
    assert [place for place, frame in enumerate(less) if frame] == [0, 4, 8]
    assert len(less[0]["scale"]) == LEAST_FUNCTIONS


def test_the_ends_stay_however_little_room_there_is() -> None:
    assert spread([3, 5, 8, 9], 0) == {3, 9}
    assert spread([3, 5, 8, 9], 3) == {3, 8, 9}
    assert spread([], 4) == set()


def test_all_are_shown_until_it_is_known_what_one_takes(tmp_path: Path) -> None:
    room = Room(write_run(tmp_path / "run", Recipe(epochs=range(5), p=6, n=50, side=0, splits=("train",))), 1)
    assert all(room.has("maps", place) for place in range(5))
    room.takes("maps", BUDGETS["maps"] // 3)
    assert [place for place in range(5) if room.has("maps", place)] == [0, 2, 4]
    # A smaller one later changes nothing.
    room.takes("maps", 1)
    assert not room.has("maps", 1)
