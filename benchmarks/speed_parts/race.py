"""The round robin: every contestant in a process of its own, one run after another, in random order."""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speed_parts.contestants import ALL

FOLDER = Path(__file__).parents[1]
START_TIMEOUT = 300.0
"""Seconds a contestant gets to load its code and to measure a tiny case."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What every contestant has to keep to.

    Attributes:
        repeats: runs of each contestant.
        threads: threads of each process.
        timeout: seconds of wall time for one run.
        budget: a contestant whose runs together would take more wall seconds than this gets fewer, at least one.
        memory: bytes that one may take beyond its inputs.
    """

    repeats: int
    threads: int
    timeout: float
    budget: float
    memory: int


class Racer:
    """A contestant's process, waiting for its turn."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name, self.reason = name, ALL[name].absence()
        self.libraries: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self._rules, self._rest = rules, b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._process: subprocess.Popen[bytes] | None = None
        if self.reason is None:
            job = {"contestant": name, "threads": rules.threads, "memory": rules.memory}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "speed_parts.worker", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=FOLDER,
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(rules.threads)),
            )

    def wait_until_ready(self) -> None:
        """Until it has loaded its code; a contestant that cannot says why and is out."""
        if self.reason is None:
            told = self._answer(START_TIMEOUT)
            self.libraries = told.get("libraries", [])

    def wants_another(self) -> bool:
        """Whether another run fits into its budget."""
        if self.reason is not None:
            return False
        walls = [run["wall"] for run in self.runs]
        return not walls or sum(walls) + min(walls) <= self._rules.budget

    def run(self, folder: Path) -> None:
        """One run of the case in a folder, kept in `runs`; a contestant that fails says why and is out."""
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(f"{folder}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            self._out(self._last_words())
            return
        told = self._answer(self._rules.timeout)
        if self.reason is None:
            self.runs.append(told)

    def _answer(self, timeout: float) -> dict[str, Any]:
        """One line of JSON from the process; {} and a reason when none comes."""
        process = self._process
        if process is None or process.stdout is None:
            return {}
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self._out(f"no answer within {timeout:.0f} s")
                    return {}
                more = os.read(process.stdout.fileno(), 65536)
                if not more:
                    self._out(self._last_words())
                    return {}
                self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        told = dict(json.loads(line))
        if "reason" in told:
            self._out(told["reason"])
        return told

    def _last_words(self) -> str:
        code = self._process.wait() if self._process else 0
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines() or [""]
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}: {lines[-1]}"[:160]

    def _out(self, reason: str) -> None:
        self.reason = reason
        self.stop()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None and not pipe.closed:
                    _close(pipe)
            self._process = None
        self._errors.close()

    def told(self) -> dict[str, Any]:
        """What the JSON keeps of the runs since the last time."""
        found: dict[str, Any] = {key: [run[key] for run in self.runs] for key in ("cpu", "wall")}
        if self.runs:
            found["extra_bytes"] = max(run["extra_bytes"] for run in self.runs)
            found |= {key: value for key, value in self.runs[0].items() if key not in ("cpu", "wall", "extra_bytes")}
        if self.reason is not None:
            found["reason"] = self.reason
        self.runs = []
        return found


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        # A line that was never read is of no use to a process that has ended.
        return


class Race:
    """Contestants that take turns; a context, and when it is left all their processes have ended.

    Args:
        names: contestants.
        rules: how often, how long, how much.
        say: takes the line of progress.
        seed: of the order in each round.
    """

    def __init__(self, names: Sequence[str], rules: Rules, say: Callable[[str], None], seed: int = 0) -> None:
        self._names, self._rules, self._say = names, rules, say
        self._order = random.Random(seed)
        self._racers: list[Racer] = []

    def __enter__(self) -> Race:
        """Start every process, one more while one is waited for: importing is work for one core."""
        try:
            for index, name in enumerate(self._names):
                self._say(f"starting {name} ({index + 1} of {len(self._names)})")
                self._racers.append(Racer(name, self._rules))
                if index:
                    self._racers[index - 1].wait_until_ready()
            for racer in self._racers[-1:]:
                racer.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        for racer in self._racers:
            racer.stop()

    def take(self, folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """All rounds of the case in a folder (see `cases.save_case`), interleaved; what was measured, by name."""
        racers = [racer for racer in self._racers if racer.name in names]
        for number in range(self._rules.repeats):
            for racer in self._order.sample(racers, len(racers)):
                if racer.wants_another():
                    self._say(f"round {number + 1} of {self._rules.repeats}: {racer.name}")
                    racer.run(folder)
        return {racer.name: racer.told() for racer in racers}

    def libraries(self) -> list[dict[str, Any]]:
        """The numerical libraries that the processes loaded, each once."""
        seen: dict[str, dict[str, Any]] = {}
        for racer in self._racers:
            seen |= {json.dumps(library, sort_keys=True): library for library in racer.libraries}
        return list(seen.values())
