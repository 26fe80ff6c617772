"""Tangent kernels against loops of autograd, and the movement of parameters."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError
from phiscope.theory.tangent import (
    full_tangent_kernel,
    parameter_distance,
    parameter_norm,
    tangent_kernel,
    tangent_kernel_distance,
)
from untouched import untouched


class _Dict(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(), nn.Flatten(), nn.Linear(48, 2)
        )

    def forward(self, image):
        return {"logits": self.net(image)}


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.layer(self.embed(tokens)).mean(1))


class _Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 1), nn.Linear(3, 1)

    def forward(self, one, other):
        return self.left(one) + self.right(other)


def networks():
    torch.manual_seed(0)
    tied = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    frozen = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    frozen[0].weight.requires_grad_(False)
    return {
        "convolution, batch norm, dropout": (_Dict(), torch.randn(6, 1, 6, 6)),
        "attention": (_Attention(), torch.randint(0, 7, (6, 5))),
        "tied": (tied, torch.randn(6, 4)),
        "frozen": (frozen, torch.randn(6, 4)),
    }


def autograd_kernel(model, inputs):
    """One backward pass for each sample and output."""
    model = copy.deepcopy(model).eval()
    trained = [part for part in model.parameters() if part.requires_grad]
    rows = []
    for i in range(len(inputs)):
        out = model(inputs[i : i + 1])
        out = (out["logits"] if isinstance(out, dict) else out).flatten()
        gradients = [
            torch.autograd.grad(out[c], trained, retain_graph=True, allow_unused=True) for c in range(len(out))
        ]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]).double() for each in gradients]))
    jacobian = torch.stack(rows)
    return torch.einsum("icp,jdp->icjd", jacobian, jacobian).numpy()


@pytest.mark.parametrize("name", list(networks()))
@pytest.mark.parametrize("block", [None, 1, 4])
def test_tangent_kernels_equal_loops_of_autograd(name, block):
    model, inputs = networks()[name]
    with untouched(model):
        full = full_tangent_kernel(model, inputs, block=block)
        traced = tangent_kernel(model, inputs, block=block)
    expected = autograd_kernel(model, inputs)
    # Gradients are float32.
    np.testing.assert_allclose(full, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(traced, np.einsum("icjc->ij", full), rtol=1e-6, atol=1e-6 * np.abs(traced).max())
    assert np.linalg.eigvalsh(traced)[0] > -1e-6 * np.abs(traced).max()


def test_a_linear_network_has_the_kernel_of_its_inputs():
    x = torch.randn(9, 4, dtype=torch.float64)
    kernel = tangent_kernel(nn.Linear(4, 3).double(), x)
    np.testing.assert_allclose(kernel, 3 * (x @ x.T + 1).numpy(), atol=1e-12)


def test_a_deep_linear_network_has_its_closed_form():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    V, W = (layer.weight.detach() for layer in model)
    # f = W V x: the trace over outputs is C (V x).(V x') + norm^2(W) x.x'.
    expected = 3 * (x @ V.T) @ (x @ V.T).T + (W**2).sum() * (x @ x.T)
    np.testing.assert_allclose(tangent_kernel(model, x), expected.numpy(), atol=1e-12)


def test_mappings_and_tuples_of_inputs():
    model, inputs = networks()["convolution, batch norm, dropout"]
    np.testing.assert_array_equal(tangent_kernel(model, {"image": inputs}), tangent_kernel(model, inputs))
    x = torch.randn(4, 2), torch.randn(4, 3)
    expected = x[0] @ x[0].T + x[1] @ x[1].T + 2
    np.testing.assert_allclose(tangent_kernel(_Two(), x), expected.numpy(), atol=1e-5)


def test_a_tangent_kernel_is_diagonalized():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2))
    x = torch.randn(60, 3)
    m = phiscope.diagonalize_kernel(phiscope.tangent_kernel(model, x), outputs=model(x), targets=(x[:, 0] > 0).long())
    assert m.n_samples == 60
    assert 0 < m["dynamical_low_rank"] < 1


def test_distance_of_tangent_kernels():
    g = np.random.default_rng(0)
    a = g.normal(size=(8, 8))
    K = a @ a.T
    assert tangent_kernel_distance(K, 7 * K) == pytest.approx(0, abs=1e-15)
    assert tangent_kernel_distance(np.eye(4), np.ones((4, 4))) == pytest.approx(0.5, abs=1e-12)
    L = np.diag(np.arange(8.0))
    direct = 1 - (K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L)
    assert tangent_kernel_distance(K, L) == pytest.approx(direct, abs=1e-12)
    with pytest.raises(ShapeError, match="shapes"):
        tangent_kernel_distance(K, np.eye(3))
    with pytest.raises(InputError, match="zero"):
        tangent_kernel_distance(K, 0 * K)
    with pytest.raises(NonFiniteError):
        tangent_kernel_distance(K, K * np.nan)


def test_training_turns_the_tangent_kernel_of_a_small_network_and_not_of_its_head():
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    before, start = tangent_kernel(model, x), copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        ((model(x) - x[:, :1] * x[:, 1:2]) ** 2).mean().backward()
        optimizer.step()
    assert tangent_kernel_distance(before, tangent_kernel(model, x)) > 1e-3
    assert parameter_distance(model, start) > 0.1
    # Control: with the feature map frozen the kernel of the head never moves.
    model[0].requires_grad_(False)
    fixed = tangent_kernel(model, x)
    nn.init.normal_(model[2].weight)
    assert tangent_kernel_distance(fixed, tangent_kernel(model, x)) < 1e-12


def test_parameter_norm_and_distance():
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, 3.0)
    nn.init.zeros_(model.bias)
    start = copy.deepcopy(model.state_dict())
    assert parameter_norm(model) == 36.0
    assert parameter_distance(model, start) == 0.0
    nn.init.constant_(model.bias, 4.0)
    assert parameter_distance(model, start) == pytest.approx(32**0.5, rel=1e-15)
    model.weight.requires_grad_(False)
    assert parameter_norm(model) == 32.0
    with pytest.raises(ShapeError, match="no parameter 'bias'"):
        parameter_distance(model, {})
    with pytest.raises(ShapeError, match="'bias' has shape"):
        parameter_distance(model, {"bias": np.zeros(3)})


def test_what_has_no_tangent_kernel_is_refused_without_a_trace():
    x = torch.randn(4, 3)
    with pytest.raises(InputError, match="requires_grad"):
        tangent_kernel(nn.Flatten(), x)
    with pytest.raises(EmptyDataError, match="no sample"):
        tangent_kernel(nn.Linear(3, 2), x[:0])
    with pytest.raises(InputError, match="block is 0"):
        tangent_kernel(nn.Linear(3, 2), x, block=0)
    for block in (2.5, "2", True):
        with pytest.raises(InputError, match=r"block is .*expected a whole number"):
            tangent_kernel(nn.Linear(3, 2), x, block=block)
    with pytest.raises(InputError, match="pass inputs alone, without targets"):
        tangent_kernel(nn.Linear(3, 2), (x, torch.arange(4)))
    with pytest.raises(InputError, match="Linear does not take one sample of these inputs"):
        tangent_kernel(nn.Linear(5, 2), x)
    with pytest.raises(NonFiniteError, match="samples 0 to 3"):
        tangent_kernel(nn.Linear(3, 2), x * np.nan)

    class Branching(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) if inputs.sum() > 0 else inputs

    model = Branching(3, 2).train()
    with untouched(model), pytest.raises(InputError, match="cannot differentiate Branching"):
        tangent_kernel(model, x)


def test_recurrent_layers_are_refused_in_one_sentence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="recurrent"):
            tangent_kernel(nn.LSTM(3, 4, batch_first=True), torch.randn(5, 4, 3))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_a_network_that_mixes_samples_is_refused(layer):
    """In eval mode, too: torch said "more than 1 value per channel" of one, and of pictures nothing at all."""
    wide = layer is nn.BatchNorm2d
    first = nn.Conv2d(1, 4, 1) if wide else nn.Linear(3, 4)
    model = nn.Sequential(first, layer(4, track_running_stats=False), nn.Flatten(), nn.LazyLinear(2))
    x = torch.randn(5, 1, 3, 3) if wide else torch.randn(5, 3)
    model(x)
    with untouched(model), pytest.raises(InputError, match=r"'1' is a .* without running statistics"):
        tangent_kernel(model, x)
    model[1] = layer(4)
    assert tangent_kernel(model, x).shape == (5, 5)
