"""The exact greedy order of many units beside the least it can take: one inverse of the same matrix.

    python benchmarks/greedy.py [--p 4096] [--threads 2]

Prints processor time of each and their ratio; random features, ten classes, `score_units` of a fresh measurement: its
eigenvectors, the order, and the held-out score. How good the order is, `phiscope reproduce pruning` shows.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import phiscope
from phiscope.surgery import score_units


def main(p: int, threads: int) -> None:
    """Measure, order, compare, print."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(2 * p, p)).astype(np.float32), rng.integers(0, 10, 2 * p)
    measured = phiscope.diagonalize(features, targets=classes)
    began = time.process_time()
    score_units(measured, rule="greedy")
    took = time.process_time() - began
    matrix = torch.as_tensor(np.cov(features, rowvar=False)) + torch.eye(p, dtype=torch.float64)
    began = time.process_time()
    torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    floor = time.process_time() - began
    print(f"greedy order of {p} units: {took:.1f} s of processor time, {threads} thread(s)")
    print(f"one inverse of the same matrix: {floor:.1f} s; ratio {took / floor:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    main(args.p, args.threads)
