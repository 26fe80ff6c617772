"""What no implementation can be faster than: one product of the features, one eigendecomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from speed_parts.cases import BATCH_ROWS, Case


def symmetric_blocks(case: Case, _: Any) -> NDArray[np.float64]:
    """X^T X by symmetric rank-k updates of 2,048 float64 rows, each block cast from float32; its upper triangle."""
    n, p = case.shape.n, case.shape.p
    total = np.zeros((p, p), order="F")
    block = np.empty((min(BATCH_ROWS, n), p))
    for start in range(0, n, BATCH_ROWS):
        rows = block[: min(BATCH_ROWS, n - start)]
        rows[...] = case.features[start : start + BATCH_ROWS]
        total = dsyrk(1.0, rows.T, beta=1.0, c=total, overwrite_c=1)
    return total


def widened(case: Case) -> NDArray[np.float64]:
    """The features in float64, cast before the clock starts."""
    return case.features.astype(np.float64)


def general_single(case: Case, _: Any) -> NDArray[np.float32]:
    """X^T X in float32 by a general matrix product."""
    rows = torch.from_numpy(case.features)
    return (rows.T @ rows).numpy()


def general_double(_: Case, wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """X^T X in float64 by a general matrix product."""
    rows = torch.from_numpy(wide)
    return (rows.T @ rows).numpy()


def symmetric_single(case: Case, _: Any) -> NDArray[np.float32]:
    """X^T X in float32; NumPy sees that both factors are one array and takes the symmetric product."""
    return np.asarray(case.features.T @ case.features)


def symmetric_double(_: Case, wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """X^T X in float64, the symmetric product."""
    return np.asarray(wide.T @ wide)


def eigen_dividing(_: Case, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """All eigenvalues and eigenvectors of one p x p matrix by SciPy's divide and conquer; the eigenvalues."""
    return np.asarray(scipy.linalg.eigh(covariance, driver="evd", check_finite=False)[0])


def eigen_representations(_: Case, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same by SciPy's relatively robust representations."""
    return np.asarray(scipy.linalg.eigh(covariance, driver="evr", check_finite=False)[0])


def eigen_numpy(_: Case, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same by NumPy."""
    return np.linalg.eigh(covariance)[0]


def eigen_torch(_: Case, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same by torch."""
    return torch.linalg.eigh(torch.from_numpy(covariance))[0].numpy()


def from_product(case: Case, product: NDArray[Any]) -> NDArray[np.float64]:
    """Eigenvalues of product / n - m m^T: what raw sums are worth once the mean is taken off."""
    upper = np.triu(np.asarray(product, dtype=np.float64))
    moment = (upper + np.triu(upper, 1).T) / case.shape.n
    mean = case.features.mean(axis=0, dtype=np.float64)
    return np.asarray(scipy.linalg.eigvalsh(moment - np.outer(mean, mean)))


def as_they_are(_: Case, eigenvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues that need no rescaling."""
    return eigenvalues
