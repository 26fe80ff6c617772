"""What the page's script is given: strict JSON, one slider for runs of other length."""

from __future__ import annotations

import json
from pathlib import Path

from phiscope.page import report
from phiscope.page.payload import page_data
from phiscope.runs import RunWriter, open_run
from synthetic_runs import Recipe, write_run


def test_non_finite_numbers_become_null(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={"loss": float("nan"), "gain": float("inf")}))
    data = page_data({"a": run})
    json.dumps(data, allow_nan=False)
    assert data["runs"][0]["scalars"]["loss"] == [None, None]
    text = report(run, tmp_path / "a.html").read_text("utf-8")
    assert "not finite" in text
    assert "2 values are NaN or infinite and not drawn." in text


def test_runs_of_other_length_share_one_slider(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", Recipe(epochs=(0, 2, 4)))
    b = write_run(tmp_path / "b", Recipe(epochs=(1, 2), splits=("probe",)))
    data = page_data({"a": a, "b": b})
    assert [position["epoch"] for position in data["positions"]] == [0, 1, 2, 4]
    assert [run["at"] for run in data["runs"]] == [[0, 0, 1, 2], [-1, 0, 1, 1]]
    assert data["splits"] == ["train", "test", "probe"]


def test_records_of_one_epoch_are_told_apart_by_step(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0, 1), status=None))
    run = open_run(tmp_path / "run")
    measured = {split: run.records[-1].measurement(split) for split in run.splits}
    RunWriter.create(tmp_path / "run", {}, resume=True).append(1, 99, {}, measured)
    data = page_data({"run": open_run(tmp_path / "run")})
    assert [position["label"] for position in data["positions"]][1:] == ["epoch 1, step 10", "epoch 1, step 99"]
