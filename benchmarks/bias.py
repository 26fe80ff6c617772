"""What finite n does to D_LR, and what the correction leaves: isotropic features, p = 256, a head of rank 10.

The true value is 1 - sqrt(r/p) = 0.802. Run it with

    python benchmarks/bias.py [--repeats 40]
"""

from __future__ import annotations

import argparse

import numpy as np

import phiscope

P, RANK = 256, 10


def main() -> None:
    """Print mean and standard error of the plain and the corrected number at several n."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    print(f"true {1 - np.sqrt(RANK / P):.4f}, {args.repeats} repeats: mean (standard error)")
    for ratio in (1, 2, 5, 20):
        found: dict[str, list[float]] = {}
        for _ in range(args.repeats):
            basis = np.linalg.qr(rng.normal(size=(P, RANK)))[0].T
            measured = phiscope.diagonalize(rng.normal(size=(ratio * P, P)), head=(basis, None))
            for name in ("dynamical_low_rank", "dynamical_low_rank_corrected", "dynamical_low_rank_centered_corrected"):
                found.setdefault(name, []).append(measured[name])
        row = "   ".join(
            f"{name.removeprefix('dynamical_low_rank') or 'plain'} {np.mean(values):.4f} "
            f"({np.std(values) / np.sqrt(len(values)):.4f})"
            for name, values in found.items()
        )
        print(f"n = {ratio:>2} p   {row}", flush=True)


if __name__ == "__main__":
    main()
