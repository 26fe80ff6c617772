"""A small trained network whose units can be cut, and its samples."""

import torch
from torch import nn


def trained(*between, seed=0):
    """Six columns, three classes; `between` stands behind the 20 units that can be cut."""
    torch.manual_seed(seed)
    x = torch.randn(600, 6)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(6, 20), *between, nn.ReLU(), nn.Linear(20, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net, (x, y)
