"""Solvers in processes of their own that take turns: seconds, memory, and how long other threads had to wait.

A module of solvers (`symmetric`, `rows`, `leading`, `whole`) has `JOBS`, `SOLVERS` (functions of a case and a job),
`write` and `load` for its cases, and `judge`, which says how good a result is.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from speed_parts.memory import Peak

TICK = 0.001
"""Seconds that the waiting thread asks to sleep."""


def longest_wait(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work returns, and the longest time in seconds that a thread beside it could not turn."""
    done, longest = threading.Event(), 0.0

    def turn() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(TICK)
            now = time.perf_counter()
            longest, last = max(longest, now - last - TICK), now

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        result = work()
    finally:
        done.set()
        thread.join()
    return result, longest


def one_run(part: str, name: str, job: str, folder: Path, *, judged: bool) -> dict[str, Any]:
    """Seconds of one run; a judged one, which also wakes what sleeps, says the wait, the memory and the errors."""
    module = import_module(f"eigen_parts.{part}")
    case = module.load(folder)
    work = partial(module.SOLVERS[name], case, job)
    gc.collect()
    if judged:
        peak = Peak()
        result, wait = longest_wait(work)
        return {"wait": wait, "memory": peak.extra(), **module.judge(case, job, result)}
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


class Turns:
    """A process for each solver; a context. The number of threads is what the environment says when it is entered."""

    def __init__(self, part: str, names: list[str], threads: int, seed: int = 0) -> None:
        self._part, self._order = part, random.Random(seed)
        context = get_context("spawn")
        self._pools = {
            name: ProcessPoolExecutor(1, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,))
            for name in names
        }

    def __enter__(self) -> Turns:
        """The processes start when they are first asked."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End every process."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def take(self, job: str, folder: Path, repeats: int) -> dict[str, dict[str, Any]]:
        """One judged run and so many timed ones of each solver, in another random order each round."""
        told: dict[str, dict[str, Any]] = {name: {"cpu": [], "wall": []} for name in self._pools}
        for number in range(repeats + 1):
            for name in self._order.sample(list(self._pools), len(self._pools)):
                run = self._pools[name].submit(one_run, self._part, name, job, folder, judged=not number).result()
                if number:
                    told[name]["cpu"].append(run["cpu"])
                    told[name]["wall"].append(run["wall"])
                else:
                    told[name] |= run
        return told
