"""Features at initialization: run once for a fixed probe, run again as soon as anything differs."""

import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import phiscope
from phiscope import split
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import REBUILT, PassOptions, run_pass
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


def test_a_network_in_another_precision_is_compared_in_that_one(net, monkeypatch):
    monkeypatch.setattr(sys.modules[InitialFeatures.__module__], "REMEMBERED_BYTES", 0)
    feature_map, initial, expected = started(net)
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        net.to(dtype)
        with isolated(net):
            features = initial(feature_map.reader()(X.to(dtype)), 0)
        assert features.dtype == dtype
        tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(features.float(), expected, atol=tolerance, rtol=tolerance)


class Wrapped(nn.Module):
    """Another layer's parameters under other names, and one of its own."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.shift = inner, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.inner(x) + self.shift


def rebuilt(net, how):
    if how == "wrapped":
        net.body = Wrapped(net.body)
    elif how == "parametrized":
        nn.utils.parametrizations.weight_norm(net.body)
    elif how == "pruned":
        prune.l1_unstructured(net.body, "weight", 0.2)
    elif how == "added":
        net.further = nn.Linear(6, 6)
        net.head = nn.Sequential(net.further, net.head)
    else:
        net.body.register_buffer("mean", torch.zeros(5))


@pytest.mark.parametrize("how", ["wrapped", "parametrized", "pruned", "added", "a stored buffer"])
def test_a_network_built_otherwise_has_no_earlier_features(net, tmp_path, monkeypatch, how):
    monkeypatch.setattr(sys.modules[InitialFeatures.__module__], "REMEMBERED_BYTES", 0)
    with phiscope.Observer(net, (X, torch.arange(40) % 3), run=tmp_path / "r", gallery=0) as observer:
        before = observer.record(epoch=0)
        rebuilt(net, how)
        after = observer.record(epoch=1)
    assert before["initial_kernel_similarity"] == pytest.approx(1.0)
    assert "initial_kernel_similarity" not in after.to_dict()
    assert after.evidence.head_change is None
    assert [REBUILT in one.warnings for one in (before, after)] == [False, True]


def test_what_is_remembered_of_a_network_built_otherwise_since_stays_true(net, tmp_path):
    with phiscope.Observer(net, (X, torch.arange(40) % 3), run=tmp_path / "r", gallery=0) as observer:
        observer.record(epoch=0)
        rebuilt(net, "wrapped")
        assert observer.record(epoch=1)["initial_kernel_similarity"] == pytest.approx(1.0)


def test_a_buffer_that_grows_with_what_is_read_is_no_other_network(net, monkeypatch):
    monkeypatch.setattr(sys.modules[InitialFeatures.__module__], "REMEMBERED_BYTES", 0)
    net.register_buffer("places", torch.zeros(4))
    feature_map, initial, expected = started(net)
    net.places = torch.zeros(9)
    with isolated(net):
        torch.testing.assert_close(initial(feature_map.reader()(X), 0), expected)
