"""Small networks and data: a training takes a fraction of a second, and has everything that can be disturbed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Sampler, TensorDataset

SAMPLES, CLASSES, BATCH = 96, 3, 16
X = torch.randn(SAMPLES, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(SAMPLES) % CLASSES
# Other samples than those of the training: the probe is a data set of its own.
PROBE_X = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
PROBE_Y = torch.arange(60) % CLASSES


class Net(nn.Module):
    """A convolution, a linear layer and a head.

    Args:
        dropout: with dropout after both layers.
        batch_norm: with batch norm after the convolution.
        checkpointed: the body runs a second time in the backward pass, which saves memory.
    """

    def __init__(self, *, dropout: bool = False, batch_norm: bool = False, checkpointed: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 4, 3)]
        layers += [nn.BatchNorm2d(4)] if batch_norm else []
        layers += [nn.ReLU(), *([nn.Dropout2d(0.3)] if dropout else []), nn.Flatten(), nn.Linear(64, 16), nn.ReLU()]
        layers += [nn.Dropout(0.2)] if dropout else []
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(16, CLASSES)
        self.checkpointed = checkpointed

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, 3) of images (n, 1, 6, 6)."""
        if self.checkpointed:
            phi: Any = checkpoint(self.body, x, use_reentrant=False)
            return self.head(phi)
        return self.head(self.body(x))


def training_loader(sampler: Sampler[int] | None = None, batch_size: int = BATCH, **more: Any) -> DataLoader[Any]:
    """Batches that are shuffled by torch's own random state, unless a sampler is given."""
    return DataLoader(TensorDataset(X, Y), batch_size=batch_size, shuffle=sampler is None, sampler=sampler, **more)


def probe_loader(sampler: Sampler[int] | None = None) -> DataLoader[Any]:
    """What the observer measures, in batches of 20, in order."""
    return DataLoader(TensorDataset(PROBE_X, PROBE_Y), batch_size=20, sampler=sampler)
