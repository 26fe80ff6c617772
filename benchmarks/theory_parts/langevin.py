"""Averages over the posterior by noisy gradient descent with weight decay: the training that the theory is of.

W <- (1 - eta T lambda) W - eta grad loss + sqrt(2 eta T) noise samples exp(-loss / T - lambda norm^2(W) / 2) for small
eta. Here T = 1, the loss is the squared error over twice the output noise, and weights are counted in standard
deviations of the prior, so that lambda = 1. Many networks walk at a time; the spread between them tells the error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from phiscope.errors import InputError
from phiscope.theory.setting import Setting
from phiscope.typing import FloatArray

READ_EVERY = 10
"""Steps between two looks at the kernels; neighbors are alike anyway."""

VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "erf": torch.erf,
    "relu": torch.relu,
    "identity": lambda h: h,
}
"""The activations of the theory, for torch."""


@dataclass(frozen=True, kw_only=True)
class WalkedKernels:
    """Mean kernels of networks that walked through the posterior.

    Attributes:
        kernels: mean C_1 to C_L with C_0 of the inputs before them, each of shape (P, P).
        by_walker: mean last kernel of each network, shape (walkers, P, P).
    """

    kernels: tuple[FloatArray, ...] = field(repr=False)
    by_walker: FloatArray = field(repr=False)


def walked_kernels(
    setting: Setting,
    rows: FloatArray,
    values: FloatArray,
    *,
    width: int,
    noise: float,
    steps: int,
    settle: int,
    rate: float,
    walkers: int = 8,
    seed: int = 0,
) -> WalkedKernels:
    """Mean kernels of all hidden layers over the last steps of noisy gradient descent.

    Args:
        setting: prior and inputs, without biases.
        rows: the inputs X, shape (P, D).
        values: targets, shape (P, C).
        width: units of each hidden layer.
        noise: variance of the output noise.
        steps: steps in all.
        settle: steps that are not averaged over, since the walk begins at the prior.
        rate: eta; its bias grows with eta times the largest eigenvalue of the last kernel over the noise, and
            1 / eta steps are needed to forget.
        walkers: independent networks.
        seed: of a generator of its own.

    Raises:
        InputError: biases, fewer than two walkers, nothing left to average over, or a walk that ran away.
    """
    if any(setting.bias_variances) or walkers < 2 or not 0 <= settle < steps:
        raise InputError(
            f"bias variances {setting.bias_variances}, {walkers} walkers, {settle} of {steps} steps to settle; "
            "expected no biases, two walkers or more, and steps left to average over"
        )
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(rows).float(), torch.from_numpy(values).float()
    sizes = [rows.shape[1], *[width] * setting.depth, values.shape[1]]
    weights = [torch.randn(walkers, i, o, generator=generator).requires_grad_() for i, o in pairwise(sizes)]
    sums = [torch.zeros(walkers, len(rows), len(rows), dtype=torch.float64) for _ in range(setting.depth)]
    count = 0
    for step in range(steps):
        hidden, outputs = _forward(setting, x, weights)
        slopes = torch.autograd.grad((outputs - y).square().sum() / (2 * noise), weights)
        _walk(weights, slopes, rate, generator)
        if step >= settle and (step - settle) % READ_EVERY == 0:
            count += 1
            for total, phi, g in zip(sums, hidden, setting.weight_variances[1:], strict=True):
                total += (g / width * phi @ phi.mT).detach().double()
    means = [np.asarray((total / count).numpy()) for total in sums]
    if not np.isfinite(means[-1]).all():
        raise InputError(f"the walk ran away at rate={rate:g}; pass a smaller rate")
    return WalkedKernels(kernels=(setting.input_kernel, *(mean.mean(axis=0) for mean in means)), by_walker=means[-1])


def _walk(weights: list[Tensor], slopes: tuple[Tensor, ...], rate: float, generator: torch.Generator) -> None:
    """One step of all weights, in place."""
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            pushed = torch.randn(weight.shape, generator=generator) * (2 * rate) ** 0.5
            weight.mul_(1 - rate).sub_(rate * slope).add_(pushed)


def _forward(setting: Setting, x: Tensor, weights: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Activations of the hidden layers, (walkers, P, N) each, and outputs, (walkers, P, C)."""
    hidden, read = [], x
    for weight, g in zip(weights, setting.weight_variances, strict=True):
        h = (g / weight.shape[1]) ** 0.5 * read @ weight
        read = VALUES[setting.activation.name](h)
        hidden.append(read)
    return hidden[:-1], h
