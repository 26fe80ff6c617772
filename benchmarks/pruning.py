"""Units of a small network removed by every rule, with and without compensation: accuracy on digits it never saw.

    python benchmarks/pruning.py             8 seeds, about four minutes on one core
    python benchmarks/pruning.py --seeds 2

A fully connected network 64-128-64-10 (ReLU, Adam 2e-3, 40 epochs, batches of 32) on 1,300 of scikit-learn's digits;
the last hidden layer keeps 16 or 8 of its 64 units, and nothing is trained afterwards. Prints mean and standard
deviation over seeds; differences within one row of seeds are what counts, not the second digit.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import phiscope
from phiscope.surgery import compress_head, remove_units

RULES = (
    ("random", "labels"),
    ("magnitude", "labels"),
    ("std_magnitude", "labels"),
    ("gradient", "labels"),
    ("exact", "labels"),
    ("greedy", "labels"),
    ("greedy", "outputs"),
)
CUTS = ((16, False), (16, True), (8, True))
EIGEN = (10, 8, 5)


def trained(x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    """One network."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(40):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share right."""
    with torch.no_grad():
        return float((net(x).argmax(dim=1) == y).float().mean())


def main(seeds: int) -> None:
    """Train, cut, print."""
    images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        (x, y), held = ((images[part], classes[part]) for part in (order[:1300], order[1300:]))
        net = trained(x, y, seed)
        found["whole network"].append(accuracy(net, *held))
        for rule, target in RULES:
            for keep, compensate in CUTS:
                cut = remove_units(
                    net,
                    (x, y),
                    keep=keep,
                    rule=rule,
                    target=target,
                    compensate=compensate,
                    seed=seed,  # type: ignore[arg-type]
                )
                words = f"{rule}, {target}: {keep} units, {'compensated' if compensate else 'means in place'}"
                found[words].append(accuracy(cut.model, *held))
        m = phiscope.measure(net, (x, y))
        for k in EIGEN:
            short = nn.Sequential(*net[:4], compress_head(m, (net[4].weight, net[4].bias), k))
            found[f"head on {k} eigenfeatures"].append(accuracy(short, *held))
    for words, values in found.items():
        print(f"{words:52s} {np.mean(values):.3f} +- {np.std(values, ddof=1) if seeds > 1 else float('nan'):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    main(parser.parse_args().seeds)
