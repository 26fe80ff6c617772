"""A small LightningModule, its data, and a trainer that prints nothing."""

import warnings

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Lit(lightning.LightningModule):
    """Logs in its forward, in its steps, and late: all that a module may do."""

    def __init__(self, width=12, hub_token="hf_abc", data_dir="/somewhere"):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(5, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, x):
        self.log("inside", 1.0)
        return self.net(x)

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def on_train_epoch_end(self):
        self.log("late", float(self.current_epoch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def made(kind=Lit, **settings):
    torch.manual_seed(0)
    return kind(**settings)


def loaders(n=96, validation=64):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n + validation, 5, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return (
        DataLoader(TensorDataset(x[:n], y[:n]), batch_size=16, shuffle=True),
        DataLoader(TensorDataset(x[n:], y[n:]), batch_size=20),
    )


def fitted(module, folder, *callbacks, data=None, ckpt_path=None, **settings):
    quiet = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    with warnings.catch_warnings():
        # Lightning warns about workers, and about what a small test does not have.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lightning.*|.*LeafSpec.*|.*isinstance.*")
        torch.manual_seed(5)
        trainer = lightning.Trainer(callbacks=list(callbacks), **{**quiet, **settings})
        train, validation = data or loaders()
        trainer.fit(module, train, validation, ckpt_path=ckpt_path)
    return trainer
