"""What a record costs a training of seconds: digits, three hidden layers of 256 units, an epoch of 1,400 samples.

    OMP_NUM_THREADS=1 python benchmarks/tiny.py

Prints processor time of a record with each setting beside that of an epoch of the same training, medians of seven; two
splits, 1,400 and 397 samples. Where records are this dear beside the training, the schedule decides: see
docs/guide/observing.md, "Trainings of seconds".
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "corrected=False": {"corrected": False},
    "corrected=False, gallery=0": {"corrected": False, "gallery": 0},
}


def seconds(work: Callable[[], object], times: int = 7) -> float:
    """Median processor time of some work."""
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return median(took)


def main() -> None:
    """Train a little, record, print."""
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    splits = {"train": (x[:1400], y[:1400]), "test": (x[1400:], y[1400:])}
    widths = (64, 256, 256, 256, 10)
    layers = [part for sizes in itertools.pairwise(widths) for part in (nn.Linear(*sizes), nn.ReLU())][:-1]
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def epoch() -> None:
        for batch in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()

    epoch()
    trained = seconds(epoch)
    print(f"an epoch: {1e3 * trained:.0f} ms")
    for name, options in SETTINGS.items():
        count = itertools.count()
        with tempfile.TemporaryDirectory() as folder:
            observer = phiscope.Observer(network, splits, run=Path(folder) / "run", **options)
            record = seconds(lambda count=count, observer=observer: observer.record(epoch=next(count)))  # type: ignore[misc]
            print(f"a record, {name}: {1e3 * record:.0f} ms, {record / trained:.1f} epochs")
            before = time.process_time()
            observer.close()
            print(f"  bands of the last record, at the end: {1e3 * (time.process_time() - before):.0f} ms")


if __name__ == "__main__":
    main()
