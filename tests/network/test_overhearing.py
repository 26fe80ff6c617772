"""Features of a forward pass that somebody else runs."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import HeadError, InputError
from phiscope.network.batch import Batch
from phiscope.network.overhearing import check_can_overhear, overhearing
from untouched import untouched

X = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
BATCH = Batch(args=(X,), kwargs={}, targets=None, size=9)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 3)).eval()


def test_what_was_heard_are_the_features_of_that_pass(net):
    feature_map, _ = phiscope.split(net, X)
    with overhearing(feature_map, BATCH) as heard:
        outputs = net(X)
    rows = heard.rows(index=0, checked=True)
    assert torch.equal(rows.features, feature_map(X))
    assert torch.equal(heard.answers[0], outputs)
    assert not heard.training
    # In training mode they are those with dropout, and the pass still has its gradient.
    net.train()
    with overhearing(feature_map, BATCH) as heard:
        net(X).sum().backward()
    assert heard.training
    assert net[0].weight.grad is not None
    heard_features = heard.rows(index=1, checked=True).features
    assert ((heard_features == 0) | torch.isclose(heard_features, 2 * feature_map(X))).all()
    assert (heard_features == 0).any()


@pytest.mark.parametrize("times", [0, 2])
def test_a_block_needs_one_pass(net, times):
    feature_map, _ = phiscope.split(net, X)
    with untouched(net), overhearing(feature_map, BATCH) as heard:
        for _ in range(times):
            net(X)
    with pytest.raises(HeadError, match=f"ran {times} times inside block 7"):
        heard.rows(index=7, checked=True)


def test_hooks_go_when_the_block_raises(net):
    feature_map, _ = phiscope.split(net, X)
    with untouched(net), pytest.raises(KeyError), overhearing(feature_map, BATCH):
        raise KeyError("in the training")


def test_a_compiled_part_and_a_picked_position_are_refused(net):
    feature_map, _ = phiscope.split(net, X)
    check_can_overhear(feature_map, net)
    with pytest.raises(InputError, match="compiled network"):
        check_can_overhear(feature_map, torch.compile(net, backend="eager"))

    class Picks(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x)[torch.arange(len(x)), torch.arange(len(x)) % 5]

    picks = Picks()
    feature_map, _ = phiscope.split(picks, torch.randn(9, 5, 4))
    with pytest.raises(InputError, match="one position"):
        check_can_overhear(feature_map, picks)
