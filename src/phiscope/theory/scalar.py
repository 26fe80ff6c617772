"""One hidden layer whose kernel is only rescaled by the targets: an independent formula to compare with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import brentq

from phiscope.errors import InputError
from phiscope.linalg.dense import eigenpairs
from phiscope.linalg.products import product
from phiscope.theory.setting import PerLayer, positive_number, setting_of, values_of, widths_of
from phiscope.typing import FloatArray

RELATIVE = 4 * float(np.finfo(np.float64).eps)
"""Q is known to so much of itself, the least that SciPy takes."""


@dataclass(frozen=True, kw_only=True)
class ScalarKernel:
    """The kernel of one hidden layer, rescaled.

    Attributes:
        factor: Q, above 0; 1 at infinite width.
        kernel: g Q F(C_0), shape (P, P).
        slope: of the action at Q; 0 to rounding.
    """

    factor: float
    kernel: FloatArray = field(repr=False)
    slope: float


def scalar_renormalization(
    inputs: Any,
    targets: Any,
    width: int,
    activation: str = "erf",
    weight_variance: PerLayer = 1.5,
    noise: float = 0.1,
) -> ScalarKernel:
    """The rescaled kernel of a network with one hidden layer, for P and N large at a fixed ratio.

    Q minimizes Q - ln Q + (ln det(kappa + g Q K) + y^T (kappa + g Q K)^-1 y) / N with K = F(C_0). The kernel keeps its
    eigenfunctions: only its strength follows the targets. `phiscope.theory.map_kernels` lets it turn, too; the two are
    different theories, and on linear networks their predictions differ like 1 / N.

    Args:
        inputs: X, shape (P, D).
        targets: floats (P,).
        width: N, units of the hidden layer.
        activation: "erf", "relu" or "identity".
        weight_variance: g, one number, or one for the hidden and one for the output layer.
        noise: kappa, above 0.

    Raises:
        InputError: settings that are none.
        ShapeError: inputs that are no (P, D), or targets of another number of inputs.

    Source: Pacelli et al. 2023, Nature Machine Intelligence 5, for P / N fixed.

    Example:
        >>> found = scalar_renormalization(np.eye(3), np.array([1.0, -1.0, 1.0]), width=10**9, activation="identity")
        >>> round(found.factor, 6)
        1.0
    """
    setting = setting_of(inputs, 1, activation, weight_variance, 0.0)
    values = values_of(targets, len(setting.input_kernel))
    if values.shape[1] != 1:
        raise InputError(f"targets have {values.shape[1]} columns, and this formula is of one output; pass (P,)")
    (units,) = widths_of(width, 1)
    kappa = positive_number(noise, "noise", "the variance of the outputs' noise")
    kernel = setting.weight_variances[1] * setting.activation.kernel(setting.input_kernel)
    strengths, vectors = eigenpairs(kernel)
    strengths = np.maximum(strengths, 0.0)
    content = np.square(product(np.ascontiguousarray(vectors.T), values))[:, 0]

    def slope(factor: float) -> float:
        loud = kappa + factor * strengths
        return 1.0 - 1.0 / factor + float((strengths / loud - strengths * content / loud**2).sum()) / units

    # From minus infinity at 0 the slope rises to 1: a minimum lies between.
    factor = float(brentq(slope, *_bracket(slope), xtol=1e-300, rtol=RELATIVE))
    return ScalarKernel(factor=factor, kernel=factor * kernel, slope=slope(factor))


def _bracket(slope: Any) -> tuple[float, float]:
    low = high = 1.0
    while slope(low) >= 0:
        low /= 2.0
    while slope(high) < 0:
        high *= 2.0
    return low, high
