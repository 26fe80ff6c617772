"""Similarity of the feature kernel to the one at initialization."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import PassOptions, run_pass
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.gathered import Gathered
from phiscope.network.hooks import own_tensors
from phiscope.network.initial import InitialFeatures
from phiscope.network.isolation import isolated
from plain_network import X, Y, network
from untouched import untouched


def paired(net, initial, x=X):
    with isolated(net):
        feature_map, _ = phiscope.split(net, x)
        batches = iter([(x[:50], Y[:50]), (x[50:], Y[50:])])
        options = PassOptions(initial=InitialFeatures(feature_map, initial))
        return measurement_of(run_pass(feature_map, batches, options).result())


def test_similarity_to_the_initial_features():
    net = network().eval()
    initial = {name: tensor.clone() for name, tensor in own_tensors(net).items()}
    for name in ("initial_kernel_similarity", "initial_kernel_similarity_raw"):
        assert paired(net, initial)[name] == pytest.approx(1.0, abs=1e-12)
    with torch.no_grad():
        before = net[:-1](X).double()
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
        after = net[:-1](X).double()
    with untouched(net):
        told = paired(net, initial)
    # The naive twin: centered n x n kernels.
    kernels = [(phi - phi.mean(0)) @ (phi - phi.mean(0)).T for phi in (before, after)]
    naive = float((kernels[0] * kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm()))
    assert told["initial_kernel_similarity"] == pytest.approx(naive, rel=1e-6)
    # The raw twin: kernels as they are.
    kernels = [phi @ phi.T for phi in (before, after)]
    naive_raw = float((kernels[0] * kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm()))
    assert told["initial_kernel_similarity_raw"] == pytest.approx(naive_raw, rel=1e-6)
    assert naive < 0.999
    assert abs(naive - naive_raw) > 1e-3


def test_similarity_of_constant_features_is_absent_with_a_warning():
    net = network().eval()
    nn.init.zeros_(net[1].weight)
    nn.init.ones_(net[1].bias)
    measured = paired(net, own_tensors(net))
    assert "initial_kernel_similarity" not in measured
    assert "constant" in measured.absent["initial_kernel_similarity"]
    assert any("constant" in warning for warning in measured.warnings)
    # The uncentered kernels are those of one and the same constant.
    assert measured["initial_kernel_similarity_raw"] == pytest.approx(1.0, abs=1e-12)


def test_by_hand():
    """Initial features (±1, 3), present ones (0, 3): the cross moment is 9 in one place, the norms √82 and 9."""
    spread, mean = np.array([[1.0, 0.0], [-1.0, 0.0]]), 3.0
    first, second = spread + np.array([0, mean]), np.full((2, 2), [0, mean])
    accumulator = MomentAccumulator()
    accumulator.update(features=first, outputs=second)
    found = measurement_of(Gathered(moments=moments_of(second), shards=(), paired=accumulator.result()))
    assert "initial_kernel_similarity" in found.absent
    assert found["initial_kernel_similarity_raw"] == pytest.approx(81 / (9 * 82**0.5))


def moments_of(features):
    accumulator = MomentAccumulator()
    accumulator.update(features=features)
    return accumulator.result()
