"""A glance at a run: one number a record, the same records, status and regime as opening it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phiscope.errors import RunFormatError
from phiscope.runs import RunWriter, open_run
from phiscope.runs.glance import GLANCED, glance, lightened
from small_runs import measured


def written(folder: Path, epochs: int, status: str | None = None, **scalars: float) -> RunWriter:
    # Names that look like the file's own words.
    writer = RunWriter.create(folder, {"name": "mine", "splits": ['a "numbers": {"', "b}"]})
    for epoch in range(epochs):
        both = {'a "numbers": {"': measured(epoch), "b}": measured(epoch + 50)}
        writer.append(epoch, 10 * epoch, {"test_accuracy": 0.5, ', "regimes": ': 1.0, **scalars}, both)
    if status:
        writer.finish(status)  # type: ignore[arg-type]
    return writer


def test_a_glance_sees_what_a_list_shows(tmp_path: Path) -> None:
    written(tmp_path / "run", 3, "completed", loss=float("nan"))
    seen, opened = glance(tmp_path / "run").run, open_run(tmp_path / "run")
    assert (seen.status, seen.name, seen.unit) == (opened.status, opened.name, opened.unit)
    for one, whole in zip(seen.records, opened.records, strict=True):
        assert (one.epoch, one.step, str(one.scalars)) == (whole.epoch, whole.step, str(whole.scalars))
        assert one.regime() == whole.regime()
        assert one.splits == whole.splits[:1]
        assert one.numbers() == {GLANCED: whole.numbers()[GLANCED]}


def test_a_running_run_is_read_on_and_an_ended_one_is_let_go(tmp_path: Path) -> None:
    writer = written(tmp_path / "run", 2)
    first = glance(tmp_path / "run")
    writer.append(2, 20, {}, {"b}": measured()})
    second = glance(tmp_path / "run", first)
    assert len(second.run.records) == 3
    assert second.run.records[0] is first.run.records[0]
    writer.finish("completed")
    third = glance(tmp_path / "run", second)
    assert third.lines is None
    assert len(glance(tmp_path / "run", third).run.records) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b'{"numbers": {}}',
        b'{"numbers":{"train":{"nc1":1}},"regimes":{}}',
        b'{"numbers": {"train": {"nc1": 1.0}}}',
        b'{"numbers": {"train": 5}, "regimes": {}}',
    ],
)
def test_lines_of_another_form_are_left_whole(line: bytes) -> None:
    assert lightened(line) == line


def test_the_number_is_that_of_the_first_split() -> None:
    numbers = {"train": {"nc1": 1.0}, "test": {GLANCED: 0.5}}
    line = json.dumps({"index": 0, "numbers": numbers, "regimes": {"train": "minimal"}}).encode()
    assert json.loads(lightened(line))["numbers"] == {"train": {}}
    line = json.dumps({"numbers": {"train": {GLANCED: "nan", "nc1": 2.0}}, "regimes": {}}).encode()
    assert json.loads(lightened(line))["numbers"] == {"train": {GLANCED: "nan"}}


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFormatError, match="does not exist"):
        glance(tmp_path / "nothing")
