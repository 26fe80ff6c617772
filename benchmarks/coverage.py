"""Do nominal 95 % intervals cover the population value 95 % of the time?

Draws many samples of class-clustered features with four kinds of noise spectrum, measures each, and counts how
often the interval of each number holds the value of a sample of two million. Run it with

    python benchmarks/coverage.py [--repeats 400] [--ratio 20]
"""

from __future__ import annotations

import argparse

import numpy as np

import phiscope

P, CLASSES = 32, 4
SPECTRA = {
    "isotropic": np.ones(P),
    "power law": np.arange(1, P + 1) ** -1.0,
    "gap": np.r_[np.ones(CLASSES), np.full(P - CLASSES, 0.05)],
    "two scales": np.r_[np.full(P // 2, 1.0), np.full(P // 2, 0.1)],
}
NUMBERS = (
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "used_variance",
    "participation_ratio_centered",
    "target_alignment",
    "effective_dimension",
    "effective_dimension_centered",
    "stable_rank_centered",
    "rankme",
    "nc1",
    "nc1_bounded",
    "cdnv",
    "readout_r2",
)


def main() -> None:
    """Print one line a spectrum and number: coverage, and the bias left in units of the spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--ratio", type=int, default=20, help="samples a feature, n / p")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    outside = 0
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
        hits = dict.fromkeys(NUMBERS, 0)
        errors: dict[str, list[float]] = {number: [] for number in NUMBERS}
        for _ in range(args.repeats):
            features, labels = draw(args.ratio * P)
            measured = phiscope.diagonalize(features, head=head, targets=labels)
            for number in NUMBERS:
                low, high = measured.interval(number)
                hits[number] += low <= truth[number] <= high
                errors[number].append(measured.estimate(number).value - truth[number])
        for number in NUMBERS:
            coverage = hits[number] / args.repeats
            bias = np.mean(errors[number]) / np.std(errors[number])
            outside += not 0.92 <= coverage <= 0.98
            print(f"{name:<12} {number:<30} coverage {coverage:.3f}   bias / spread {bias:+.2f}", flush=True)
    print(f"{outside} of {len(SPECTRA) * len(NUMBERS)} outside 0.92 .. 0.98")


if __name__ == "__main__":
    main()
