"""Watch a plain training loop: train on two noisy circles, then read the run and write its page.

python examples/plain_loop.py [FOLDER]      the run is written to FOLDER, else to runs/circles
"""

import sys
from pathlib import Path

import torch
from torch import nn

import phiscope


def circles(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on one of two circles of radius 1 and 2, and which one it was."""
    which = torch.randint(2, (n,))
    angle = 2 * torch.pi * torch.rand(n)
    points = (1.0 + which)[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return points + 0.1 * torch.randn(n, 2), which


def main(folder: str = "runs/circles") -> None:
    """Train, observe, report."""
    torch.manual_seed(0)
    x, y = circles(600)
    test_x, test_y = circles(200)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    probe = {"train": (x, y), "test": (test_x, test_y)}
    with phiscope.Observer(model, probe, run=folder, header={"title": "two circles"}) as observer:
        observer.record(epoch=0)  # the initial state, to see what training changes
        for epoch in range(1, 11):
            for rows in torch.randperm(len(x)).split(50):
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                accuracy = (model(test_x).argmax(dim=1) == test_y).float().mean()
            m = observer.record(epoch=epoch, train_loss=loss, test_accuracy=accuracy)
            print(f"epoch {epoch:2d}  test accuracy {accuracy:.3f}  D_LR {m['dynamical_low_rank']:.3f}")

    run = phiscope.open_run(folder)
    print(run.records[-1].measurement("test"))
    print("page:", phiscope.report([run], Path(folder) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
