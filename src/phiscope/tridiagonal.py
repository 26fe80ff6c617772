"""All eigenvalues of a symmetric matrix at once, its eigenvectors when they are read.

S = Q T Q^T with a tridiagonal T = Z diag(rho) Z^T, hence V = Q Z. That product is half of all the work, and coordinates
of a few columns, V^T x = Z^T (Q^T x), do not need it. LAPACK's routines are called one by one, which lets other threads
go on, too.
"""

from __future__ import annotations

import ctypes
from threading import RLock

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.lapack import character, check_status, integer, pointer, routine, spacing
from phiscope.products import product
from phiscope.reflectors import MANY_COLUMNS, copied, reflect, room

LARGE = 1024
"""From this p on T is diagonalized by relatively robust representations: as fast as divide and conquer (measured with
OpenBLAS), and p^2 doubles less."""


class Diagonalized:
    """Eigenvalues, descending, and eigenvectors of a symmetric matrix; it holds two p x p arrays, later one.

    Args:
        lower: columns contiguous, shape (p, p); its lower triangle is read, all of it is overwritten.

    Attributes:
        values: shape (p,), descending.

    Raises:
        PhiscopeError: LAPACK failed.

    Source: Cuppen 1981, Numer. Math. 36 (divide and conquer); Dhillon, Parlett and Vömel 2006, ACM Trans. Math. Softw.
    32 (relatively robust representations).

    Example:
        >>> found = Diagonalized(np.array([[2.0, 1.0], [1.0, 2.0]], order="F"))
        >>> found.values.round(12).tolist(), np.abs(found.vectors()).round(6).tolist()
        ([3.0, 1.0], [[0.707107, 0.707107], [0.707107, 0.707107]])
    """

    def __init__(self, lower: FloatArray) -> None:
        self._lock = RLock()
        self._reflectors: tuple[FloatArray, FloatArray] | None
        diagonal, beside, factors = _reduced(lower)
        self._reflectors = (lower, factors)
        # Of -T, whose ascending order is the descending one of T.
        values, self._vectors = _of_tridiagonal(-diagonal, -beside)
        self.values = -values

    def project(self, columns: FloatArray) -> FloatArray:
        """V^T x, shape (p, j), for columns x of shape (p, j)."""
        with self._lock:
            self._prepare_for(columns.shape[1])
            turned = columns
            if self._reflectors is not None:
                turned = copied(columns)
                reflect(*self._reflectors, turned, skipped=1, transposed=True)
            return product(self._vectors.T, turned)

    def combine(self, coefficients: FloatArray) -> FloatArray:
        """V c, shape (p, j), for coefficients c of shape (p, j)."""
        with self._lock:
            self._prepare_for(coefficients.shape[1])
            found = product(self._vectors, coefficients)
            if self._reflectors is not None:
                found = copied(found)
                reflect(*self._reflectors, found, skipped=1)
            return found

    def leading(self, count: int) -> FloatArray:
        """The first columns of V, shape (p, count), in memory of their own."""
        with self._lock:
            self._prepare_for(count)
            found = copied(self._vectors[:, :count])
            if self._reflectors is not None:
                reflect(*self._reflectors, found, skipped=1)
            return found

    def vectors(self) -> FloatArray:
        """V, shape (p, p), columns contiguous; the memory of this object, not to be written to."""
        with self._lock:
            if self._reflectors is not None:
                reflect(*self._reflectors, self._vectors, skipped=1)
                self._reflectors = None
            return self._vectors

    def _prepare_for(self, n_columns: int) -> None:
        if self._reflectors is not None and n_columns > MANY_COLUMNS * len(self.values):
            self.vectors()


def _reduced(lower: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """T's diagonal and the one beside it, and the factors of the reflectors that replace the matrix."""
    size = len(lower)
    diagonal, beside, factors = np.empty(size), np.empty(max(size - 1, 1)), np.empty(max(size - 1, 1))
    work = np.empty(1)
    # The first call only says how much room the second one wants; so in all that follow.
    for asked in (True, False):
        status = ctypes.c_int(0)
        routine("dsytrd", "char *, int *", 10)(
            character("L"), integer(size), pointer(lower), integer(size), pointer(diagonal), pointer(beside),
            pointer(factors), pointer(work), integer(-1 if asked else len(work)), ctypes.byref(status),
        )  # fmt: skip
        check_status("dsytrd", status, lower.shape)
        work = np.empty(int(work[0])) if asked else work
    return diagonal, beside[: size - 1], factors


def _of_tridiagonal(diagonal: FloatArray, beside: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, ascending, and eigenvectors of a tridiagonal matrix."""
    if len(diagonal) >= LARGE:
        found = _by_representations(diagonal, beside)
        if found is not None:
            return found
    return _by_dividing(diagonal, beside)


def _by_dividing(diagonal: FloatArray, beside: FloatArray) -> tuple[FloatArray, FloatArray]:
    size = len(diagonal)
    values, rest, vectors = diagonal.copy(), np.append(beside, 0.0), room(size, size)
    work, counters = np.empty(1 + 4 * size + size**2), np.empty(3 + 5 * size, dtype=np.int32)
    status = ctypes.c_int(0)
    routine("dstedc", "char *, int *", 11)(
        character("I"), integer(size), pointer(values), pointer(rest), pointer(vectors), spacing(vectors),
        pointer(work), integer(len(work)), pointer(counters), integer(len(counters)), ctypes.byref(status),
    )  # fmt: skip
    check_status("dstedc", status, vectors.shape)
    return values, vectors


def _by_representations(diagonal: FloatArray, beside: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """None where the method finds no representation to trust: it says so, and the other one does it then."""
    size = len(diagonal)
    main, rest = diagonal.copy(), np.append(beside, 0.0)
    values, vectors = np.empty(size), room(size, size)
    support, found, careful = np.empty(2 * size, dtype=np.int32), ctypes.c_int(0), ctypes.c_int(1)
    nothing = ctypes.byref(ctypes.c_double(0.0))
    work, counters = np.empty(18 * size), np.empty(10 * size, dtype=np.int32)
    status = ctypes.c_int(0)
    routine("dstemr", "char *, char *, int *", 21)(
        character("V"), character("A"), integer(size), pointer(main), pointer(rest), nothing, nothing,
        integer(0), integer(0), ctypes.byref(found), pointer(values), pointer(vectors), spacing(vectors),
        integer(size), pointer(support), ctypes.byref(careful), pointer(work), integer(len(work)),
        pointer(counters), integer(len(counters)), ctypes.byref(status),
    )  # fmt: skip
    return (values, vectors) if status.value == 0 and found.value == size else None
