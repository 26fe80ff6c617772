"""Speed and memory of phiscope beside the floors and the peers, on the same features, in one interleaved run.

    make bench                                    everything: writes speed.json, speed.md and pictures to docs/evidence
    make bench ARGS="--quick"                     small shapes, two minutes: whether everything works here
    make bench ARGS="--shapes A --repeats 3"      a part; parts are written to build/bench and leave docs alone
    make bench ARGS="--shapes 20000x256x10 --contestants pass numbers floor-symmetric-blocks --no-growth"
    make bench ARGS="--shapes D P --contestants pass numbers everything floor-symmetric-blocks floor-eigh"
    make bench ARGS="--render docs/evidence/speed.json"     the page again, without measuring

Every contestant of a shape has a process of its own, all with the same number of threads; they take turns, in another
random order each round. docs/evidence/speed.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed_parts import machine, resident
from speed_parts.cases import Shape, save_case
from speed_parts.contestant import EIGEN, EIGENS
from speed_parts.contestants import ALL
from speed_parts.memory import available
from speed_parts.race import Race, Rules
from speed_parts.tables import plain_table

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
SHAPES = {
    "A": Shape(n=50_000, p=512, classes=10),
    "B": Shape(n=10_000, p=2048, classes=100),
    "C": Shape(n=50_000, p=512, classes=1000),
}
MORE_SHAPES = {
    # ImageNet's validation set through a ResNet-50, and a probe of fewer samples than features.
    "D": Shape(n=50_000, p=2048, classes=1000),
    "P": Shape(n=2_000, p=4096, classes=10),
}
GROWTH = {
    "n": [Shape(n=n, p=128, classes=10) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)],
    "p": [Shape(n=10_000, p=p, classes=10) for p in (128, 256, 512, 1024, 2048, 4096, 8192)],
}
MEMORY = [
    *(("stream", f"streamed in batches of {resident.BATCH:,}", n, 32) for n in (10**5, 10**6, 10**7)),
    ("control", "control: one p x p array of doubles", 0, 2048),
    ("pass", "pass alone, no shards", 10_000, 2048),
    ("one-number", "D_LR alone, no shards", 10_000, 2048),
    ("diagonalize", "`diagonalize(intervals=False)`, nothing read", 10_000, 2048),
    ("numbers", "`diagonalize(intervals=False)`, all numbers and curves", 10_000, 2048),
    ("read", "`diagonalize(intervals=False)`, and the eigenvectors", 10_000, 2048),
    ("diagonalize-shards", "`diagonalize()`, nothing read", 10_000, 2048),
    ("read-shards", "`diagonalize()`, all numbers, curves and eigenvectors", 10_000, 2048),
]
QUICK_SHAPES = {"quick": Shape(n=4_000, p=128, classes=10)}
QUICK_GROWTH = {
    "n": [Shape(n=n, p=64, classes=10) for n in (1_000, 10_000, 100_000)],
    "p": [Shape(n=2_000, p=p, classes=10) for p in (64, 128, 256, 512)],
}


class Progress:
    """One line on a terminal, rewritten; one line a step elsewhere."""

    def __init__(self) -> None:
        self._start, self._tty, self.title = time.monotonic(), sys.stderr.isatty(), ""

    def minutes(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self._start) / 60

    def __call__(self, words: str) -> None:
        """A step inside the case that `title` names."""
        if self._tty:
            print(f"\r\033[K{self._line(words)}", end="", file=sys.stderr, flush=True)

    def case(self, title: str) -> None:
        """A new case."""
        self.title = title
        if self._tty:
            self("")
        else:
            print(self._line(""), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a table."""
        if self._tty:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _line(self, words: str) -> str:
        seconds = int(time.monotonic() - self._start)
        return f"{seconds // 60:3d}:{seconds % 60:02d}  {self.title}{'  ' + words if words else ''}"[:150]


def shape_of(text: str) -> tuple[str, Shape]:
    """A to D, P, or N x P x C.

    Example:
        >>> shape_of("100x8x2")
        ('100x8x2', Shape(n=100, p=8, classes=2))
    """
    named = SHAPES | MORE_SHAPES
    if text in named:
        return text, named[text]
    if re.fullmatch(r"\d+x\d+x\d+", text):
        n, p, classes = map(int, text.split("x"))
        if n >= 2 and p >= 1 and classes >= 2:
            return text, Shape(n=n, p=p, classes=classes)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no shape, expected {', '.join(named)} or NxPxC such as 20000x256x10 with two classes or more"
    )


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small shapes, three repeats")
    parser.add_argument("--shapes", nargs="+", type=shape_of, metavar="SHAPE", help="A to D, P or NxPxC; default A B C")
    parser.add_argument("--contestants", nargs="+", choices=list(ALL), metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contestant; default 5")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process; default 1")
    parser.add_argument("--budget", type=float, default=30.0, help="wall seconds of all runs of one contestant")
    parser.add_argument("--timeout", type=float, default=300.0, help="wall seconds of one run")
    parser.add_argument("--memory", type=float, default=6.0, help="GiB that one may take beyond its inputs")
    parser.add_argument("--growth", nargs="*", choices=("n", "p"), help="growth series; default both, without --shapes")
    parser.add_argument("--no-growth", dest="growth", action="store_const", const=[], help="no growth series")
    parser.add_argument("--no-memory", action="store_true", help="without the table of memory")
    parser.add_argument("--seed", type=int, default=0, help="of the features and of the order")
    parser.add_argument(
        "--out", type=Path, help="folder; default docs/evidence for a whole run, build/bench for a part"
    )
    parser.add_argument("--render", type=Path, metavar="JSON", help="make the page from this file, measure nothing")
    args = parser.parse_args(words)
    for name in ("repeats", "threads", "budget", "timeout", "memory"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name} is {getattr(args, name)}, expected more than 0")
    if args.render and not args.render.is_file():
        parser.error(f"--render {args.render} is no file; make bench writes docs/evidence/speed.json")
    args.whole = not (args.quick or args.shapes or args.contestants or args.growth is not None or args.no_memory)
    if args.growth is None:
        args.growth = [] if args.shapes else ["n", "p"]
    args.no_memory = args.no_memory or bool(args.shapes)
    args.repeats = min(args.repeats, 3) if args.quick else args.repeats
    return args


