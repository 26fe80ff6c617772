"""What the layer that reads units can take over from those that go."""

from __future__ import annotations

import numpy as np

from phiscope.linalg.positive import solve_positive
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement
from phiscope.surgery.material import Ridge, covariance_of, regularized
from phiscope.typing import FloatArray, IntArray


def taken_over(
    measurement: Measurement,
    weight: FloatArray,
    bias: FloatArray,
    kept: IntArray,
    ridge: Ridge = None,
    compensate: bool = True,
) -> tuple[FloatArray, FloatArray, float]:
    """Weight and bias of a linear layer that reads the kept units alone.

    W_K + W_R T^T with T = (S_KK + r I)^-1 S_KR, and the bias that keeps the mean: least squares for its outputs.
    Without compensation T = 0: the mean of what goes takes its place.

    Args:
        measurement: of all units.
        weight: W, shape (C, p).
        bias: b, shape (C,).
        kept: the units that stay, in the layer's order, shape (k,).
        ridge: see `regularized`.
        compensate: whether those that stay take over.

    Returns:
        New weight (C, k), new bias (C,), and the mean squared change of this layer's outputs on the measured samples,
        summed over outputs, from their moments.

    Source: least squares, phiscope's own (arXiv:2005.13796 retrains instead).
    """
    covariance, mean = covariance_of(measurement), measurement.feature_mean
    gone = np.setdiff1d(np.arange(len(mean)), kept)
    share = np.zeros((len(kept), len(gone)))
    if compensate and len(gone):
        matrix, _ = regularized(covariance, measurement.independent_samples, ridge)
        share = solve_positive(np.asfortranarray(matrix[np.ix_(kept, kept)]), covariance[np.ix_(kept, gone)])
    new_weight = weight[:, kept] + product(weight[:, gone], share.T)
    new_bias = bias + product(weight[:, gone], mean[gone] - product(share.T, mean[kept]))
    # Of the outputs' difference: W_R (phi_R - m_R) - W_R T^T (phi_K - m_K).
    change = np.zeros_like(weight)
    change[:, gone] = weight[:, gone]
    change[:, kept] = -product(weight[:, gone], share.T)
    predicted = float(np.sum(product(change, covariance) * change))
    return new_weight, new_bias, max(predicted, 0.0)
