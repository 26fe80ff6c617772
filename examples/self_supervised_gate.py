"""A self-supervised encoder without a head, and a gate that stops it at dimensional collapse.

Two noisy views of an image shall have equal features. Nothing keeps them apart, so that the encoder learns to give all
images the same ones: the loss falls and falls, and the gate says that this is no success.

python examples/self_supervised_gate.py [FOLDER]      needs the extras studies and report
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope


def main(folder: str = "runs/collapse") -> None:
    """Train until the gate stops it, then show what led there."""
    torch.manual_seed(0)
    images = torch.as_tensor(load_digits().data).float() / 16
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    gate = phiscope.Alert("effective_dimension_centered", below=0.5, relative_to="best", patience=2, then="stop")

    # features="output": there is no head, so what needs outputs is absent, with the reason.
    settings = {"features": "output", "alerts": [gate], "header": {"title": "an encoder that collapses"}}
    with phiscope.Observer(encoder, images[:600], run=folder, **settings) as observer:
        observer.record(epoch=0)
        for epoch in range(1, 101):
            for rows in torch.randperm(len(images)).split(64):
                one, other = (encoder(images[rows] + 0.3 * torch.randn(len(rows), 64)) for _ in range(2))
                loss = nn.functional.mse_loss(one, other)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            m = observer.record(epoch=epoch, train_loss=loss)
            print(f"epoch {epoch:3d}  loss {loss:.5f}  dimension {m['effective_dimension_centered']:.2f}")
            if observer.should_stop:
                break

    run = phiscope.open_run(folder)
    print("stopped:", run.alerts[0]["sentence"])
    print("page:", phiscope.report([run], Path(folder) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
