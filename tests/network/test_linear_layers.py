"""Which layers are linear, and their weights as one matrix."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import HeadError
from phiscope.network.linear_layers import linear_kind
from small_networks import Net, X
from untouched import untouched


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_a_lazy_layer_is_refused_unchanged():
    net = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(HeadError, match="'0' is lazy"):
        phiscope.split(net, X)
    assert isinstance(net[0], nn.LazyLinear)


def test_a_weight_that_is_made_anew_in_each_pass():
    net = Net()
    nn.utils.parametrizations.weight_norm(net.head)
    with untouched(net):
        feature_map, head = phiscope.split(net, X)
    assert torch.allclose(head(feature_map(X)), net.eval()(X), atol=1e-6)


class Conv1D(nn.Module):
    """transformers' linear layer, which keeps its weight transposed."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.randn(nf))

    def forward(self, x):
        return x @ self.weight + self.bias


def test_a_transposed_linear_layer():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), Conv1D(3, 6))
    feature_map, head = phiscope.split(net, X)
    assert head.weight.shape == (3, 6)
    assert torch.allclose(head(feature_map(X)), net(X), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 2, 1), "conv1x1"),
        (nn.Conv1d(4, 2, 1, padding="same"), "conv1x1"),
        (nn.Conv2d(4, 2, 3), None),
        (nn.Conv2d(4, 2, 1, stride=2), None),
        (nn.Conv2d(4, 2, 1, padding=1), None),
        (nn.Conv2d(4, 2, 1, groups=2), None),
        (nn.Bilinear(2, 2, 2), None),
        (nn.Embedding(2, 2), None),
    ],
)
def test_what_counts_as_linear(layer, kind):
    assert linear_kind(layer) == kind
