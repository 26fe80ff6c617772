"""Factorizations of small or thin dense matrices, and their norms: for whoever is not in this package.

Everything here lets other threads go on while LAPACK runs: ours and NumPy's routines do, and of SciPy's those for QR.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from phiscope.linalg.eigen import Diagonalized
from phiscope.linalg.singular import singular
from phiscope.typing import FloatArray, IntArray


def length(vector: NDArray[np.floating]) -> float:
    """Euclidean norm of all entries.

    Example:
        >>> length(np.array([3.0, 4.0]))
        5.0
    """
    return float(np.linalg.norm(vector))


def row_lengths(rows: FloatArray) -> FloatArray:
    """Euclidean norm of each row, shape (n,)."""
    return np.asarray(np.linalg.norm(rows, axis=1))


def triangle(rows: FloatArray) -> FloatArray:
    """R of A = Q R, shape (min(n, p), p): the same singular values, spans and inner products of columns as A.

    Args:
        rows: A, shape (n, p).

    Example:
        >>> np.abs(triangle(np.array([[3.0], [4.0]]))).round(12).tolist()
        [[5.0]]
    """
    return np.asarray(scipy.linalg.qr(rows, mode="r", check_finite=False)[0][: rows.shape[1]], dtype=np.float64)


def orthonormal(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q, shape (n, p), with orthonormal columns, and the triangle R of A = Q R, for n >= p."""
    basis, factor = scipy.linalg.qr(columns, mode="economic", check_finite=False)
    return np.asarray(basis), np.asarray(factor)


def orthonormal_stack(stacked: FloatArray) -> FloatArray:
    """Q of each matrix of a stack, shape (..., n, p)."""
    return np.asarray(np.linalg.qr(stacked)[0])


def root_of_stack(stacked: FloatArray) -> FloatArray:
    """R with R^T R = A of each positive matrix of a stack, shape (..., k, k); what rounding made negative counts as 0.

    Example:
        >>> root = root_of_stack(np.array([[[1.0, 1.0], [1.0, 1.0]]]))[0]
        >>> bool(np.allclose(root.T @ root, 1.0))
        True
    """
    values, vectors = np.linalg.eigh(stacked)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return np.asarray(np.swapaxes(scaled, -1, -2))


def half_inverse_of_stack(stacked: FloatArray) -> tuple[FloatArray, FloatArray]:
    """L^-1 of each A = L L^T of a stack, shape (..., k, k), and ln det L, shape (...); A^-1 = L^-T L^-1.

    Example:
        >>> half, log = half_inverse_of_stack(np.array([[[4.0]]]))
        >>> half.tolist(), log.round(6).tolist()
        ([[[0.5]]], [0.693147])
    """
    lower = np.linalg.cholesky(stacked)
    logs = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)
    return np.asarray(np.linalg.inv(lower)), np.asarray(logs)


def pivots(matrix: FloatArray) -> IntArray:
    """Columns in the order in which each adds most to the span of those before it.

    Example:
        >>> pivots(np.array([[1.0, 3.0, 3.0], [0.0, 0.0, 1.0]])).tolist()
        [2, 1, 0]
    """
    return np.asarray(scipy.linalg.qr(matrix, mode="r", pivoting=True)[1])


def singular_values(matrix: FloatArray) -> FloatArray:
    """Descending, shape (min(n, p),)."""
    return singular(_own(matrix), "none")[1]


def singular_vectors(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """All left vectors as columns, (n, n), and all right ones as rows, (p, p), those of large singular values first."""
    left, _, right = singular(_own(matrix), "all")
    return left, right


def _own(matrix: FloatArray) -> FloatArray:
    """A copy that LAPACK may overwrite."""
    return np.array(matrix, dtype=np.float64, order="F")


def eigenpairs(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues of a symmetric matrix, ascending, and eigenvectors as columns.

    Example:
        >>> eigenpairs(np.diag([4.0, 1.0]))[0].tolist()
        [1.0, 4.0]
    """
    if len(matrix) == 0:
        return np.zeros(0), np.zeros((0, 0))
    found = Diagonalized(np.array(matrix, dtype=np.float64, order="F"))
    return found.values[::-1], found.vectors()[:, ::-1]
