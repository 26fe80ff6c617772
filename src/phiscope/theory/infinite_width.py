"""Kernels of a fully connected network of infinite width: the network as a Gaussian process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phiscope.theory.setting import PerLayer, Setting, setting_of
from phiscope.typing import FloatArray


@dataclass(frozen=True, kw_only=True)
class InfiniteKernels:
    """Kernels of a network of infinite width on P inputs.

    Attributes:
        kernels: C_0 to C_L, each of shape (P, P): [0] is the covariance of the first hidden layer's preactivations,
            [a] for a > 0 is g (mean over units of phi phi^T) + g_b of hidden layer a, and so the covariance of the next
            layer's preactivations; [L] is that of the outputs.
        activation: its name.
        depth: L, the number of hidden layers.
        weight_variances: g of each linear layer, the first one first.
        bias_variances: g_b of each linear layer.
    """

    kernels: tuple[FloatArray, ...] = field(repr=False)
    activation: str
    depth: int
    weight_variances: tuple[float, ...]
    bias_variances: tuple[float, ...]


def nngp(
    inputs: Any,
    depth: int = 2,
    activation: str = "erf",
    weight_variance: PerLayer = 1.5,
    bias_variance: PerLayer = 0.0,
) -> InfiniteKernels:
    """Kernels of the network of infinite width: C_a = g F(C_(a-1)) + g_b, F = <phi(h) phi(h)^T> over h ~ N(0, C).

    C_0 = g X X^T / D + g_b. A weight of a layer with m inputs has variance g / m: PyTorch's default initialization of
    `torch.nn.Linear` is g = 1/3, far from what keeps signals alive (see `phiscope.theory.criticality`).

    Args:
        inputs: X, shape (P, D) or pictures (P, ...), at least two inputs.
        depth: L, the number of hidden layers, 1 or more.
        activation: "erf", "relu" or "identity".
        weight_variance: g, above 0; one number, or L + 1 of them, one for each linear layer.
        bias_variance: g_b, at least 0; one number, or L + 1 of them.

    Returns:
        L + 1 kernels; `phiscope.diagonalize_kernel` takes each of them.

    Raises:
        InputError: an unknown activation, a depth below 1, or a variance that is none.
        ShapeError: inputs that are no (P, D).
        NonFiniteError: NaN or Inf.
        EmptyDataError: fewer than two inputs.

    Source: Neal 1996; Lee et al. 2018, arXiv:1711.00165; closed forms by Williams 1998 (erf) and Cho and Saul 2009
    (ReLU).

    Example:
        >>> import numpy as np
        >>> nngp(np.eye(2), depth=1, activation="relu", weight_variance=2.0).kernels[1].diagonal().tolist()
        [1.0, 1.0]
    """
    return infinite_kernels(setting_of(inputs, depth, activation, weight_variance, bias_variance))


def infinite_kernels(setting: Setting) -> InfiniteKernels:
    """`nngp` of what is read already."""
    kernels = [setting.input_kernel]
    for layer in range(1, setting.depth + 1):
        kernels.append(setting.step(kernels[-1], layer))
    return InfiniteKernels(
        kernels=tuple(kernels),
        activation=setting.activation.name,
        depth=setting.depth,
        weight_variances=setting.weight_variances,
        bias_variances=setting.bias_variances,
    )
