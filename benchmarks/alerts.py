"""When an alert stops a classifier: healthy trainings on digits, and one that is given random labels on the way.

    OMP_NUM_THREADS=1 python benchmarks/alerts.py

Two hidden layers of 128 units, Adam, a record each epoch, the alert of docs/guide/alerts.md on two probes: the 1,400
training samples, and the 397 others. Prints the epoch at which each training was stopped, if it was, and how the
dimension of the features goes in a healthy one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

TRAINED, EPOCHS, LONG, BATCH, SEEDS = 1400, 30, 100, 64, (0, 1, 2)
RANDOM_FROM = 20
"""Epoch after which the labels of the damaged training are random."""


def trained(
    seed: int, *, epochs: int, on_others: bool = False, random_from: int | None = None
) -> tuple[int | None, list[float]]:
    """Train until the alert stops it: the epoch, None where it did not, and the dimension at each record.

    Args:
        seed: of the split, the weights and the order of samples.
        epochs: trained at most.
        on_others: observe the samples that are not trained on.
        random_from: epoch after which labels are random; None for never.
    """
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x = torch.from_numpy(digits.data[order] / 16).float()
    y = torch.from_numpy(digits.target[order]).long()
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    probe = (x[TRAINED:], y[TRAINED:]) if on_others else (x[:TRAINED], y[:TRAINED])
    labels = y[:TRAINED]
    alert = phiscope.Alert("readout_r2_held_out", below=0.9, relative_to="best", patience=3, then="stop")
    with (
        tempfile.TemporaryDirectory() as folder,
        phiscope.Observer(net, {"probe": probe}, run=Path(folder) / "run", alerts=[alert]) as observer,
    ):
        dimensions = [observer.record(epoch=0)["effective_dimension_centered"]]
        for epoch in range(1, epochs + 1):
            if random_from is not None and epoch == random_from + 1:
                labels = labels[torch.randperm(TRAINED)]
            for rows in torch.randperm(TRAINED).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), labels[rows]).backward()
                optimizer.step()
            dimensions.append(observer.record(epoch=epoch)["effective_dimension_centered"])
            if observer.should_stop:
                return epoch, dimensions
    return None, dimensions


def main() -> None:
    """Print one line a kind of training."""
    long = trained(0, epochs=LONG)
    told = [
        (f"training samples, {EPOCHS} epochs", [trained(seed, epochs=EPOCHS) for seed in SEEDS]),
        (f"training samples, {LONG} epochs", [long]),
        (f"labels random after epoch {RANDOM_FROM}", [trained(0, epochs=EPOCHS, random_from=RANDOM_FROM)]),
        (f"397 other samples, {EPOCHS} epochs", [trained(seed, epochs=EPOCHS, on_others=True) for seed in SEEDS]),
    ]
    for kind, trainings in told:
        print(f"{kind}: {', '.join('not stopped' if at is None else f'stopped at epoch {at}' for at, _ in trainings)}")
    print(f"dimension at epochs 0 to 4 of a healthy training: {', '.join(f'{value:.1f}' for value in long[1][:5])}")


if __name__ == "__main__":
    main()
