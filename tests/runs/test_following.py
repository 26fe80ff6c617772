"""A run that is followed: what is new is read, and a mark says what came after it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phiscope.errors import RunFormatError
from phiscope.runs import RunWriter, following, open_run
from phiscope.runs.following import FollowedRun
from small_runs import measured

HEADER = {"name": "mine", "splits": ["train"]}


@pytest.fixture
def open_writer(tmp_path: Path) -> RunWriter:
    writer = RunWriter.create(tmp_path / "run", HEADER)
    for epoch in range(3):
        add(writer, epoch)
    return writer


def add(writer: RunWriter, epoch: float, **scalars: float) -> None:
    writer.append(epoch, int(10 * epoch), {"train_loss": 1.0 / (1 + epoch), **scalars}, {"train": measured(int(epoch))})


def same(followed: FollowedRun) -> bool:
    """Whether the followed run is what opening it gives."""
    path = followed.look().run.path
    return replace(followed.look().run, warnings=()) == replace(open_run(path), warnings=())


def test_new_records_are_read_on_and_old_ones_stay(open_writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = FollowedRun(open_writer.path)
    first = followed.look()
    assert followed.look() is not first
    assert followed.look() == first
    assert followed.first_since(first.mark) == 3
    monkeypatch.setattr(following, "read_lines", lambda *_: pytest.fail("all lines were read again"))
    add(open_writer, 3)
    second = followed.look()
    assert [record.epoch for record in second.run.records] == [0, 1, 2, 3]
    assert all(new is old for new, old in zip(second.run.records, first.run.records, strict=False))
    assert second.mark != first.mark
    assert (followed.first_since(first.mark), followed.first_since(second.mark)) == (3, 4)
    assert same(followed)


def test_a_look_without_news_reads_no_file(open_writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = FollowedRun(open_writer.path)
    followed.look()
    monkeypatch.setattr(following, "read_appended", lambda *_: pytest.fail("a file was read"))
    followed.look()


def test_a_late_note_changes_its_record_and_no_look_before(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    before = followed.look()
    open_writer.note(1, None, {"train_loss": 9.0})
    after = followed.look()
    assert after.run.records[1].scalars["train_loss"] == 9.0
    assert before.run.records[1].scalars["train_loss"] == 0.5
    assert followed.first_since(before.mark) == 1
    assert same(followed)


def test_early_notes_are_absorbed(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    before = followed.look()
    open_writer.note(3, 30, {"train_loss": 5.0})
    assert [record.splits for record in followed.look().run.records] == [("train",)] * 3 + [()]
    add(open_writer, 3)
    assert followed.first_since(before.mark) == 3
    assert len(followed.look().run.records) == 4
    assert same(followed)


def test_the_end_of_a_run_is_a_change_without_records(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    open_writer.finish("interrupted", reason="enough")
    after = followed.look()
    assert (after.run.status, after.run.reason) == ("interrupted", "enough")
    assert after.mark != mark
    assert followed.first_since(mark) == 3


def test_a_number_that_was_never_there_before_needs_a_new_page(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    add(open_writer, 3, test_accuracy=0.5)
    later = followed.look().mark
    assert followed.first_since(mark) is None
    add(open_writer, 4, test_accuracy=0.6)
    followed.look()
    assert followed.first_since(mark) is None
    assert followed.first_since(later) == 4


def test_another_branch_needs_a_new_page(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    open_writer.go_on_from(0)
    add(open_writer, 1)
    assert [record.epoch for record in followed.look().run.records] == [0, 1]
    assert followed.first_since(mark) is None
    assert same(followed)


@pytest.mark.parametrize("mark", ["", "x", "x-0", "-0", "0-x", "1" * 5000])
def test_foreign_marks_are_worth_nothing(open_writer: RunWriter, mark: str) -> None:
    followed = FollowedRun(open_writer.path)
    opening = followed.look().mark.partition("-")[0]
    assert followed.first_since(mark) is None
    assert followed.first_since(f"{opening}-7") is None
    assert followed.first_since(f"{opening}--1") is None


def test_a_half_written_line_waits_for_its_end(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    lines = open_writer.path / "scalars.jsonl"
    row: dict[str, Any] = {"index": 3, "epoch": 3.0, "step": 30, "seconds": 1.0, "scalars": {}, "numbers": {}}
    text = json.dumps(row)
    with lines.open("a") as file:
        file.write(text[:20])
    assert len(followed.look().run.records) == 3
    assert followed.look().run.warnings == ()
    with lines.open("a") as file:
        file.write(text[20:] + "\n")
    assert len(followed.look().run.records) == 4
    assert followed.first_since(mark) == 3


@pytest.mark.parametrize("change", ["cut", "replaced", "damaged", "header"])
def test_what_is_no_continuation_is_opened_anew(open_writer: RunWriter, change: str) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    lines = open_writer.path / "scalars.jsonl"
    rows = lines.read_bytes().splitlines(keepends=True)
    if change == "cut":
        os.truncate(lines, len(rows[0]))
    elif change == "replaced":
        lines.write_bytes(rows[0] + rows[2])
    elif change == "damaged":
        lines.write_bytes(b"".join(rows) + b"nonsense\n")
    else:
        header = json.loads((open_writer.path / "header.json").read_text())
        (open_writer.path / "header.json").write_text(json.dumps(header | {"title": "another"}))
    look = followed.look()
    assert look.run == open_run(open_writer.path)
    assert followed.first_since(mark) is None


def test_a_run_that_is_deleted_and_comes_back(open_writer: RunWriter) -> None:
    followed = FollowedRun(open_writer.path)
    mark = followed.look().mark
    kept = open_writer.path.with_name("kept")
    shutil.copytree(open_writer.path, kept)
    shutil.rmtree(open_writer.path)
    with pytest.raises(RunFormatError, match="does not exist"):
        followed.look()
    assert followed.first_since(mark) is None
    kept.rename(open_writer.path)
    assert len(followed.look().run.records) == 3
    assert followed.first_since(mark) is None


def test_a_run_that_begins_after_it_is_followed(tmp_path: Path) -> None:
    followed = FollowedRun(tmp_path / "run")
    with pytest.raises(RunFormatError):
        followed.look()
    writer = RunWriter.create(tmp_path / "run", HEADER)
    assert followed.look().run.records == ()
    add(writer, 0)
    assert len(followed.look().run.records) == 1
