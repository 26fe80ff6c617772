"""accelerate: a loop of your own, observed in every process, which a checkpoint resumes with its run.

python examples/accelerate_loop.py [FOLDER]      needs the extras accelerate, studies and report
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.integrations import AccelerateObserver


def main(folder: str = "runs/accelerate") -> None:
    """Train, observe, report."""
    set_seed(0)
    accelerator = Accelerator(cpu=True)
    images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, classes)
    train, validation = torch.utils.data.random_split(data, [1400, len(data) - 1400])
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    model, optimizer, batches, held = accelerator.prepare(
        model,
        torch.optim.Adam(model.parameters(), lr=2e-3),
        DataLoader(train, batch_size=32, shuffle=True),
        DataLoader(validation, batch_size=100),
    )
    # No probe data: the prepared loader that does not shuffle is taken, each sample once, whatever reads it.
    with AccelerateObserver(accelerator, model, run=folder) as observer:
        observer.record(epoch=0)
        for epoch in range(1, 6):
            for x, y in batches:
                loss = nn.functional.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                right = torch.cat([accelerator.gather_for_metrics(model(x).argmax(dim=1) == y) for x, y in held])
            observer.record(epoch=epoch, train_loss=loss, test_accuracy=right.float().mean())
            accelerator.save_state(f"{folder}-checkpoint")
    if accelerator.is_main_process:
        run = phiscope.open_run(observer.path)
        print(run.records[-1].measurement())
        print("page:", phiscope.report([run], Path(observer.path) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
