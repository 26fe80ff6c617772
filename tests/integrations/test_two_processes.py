"""Each framework on two processes: every sample once, one run, and an alert that stops both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import phiscope

HELPER = Path(__file__).parent.parent / "helpers" / "two_processes.py"


@pytest.mark.parametrize(
    "framework", ["accelerate", *(pytest.param(name, marks=pytest.mark.slow) for name in ("transformers", "lightning"))]
)
def test_two_processes_measure_603_samples_and_stop_together(tmp_path, framework):
    pytest.importorskip(framework)
    done = subprocess.run(
        [sys.executable, str(HELPER), framework, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = phiscope.open_run(tmp_path / "mine")
    assert [record.measurement().n_samples for record in run.records] == [603, 603, 603]
    assert run.status == "completed"
    assert len(run.alerts) == 1
    assert not (tmp_path / "mine-2").exists()
    if framework != "accelerate":
        return
    alone = phiscope.open_run(tmp_path / "alone").records[0].numbers()
    # Which samples make a shard, or are held out, follows the batches, and each rank has its own.
    whole = {name: value for name, value in alone.items() if not name.endswith(("_corrected", "_held_out"))}
    assert len(whole) > 30
    for name, value in whole.items():
        # Float32 sums of other batches: the network's own rounding.
        assert run.records[0].numbers()[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
