"""Checkpoints after the fact: a training that nobody observed, measured from what it saved.

python examples/replay_checkpoints.py [FOLDER]      needs the extras studies and report
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope


def build() -> nn.Module:
    """The network whose weights are saved."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 64) in 0..1, and classes."""
    images, classes = load_digits(return_X_y=True)
    return torch.as_tensor(images).float() / 16, torch.as_tensor(classes)


def train(folder: Path) -> None:
    """An ordinary training that saves its weights after every epoch."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model, (x, y) = build(), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.save({"epoch": 0, "model": model.state_dict()}, folder / "epoch-0.pt")
    for epoch in range(1, 6):
        for rows in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        torch.save({"epoch": epoch, "model": model.state_dict()}, folder / f"epoch-{epoch}.pt")


def main(folder: str = "runs/replayed") -> None:
    """Train, replay, report."""
    train(Path(folder) / "checkpoints")
    x, y = digits()
    probe = {"train": (x[:1400], y[:1400]), "test": (x[1400:], y[1400:])}
    run = phiscope.replay(build(), f"{folder}/checkpoints/*.pt", probe, run=f"{folder}/run")
    for record in run.records:
        print(f"epoch {record.epoch:g}  S_init {record.numbers('train')['initial_kernel_similarity']:.3f}")
    print("page:", phiscope.report([run], Path(folder) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
