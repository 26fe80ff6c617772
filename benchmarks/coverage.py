"""Do nominal 95 % intervals cover the population value 95 % of the time?

Draws many samples of class-clustered features, measures each, and counts how often the interval of each number, and the
band of Pi*(k) and Pihat(k) at some k, holds the value of a sample of two million. 600 repeats tell 0.92, 0.95 and 0.98
apart: three standard errors of a share of 0.95 are 0.027. Inside a cluster of eigenvalues that so few samples cannot
tell apart, a band holds every order of the functions: it covers more than 95 %, and only less than 92 % counts there.
Intervals that are refused are counted beside, and judged are those that are given. Run it with

    python benchmarks/coverage.py [--ratios 5 10 20] [--repeats 600] [--p 24] [--spectra isotropic power-law]

Numbers of class means have intervals as long as their distances are not mostly noise; `--signal 0.3` brings the means
closer to each other, and `--anyway` gives intervals also where there are too few samples for them or too uneven shards:
what that would do. With `--groups even` and `uneven` rows come in groups of 6, or of 1 to 30, and are alike in each.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.measurement import reading
from phiscope.measurement.bands import BAND_ERRORS
from phiscope.moments import jackknife
from phiscope.moments.jackknife import NO_INTERVAL
from phiscope.spectrum.clusters import CLUSTER_GAP, degenerate_clusters, relative_sampling_error

CLASSES = 4
SPECTRA = {
    "isotropic": lambda p: np.ones(p),
    "power-law": lambda p: np.arange(1, p + 1) ** -1.0,
    "gap": lambda p: np.r_[np.ones(CLASSES), np.full(p - CLASSES, 0.05)],
    "two-scales": lambda p: np.r_[np.full(p // 2, 1.0), np.full(p - p // 2, 0.1)],
}
"""Variances of the noise about the class centers."""

CURVES = ("cumulative_quality", "cumulative_utilization")
PLACES = (1, 2, 3, 4, 8, 16)
"""Values of k at which bands are judged."""

GROUPS = {"even": (6,), "uneven": (1, 1, 1, 1, 2, 3, 10, 30)}
"""How many rows a group has, drawn for each; on average six."""

ALIKE = 0.4
"""Spread of rows within a group in that of the noise."""

LEAST, MOST = 0.92, 0.98

LOOSE = {"nc2_equiangular", "dynamical_low_rank_random_head"}
"""Numbers whose intervals are wide enough, not tight: they add up errors of parts that may cancel, or have in them the
error of draws, which the value of the large sample shares."""

FEWEST = 100
"""Given intervals from which on a coverage is judged."""


@dataclass
class Count:
    """How often an interval was asked for, given, and right; `loose` ones may be right more often than they say."""

    asked: int = 0
    given: int = 0
    held: int = 0
    loose: bool = False
    errors: list[float] = field(default_factory=list)

    def add(self, interval: tuple[float, float] | None, truth: float) -> None:
        """Count one interval, None where it was refused."""
        self.asked += 1
        if interval is not None:
            self.given += 1
            self.held += interval[0] <= truth <= interval[1]

    @property
    def coverage(self) -> float:
        """Share of the given intervals that hold the truth."""
        return self.held / self.given if self.given else np.nan

    @property
    def outside(self) -> bool:
        """Whether there are enough to say that they hold it too seldom, or too often."""
        return self.given >= FEWEST and not LEAST <= self.coverage <= (1 if self.loose else MOST)


def clustered(eigenvalues: np.ndarray, n: int) -> set[int]:
    """Which k lie inside a cluster, so that the k leading functions depend on an order that n samples do not tell."""
    gap = max(CLUSTER_GAP, BAND_ERRORS * relative_sampling_error(n))
    return {k for start, stop in degenerate_clusters(eigenvalues, gap=gap) for k in range(start + 1, stop)}


class Population:
    """Classes with noise of one spectrum, a head, and the numbers of a sample of two million.

    With `groups` rows come together, and are alike; those of the large sample do, too, so that it weighs them alike.
    """

    def __init__(self, spectrum: np.ndarray, signal: float = 1.0, seed: int = 0, groups: str | None = None) -> None:
        self._rng = np.random.default_rng(seed)
        self._sizes = None if groups is None else GROUPS[groups]
        self._scale = np.sqrt(spectrum)
        self._centers = signal * self._rng.normal(size=(CLASSES, len(spectrum))) * self._scale
        self._head = (self._rng.normal(size=(CLASSES, len(spectrum))), np.zeros(CLASSES))
        self.truth = self.measured(2_000_000, intervals=False)
        self.numbers = [row for row in self.truth.numbers if row not in NO_INTERVAL and not row.endswith("_corrected")]
        self.values = {name: self.truth[name] for name in self.numbers}
        # The best head of the population is what a held-out one is an estimate of.
        self.numbers.append("readout_r2_held_out")
        self.values["readout_r2_held_out"] = self.truth["readout_r2"]

    def measured(self, n: int, *, intervals: bool | None = None) -> phiscope.Measurement:
        """A new sample of n."""
        count = n if self._sizes is None else round(n / np.mean(self._sizes))
        labels = self._rng.integers(0, CLASSES, count)
        features = self._centers[labels] + self._rng.normal(size=(count, len(self._scale))) * self._scale
        groups = None
        if self._sizes is not None:
            groups = np.repeat(np.arange(count), self._rng.choice(self._sizes, count))
            labels, features = labels[groups], features[groups]
            features = features + ALIKE * self._rng.normal(size=features.shape) * self._scale
        words = {"head": self._head, "targets": labels, "groups": groups, "intervals": intervals}
        return phiscope.diagonalize(features, **words)

    def count(self, n: int, repeats: int) -> dict[str, Count]:
        """Coverage of every number and of the bands at some k."""
        counts: dict[str, Count] = defaultdict(Count)
        counts |= {name: Count(loose=name in LOOSE) for name in self.numbers}
        inside = clustered(self.truth.centered.eigenvalues, n)
        places = [k for k in PLACES if k < len(self._scale)]
        for _ in range(repeats):
            measured = self.measured(n)
            for name in self.numbers:
                try:
                    counts[name].add(measured.interval(name), self.values[name])
                except MissingNumberError:
                    counts[name].add(None, self.values[name])
                    continue
                counts[name].errors.append(measured.estimate(name).value - self.values[name])
            for curve in CURVES:
                try:
                    low, high = measured.curve_interval(curve)
                except MissingNumberError:
                    continue
                for k in places:
                    place = f"{curve}({k})"
                    counts[place].loose = k in inside
                    counts[place].add((low[k - 1], high[k - 1]), getattr(self.truth.centered, curve)[k - 1])
        return counts


def cell(counts: list[Count]) -> str:
    """Lowest and highest coverage of one number, marked where one is outside, and the share that was refused."""
    judged = [count for count in counts if count.given >= FEWEST]
    refused = 1 - sum(count.given for count in counts) / max(sum(count.asked for count in counts), 1)
    ends = sorted(count.coverage for count in judged)
    text = f"{ends[0]:.3f} .. {ends[-1]:.3f}" if ends else ""
    mark = " (!)" if any(count.outside for count in judged) else ""
    return text + mark + (f"{', ' * bool(ends)}{refused:.0%} refused" if refused > 0.005 else "")


def main() -> None:
    """Print one line for each spectrum, ratio and number, and a table of all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=600)
    parser.add_argument("--ratios", type=float, nargs="+", default=[5, 10, 20], help="samples a feature, n / p")
    parser.add_argument("--p", type=int, default=24, help="features")
    parser.add_argument("--signal", type=float, default=1.0, help="spread of the class centers in that of the noise")
    parser.add_argument("--spectra", nargs="+", choices=list(SPECTRA), default=["isotropic", "power-law"])
    parser.add_argument("--groups", choices=list(GROUPS), help="rows that come together, six on average")
    parser.add_argument("--anyway", action="store_true", help="also the intervals that too few samples are refused")
    args = parser.parse_args()
    if args.anyway:
        reading.why_too_few = lambda *_: None
        jackknife.LEAST_EVEN = 0.0
    table: dict[str, dict[float, list[Count]]] = defaultdict(lambda: defaultdict(list))
    for name in args.spectra:
        population = Population(SPECTRA[name](args.p), args.signal, groups=args.groups)
        for ratio in args.ratios:
            for label, count in population.count(round(ratio * args.p), args.repeats).items():
                table[label][ratio].append(count)
                note = f"refused {1 - count.given / count.asked:.2f}"
                if count.errors:
                    note += f", bias / spread {np.mean(count.errors) / max(np.std(count.errors), 1e-300):+.2f}"
                print(f"# {name:<11} {ratio:>4g} p {label:<32} {count.coverage:.3f}   {note}", flush=True)
    print(
        f"\np = {args.p}, C = {CLASSES}, {args.repeats} repeats of {', '.join(args.spectra)}, centers {args.signal:g}"
        + (f", {args.groups} groups" if args.groups else "")
    )
    print("nominal 0.95\n")
    print("| number | " + " | ".join(f"n = {ratio:g} p" for ratio in args.ratios) + " |")
    print("|---|" + "---|" * len(args.ratios))
    for label, cells in table.items():
        print(f"| `{label}` | " + " | ".join(cell(cells[ratio]) for ratio in args.ratios) + " |")
    judged = [
        count for cells in table.values() for counts in cells.values() for count in counts if count.given >= FEWEST
    ]
    outside = sum(count.outside for count in judged)
    print(f"\n{outside} of {len(judged)} outside {LEAST} .. {MOST} (inside clusters: below {LEAST})")


if __name__ == "__main__":
    main()
