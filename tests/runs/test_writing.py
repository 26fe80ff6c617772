"""Writing runs: what was completed stays, whatever moment the writer is killed at."""

import math
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
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


def test_finish_says_how_it_ended(writer):
    writer.finish("interrupted", {"test_accuracy": 0.5})
    run = open_run(writer.path)
    assert run.status == "interrupted"
    assert run.results == {"test_accuracy": 0.5}
    with pytest.raises(InputError, match="'completed', 'interrupted' or 'failed'"):
        writer.finish("done")


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


def test_a_torn_last_line_is_left_out_and_cut_off_on_resume(writer, measurement):
    for epoch in range(3):
        writer.append(epoch, None, {"x": epoch}, {"train": measurement})
    lines = writer.path / "scalars.jsonl"
    whole = lines.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for size in range(start + 1, len(whole)):
        lines.write_bytes(whole[:size])
        run = open_run(writer.path)
        assert [record.epoch for record in run.records] == [0, 1]
        assert "torn" in run.warnings[0]
    writer.close()
    again = RunWriter.create(writer.path, {}, resume=True)
    again.append(2, None, {"x": 2}, {"train": measurement})
    run = open_run(writer.path)
    assert [record.scalars["x"] for record in run.records] == [0, 1, 2]
    assert run.warnings == ()


@pytest.mark.parametrize("bad", [{"x": object()}, {"x": math.nan}, {"x": b"raw"}])
def test_a_header_that_json_cannot_carry_is_refused(tmp_path, bad):
    with pytest.raises(InputError, match="the header of a run can hold"):
        RunWriter.create(tmp_path / "run", bad)


def test_scalars_must_be_numbers(writer):
    writer.append(0, None, {"loss": np.float32(0.5), "count": 3}, {})
    assert open_run(writer.path).records[0].scalars == {"loss": 0.5, "count": 3.0}
    with pytest.raises(InputError, match="'loss' must be one number, got list"):
        writer.append(1, None, {"loss": [1, 2]}, {})
    assert len(open_run(writer.path).records) == 1


def test_a_failed_append_leaves_the_run_whole(writer, measurement):
    writer.append(0, None, {}, {"train": measurement})
    with pytest.raises(InputError, match="cannot be stored"):
        writer.append(1, None, {}, {"train": measurement}, {"train": {"x": np.array(["a"])}})
    writer.append(1, None, {}, {"train": measurement})
    assert [record.index for record in open_run(writer.path).records] == [0, 1]


WRITE_FOREVER = """
import sys, numpy as np, phiscope
from phiscope.runs import RunWriter
rng = np.random.default_rng(0)
m = phiscope.diagonalize(rng.normal(size=(30, 4)), outputs=rng.normal(size=(30, 2)))
arrays = {"train": {"x": np.ones((50, 50))}}
writer = RunWriter.create(sys.argv[1], {"name": "loop"}, resume=True)
while True:
    print(writer.n_records, flush=True)
    writer.append(writer.n_records, None, {"x": 1.0}, {"train": m}, arrays)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_killed_at_any_moment_opens_with_each_completed_record(tmp_path):
    rng = np.random.default_rng(0)
    before = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        announced = int(child.stdout.readline())  # the import is over, records are being written
        assert announced >= before  # the run was resumed, not begun anew
        time.sleep(float(rng.uniform(0.02, 0.25)))
        child.send_signal(signal.SIGKILL)
        announced = max([announced, *(int(line) for line in child.stdout.read().split("\n")[:-1] if line)])
        child.wait()
        child.stdout.close()
        run = open_run(tmp_path / "run")
        # When N was announced, records 0..N-1 had been completed; record N may have been too.
        assert len(run.records) in (announced, announced + 1)
        assert [record.index for record in run.records] == list(range(len(run.records)))
        for record in run.records[before:]:
            assert record.measurement("train").n_samples == 30
            assert record.extras("train")["x"].sum() == 2500
        before = len(run.records)
    assert before > 8  # the control: records were written at all
    RunWriter.create(tmp_path / "run", {}, resume=True)
    suffixes = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".jsonl", ".safetensors", ".lock"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_run(tmp_path / "run")
