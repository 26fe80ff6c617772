"""The spectrum of A^T A from the rows of A, fewer than columns: nothing p x p, and half of the digits no worse.

A^T = Q R with a small triangle R = U diag(s) W^T, so that A^T A has eigenvectors Q U and eigenvalues s^2. From the
Gram matrix A A^T eigenvalues below eps rho_1 would be noise; those of s are good down to eps^2 rho_1, and eigenvectors
stay orthogonal. LAPACK's routines are called one by one, which lets other threads go on.
"""

from __future__ import annotations

import ctypes
from threading import RLock

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.errors import PhiscopeError
from phiscope.lapack import character, check_status, integer, pointer, routine, spacing
from phiscope.products import product
from phiscope.reflectors import MANY_COLUMNS, copied, reflect, room


class FewRows:
    """Eigenvalues, descending, and eigenvectors of A^T A, and one more direction where `beside` leaves their span.

    Args:
        rows: A, shape (r, p).
        beside: a vector of shape (p,); what no eigenvector reaches of it is the last direction, with eigenvalue 0.

    Attributes:
        values: shape (k,), k = min(r, p) or, with `beside`, min(r + 1, p).

    Raises:
        PhiscopeError: LAPACK failed.

    Source: Chan 1982, ACM Trans. Math. Softw. 8 (QR before the singular value decomposition).

    Example:
        >>> found = FewRows(np.array([[3.0, 0.0, 0.0]]), np.array([1.0, 2.0, 0.0]))
        >>> found.values.tolist(), np.abs(found.vectors()).round(12).tolist()
        ([9.0, 0.0], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    """

    def __init__(self, rows: FloatArray, beside: FloatArray | None = None) -> None:
        self._lock = RLock()
        n_rows, width = rows.shape
        columns = room(width, n_rows + (beside is not None))
        columns[:, :n_rows] = rows.T
        if beside is not None:
            columns[:, n_rows] = beside
        self._reflectors: tuple[FloatArray, FloatArray] | None = (columns, _triangle(columns))
        inner = min(n_rows, width)
        self._rotation, singular = _rotation(np.asfortranarray(np.triu(columns[:inner, :n_rows])))
        self.values = np.concatenate([singular**2, np.zeros(min(columns.shape) - inner)])
        self._vectors = np.empty((width, 0))

    def project(self, columns: FloatArray) -> FloatArray:
        """V^T x, shape (k, j), for columns x of shape (p, j)."""
        with self._lock:
            self._prepare_for(columns.shape[1])
            if self._reflectors is None:
                return product(self._vectors.T, columns)
            turned = copied(columns)
            reflect(*self._reflectors, turned, skipped=0, transposed=True)
            found, inner = turned[: len(self.values)].copy(), len(self._rotation)
            found[:inner] = product(self._rotation.T, turned[:inner])
            return found

    def combine(self, coefficients: FloatArray) -> FloatArray:
        """V c, shape (p, j), for coefficients c of shape (k, j)."""
        with self._lock:
            self._prepare_for(coefficients.shape[1])
            if self._reflectors is None:
                return product(self._vectors, coefficients)
            inner = len(self._rotation)
            return self._reflected(product(self._rotation, coefficients[:inner]), coefficients[inner:])

    def leading(self, count: int) -> FloatArray:
        """The first columns of V, shape (p, count), in memory of their own."""
        with self._lock:
            self._prepare_for(count)
            return self._vectors[:, :count].copy(order="F") if self._reflectors is None else self._formed(count)

    def vectors(self) -> FloatArray:
        """V, shape (p, k), columns contiguous; the memory of this object, not to be written to."""
        with self._lock:
            if self._reflectors is not None:
                self._vectors, self._reflectors = self._formed(len(self.values)), None
            return self._vectors

    def _prepare_for(self, n_columns: int) -> None:
        if n_columns > MANY_COLUMNS * len(self.values):
            self.vectors()

    def _formed(self, count: int) -> FloatArray:
        inner = len(self._rotation)
        turned = np.zeros((inner, count))
        turned[:, :inner] = self._rotation[:, :count]
        return self._reflected(turned, np.eye(len(self.values), count)[inner:])

    def _reflected(self, turned: FloatArray, beside: FloatArray) -> FloatArray:
        """Q x for x made of what the triangle's own directions were turned to and what lies beside them."""
        if self._reflectors is None:
            raise PhiscopeError("the reflectors were given up for the eigenvectors; please report this")
        found = room(len(self._vectors), turned.shape[1])
        inner, size = len(turned), len(self.values)
        found[:inner], found[inner:size], found[size:] = turned, beside, 0.0
        reflect(*self._reflectors, found, skipped=0)
        return found


def _triangle(columns: FloatArray) -> FloatArray:
    """Q R in place of the columns: R on and above the diagonal, reflectors below it; their factors are returned."""
    factors, work = np.empty(min(columns.shape)), np.empty(1)
    # The first call only says how much room the second one wants; so in the one below.
    for asked in (True, False):
        status = ctypes.c_int(0)
        routine("dgeqrf", "int *, int *", 8)(
            integer(columns.shape[0]), integer(columns.shape[1]), pointer(columns), spacing(columns), pointer(factors),
            pointer(work), integer(-1 if asked else len(work)), ctypes.byref(status),
        )  # fmt: skip
        check_status("dgeqrf", status, columns.shape)
        work = np.empty(int(work[0])) if asked else work
    return factors


def _rotation(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Left singular vectors and singular values, descending, of a matrix with no more rows than columns."""
    height, width = matrix.shape
    singular, rotation = np.empty(height), np.empty((height, height), order="F")
    right = np.empty((height, width), order="F")
    counters, work = np.empty(8 * height, dtype=np.int32), np.empty(1)
    for asked in (True, False):
        status = ctypes.c_int(0)
        routine("dgesdd", "char *, int *, int *", 14)(
            character("S"), integer(height), integer(width), pointer(matrix), spacing(matrix), pointer(singular),
            pointer(rotation), spacing(rotation), pointer(right), spacing(right), pointer(work),
            integer(-1 if asked else len(work)), pointer(counters), ctypes.byref(status),
        )  # fmt: skip
        check_status("dgesdd", status, matrix.shape)
        work = np.empty(int(work[0])) if asked else work
    return rotation, singular
