"""A network's kernels beside their references."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, ShapeError, UnknownNameError
from phiscope.measurement.gram import kernel_features
from phiscope.metrics.width import kernel_rotate
from phiscope.theory import kernel_report, nngp
from phiscope.theory.infinite_width import infinite_kernels
from phiscope.theory.report import _by_chance
from phiscope.theory.setting import setting_of
from phiscope.theory.tilted import root_of
from untouched import untouched


def network(width, depth=2, seed=0):
    torch.manual_seed(seed)
    sizes = [6, *[width] * depth, 1]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


X = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
Y = X[:, 0] * X[:, 1]


@pytest.fixture(scope="module")
def trained():
    """A network that knows its targets by heart, and its report with the most probable kernels."""
    net = network(100)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        (net(X)[:, 0] - Y).square().mean().backward()
        optimizer.step()
    return net, kernel_report(net, X, Y, noise=0.1)


def test_a_random_network_is_as_far_as_chance_and_leaves_no_trace():
    net = network(300)
    with untouched(net):
        found = kernel_report(net, X, Y)
    assert [layer.name for layer in found.layers] == ["0", "2"]
    for layer in found.layers:
        low, high = layer.by_chance
        assert 0.8 * low < layer.rotate < 1.2 * high
        assert layer.rescale == pytest.approx(1.0, abs=0.25)
        assert abs(layer.alignment_gain) < 0.15
        assert layer.expected is None


def test_chance_falls_like_the_root_of_the_width():
    narrow, wide = (kernel_report(network(width, 1), X, Y).layers[0].by_chance[1] for width in (50, 5000))
    assert narrow / wide == pytest.approx(10, rel=0.4)


def test_chance_holds_as_many_random_networks_as_it_says():
    """Intervals of 100 seeds against 4000 networks more; the plain quantiles of 40 networks hold only 90 %."""
    setting = setting_of(X[:5, :4].double().numpy(), 1, "relu", 1.0, 0.1)
    root, wide = root_of(setting.input_kernel), infinite_kernels(setting).kernels[1]
    h = root @ np.random.default_rng(99).normal(size=(4000, 5, 10))
    rotations = [kernel_rotate(one @ one.T / 10 + 0.1, wide) for one in np.maximum(h, 0)]
    ends = np.array([_by_chance(setting, (10,), seed)[0] for seed in range(100)])
    held = np.mean((ends[:, :1] < rotations) & (rotations < ends[:, 1:]))
    assert held == pytest.approx(0.95, abs=0.015)


def test_kernels_are_those_of_the_weights():
    net = network(50, depth=1)
    layer = kernel_report(net, X, Y).layers[0]
    weight, bias = net[2].weight.detach().double(), net[2].bias.detach().double()
    phi = torch.relu(net[0](X)).detach().double().numpy()
    g, b = 50 * float(weight.square().mean()), float(bias.square().mean())
    np.testing.assert_allclose(layer.measured, g / 50 * phi @ phi.T + b)
    first = (6 * float(net[0].weight.detach().double().square().mean()), g)
    biases = (float(net[0].bias.detach().double().square().mean()), b)
    wide = nngp(X, 1, "relu", first, biases).kernels[1]
    np.testing.assert_allclose(layer.wide, wide)


def test_a_trained_network_has_turned_further_than_chance(trained):
    _, found = trained
    last = found.layers[-1]
    assert last.rotate > last.by_chance[1]
    assert last.alignment_gain > 0.2
    assert last.expected is not None
    assert 0 < last.expected.rotate < last.rotate
    assert "rotate" in str(found)
    assert len(str(found).splitlines()) == 3
    assert "most probable" in str(found)


def test_eigenfunctions_of_network_and_theory_are_compared(trained):
    _, found = trained
    layer = found.layers[-1]
    for which in ("wide", "most_probable"):
        mine = layer.overlap(which, k=3)
        theirs = phiscope.compare(kernel_features(layer.measured), kernel_features(layer.kernel(which))).overlap[:3, :3]
        np.testing.assert_allclose(np.abs(mine), np.abs(theirs), atol=1e-8)
    np.testing.assert_allclose(np.abs(layer.overlap("measured", k=3)), np.eye(3), atol=1e-9)
    measured = layer.measurement(targets=Y.double().numpy())
    assert measured.n_samples == 12
    reference = layer.measurement("wide", targets=Y.double().numpy())
    assert measured["target_alignment"] - reference["target_alignment"] == pytest.approx(layer.alignment_gain, abs=1e-9)


def test_a_prior_can_be_given_in_place_of_the_weights(trained):
    net, by_weights = trained
    by_prior = kernel_report(net, X, Y, weight_variance=1 / 3, bias_variance=0.0)
    assert by_prior.weight_variances == (1 / 3,) * 3
    assert by_prior.layers[0].rescale != pytest.approx(by_weights.layers[0].rescale, rel=0.01)
    # Without biases ReLU kernels of other variances are multiples of each other, and a rotation does not see them.
    other = kernel_report(net, X, Y, weight_variance=2.0, bias_variance=0.0)
    assert by_prior.layers[0].rotate == pytest.approx(other.layers[0].rotate, rel=1e-9)


def test_the_order_of_samples_does_not_matter(trained):
    net, found = trained
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    moved = kernel_report(net, X[order], Y[order])
    for layer, other in zip(found.layers, moved.layers, strict=True):
        assert (other.rescale, other.rotate, other.alignment_gain) == pytest.approx(
            (layer.rescale, layer.rotate, layer.alignment_gain), rel=1e-5
        )


def test_classes_are_targets_too():
    found = kernel_report(network(50, 1), X, (Y > 0).long())
    assert -1 <= found.layers[0].alignment_gain <= 1


def test_bad_input_is_one_sentence():
    net = network(20, 1)
    for targets, kind, words in (
        (torch.ones(12), InputError, "targets are constant"),
        (Y[:5], ShapeError, "targets are of 5 samples and inputs of P = 12"),
    ):
        with pytest.raises(kind, match=words):
            kernel_report(net, X, targets)
    with pytest.raises(InputError, match=r"noise=0\.0; expected a number above 0"):
        kernel_report(net, X, Y, noise=0.0)
    layer = kernel_report(net, X, Y).layers[0]
    with pytest.raises(InputError, match="pass noise= to kernel_report"):
        layer.overlap("most_probable")
    with pytest.raises(UnknownNameError, match="kernel named 'nngp'"):
        layer.kernel("nngp")
    with torch.no_grad():
        net[0].bias.fill_(-100.0)
    with pytest.raises(InputError, match="the layer '0' is zero on all inputs"):
        kernel_report(net, X, Y)


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e-12])
def test_a_network_without_biases_reads_the_same_of_inputs_of_any_scale(scale):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 30, bias=False), nn.ReLU(), nn.Linear(30, 1, bias=False)).double()
    whole, found = (kernel_report(net, factor * X.double(), Y) for factor in (1.0, scale))
    assert found.activation == "relu"
    assert found.layers[0].rescale == pytest.approx(whole.layers[0].rescale, rel=1e-9)
    assert found.layers[0].alignment_gain == pytest.approx(whole.layers[0].alignment_gain, rel=1e-6)


@pytest.mark.parametrize("inputs", [1e-10 * X, 1e-30 * X, torch.ones(12, 6), 1 + 1e-9 * X.double()])
def test_inputs_that_cannot_be_told_apart_are_refused_in_words(inputs):
    """What biases give is all that there is: the centered kernel is zero, and it was divided by."""
    net = network(20, 1).to(inputs.dtype)
    with pytest.raises(InputError, match="the kernel is the same for all inputs"):
        kernel_report(net, inputs, Y)


def test_targets_far_from_zero_are_targets_as_well():
    net = network(20, 1)
    near, far = (kernel_report(net, X, shift + Y.double()).layers[0].alignment_gain for shift in (0.0, 1e9))
    assert far == pytest.approx(near, rel=1e-5)
