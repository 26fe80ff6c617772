"""Diagonalizing a kernel that is given as a Gram matrix: the same numbers as for features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.inputs.arrays import as_array
from phiscope.linalg import dense
from phiscope.linalg.products import product
from phiscope.measurement.diagonalize import diagonalize
from phiscope.measurement.record import Measurement
from phiscope.typing import FloatArray

ASYMMETRY = 1e-4
"""A Gram matrix may differ from its transpose by this share of its largest entry: rounding of half precision."""


def kernel_features(gram: Any, cross: Any = None) -> FloatArray:
    """Coordinates phi(x_i) with phi(x_i) . phi(x_j) = K(x_i, x_j): the feature map of a kernel on its own samples.

    phi = U sqrt(lambda) from K = U diag(lambda) U^T. Eigenvalues below n eps lambda_1 are rounding and left out,
    with the eps of the precision that the kernel came in.

    Args:
        gram: K, shape (n, n), symmetric and positive.
        cross: K(x, x_i) of further points, shape (m, n); then their coordinates are returned instead.

    Returns:
        Shape (n, r), or (m, r), r the rank of the kernel.

    Raises:
        ShapeError: not square, or `cross` of another width.
        InputError: not symmetric, not positive, or zero.
        NonFiniteError: NaN or Inf.

    Source: Nystroem's formula.

    Example:
        >>> kernel_features([[4.0, 0.0], [0.0, 9.0]]).__abs__().tolist()
        [[0.0, 2.0], [3.0, 0.0]]
    """
    kernel, eps = _checked(gram)
    values, vectors = dense.eigenpairs(kernel)
    values, vectors = values[::-1], vectors[:, ::-1]
    rounding = len(kernel) * eps * max(float(values[0]), 0.0)
    if values[0] <= 0 or values[-1] < -rounding:
        raise InputError(
            f"the gram matrix has eigenvalues from {values[-1]:.3g} to {values[0]:.3g}, expected a positive "
            "semidefinite kernel that is not zero; a kernel changed in low precision may need float64"
        )
    kept = values > rounding
    coordinates = np.asarray(vectors[:, kept] * np.sqrt(values[kept]))
    if cross is None:
        return coordinates
    further = as_array(cross, name="cross").astype(np.float64)
    if further.ndim != 2 or further.shape[1] != len(kernel):
        raise ShapeError(
            f"cross has shape {further.shape}, expected (m, n) with n = {len(kernel)} samples of the kernel"
        )
    return product(further, vectors[:, kept] / np.sqrt(values[kept]))


def _checked(gram: Any) -> tuple[NDArray[np.float64], float]:
    array = as_array(gram, name="gram")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) == 0:
        raise ShapeError(f"gram has shape {array.shape}, expected (n, n): the kernel between all pairs of samples")
    eps = float(np.finfo(array.dtype if array.dtype.kind == "f" else np.float64).eps)
    kernel = array.astype(np.float64)
    if not np.isfinite(kernel).all():
        raise NonFiniteError("gram holds NaN or Inf, expected finite numbers", where="gram")
    asymmetry = float(np.abs(kernel - kernel.T).max())
    if asymmetry > ASYMMETRY * float(np.abs(kernel).max()):
        raise InputError(
            f"gram differs from its transpose by {asymmetry:.3g}, expected a symmetric kernel; for the kernel between "
            "two sets of samples pass cross to kernel_features"
        )
    return (kernel + kernel.T) / 2, eps


def diagonalize_kernel(
    gram: Any,
    *,
    outputs: Any = None,
    targets: Any = None,
    weights: Any = None,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
) -> Measurement:
    """Diagonalize any kernel and measure everything that it allows: ``diagonalize`` with K = Phi Phi^T in place of Phi.

    The operator T[u](x) = E_x'[K(x, x') u(x')] has the eigenvalues of K / n. Features are replaced by the
    coordinates of `kernel_features`, a rotation of any others with the same kernel, so every number is the same;
    only rankme counts exact zeros among the singular values (1e-6 each) up to the width that features happen to have.

    A Gram matrix keeps no more than 16 digits of squared features: where a constant offset of the features is 10^k
    times the spread, the centered numbers lose 2 k of them. Center the features before making the kernel then.

    Args:
        gram: K, shape (n, n), symmetric positive semidefinite, n >= 2.
        outputs: f(x), shape (n, C).
        targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.
        weights: non-negative sample weights, shape (n,).
        num_classes: number of classes; None takes the largest target plus one.
        rank_tolerance: see `phiscope.diagonalize`.

    Returns:
        The measurement; its eigenvectors belong to ``kernel_features(gram)``, so that
        ``m.eigenfunctions(kernel_features(gram))`` are the eigenfunctions on the samples.

    Raises:
        ShapeError: not square, or lengths that do not match.
        InputError: not symmetric or not positive.
        NonFiniteError: NaN or Inf.
        EmptyDataError: fewer than two samples.
        TargetError: class indices out of range.

    Source: arXiv:2410.04264 v1, section 2, for a general kernel.

    Example:
        >>> diagonalize_kernel(np.eye(4))["effective_dimension"].__round__(9)
        4.0
    """
    coordinates = kernel_features(gram)
    measured = diagonalize(
        coordinates,
        outputs,
        targets=targets,
        weights=weights,
        num_classes=num_classes,
        rank_tolerance=rank_tolerance,
    )
    said = {"source": "kernel", "features": f"coordinates of a Gram matrix of {len(coordinates)} samples"}
    return replace(measured, provenance={**measured.provenance, **said})
