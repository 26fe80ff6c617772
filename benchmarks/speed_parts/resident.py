"""Memory of phiscope itself, each case in a process of its own: `python -m speed_parts.resident CASE N P`.

`stream` feeds N samples of P features in batches that are made on the way. `pass`, `diagonalize` and `read` measure N
samples in an array: the pass alone, then with nothing read, then with everything read; `numbers` reads all but
eigenvectors, and `-shards` gathers the shards that come unasked. `control` holds one P x P array of doubles and nothing
else: it has to come out as 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import phiscope
from phiscope.moments.accumulator import MomentAccumulator
from speed_parts import ours
from speed_parts.cases import Case, Shape, make_case
from speed_parts.memory import Peak
from speed_parts.race import THREAD_VARIABLES

CLASSES = 10
BATCH = 8192


def _stream(n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    accumulator = MomentAccumulator(num_classes=CLASSES, n_shards=None)
    for start in range(0, n, BATCH):
        rows = rng.random((min(BATCH, n - start), p), dtype=np.float32)
        accumulator.update(rows, targets=rng.integers(0, CLASSES, len(rows)))
    accumulator.result_with_shards()


def _diagonalize(case: Case, keywords: dict[str, Any]) -> Any:
    return phiscope.diagonalize(case.features, head=case.head, targets=case.targets, **keywords)


STAGES: dict[str, tuple[Callable[[Case, dict[str, Any]], Any], dict[str, Any]]] = {
    "pass": (ours.pass_alone, {"n_shards": 1}),
    "diagonalize": (_diagonalize, {"intervals": False}),
    "one-number": (ours.one_number, {"intervals": False}),
    "numbers": (ours.numbers, {"intervals": False}),
    "read": (ours.everything, {"intervals": False}),
    "pass-shards": (ours.pass_alone, {"n_shards": None}),
    "diagonalize-shards": (_diagonalize, {}),
    "read-shards": (ours.everything, {}),
}

CASES = ("stream", "control", *STAGES)


def measured(name: str, n: int, p: int) -> dict[str, Any]:
    """Bytes beyond what was there before, in this process; code is loaded and the inputs are made beforehand."""
    if name in STAGES:
        run, keywords = STAGES[name]
        run(make_case(Shape(n=512, p=32, classes=CLASSES)), keywords)
        case = make_case(Shape(n=n, p=p, classes=CLASSES))
        peak = Peak()
        result = run(case, keywords)
    elif name == "stream":
        _stream(10 * BATCH, p)
        peak = Peak()
        result = _stream(n, p)
    elif name == "control":
        peak = Peak()
        result = np.ones((p, p))
    else:
        raise SystemExit(f"there is no case {name!r}; known are {', '.join(CASES)}")
    told = {"extra_bytes": peak.extra(), "memory_method": peak.method}
    del result
    return told


def extra_memory(name: str, n: int, p: int, timeout: float | None = None) -> dict[str, Any]:
    """`measured`, in a new process on one thread.

    Raises:
        RuntimeError: the process failed, with its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "speed_parts.resident", name, str(n), str(p)],
        cwd=Path(__file__).parents[1],
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no words"])[-1])
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print one measurement as JSON."""
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))


if __name__ == "__main__":
    main()
