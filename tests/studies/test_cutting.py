"""Cuts of trained networks as numbers by name: equal to the tools they stand on, and nothing of the network changed."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from phiscope.errors import InputError
from phiscope.studies import cutting
from phiscope.studies.architectures import build_network
from phiscope.studies.cutting import channel_numbers, read_after, renew_statistics, unit_curves, unit_numbers
from phiscope.surgery import remove_units


def data(shape, n=120, classes=4):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % classes
    x = torch.randn(n, *shape, generator=generator)
    x[:, :, 0, 0] += y[:, None]
    return (x[: n - 40], y[: n - 40]), (x[n - 40 :], y[n - 40 :])


@pytest.fixture(scope="module")
def dense():
    network = build_network("taper", input_shape=(1, 4, 4), num_outputs=4, width=0.25)
    return network.eval(), *data((1, 4, 4))


def test_units_are_cut_as_the_tools_cut_them(dense):
    network, train, test = dense
    numbers = unit_numbers(network, train, test)
    assert network.head.in_features == 16
    smaller = remove_units(
        network, [train], keep=8, rule="greedy", target="outputs", layer="features.3", consumer="head"
    )
    with torch.no_grad():
        right = float((smaller.model(test[0]).argmax(dim=1) == test[1]).double().mean())
    assert numbers["greedy_outputs_8_taken_over_accuracy"] == pytest.approx(right, abs=1 / 40 + 1e-9)
    assert {f"{rule}_labels_5_mean_accuracy" for rule in ("random", "magnitude", "exact")} <= set(numbers)
    assert "eigenfeatures_10_accuracy" in numbers
    for name in ("8_mean", "8_taken_over", "16_mean", "16_taken_over"):
        assert -1 <= numbers[f"{name}_rank_correlation"] <= 1
    # All 16 units are left: there is nothing to rank.
    assert numbers["16_taken_over_rank_correlation"] == 0
    assert unit_curves(network, train, test).kept.tolist() == [5, 8, 10, 16]


@pytest.fixture(scope="module")
def residual():
    network = build_network("resnet18", input_shape=(1, 4, 4), num_outputs=4, depth=10, width=0.06)
    return network, *data((1, 4, 4))


def test_scores_are_read_behind_the_relu_that_gives_channels_on(residual):
    network, _, _ = residual
    read = read_after(network)
    assert read["features.1"] == "features.2"
    assert read["features.3.path.1"] == "features.3.path.2"
    assert read["features.3.path.4"] == "features.3.relu"
    assert not any("shortcut" in name for name in read)
    with pytest.raises(InputError, match="no batch norm with a ReLU behind it"):
        read_after(nn.Sequential(nn.Linear(2, 2)))


def test_channels_are_cut_in_rounds_by_every_criterion(residual, monkeypatch):
    network, train, test = residual
    monkeypatch.setattr(cutting, "ROUNDS", 2)
    monkeypatch.setattr(cutting, "CRITERIA", {name: cutting.CRITERIA[name] for name in ("taylor", "di_greedy")})
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    numbers = channel_numbers(network, train, test)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values(), strict=True))
    for ending in ("cut", "renewed"):
        for name in ("taylor", "di_greedy"):
            for place in (1, 2):
                assert 0 <= numbers[f"{name}_{place}_{ending}_accuracy"] <= 1
                assert np.isfinite(numbers[f"{name}_{place}_{ending}_held_out"])
        assert -1 <= numbers[f"{ending}_rank_correlation"] <= 1
    assert len(numbers) == 2 * (2 * 2 * 2 + 1)


def test_statistics_made_anew_are_those_of_the_pictures():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).eval()
    x = 5 + 2 * torch.randn(60, 1, 6, 6)
    renew_statistics(net, x)
    with torch.no_grad():
        before = net[0](x)
    assert net[1].running_mean.numpy() == pytest.approx(before.mean((0, 2, 3)).numpy(), rel=1e-4)
    assert net[1].running_var.numpy() == pytest.approx(before.var((0, 2, 3)).numpy(), rel=1e-3)
    assert net[1].momentum == 0.1
    assert not net.training
