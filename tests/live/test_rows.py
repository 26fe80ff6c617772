"""A run as a line of the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from phiscope.live.rows import accuracy_name, folder_bytes, row_of
from phiscope.runs import open_run
from phiscope.runs.glance import glance
from synthetic_runs import Recipe, write_run


def test_a_line_says_what_the_last_measured_record_says(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0, 1, 2, 5)))
    last = open_run(tmp_path / "run").records[-1]
    row = row_of("x/run", glance(tmp_path / "run").run, 12.5)
    assert (row.name, row.title, row.status, row.changed) == ("x/run", "synthetic run", "completed", 12.5)
    assert row.regime == row.regime_words == last.regime("train") == "minimal"
    assert row.lowness == last.numbers("train")["dynamical_low_rank_centered"]
    assert (row.accuracy_name, row.accuracy) == ("test_accuracy", last.scalars["test_accuracy"])
    assert (row.records, row.moment) == (4, "epoch 5")
    assert row.course.count("<polyline") == 2


def test_a_run_without_anything(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(), status=None))
    row = row_of("run", glance(tmp_path / "run").run, 0.0)
    assert (row.regime, row.regime_words, row.status) == ("", "nothing measured yet", "unfinished")
    assert (row.lowness, row.accuracy, row.course, row.records) == (None, None, "", 0)


def test_a_regime_that_cannot_be_told(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0,), outputs=False, scalars={"test_accuracy": float("nan")}))
    row = row_of("run", glance(tmp_path / "run").run, 0.0)
    assert (row.regime, row.regime_words) == ("", "cannot be told")
    assert (row.lowness, row.accuracy) == (None, None)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train_loss", "train_accuracy", "test_accuracy"], "test_accuracy"),
        (["train_accuracy", "probe_acc"], "probe_acc"),
        (["accuracy", "train_acc"], "train_acc"),
        (["eval/accuracy", "train/accuracy"], "eval/accuracy"),
        (["test_r2", "test_loss"], "test_r2"),
        (["train_loss", "lr"], ""),
        ([], ""),
    ],
)
def test_the_accuracy_that_judges(tmp_path: Path, names: list[str], chosen: str) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0,), splits=("train", "probe"), side=0, gallery=False))
    records = [type(run.records[0])(**{**vars(run.records[0]), "scalars": dict.fromkeys(names, 0.5)})]
    assert accuracy_name(records, run.splits) == chosen


def test_the_size_of_a_run_follows_no_link(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0,), side=0, gallery=False))
    expected = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    assert folder_bytes(run.path) == expected
    (tmp_path / "large").write_bytes(bytes(10**6))
    (run.path / "link").symlink_to(tmp_path / "large")
    assert folder_bytes(run.path) == expected
    assert folder_bytes(tmp_path / "nothing") == 0
