"""Tangent kernels by three roads, and against their limit at infinite width, as neural-tangents' tests have it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import phiscope
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]

EQUAL = 1e-10
CLOSE = 2e-2
"""The tolerance of neural-tangents' Monte Carlo tests."""


def small() -> tuple[nn.Module, Tensor]:
    """A network with two hidden layers and three outputs, in float64, and seven inputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    return net, torch.randn(7, 4, dtype=torch.float64)


def by_gradients(net: nn.Module, x: Tensor) -> Array:
    """Contraction of Jacobians: one backward pass for each sample and output."""
    outputs = net(x)
    rows = [
        torch.cat([g.ravel() for g in torch.autograd.grad(one, tuple(net.parameters()), retain_graph=True)])
        for one in outputs.ravel()
    ]
    jacobian = torch.stack(rows).reshape(*outputs.shape, -1)
    return torch.einsum("icp,jcp->ij", jacobian, jacobian).numpy()


def by_products(net: nn.Module, x: Tensor) -> Array:
    """Products of the kernel with unit vectors: backward to the parameters, and backward again through that."""
    outputs, parameters = net(x), tuple(net.parameters())
    kernel = torch.zeros(len(x), len(x), dtype=x.dtype)
    seed = torch.zeros_like(outputs, requires_grad=True)
    # Linear in the seed, J^T seed: its derivative along a vector of parameters is J times that vector.
    back = torch.autograd.grad(outputs, parameters, seed, create_graph=True)
    for i in range(len(x)):
        for c in range(outputs.shape[1]):
            unit = torch.zeros_like(outputs)
            unit[i, c] = 1.0
            row = torch.autograd.grad(outputs, parameters, unit, retain_graph=True)
            (column,) = torch.autograd.grad(back, seed, row, retain_graph=True)
            kernel[i] += column[:, c]
    return kernel.numpy()


def by_layers(net: nn.Sequential, x: Tensor) -> Array:
    """The structure of dense layers: inputs' inner products times those of what comes back to the layer."""
    inputs, kernel = x, torch.zeros(len(x), len(x), dtype=x.dtype)
    for position, layer in enumerate(net):
        if isinstance(layer, nn.Linear):
            found = layer(inputs)
            rest = torch.stack(
                [torch.func.jacrev(nn.Sequential(*net[position + 1 :]))(one) for one in found.detach()]
                if position + 1 < len(net)
                else [torch.eye(found.shape[1], dtype=x.dtype)] * len(x)
            )
            kernel = kernel + (inputs @ inputs.T + 1) * torch.einsum("ico,jco->ij", rest, rest)
        inputs = layer(inputs)
    return kernel.detach().numpy()


class Scaled(nn.Module):
    """A dense layer whose weights are standard normal and whose sum is divided by the square root of its inputs."""

    def __init__(self, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, dtype=torch.float64))
        self.scale = math.sqrt(gain / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Weighted sums."""
        return self.scale * x @ self.weight.T


def relu_limit(x: Array) -> Array:
    """The tangent kernel of one hidden ReLU layer of infinite width, weight variance 2, by arccosine kernels."""
    first = 2 * x @ x.T / x.shape[1]
    lengths = np.sqrt(np.diag(first))
    angle = np.arccos(np.clip(first / np.outer(lengths, lengths), -1, 1))
    second = np.outer(lengths, lengths) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    return second + first * (np.pi - angle) / np.pi


def tangents() -> Iterator[Fact]:
    """Three roads, and the limit."""
    net, x = small()
    kernel = phiscope.tangent_kernel(net, x)
    for road, words in (
        (by_gradients, "contraction of Jacobians, a backward pass a row"),
        (by_products, "products with unit vectors, backward twice"),
        (by_layers, "structure of the dense layers"),
    ):
        gap = float(np.abs(road(net, x) - kernel).max() / np.abs(kernel).max())
        yield Fact(asserts=f"{words}: relative gap", call="tangent_kernel(net, x)", figure=gap, high=EQUAL)
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(8, 12)))
    torch.manual_seed(1)
    draws = [
        phiscope.tangent_kernel(nn.Sequential(Scaled(12, 512, 2.0), nn.ReLU(), Scaled(512, 1, 2.0)), inputs)
        for _ in range(40)
    ]
    limit = relu_limit(inputs.numpy())
    gap = float(np.linalg.norm(np.mean(draws, axis=0) - limit) / np.linalg.norm(limit))
    words = "mean of 40 networks of width 512 against the limit: relative gap"
    yield Fact(asserts=words, call="tangent_kernel(net, x)", figure=gap, high=CLOSE)


def wide(inputs: Array, activation: str, depth: int, width: int, generator: np.random.Generator) -> Array:
    """The outputs' kernel of a random network, exact over the weights of its head: GAIN <phi, phi'> / width + SHIFT."""
    from scipy.special import erf

    functions = {"erf": erf, "relu": lambda h: np.maximum(h, 0)}
    x = inputs
    for _ in range(depth):
        weights = generator.normal(size=(x.shape[1], width)) * math.sqrt(GAIN / x.shape[1])
        x = functions[activation](x @ weights + math.sqrt(SHIFT) * generator.normal(size=width))
    return GAIN * x @ x.T / width + SHIFT


GAIN, SHIFT = 1.5, 0.1


def processes() -> Iterator[Fact]:
    """Kernels at infinite width against the mean of random networks."""
    from phiscope import theory

    inputs = np.random.default_rng(2).normal(size=(10, 12))
    for activation, depth in (("erf", 1), ("erf", 3), ("relu", 2)):
        generator = np.random.default_rng(3)
        mean = np.mean([wide(inputs, activation, depth, 512, generator) for _ in range(60)], axis=0)
        call = f'theory.nngp(x, depth={depth}, activation="{activation}", ...)'
        found = theory.nngp(inputs, depth=depth, activation=activation, weight_variance=GAIN, bias_variance=SHIFT)
        gap = float(np.linalg.norm(np.asarray(found.kernels[depth]) - mean) / np.linalg.norm(mean))
        words = f"{activation}, {depth} hidden: mean of 60 networks of width 512: relative gap"
        yield Fact(asserts=words, call=call, figure=gap, high=CLOSE)
    other = theory.nngp(inputs, depth=depth, activation=activation, weight_variance=GAIN / 2, bias_variance=SHIFT)
    gap = float(np.linalg.norm(np.asarray(other.kernels[depth]) - mean) / np.linalg.norm(mean))
    words = "control: with half the variance of the weights the gap is seen"
    yield Fact(asserts=words, call=call, figure=gap, low=5 * CLOSE)


SUITES = (
    Suite(
        key="neural-tangents",
        name="google/neural-tangents",
        seen="PyPI 0.6.5; neural-tangents/tests/empirical_test.py and monte_carlo_test.py beside it at 01db103; "
        "it needs JAX, nothing of it was run",
        about="Tangent kernels by different roads are one kernel, and those of wide random networks come near the "
        "limit of infinite width.",
        facts=tangents,
        left_out=(("Taylor expansions, training dynamics in closed form", "no such functions"),),
    ),
    Suite(
        key="neural-tangents-nngp",
        name="google/neural-tangents, infinite width",
        seen="PyPI 0.6.5; neural-tangents/tests/monte_carlo_test.py at 01db103; nothing of it was run",
        about="The kernel of outputs at infinite width is what random networks come near to.",
        facts=processes,
        left_out=(("convolutions, attention and pooling at infinite width", "no such functions"),),
        imports=("phiscope.theory:nngp",),
    ),
)
