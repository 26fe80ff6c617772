"""Two gloo processes measure together; the checks are in `distributed_jobs`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "helpers"


def run(job, out, n_ranks=2):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "distributed_jobs.py"), job, str(n_ranks), str(out)]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(n_ranks)]


@pytest.mark.parametrize(
    "job", ["Together", *(pytest.param(job, marks=pytest.mark.slow) for job in ("Sharded", "Observed", "Late"))]
)
def test_all_checks_of_a_job_pass_on_every_rank(job, tmp_path):
    told = run(job, tmp_path)
    assert told[0].keys() == told[1].keys() != set()
    failed = [f"{name} on rank {r}:\n{said}" for r, one in enumerate(told) for name, said in one.items() if said]
    assert failed == [], "\n".join(failed)
