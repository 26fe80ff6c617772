"""What the slider shows: one entry a record, colors that mean the same throughout, and no more cells than fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phiscope.figures import class_map
from phiscope.page import room
from phiscope.page.charts import rounded
from phiscope.page.frames import curve_frame, evidence_frame, interval_frame, map_frame, run_frames
from synthetic_runs import Recipe, write_run


def test_every_record_has_an_entry_of_each_kind(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1, 2)))
    made = run_frames(run)
    for split in run.splits:
        for mode in ("raw", "centered"):
            for kind in ("curves", "maps", "gallery", "turns"):
                assert len(made[kind][split][mode]) == 3, kind
        assert len(made["regimes"][split]) == len(made["intervals"][split]) == 3
    last = run.records[-1].measurement("test")
    assert made["curves"]["test"]["centered"][-1] == curve_frame(last, centered=True)
    assert made["regimes"]["test"][-1] == evidence_frame(last)
    assert made["regimes"]["test"][-1]["regime"] == last.regime
    # Colors mean the same at every record: the largest range of all.
    ranges = [class_map(record.measurement("test"), centered=True).high for record in run.records]  # type: ignore[union-attr]
    assert made["map_specs"]["test", "centered"].high >= max(ranges) * (1 - 1e-12)
    del made["map_specs"], made["tracks"]
    json.dumps(made, allow_nan=False)


def test_a_map_has_two_decimals_and_counts_from_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 9)))
    heat = class_map(run.records[-1].measurement(), centered=True)
    assert heat is not None
    frame = map_frame(heat)
    assert frame["z"] == rounded(heat.values)
    assert frame["clusters"] == [[start + 1, stop] for start, stop in heat.clusters]


def test_more_cells_than_fit_leave_out_maps_but_never_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=range(8), splits=("train",)))
    everything = run_frames(run)["maps"]["train"]["raw"]
    assert None not in everything
    monkeypatch.setitem(room.BUDGETS, "maps", 500)
    kept = run_frames(run)["maps"]["train"]["raw"]
    assert kept[0] == everything[0]
    assert kept[-1] == everything[-1]
    assert 2 <= sum(frame is not None for frame in kept) < 8


def test_records_without_measurements_and_numbers_without_intervals_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0,), outputs=False))
    measured = run.records[0].measurement()
    assert evidence_frame(measured) is None
    assert curve_frame(measured, centered=False)["cumulative_utilization"] is None
    intervals = interval_frame(measured)
    assert "participation_ratio" in intervals
    assert set(intervals) <= set(measured.numbers)
    low, high = measured.interval("participation_ratio")
    assert intervals["participation_ratio"] == pytest.approx([low, high], rel=1e-2)
