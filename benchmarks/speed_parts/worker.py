"""One process, one contestant: `python -m speed_parts.worker '{...}'`.

It warms up on a tiny case and says that it is ready. Then each line it reads names the folder of a case and asks for
one run; each run is one line of JSON in return. Between runs it holds no features, so many such processes can wait.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import platform
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

import torch
from threadpoolctl import threadpool_info

from speed_parts.cases import Case, Shape, load_case, load_reference, make_case, worst_error
from speed_parts.contestant import Contestant
from speed_parts.contestants import ALL
from speed_parts.memory import Peak, limit

WARM = Shape(n=512, p=32, classes=3)
"""A case so small that running it only loads code and starts threads."""


def sentence(error: BaseException) -> str:
    """The first line of an error with its kind, short enough for a table."""
    text = (str(error).strip().splitlines() or [""])[0]
    return textwrap.shorten(f"{type(error).__name__}: {text}".rstrip(": "), 160, placeholder=" ...")


WARM_SECONDS = 1.0
"""What takes less is run once uncounted when its turn comes: in the meantime others have had the caches for minutes."""


def one_run(row: Contestant, folder: Path, *, judge: bool, warm: bool) -> dict[str, Any]:
    """Seconds of one run and its extra memory; with `judge` also the errors of its eigenvalues."""
    case: Case = load_case(folder)
    prepared = row.prepared(case)
    if warm:
        row.run(case, prepared)
    give_back()
    peak = Peak()
    wall, cpu = time.perf_counter(), time.process_time()
    result = row.run(case, prepared)
    told: dict[str, Any] = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    told |= {"extra_bytes": peak.extra(), "memory_method": peak.method}
    reference = load_reference(folder) if judge and row.read is not None else None
    if row.read is not None and reference is not None:
        told["relative_error"], told["error_of_largest"] = worst_error(row.read(case, result), reference)
    return told


def give_back() -> None:
    """Hand freed memory back to the system, so that the next run's extra memory is not hidden in it."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def libraries() -> list[dict[str, Any]]:
    """What the numerical libraries say about themselves, without paths."""
    kept = ("internal_api", "version", "num_threads", "architecture", "threading_layer", "prefix")
    return [{key: pool[key] for key in kept if key in pool} for pool in threadpool_info()]


def serve(row: Contestant, memory: int, answers: TextIO) -> None:
    """Warm up, then one run for each line of standard input."""

    def answer(told: dict[str, Any]) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    tiny = make_case(WARM)
    try:
        row.run(tiny, row.prepared(tiny))
    except Exception as error:  # any package may fail in any way; the table says how
        answer({"reason": sentence(error)})
        return
    answer({"ready": True, "libraries": libraries()})
    judged: set[Path] = set()
    quick = False
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        give_back()
        shape = Shape(**json.loads((folder / "shape.json").read_text(encoding="utf-8")))
        # Beyond its inputs: the float32 features, and for two floors the same in float64.
        limit(memory + 12 * shape.n * shape.p)
        try:
            # The first run of a case is cold: it tells how long one takes and how much memory.
            told = one_run(row, folder, judge=folder not in judged, warm=quick and folder in judged)
            quick = told["wall"] < WARM_SECONDS
            answer(told)
        except Exception as error:
            answer({"reason": sentence(error)})
            return
        judged.add(folder)


def main() -> None:
    """Serve with the number of threads that the job names; the parent set the libraries' variables before this."""
    job = json.loads(sys.argv[1])
    # Packages print to standard output, so the answers get a copy of it and the packages standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Advice that packages print about themselves is not ours to pass on.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(job["threads"])
    serve(ALL[job["contestant"]], job["memory"], answers)


if __name__ == "__main__":
    main()
