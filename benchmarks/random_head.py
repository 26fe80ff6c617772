"""How well the mean D_LR of random heads is known, beside as many plain draws as take the same time.

    python benchmarks/random_head.py [--seeds 100]

For each spectrum and number of outputs: the value that phiscope gives (its draws are fixed), the standard error that it
tells, the true one (the spread of results from other draws), and the error that a mean of 32 plain draws has.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np

from phiscope.metrics import random_head

SPECTRA = {
    "k^-1.2, p = 512": np.arange(1, 513) ** -1.2,
    "k^-0.5, p = 512": np.arange(1, 513) ** -0.5,
    "k^-3, p = 64": np.arange(1, 65) ** -3.0,
    "10 of 50, 500 of 1": np.repeat([50.0, 1.0], [10, 500]),
}
OUTPUTS = (1, 2, 9, 46, 99)
PLAIN_DRAWS = 32


def plain(rho: np.ndarray, rank: int, seed: int) -> float:
    """Centered D_LR of one random head."""
    rows = np.sqrt(rho)[:, None] * np.random.default_rng(seed).standard_normal((len(rho), rank))
    overlap = rho @ (np.linalg.qr(rows)[0] ** 2).sum(axis=1)
    return float(1 - overlap / np.sqrt(rank) / np.linalg.norm(rho))


def results(rho: np.ndarray, rank: int, seeds: int) -> np.ndarray:
    """phiscope's value and error from other draws than its own, shape (seeds, 2)."""
    draw, found = np.random.default_rng, []
    for seed in range(seeds):
        with mock.patch.object(random_head.np.random, "default_rng", lambda _, seed=seed: draw(1 + seed)):
            found.append(random_head.random_head_distance(rho, rank))
    return np.array(found)


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    seeds = parser.parse_args().seeds
    print(f"{'spectrum':20s} outputs   value  told error  true error  of {PLAIN_DRAWS} plain draws")
    for name, rho in SPECTRA.items():
        for rank in (outputs for outputs in OUTPUTS if outputs < len(rho)):
            value, told = random_head.random_head_distance(rho, rank)
            true = results(rho, rank, seeds)[:, 0].std(ddof=1)
            before = np.std([plain(rho, rank, seed) for seed in range(seeds)], ddof=1) / np.sqrt(PLAIN_DRAWS)
            print(f"{name:20s} {rank:7d} {value:7.4f}  {told:10.5f}  {true:10.5f}  {before:10.5f}", flush=True)


if __name__ == "__main__":
    main()
