"""Lightning: one line in the callbacks, and the training is observed on its own validation data.

python examples/lightning_callback.py [FOLDER]      needs the extras lightning, studies and report
"""

import sys
from pathlib import Path

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.integrations import LightningObserver


class Digits(lightning.LightningModule):
    """A small fully connected network."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("validation_accuracy", (self(batch[0]).argmax(dim=1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main(folder: str = "runs/lightning") -> None:
    """Train, observe, report."""
    lightning.seed_everything(0)
    images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, classes)
    train, validation = torch.utils.data.random_split(data, [1400, len(data) - 1400])
    observer = LightningObserver(run=folder)
    quiet = dict.fromkeys(("logger", "enable_model_summary", "enable_progress_bar", "enable_checkpointing"), False)
    trainer = lightning.Trainer(max_epochs=5, callbacks=[observer], accelerator="cpu", **quiet)
    trainer.fit(Digits(), DataLoader(train, batch_size=32, shuffle=True), DataLoader(validation, batch_size=200))
    run = phiscope.open_run(observer.path)
    print(run.records[-1].measurement())
    print("page:", phiscope.report([run], Path(observer.path) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
