"""Which layers run, in which order and how often."""

import pytest
import torch
from torch import nn

import phiscope
from layered_networks import FLAT, Twice, Y, by_hand, same
from phiscope.errors import InputError
from untouched import untouched


def test_order_is_that_of_the_pass_not_of_the_request_or_registration():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.second, self.first = nn.Linear(5, 2), nn.Linear(5, 5), nn.Linear(3, 5)

        def forward(self, x):
            return self.head(self.second(self.first(x)))

    layers = phiscope.measure_layers(Reversed(), torch.randn(40, 3), ["second", "head", "first"])
    assert list(layers) == ["first", "second", "head"]


def test_each_call_of_a_layer_is_measured():
    torch.manual_seed(0)
    net = Twice()
    told, outputs = by_hand(net, ["act"], FLAT)
    layers = phiscope.measure_layers(net, (FLAT, Y), ["act"])
    assert list(layers) == ["act@1", "act@2"]
    for name, features in zip(layers, told["act"], strict=True):
        assert same(layers[name], phiscope.diagonalize(features, outputs=outputs, targets=Y))
    assert list(phiscope.measure_layers(net, (FLAT, Y), ["act@2"])) == ["act@2"]
    assert list(phiscope.measure_layers(net, (FLAT, Y))) == ["act@1", "head"]


def test_a_layer_that_never_runs():
    net = Twice()
    with untouched(net), pytest.raises(InputError, match="'unused' cannot be measured: it did not run"):
        phiscope.measure_layers(net, (FLAT, Y), ["unused"])
    layers = phiscope.measure_layers(net, (FLAT, Y), ["[au]*"])
    assert list(layers) == ["a", "act@1", "act@2"]
    assert "did not run" in layers.left_out["unused"]
    assert "left out: unused" in str(layers)


def test_a_layer_that_runs_in_some_batches_only():
    net = Twice()
    with untouched(net), pytest.raises(InputError, match=r"'rare' ran 0 times in batch 1 and 1 times"):
        phiscope.measure_layers(net, [(FLAT[:50], Y[:50]), (FLAT[50:60], Y[50:60])], ["rare"])
