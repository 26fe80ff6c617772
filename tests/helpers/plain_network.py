"""A small network, its data, and the measurement of its features collected by hand."""

import pytest
import torch
from torch import nn

import phiscope

N = 120
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3


def network(outputs=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), nn.Linear(6, outputs))


def from_arrays(net, targets, x=X):
    net = net.eval()
    head = (net[-1].weight, net[-1].bias)
    num_classes = None if targets.is_floating_point() else len(head[1])
    with torch.no_grad():
        return phiscope.diagonalize(net[:-1](x), head=head, targets=targets, num_classes=num_classes)


def same(a, b, rel=1e-4):
    # Features are float32 and may differ in their last bits with the size of a batch.
    return a.to_dict() == pytest.approx(b.to_dict(), rel=rel, abs=1e-6)
