"""Eigensolvers by hand and by library: whose time is a measurement's time, and who lets other threads go on?

    python benchmarks/eigensolvers.py                            p = 512, one thread: minutes
    python benchmarks/eigensolvers.py --parts symmetric --p 1024 2048 4096 --threads 1
    python benchmarks/eigensolvers.py --parts leading --p 4096 8192 --k 64 --spectra bulk
    python benchmarks/eigensolvers.py --parts whole --p 2048 --n 20000 --classes 1000

Parts: `symmetric` decomposes a p x p matrix, `rows` p / 2 rows of p features, `leading` looks for the k leading pairs
of a formed covariance and of the second moment, `whole` calls `phiscope.diagonalize` as it is and with a library's
solvers put in the place of its own.

Every solver has a process of its own with the same number of threads; they take turns in another random order each
round. Figures are the least of all rounds: what else the machine does can only add to them, and *noise* (the median
over the least CPU time) tells how much it did. Ratios divide by the first row; above 1 a solver takes longer than
phiscope. *wait* is the longest time for which another thread of the process that asked to sleep for a millisecond was
held up, *memory* what the call takes beyond its input, in p x p arrays of doubles, both of a run of their own.
*error* is the largest of any eigenvalue in eps rho_1 (`leading`: relative) from those of the row that the part names as
truth, *residual* that of an eigenpair in eps rho_1, *orthog.* the distance of the eigenvectors from orthonormal in eps.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from eigen_parts.turns import Turns
from speed_parts import machine
from speed_parts.race import THREAD_VARIABLES

PARTS = ("symmetric", "rows", "leading", "whole")
HEADS = ("", "CPU s", "wall s", "CPU ratio", "wall ratio", "noise", "wait ms", "memory", "error", "residual", "orthog.")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--p", nargs="+", type=int, default=[512], help="features")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="of each process")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each solver and job")
    words = "default: the first of a part; symmetric: decay half graded; rows: decay graded; leading: decay spikes bulk"
    parser.add_argument("--spectra", nargs="+", help=words)
    parser.add_argument("--jobs", nargs="+", help="default: all of a part")
    parser.add_argument("--solvers", nargs="+", help="default: all of a part; the first row is always there")
    parser.add_argument("--n", type=int, help="rows of the parts `rows` and `whole`; default p / 2 and 2 p")
    parser.add_argument("--k", type=int, default=64, help="leading pairs")
    parser.add_argument("--classes", type=int, default=100, help="of the part `whole`")
    parser.add_argument("--json", type=Path, help="append every figure to this file, one line a table")
    args = parser.parse_args()
    for name in ("repeats", "k", "classes"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name} is {getattr(args, name)}, expected more than 0")
    if min(*args.p, *args.threads, args.n or 1) <= 0:
        parser.error(f"--p {args.p} --threads {args.threads} --n {args.n}: expected numbers above 0")
    return args


def chosen(known: Sequence[str], asked: Sequence[str] | None) -> list[str]:
    """What of the known was asked for; all without a wish."""
    return [name for name in known if asked is None or name in asked]


def errors(told: dict[str, dict[str, Any]], truth: str) -> dict[str, float]:
    """Largest difference of any eigenvalue from the truth's, in eps rho_1, or relative where that was asked for."""
    if truth not in told:
        return {}
    expected = told[truth]["values"]
    found = {}
    for name, row in told.items():
        away = np.abs(row["values"][: len(expected)] - expected[: len(row["values"])])
        scale = expected[: len(away)] if row.get("relative") else np.finfo(np.float64).eps * expected.max()
        found[name] = float((away / scale).max())
    return found


def table(told: dict[str, dict[str, Any]], unit: float) -> list[list[str]]:
    """The rows of a table, the first one's time as the unit of all ratios; memory in `unit` bytes."""
    first = next(iter(told.values()))
    rows = []
    for name, row in told.items():
        cpu, wall = min(row["cpu"]), min(row["wall"])
        quality = [f"{row[key]:.1f}" if key in row else "" for key in ("residual", "orthogonal")]
        if "bound" in row:
            quality = [f"bound {row['bound']:.0e}", row["words"]]
        rows.append([
            name, f"{cpu:.4g}", f"{wall:.4g}", f"{cpu / min(first['cpu']):.2f}", f"{wall / min(first['wall']):.2f}",
            f"{median(row['cpu']) / cpu:.2f}", f"{1e3 * row['wait']:.0f}", f"{row['memory'] / unit:.1f}",
            f"{row['error']:.2g}" if "error" in row else "", *quality,
        ])  # fmt: skip
    return rows


def shown(rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    lines = [HEADS, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(HEADS))]
    sides = [str.ljust, *[str.rjust] * (len(HEADS) - 1)]
    return "\n".join(
        "  " + "  ".join(side(text, width) for side, text, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in lines
    )


def measure(part: str, p: int, threads: int, args: argparse.Namespace) -> None:
    """Every table of one part, one size and one number of threads."""
    module = import_module(f"eigen_parts.{part}")
    known = list(module.SOLVERS)
    names = chosen(known, None if args.solvers is None else [known[0], *args.solvers])
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with Turns(part, names, threads) as turns, tempfile.TemporaryDirectory() as folder:
        for spectrum in chosen(module.SPECTRA, args.spectra or module.SPECTRA[:1]):
            module.write(Path(folder), p, spectrum, n=args.n, k=args.k, classes=args.classes)
            for job in chosen(module.JOBS, args.jobs):
                told = turns.take(job, Path(folder), args.repeats)
                for name, error in errors(told, module.TRUTH).items():
                    told[name]["error"] = error
                about = {"part": part, "p": p, "threads": threads, "spectrum": spectrum, "job": job}
                print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
                print(shown(table(told, 8 * p * p)), end="\n\n", flush=True)
                if args.json:
                    kept = {name: {**row, "values": None} for name, row in told.items()}
                    with args.json.open("a", encoding="utf-8") as lines:
                        print(json.dumps({**about, "told": kept, **machine.facts()}), file=lines)


def main() -> None:
    """Print the tables."""
    args = parsed()
    print(", ".join(f"{key} {value}" for key, value in machine.facts().items()))
    print(", ".join(f"{key} {value}" for key, value in machine.versions(()).items()), end="\n\n")
    for part in args.parts:
        for p in args.p:
            for threads in args.threads:
                measure(part, p, threads, args)


if __name__ == "__main__":
    main()