def chosen(args: argparse.Namespace) -> list[str]:
    """Names of the contestants, with the floors that the chosen ones are held against."""
    if not args.contestants:
        return list(ALL)
    needed = {floor for name in args.contestants for floor in ALL[name].floors}
    needed |= set(EIGENS) if EIGEN in needed else set()
    return [name for name in ALL if name in needed | set(args.contestants)]


def rules_of(args: argparse.Namespace) -> Rules:
    """What the contestants have to keep to; never more memory than the machine can give."""
    free, memory = available(), int(args.memory * 2**30)
    memory = memory if free is None else min(memory, int(0.8 * free))
    return Rules(
        repeats=args.repeats, threads=args.threads, timeout=args.timeout, budget=args.budget, memory=memory
    )  # fmt: skip


def series(
    cases: Sequence[tuple[str, Shape]], names: Sequence[str], args: argparse.Namespace, say: Progress
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cases that share their processes: what was measured, and the numerical libraries."""
    found = []
    say.case(cases[0][0])
    with Race(names, rules_of(args), say, args.seed) as race:
        for name, shape in cases:
            say.case(f"{name} {shape}")
            growing = name.startswith("growth")
            entered = [name for name in names if not growing or ALL[name].widest >= shape.p]
            with tempfile.TemporaryDirectory(prefix="speed-") as folder:
                say("making the features")
                # Growth is about time: without reference eigenvalues, which would take as long as a contestant.
                save_case(shape, Path(folder), reference=not growing, seed=args.seed)
                rows = race.take(Path(folder), entered)
            case = {"name": name, "shape": {"n": shape.n, "p": shape.p, "classes": shape.classes}, "rows": rows}
            say.clear()
            print(plain_table(case) + "\n", flush=True)
            found.append(case)
        return found, race.libraries()


def measure_memory(say: Progress) -> list[dict[str, Any]]:
    """Memory of phiscope alone, each row in a process of its own."""
    found = []
    for case, label, n, p in MEMORY:
        say.case(f"memory: {case} n {n} p {p}")
        row: dict[str, Any] = {"case": case, "label": label, "n": n, "p": p}
        try:
            row |= resident.extra_memory(case, n, p, timeout=600)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            row["reason"] = str(error)
        found.append(row)
    say.clear()
    return found


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as the JSON holds it."""
    say, names = Progress(), chosen(args)
    found: dict[str, Any] = {
        "format": 1,
        "command": "make bench" + (f' ARGS="{shlex.join(args.words)}"' if args.words else ""),
        "machine": machine.facts(),
        "commit": machine.commit(),
        "versions": machine.versions(row.package for row in ALL.values()),
        "settings": {key: getattr(args, key) for key in ("repeats", "threads", "budget", "timeout", "seed")},
        "cases": [],
        "growth": {"n": [], "p": []},
        "memory": [],
    }
    found["settings"]["memory_gib"] = args.memory
    libraries: dict[str, Any] = {}
    shapes = args.shapes or list((QUICK_SHAPES if args.quick else SHAPES).items())
    # A process for each shape, so that no memory of an earlier one hides what this one takes.
    for case in shapes:
        cases, loaded = series([case], names, args, say)
        found["cases"] += cases
        libraries |= {json.dumps(library, sort_keys=True): library for library in loaded}
    for along in args.growth:
        sizes = [(f"growth in {along}", shape) for shape in (QUICK_GROWTH if args.quick else GROWTH)[along]]
        entered = [name for name in names if ALL[name].widest >= sizes[0][1].p]
        found["growth"][along], loaded = series(sizes, entered, args, say)
        libraries |= {json.dumps(library, sort_keys=True): library for library in loaded}
    if not args.no_memory and not args.quick:
        found["memory"] = measure_memory(say)
    found["libraries"], found["minutes"] = list(libraries.values()), say.minutes()
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    args = parsed(words)
    args.words = list(sys.argv[1:] if words is None else words)
    # Imported late: measuring needs no drawing library.
    from speed_parts.page import render

    folder = args.out or (EVIDENCE if args.whole or args.render else ROOT / "build" / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    if args.render:
        found = json.loads(args.render.read_text(encoding="utf-8"))
    else:
        found = measured(args)
        (folder / "speed.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {os.path.relpath(folder / 'speed.json')}")
    for path in render(found, EVIDENCE / "speed.md", folder):
        print(f"wrote {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        sys.exit(130)
