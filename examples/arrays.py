"""Diagonalize features that are already arrays: no network needed, only features and what is read from them.

python examples/arrays.py
"""

import numpy as np

import phiscope


def main() -> None:
    """Compare features that fell onto their class means with features that did not."""
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 250)
    means = 3 * np.eye(4, 32)  # four orthogonal class means in 32 dimensions
    noise = random.standard_normal((len(classes), 32))

    for name, spread in (("collapsed", 0.05), ("spread out", 2.0)):
        features = means[classes] + spread * noise
        # The head: the best linear readout of the classes, W (C, p) and b (C,).
        design = np.column_stack([features, np.ones(len(features))])
        solution, *_ = np.linalg.lstsq(design, np.eye(4)[classes], rcond=None)
        m = phiscope.diagonalize(features, head=(solution[:-1].T, solution[-1]), targets=classes)

        print(f"{name}: D_LR {m['dynamical_low_rank']:.3f}, NC1 {m['nc1']:.3f}, regime {m.regime}")
        print("  leading eigenvalues rho_k  ", np.round(m.raw.eigenvalues[:6], 2))
        print("  cumulative utilization     ", np.round(m.raw.cumulative_utilization[:6], 3))
        first = m.eigenfunctions(features)[:, 0]
        print(f"  first eigenfunction: mean square {np.mean(first**2):.3f} (normalized: 1)")


if __name__ == "__main__":
    main()
