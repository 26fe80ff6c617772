"""The page grows in line with its records, and records that were left out do not break it."""

import json
import time
from dataclasses import replace

import pytest

import phiscope
from phiscope.figures import history_sections
from phiscope.page.build import page_text
from phiscope.page.number_rows import last_values, section_rows
from phiscope.page.payload import page_data, slider_positions
from phiscope.runs import Record, Run, RunWriter, open_run
from synthetic_runs import Recipe, write_run


def run_of(folder, count, numbers=False):
    """Records of two scalars, with a few measured numbers where asked for, but no files."""
    RunWriter.create(folder, {"name": "long", "splits": ["train"]}).close()
    line = {"step": None, "seconds": 0.0, "scalars": {"train_loss": 1.0, "lr": 0.1}}
    line["numbers"] = {"train": {"nc1": 1.0, "rankme": 2.0}} if numbers else {}
    rows = (line | {"index": i, "epoch": i / 100} for i in range(count))
    (folder / "scalars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_run(folder)


def test_no_part_walks_through_all_records_for_each_record(tmp_path, monkeypatch):
    walks = {}

    class Counted(tuple):
        def __iter__(self):
            walks[len(self)] = walks.get(len(self), 0) + 1
            return super().__iter__()

    for count in (50, 400):
        run = run_of(tmp_path / str(count), count)
        page_text({"a": Run(**{**vars(run), "records": Counted(run.records)})})
    # As many walks for eight times the records.
    assert walks[400] == walks[50]


def test_four_thousand_records_take_seconds(tmp_path):
    seconds = {}
    for count in (1000, 4000):
        run = run_of(tmp_path / str(count), count)
        phiscope.report([run], tmp_path / "warm.html")
        started = time.process_time()
        phiscope.report([run], tmp_path / "page.html")
        seconds[count] = time.process_time() - started
    # 4 in line, 16 with the square; it was 11 for these two.
    assert seconds[4000] < 8 * seconds[1000]


def test_the_slider_of_many_measured_records(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", 3000, numbers=True)
    # As if each record had its file.
    records = tuple(replace(record, splits=("train",), damage="") for record in run.records)
    run = Run(**{**vars(run), "records": records})
    keys, several = slider_positions([run])
    assert (len(keys), several) == (3000, False)
    rows = [row for section in history_sections({"a": run}) for row in section_rows(section, last_values({"a": run}))]
    cells = {row.name: [cell.text for _, _, found in row.values for cell in found] for row in rows}
    assert cells == {"loss": ["1"], "lr": ["0.1"], "nc1": ["1"], "rankme": ["2"]}


def test_positions_find_the_last_record_by_then_also_where_a_run_steps_back(tmp_path):
    run = write_run(tmp_path / "run", Recipe(epochs=(0, 2, 4), p=6, n=30, side=0, gallery=False))
    lines = (run.path / "scalars.jsonl").read_text().splitlines()
    again = [json.loads(line) | {"index": 3 + i, "epoch": 1.0 + i} for i, line in enumerate(lines[:2])]
    (run.path / "scalars.jsonl").write_text("\n".join([*lines, *map(json.dumps, again)]) + "\n")
    for index, source in ((3, 0), (4, 1)):
        for split in ("train", "test"):
            file = run.path / "records" / f"00000{source}.{split}.safetensors"
            (run.path / "records" / f"00000{index}.{split}.safetensors").write_bytes(file.read_bytes())
    data = page_data({"a": open_run(run.path)})
    assert [position["epoch"] for position in data["positions"]] == [0, 1, 2, 4]
    assert data["runs"][0]["at"] == [0, 3, 4, 4]


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_record_left_out_does_not_break_the_page(tmp_path, lost):
    run = write_run(tmp_path / "run", Recipe(epochs=(0, 1, 2, 3), p=10, n=60))
    path = run.path / "scalars.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[lost] = "\0" * (len(lines[lost]) - 1) + "\n"
    path.write_text("".join(lines))
    run = open_run(run.path)
    assert len(run.records) == 3
    page = phiscope.report([run], tmp_path / "page.html").read_text()
    assert "that record is left out" in page
    tracks = page_data({"a": run})["runs"][0]["tracks"]["train"]["raw"]["diagonalized"]
    # Positions among the records that are there, which the page's script looks up.
    assert list(tracks["records"]) == [0, 1, 2]


def test_splits_are_gathered_once(tmp_path):
    run = run_of(tmp_path / "run", 3)
    assert run.splits is run.splits
    assert run.number_names() is run.number_names()
    assert isinstance(run.records[0], Record)
