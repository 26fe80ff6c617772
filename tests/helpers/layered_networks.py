"""Networks of several layers, their data, and every activation kept by hand."""

from functools import partial

import pytest
import torch
from torch import nn

N = 96
X = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
TOKENS = torch.randn(N, 7, 5, generator=torch.Generator().manual_seed(1))


class ConvNet(nn.Module):
    """Convolutions with an activation in place, a pool, and a head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.relu1 = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.conv2, self.relu2 = nn.Conv2d(6, 4, 3, stride=2), nn.ReLU(inplace=True)
        self.drop, self.head = nn.Dropout(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu1(self.norm(self.conv1(x)))
        x = self.relu2(self.conv2(x))
        return self.head(self.drop(x.mean((2, 3))))


def conv_net(seed=0):
    torch.manual_seed(seed)
    return ConvNet().train()


def by_hand(net, names, x):
    """The naive twin: every activation kept, copied at once."""
    told = {}

    def keep(name, module, args, output):
        told.setdefault(name, []).append(output.detach().clone())

    hooks = [net.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names]
    mode = net.training
    with torch.no_grad():
        outputs = net.eval()(x)
    net.train(mode)
    for hook in hooks:
        hook.remove()
    return told, outputs


def same(a, b, rel=1e-4):
    # Corrected numbers depend on which samples share a shard, and a pass in batches has other shards than one array.
    # The excess loss belongs to the layer that the head reads.
    names = [name for name in {**a.to_dict(), **b.to_dict()} if "corrected" not in name and "held_out" not in name]
    names = [name for name in names if name != "head_excess_loss"]
    left, right = ({name: one.to_dict().get(name) for name in names} for one in (a, b))
    return left == pytest.approx(right, rel=rel, abs=1e-6)


class Twice(nn.Module):
    """One activation called twice, one layer never, one only for large batches."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act, self.head = nn.Linear(4, 5), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)
        self.unused, self.rare = nn.Linear(4, 4), nn.Identity()

    def forward(self, x):
        x = self.act(self.b(self.act(self.a(x))))
        return self.head(self.rare(x) if len(x) > 20 else x)


FLAT = torch.randn(N, 4, generator=torch.Generator().manual_seed(2))
