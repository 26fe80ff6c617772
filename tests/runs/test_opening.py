"""A run's folder before anything is recorded: begun, or taken up again; whatever is there already stays."""

import math

import pytest

import phiscope
from phiscope.errors import InputError, RunExistsError
from phiscope.runs import FORMAT_VERSION, RunWriter, open_run
from small_runs import HEADER


def test_header_gets_its_facts_and_the_run_its_properties(writer):
    run = open_run(writer.path)
    assert run.header["format_version"] == FORMAT_VERSION
    assert run.header["phiscope_version"] == phiscope.__version__
    assert run.header["torch_version"].startswith("2.")
    assert run.name == "mine"
    assert run.splits == ("train", "test")
    assert run.class_names == ("zero", "<b>one</b>")
    assert run.records == ()
    assert run.status == "running or killed"


def test_an_existing_run_is_not_overwritten(writer, tmp_path):
    with pytest.raises(RunExistsError, match="already holds a run"):
        RunWriter.create(writer.path, HEADER)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExistsError, match="is a file"):
        RunWriter.create(tmp_path / "file", HEADER)


def test_resume_goes_on_where_the_run_stopped(writer, measurement):
    writer.append(0, 0, {}, {"train": measurement})
    writer.append(1, 9, {}, {"train": measurement})
    writer.finish()
    again = RunWriter.create(writer.path, {"name": "other"}, resume=True)
    assert (again.n_records, again.last_epoch, again.header["name"]) == (2, 1.0, "mine")
    assert open_run(writer.path).status == "running or killed"
    again.append(2, 18, {}, {"train": measurement})
    run = open_run(writer.path)
    assert [record.index for record in run.records] == [0, 1, 2]
    seconds = [record.seconds for record in run.records]
    assert seconds == sorted(seconds)
    fresh = RunWriter.create(writer.path.parent / "fresh", {}, resume=True)
    assert (fresh.n_records, fresh.header["name"]) == (0, "fresh")


@pytest.mark.parametrize("bad", [{"x": object()}, {"x": math.nan}, {"x": b"raw"}])
def test_a_header_that_json_cannot_carry_is_refused(tmp_path, bad):
    with pytest.raises(InputError, match="the header of a run can hold"):
        RunWriter.create(tmp_path / "run", bad)
