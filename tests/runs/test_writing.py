"""Writing runs: what was completed stays, whatever moment the writer is killed at."""

import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.runs import RunWriter, open_run


def test_finish_says_how_it_ended(writer):
    writer.finish("interrupted", {"test_accuracy": 0.5})
    run = open_run(writer.path)
    assert run.status == "interrupted"
    assert run.results == {"test_accuracy": 0.5}
    with pytest.raises(InputError, match="'completed', 'interrupted' or 'failed'"):
        writer.finish("done")


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
