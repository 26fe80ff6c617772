"""Similarity of the feature kernel to the one at initialization."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import PassOptions, run_pass
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
    assert paired(net, initial)["initial_kernel_similarity"] == pytest.approx(1.0, abs=1e-12)
    with torch.no_grad():
        before = net[:-1](X).double()
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
        after = net[:-1](X).double()
    with untouched(net):
        told = paired(net, initial)["initial_kernel_similarity"]
    # The naive twin: centered n x n kernels.
    kernels = [(phi - phi.mean(0)) @ (phi - phi.mean(0)).T for phi in (before, after)]
    naive = float((kernels[0] * kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm()))
    assert told == pytest.approx(naive, rel=1e-6)
    assert told < 0.999


def test_similarity_of_constant_features_is_absent_with_a_warning():
    net = network().eval()
    nn.init.zeros_(net[1].weight)
    measured = paired(net, own_tensors(net))
    assert "initial_kernel_similarity" not in measured
    assert any("constant" in warning for warning in measured.warnings)
