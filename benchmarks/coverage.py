"""Do nominal 95 % intervals cover the population value 95 % of the time?

Draws many samples of class-clustered features with four kinds of noise spectrum, measures each, and counts how
often the interval of each number, and the band of Pi*(k) and Pihat(k) at some k, holds the value of a sample of two
million. Inside a cluster of eigenvalues that so few samples cannot tell apart, a band holds every order of the
functions: it covers more than 95 %, and only less than 92 % is counted there. Run it with

    python benchmarks/coverage.py [--repeats 400] [--ratio 20]
"""

from __future__ import annotations

import argparse

import numpy as np

import phiscope
from phiscope.measurement.reading import BAND_ERRORS
from phiscope.moments.jackknife import NO_INTERVAL
from phiscope.spectrum.clusters import CLUSTER_GAP, degenerate_clusters, relative_sampling_error

P, CLASSES = 32, 4
SPECTRA = {
    "isotropic": np.ones(P),
    "power law": np.arange(1, P + 1) ** -1.0,
    "gap": np.r_[np.ones(CLASSES), np.full(P - CLASSES, 0.05)],
    "two scales": np.r_[np.full(P // 2, 1.0), np.full(P // 2, 0.1)],
}
CURVES = ("cumulative_quality", "cumulative_utilization")
PLACES = (1, 2, 3, 4, 8, 16, 24)
"""Values of k at which bands are judged."""

LEAST, MOST = 0.92, 0.98


def clustered(eigenvalues: np.ndarray, n: int) -> set[int]:
    """Which k lie inside a cluster, so that the k leading functions depend on an order that n samples do not tell."""
    gap = max(CLUSTER_GAP, BAND_ERRORS * relative_sampling_error(n))
    return {k for start, stop in degenerate_clusters(eigenvalues, gap=gap) for k in range(start + 1, stop)}


def main() -> None:
    """Print one line a spectrum and number: coverage, and the bias left in units of the spread, or where k lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--ratio", type=int, default=20, help="samples a feature, n / p")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    outside = judged = 0
    print(f"p = {P}, C = {CLASSES}, n = {args.ratio * P}, {args.repeats} repeats, nominal 0.95")
    for name, spectrum in SPECTRA.items():
        scale = np.sqrt(spectrum)
        head = (rng.normal(size=(CLASSES, P)), np.zeros(CLASSES))
        centers = rng.normal(size=(CLASSES, P)) * scale

        def draw(n: int, centers: np.ndarray = centers, scale: np.ndarray = scale) -> tuple[np.ndarray, np.ndarray]:
            labels = rng.integers(0, CLASSES, n)
            return centers[labels] + rng.normal(size=(n, P)) * scale, labels

        features, labels = draw(2_000_000)
        truth = phiscope.diagonalize(features, head=head, targets=labels)
        numbers = [row for row in truth.numbers if row not in NO_INTERVAL and not row.endswith("_corrected")]
        hits = dict.fromkeys((*numbers, *((curve, k) for curve in CURVES for k in PLACES)), 0)
        errors: dict[str, list[float]] = {number: [] for number in numbers}
        for _ in range(args.repeats):
            features, labels = draw(args.ratio * P)
            measured = phiscope.diagonalize(features, head=head, targets=labels)
            for number in numbers:
                low, high = measured.interval(number)
                hits[number] += low <= truth[number] <= high
                errors[number].append(measured.estimate(number).value - truth[number])
            for curve in CURVES:
                low, high = measured.curve_interval(curve)
                at = getattr(truth.centered, curve)
                for k in PLACES:
                    hits[curve, k] += low[k - 1] <= at[k - 1] <= high[k - 1]
        inside = clustered(truth.centered.eigenvalues, args.ratio * P)
        for label, count in hits.items():
            coverage = count / args.repeats
            bound = isinstance(label, tuple) and label[1] in inside
            judged += 1
            outside += not LEAST <= coverage <= (1 if bound else MOST)
            if isinstance(label, tuple):
                text, note = f"{label[0]}({label[1]})", "inside a cluster" if bound else "at a gap"
            else:
                text, note = label, f"bias / spread {np.mean(errors[label]) / np.std(errors[label]):+.2f}"
            print(f"{name:<12} {text:<30} coverage {coverage:.3f}   {note}", flush=True)
    print(f"{outside} of {judged} outside {LEAST} .. {MOST} (inside clusters: below {LEAST})")


if __name__ == "__main__":
    main()
