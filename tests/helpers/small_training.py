"""Data and a network with batch norm and dropout, for trainings that are observed."""

import torch
from torch import nn

X = torch.randn(96, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(96) % 3


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 3),
    )
