"""The lines of a run: what a line may hold, and that one nobody can read costs itself only."""

import json

import pytest

from phiscope.runs import RunWriter, open_run
from phiscope.runs.layout import SHOWN_WARNINGS
from phiscope.runs.lines import on_branch, read_lines

GOOD = {"index": 0, "epoch": 0.0, "step": None, "seconds": 0.0, "scalars": {}, "numbers": {}}


@pytest.fixture
def folder(tmp_path):
    RunWriter.create(tmp_path, {"name": "mine"}).close()
    return tmp_path


def written(folder, *lines):
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "scalars.jsonl").write_text("".join(f"{text}\n" for text in texts))
    return read_lines(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"index": True},
        {"index": 1.0},
        {"index": -1},
        {"index": 2**60},
        {"epoch": "1"},
        {"epoch": float("nan")},
        {"epoch": float("inf")},
        {"epoch": None},
        {"seconds": []},
        {"step": 1.5},
        {"scalars": []},
        {"scalars": {"a": None}},
        {"scalars": {"a": True}},
        {"numbers": {"train": [1]}},
        {"extras": "train"},
        {"extras": [1]},
        {"branch": "0"},
        {"lineage": [[0]]},
        {"lineage": 3},
        {"absorbs": [5]},
    ],
)
def test_a_line_with_another_kind_of_value_is_left_out(folder, change):
    found = written(folder, GOOD, GOOD | {"index": 1} | change, GOOD | {"index": 2})
    assert [line["index"] for line in found.records] == [0, 2]
    assert found.warnings == ["line 2 of scalars.jsonl cannot be read; that record is left out"]
    assert found.damaged == 1


@pytest.mark.parametrize("text", ["", "null", "[" * 100_000, "1" * 5000, '{"index": 1e999}', "\0" * 50])
def test_a_line_that_is_no_record_is_left_out(folder, text):
    found = written(folder, GOOD, text, GOOD | {"index": 1})
    assert len(found.records) == 2
    assert len(found.warnings) == 1


def test_half_a_character_is_no_text(folder):
    text = json.dumps(GOOD | {"scalars": {"SCALAR": 1.0}})
    found = written(folder, text.replace("SCALAR", "\\ud800"), text.replace("SCALAR", "\\ud83d\\ude00"))
    assert [list(line["scalars"]) for line in found.records] == [["😀"]]


def test_a_line_end_inside_a_text_is_none(folder):
    # U+2028 ends a line for str.splitlines, and stands in JSON as any letter.
    found = written(folder, json.dumps(GOOD | {"scalars": {"a\u2028b\x85c": 1.0}}, ensure_ascii=False))
    assert [list(line["scalars"]) for line in found.records] == [["a\u2028b\x85c"]]


def test_many_bad_lines_are_counted_and_not_listed(folder):
    found = written(folder, *["bad"] * (SHOWN_WARNINGS + 7))
    assert len(found.warnings) == SHOWN_WARNINGS + 1
    assert found.warnings[-1] == "7 more lines of scalars.jsonl cannot be read"


def test_notes_reach_their_records_and_early_ones_are_absorbed(folder):
    found = written(
        folder,
        GOOD | {"early": True, "scalars": {"a": 1.0}},
        GOOD | {"index": 1, "scalars": {"a": 1.0}, "absorbs": [0]},
        {"note": 1, "scalars": {"a": 2.0, "b": "nan"}},
        {"note": 9, "scalars": {"a": 3.0}},
        {"note": "1", "scalars": {}},
    )
    (line,) = found.records
    assert (line["index"], line["scalars"]["a"], str(line["scalars"]["b"])) == (1, 2.0, "nan")
    assert found.warnings == [
        "line 5 of scalars.jsonl cannot be read; that record is left out",
        "1 notes in scalars.jsonl belong to records that cannot be read",
    ]


def test_size_last_line_and_torn_rest(folder):
    whole = json.dumps(GOOD) + "\n"
    (folder / "scalars.jsonl").write_text(whole + whole + '{"ind')
    found = read_lines(folder)
    assert (found.size, found.last.decode(), found.torn) == (2 * len(whole), whole, b'{"ind')
    (folder / "scalars.jsonl").write_text('{"ind')
    assert (read_lines(folder).size, read_lines(folder).last) == (0, b"")


def test_no_lines_at_all(folder):
    found = read_lines(folder)
    assert (found.records, found.next_index, found.size) == ([], 0, 0)
    assert on_branch([], 0) == []


def test_a_header_or_an_end_with_other_kinds_of_values_still_opens(folder):
    header = json.loads((folder / "header.json").read_text())
    header |= {"splits": 5, "class_names": "abc", "input_shape": {"a": 1}}
    (folder / "header.json").write_text(json.dumps(header))
    (folder / "end.json").write_text('{"status": "exploded", "results": [1], "reason": 5}')
    run = open_run(folder)
    assert (run.splits, run.class_names, run.status, run.results, run.reason) == ((), None, "running or killed", {}, "")
    assert len(run.warnings) == 6
    (folder / "end.json").write_text("{")
    assert "how the run ended is not known" in open_run(folder).warnings[-1]
    header["splits"] = [f"s{i}" for i in range(2000)]
    (folder / "header.json").write_text(json.dumps(header))
    assert open_run(folder).splits == ()
