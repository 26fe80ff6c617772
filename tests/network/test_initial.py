"""Features at initialization: run once for a fixed probe, run again as soon as anything differs."""

import sys

import pytest
import torch
from torch import nn

import phiscope
from phiscope import split
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import PassOptions, run_pass
from phiscope.network.hooks import own_tensors
from phiscope.network.initial import InitialFeatures
from phiscope.network.isolation import isolated

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    # Not on the object: a counter there would be put back after each pass.
    passes = 0

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x, scale=1.0):
        Counting.passes += 1
        return self.head(torch.tanh(self.body(x) * scale))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Counting()


def started(net):
    feature_map, _ = split(net, X)
    then = {name: tensor.clone() for name, tensor in own_tensors(net).items()}
    expected = torch.tanh(net.body(X)).detach()
    with torch.no_grad():
        net.body.weight.add_(1.0)
    Counting.passes = 0
    return feature_map, InitialFeatures(feature_map, then), expected


def test_the_same_batch_runs_once_and_gives_the_earlier_features(net):
    feature_map, initial, expected = started(net)
    with isolated(net):
        found = [initial(feature_map.reader()(X), 0) for _ in range(3)]
    assert net.passes == 1
    for features in found:
        torch.testing.assert_close(features, expected)
    assert not torch.allclose(feature_map(X), expected)


@pytest.mark.parametrize("change", ["one number", "in place", "shape", "a setting", "another place"])
def test_control_a_batch_that_differs_runs_again(net, change):
    feature_map, initial, _ = started(net)
    read = feature_map.reader()
    first, second, index = {"x": X.clone(), "scale": 1.0}, {"x": X.clone(), "scale": 1.0}, 0
    if change == "one number":
        second["x"][7, 2] += 1e-6
    elif change == "in place":
        second = first
    elif change == "shape":
        second["x"] = X[:-1]
    elif change == "a setting":
        second["scale"] = 2.0
    else:
        index = 1
    with isolated(net):
        before = initial(read(first), 0)
        if change == "in place":
            first["x"].mul_(2.0)
        after = initial(read(second), index)
        assert net.passes == 2
        assert (before.shape == after.shape and torch.equal(before, after)) == (change == "another place")


def test_what_does_not_fit_is_run_every_time(net, monkeypatch):
    monkeypatch.setattr(sys.modules[InitialFeatures.__module__], "REMEMBERED_BYTES", X.nbytes)
    feature_map, initial, expected = started(net)
    with isolated(net):
        for _ in range(3):
            torch.testing.assert_close(initial(feature_map.reader()(X), 0), expected)
    assert net.passes == 3


def test_what_was_gathered_does_not_move_with_the_network(net):
    feature_map, _ = split(net, X)
    with isolated(net):
        gathered = run_pass(feature_map, iter([(X, torch.arange(40) % 3)]), PassOptions()).result()
    before = measurement_of(gathered).to_dict()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)
    assert measurement_of(gathered).to_dict() == before


def test_an_observer_runs_a_fixed_probe_once_a_record(net, tmp_path):
    with phiscope.Observer(net, (X, torch.arange(40) % 3), run=tmp_path / "r", gallery=0) as observer:
        told = []
        for epoch in range(3):
            Counting.passes = 0
            told.append(observer.record(epoch=epoch)["initial_kernel_similarity"])
            assert net.passes == (2 if epoch == 0 else 1)
            with torch.no_grad():
                net.body.weight.add_(torch.randn_like(net.body.weight))
    assert told[0] == pytest.approx(1.0)
    assert max(told[1:]) < 0.99
