"""A run that the last version of format 1 wrote opens, has its page, and can be gone on with.

The run in `format1` was written at commit b665176: digits of no meaning, epochs 0 to 4, then a resume from epoch 2
that format 1 could only append.
"""

import json
import math
import shutil
from pathlib import Path

import pytest

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.runs import FORMAT_VERSION, RunWriter, open_run

STORED = Path(__file__).parent / "format1"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(STORED, tmp_path / "old"))


def test_everything_is_there(folder):
    run = open_run(folder)
    assert run.header["format_version"] == 1 < FORMAT_VERSION
    assert [record.epoch for record in run.records] == [0, 1, 2, 3, 4, 3, 4, 5]
    assert [len(record.splits) for record in run.records] == [2, 0, 2, 0, 2, 0, 2, 0]
    assert (run.status, run.results["accuracy"], run.reason, run.warnings) == ("completed", 0.5, "", ())
    assert (run.branches, run.hidden) == ((0,), 0)
    assert math.isnan(run.records[1].scalars["broken"])
    assert run.class_names == ("a", "b", "c")
    for record in run.records:
        for split in record.splits:
            assert record.measurement(split).to_dict() == record.numbers(split)
            assert record.extras(split)["gallery_raw"].shape == (8, 6)
    assert run.gallery("test").inputs.shape == (8, 4)
    assert "initial_kernel_similarity" in run.records[2].numbers()
    assert "initial_kernel_similarity" not in run.records[6].numbers()


@pytest.mark.parametrize("name", ["within_class_variance", "between_class_variance", "initial_kernel_similarity_raw"])
def test_numbers_of_later_versions_are_absent_with_the_reason(folder, name):
    m = open_run(folder).records[0].measurement("train")
    assert name not in m
    with pytest.raises(MissingNumberError, match="made without it"):
        m[name]


def test_it_has_a_page(folder, tmp_path):
    assert "written by format 1" in phiscope.report([folder], tmp_path / "page.html").read_text()


def test_going_on_makes_it_a_run_of_this_format(folder):
    before = (folder / "scalars.jsonl").read_bytes()
    writer = RunWriter.create(folder, {}, resume=True)
    writer.append(4, None, {"x": 1.0}, {})
    writer.note(4, None, {"y": 2.0})
    writer.finish()
    assert json.loads((folder / "header.json").read_text())["format_version"] == FORMAT_VERSION
    assert (folder / "scalars.jsonl").read_bytes().startswith(before)
    run = open_run(folder)
    assert run.records[-1].scalars == {"x": 1.0, "y": 2.0}
    assert len(run.branch(0).records) == 8
    assert run.header["title"] == "written by format 1"
