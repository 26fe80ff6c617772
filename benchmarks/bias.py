"""What finite n does to D_LR, participation ratio and target alignment, and what the correction leaves.

Isotropic features, p = 256, a head of rank 10 that fits its targets exactly. The true values are D_LR = 1 - sqrt(r/p)
= 0.802, PR / p = 1 and alignment sqrt(r/p) = 0.198. Run it with

    python benchmarks/bias.py [--repeats 40]
"""

from __future__ import annotations

import argparse

import numpy as np

import phiscope

P, RANK = 256, 10


def main() -> None:
    """Print mean and standard error of the plain and the corrected numbers at several n."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    true = np.sqrt(RANK / P)
    truth = {
        "dynamical_low_rank": 1 - true,
        "dynamical_low_rank_centered": 1 - true,
        "participation_ratio": 1.0,
        "participation_ratio_centered": 1.0,
        "target_alignment": true,
    }
    print(f"{args.repeats} repeats: mean (standard error); participation ratios over p")
    for ratio in (1, 2, 5, 20):
        found: dict[str, list[float]] = {}
        for _ in range(args.repeats):
            basis = np.linalg.qr(rng.normal(size=(P, RANK)))[0].T
            features = rng.normal(size=(ratio * P, P))
            measured = phiscope.diagonalize(features, head=(basis, None), targets=features @ basis.T)
            for name in truth:
                unit = P if "ratio" in name else 1
                for which in (name, f"{name}_corrected"):
                    found.setdefault(which, []).append(measured[which] / unit)
        for name, value in truth.items():
            plain, better = (
                f"{np.mean(values):.4f} ({np.std(values) / np.sqrt(len(values)):.4f})"
                for values in (found[name], found[f"{name}_corrected"])
            )
            print(f"n = {ratio:>2} p   {name:<28} true {value:.4f}   plain {plain}   corrected {better}", flush=True)


if __name__ == "__main__":
    main()
