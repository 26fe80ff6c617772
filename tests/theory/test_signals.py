"""Fixed points and slopes of signals: closed forms, brute force, and networks with known variances."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from phiscope.errors import InputError
from phiscope.theory import criticality, nngp
from phiscope.theory.signals import critical_variance, fixed_point, signal_slope


@pytest.mark.parametrize(("g", "b"), [(0.5, 0.02), (0.785, 0.1), (1.5, 0.0), (3.0, 0.02)])
def test_the_fixed_point_is_where_layers_end(g, b):
    deep = nngp(np.array([[1.0, 0.3], [0.2, -0.7]]), 3000, "erf", g, b).kernels[-1]
    assert deep[0, 0] == pytest.approx(fixed_point("erf", g, b), rel=1e-9)


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
def test_the_slope_is_what_a_small_squared_difference_is_stretched_by(activation):
    """<(h - h')^2> = 2 (q - C) goes by chi, and so the difference itself by its root."""
    g, b = 0.7, 0.3
    q = fixed_point(activation, g, b)
    kernel = np.array([[q, q - 1e-5], [q - 1e-5, q]])
    (_, after) = (kernel, g * _kernel(activation, kernel) + b)
    squared = [2 * (one[0, 0] - one[0, 1]) for one in (kernel, after)]
    chi = signal_slope(activation, g, b)
    assert squared[1] / squared[0] == pytest.approx(chi, rel=5e-3)
    assert abs(np.sqrt(squared[1] / squared[0]) - chi) > 0.01


def test_the_depth_scale_is_that_of_squared_differences():
    """At the fixed point a squared difference of an erf network falls by e in so many layers, it itself in twice."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(200, 200), Erf(), nn.Linear(200, 200))
    layer = criticality(net).layers[1]
    g, b = layer.weight_variance, layer.bias_variance
    x = np.sqrt(2 * (layer.fixed_point - b) / g) * np.array([[1.0, 1e-3], [1.0, -1e-3]])
    kernels = nngp(x, 5, "erf", g, b).kernels
    squared = [2 * (one[0, 0] - one[0, 1]) for one in kernels]
    assert layer.phase == "ordered"
    assert kernels[5][0, 0] == pytest.approx(layer.fixed_point, rel=1e-4)
    assert 5 / np.log(squared[0] / squared[5]) == pytest.approx(layer.depth_scale, rel=0.01)
    assert 5 / np.log(np.sqrt(squared[0] / squared[5])) == pytest.approx(2 * layer.depth_scale, rel=0.01)


class Erf(nn.Module):
    """erf between linear layers."""

    def forward(self, h):
        return torch.erf(h)


def _kernel(activation, kernel):
    from phiscope.theory.activations import ACTIVATIONS

    return ACTIVATIONS[activation].kernel(kernel)


def test_published_critical_points():
    assert critical_variance("erf") == pytest.approx(math.pi / 4, rel=1e-12)
    assert critical_variance("relu") == 2.0
    assert critical_variance("identity") == 1.0
    # With biases an erf needs larger weights: its slope at the fixed point is below that at 0.
    found = critical_variance("erf", 0.02)
    assert found == pytest.approx(1.2072, abs=1e-4)
    assert signal_slope("erf", found, 0.02) == pytest.approx(1.0, abs=1e-9)


def test_signals_that_grow_without_end():
    assert fixed_point("relu", 2.5) == math.inf
    assert fixed_point("relu", 2.0, 0.1) == math.inf
    assert fixed_point("relu", 2.0) == 0.0
    assert signal_slope("relu", 2.5) == 1.25


def test_a_default_network_is_ordered_and_one_made_for_it_critical():
    net = nn.Sequential(nn.Linear(500, 500), nn.ReLU(), nn.Linear(500, 500), nn.ReLU(), nn.Linear(500, 10))
    found = criticality(net)
    assert [layer.phase for layer in found.layers] == ["ordered"] * 3
    assert found.layers[0].slope == pytest.approx(1 / 6, rel=0.02)
    assert found.layers[0].depth_scale == pytest.approx(1 / math.log(6), rel=0.02)
    for layer in net[::2]:
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    found = criticality(net)
    assert [layer.phase for layer in found.layers] == ["critical"] * 3
    assert found.critical_weight_variance == 2.0
    with torch.no_grad():
        net[2].weight.mul_(2)
    assert [layer.phase for layer in criticality(net).layers] == ["critical", "chaotic", "critical"]
    assert "2: g 8" in str(criticality(net)) or "2: g 7.9" in str(criticality(net))


def test_inputs_can_be_given():
    net = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten(), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 2))
    by_rows, by_inputs = criticality(net), criticality(net, torch.randn(4, 6))
    assert by_rows == by_inputs


@pytest.mark.parametrize(
    ("g", "b", "words"), [(0.0, 0.0, "weight_variance=0.0"), (1.0, -1.0, "bias_variance=-1.0"), (np.nan, 0.0, "nan")]
)
def test_settings_that_are_none(g, b, words):
    with pytest.raises(InputError, match=words):
        signal_slope("erf", g, b)
