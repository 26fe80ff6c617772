"""All eigenvalues at once, eigenvectors when they are read: of a symmetric matrix, or from few rows.

A symmetric matrix is S = Q T Q^T with a tridiagonal T = Z diag(rho) Z^T, hence V = Q Z. That product is half of all the
work, and coordinates of a few columns, V^T x = Z^T (Q^T x), do not need it.

For A^T A from rows of A that are fewer than columns, A^T = Q R with a small triangle R = U diag(s) W^T, so that the
eigenvectors are Q U and the eigenvalues s^2; nothing is p x p. From the Gram matrix A A^T eigenvalues below eps rho_1
would be noise; those of s are good down to eps^2 rho_1, and eigenvectors stay orthogonal.

Q is never formed: it stays the product of Householder reflectors that LAPACK leaves behind. LAPACK's routines are
called one by one, which lets other threads go on.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from threading import RLock

import numpy as np

from phiscope.errors import PhiscopeError
from phiscope.linalg.lapack import character, check_status, integer, pointer, routine, spacing
from phiscope.linalg.products import product
from phiscope.linalg.singular import singular
from phiscope.typing import FloatArray

MANY_COLUMNS = 0.75
"""Columns, as a share of all eigenvectors, from which on these are formed for them: it costs little more, and stays."""

LARGE = 1024
"""From this p on T is diagonalized by relatively robust representations, for p^2 doubles less than divide and conquer
takes. On one thread both are equally fast (OpenBLAS), on two this is slower by a fifth of the whole, and eigenvectors
are orthogonal to 1e-11 at p = 4096 instead of 1e-14."""

TOGETHER = 64
"""Reflectors applied together, as one product. LAPACK's own routines take 32: up to twice the time for 100 columns and
more on one thread, and on two so much more that eigenvalues with coordinates take 1.2 to 1.4 times as long."""

APART = 8
"""Numbers left free after each column. Columns a power of two apart, as networks are wide, fall on the same lines of
the cache; with a gap Q x takes half to four fifths of the time (measured for p = 256 to 3072 with OpenBLAS)."""


class Decomposition(ABC):
    """Eigenvalues at once, eigenvectors when they are read; coordinates and combinations of few columns without them.

    One thread at a time forms the eigenvectors, all others wait for them.

    Attributes:
        values: eigenvalues, shape (k,), descending.
    """

    values: FloatArray

    def __init__(self) -> None:
        self._lock = RLock()
        self._whole: FloatArray | None = None

    def project(self, columns: FloatArray) -> FloatArray:
        """V^T x, shape (k, j), for columns x of shape (p, j)."""
        with self._lock:
            whole = self._whole_for(columns.shape[1])
            return self._projected(columns) if whole is None else product(whole.T, columns)

    def combine(self, coefficients: FloatArray) -> FloatArray:
        """V c, shape (p, j), for coefficients c of shape (k, j)."""
        with self._lock:
            whole = self._whole_for(coefficients.shape[1])
            return self._combined(coefficients) if whole is None else product(whole, coefficients)

    def leading(self, count: int) -> FloatArray:
        """The first columns of V, shape (p, count), in memory of their own."""
        with self._lock:
            whole = self._whole_for(count)
            return self._formed(count) if whole is None else copied(whole[:, :count])

    def vectors(self) -> FloatArray:
        """V, shape (p, k), columns contiguous; the memory of this object, not to be written to."""
        with self._lock:
            if self._whole is None:
                self._whole = self._all()
            return self._whole

    def _whole_for(self, n_columns: int) -> FloatArray | None:
        """The eigenvectors, where they are there or so many columns are worth forming them."""
        return self.vectors() if n_columns > MANY_COLUMNS * len(self.values) else self._whole

    @abstractmethod
    def _projected(self, columns: FloatArray) -> FloatArray:
        """`project` without the eigenvectors."""

    @abstractmethod
    def _combined(self, coefficients: FloatArray) -> FloatArray:
        """`combine` without them."""

    @abstractmethod
    def _formed(self, count: int) -> FloatArray:
        """`leading` without the others."""

    @abstractmethod
    def _all(self) -> FloatArray:
        """`vectors`; what they were made of may be given up."""


class Diagonalized(Decomposition):
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
        super().__init__()
        diagonal, beside, factors = _reduced(lower)
        self._reflectors: tuple[FloatArray, FloatArray] | None = (lower, factors)
        # Of -T, whose ascending order is the descending one of T.
        values, self._turned = _of_tridiagonal(-diagonal, -beside)
        self.values = -values

    def _projected(self, columns: FloatArray) -> FloatArray:
        turned = copied(columns)
        reflect(*self._kept(), turned, skipped=1, transposed=True)
        return product(self._turned.T, turned)

    def _combined(self, coefficients: FloatArray) -> FloatArray:
        found = copied(product(self._turned, coefficients))
        reflect(*self._kept(), found, skipped=1)
        return found

    def _formed(self, count: int) -> FloatArray:
        found = copied(self._turned[:, :count])
        reflect(*self._kept(), found, skipped=1)
        return found

    def _all(self) -> FloatArray:
        # In place: there is never a third p x p array.
        reflect(*self._kept(), self._turned, skipped=1)
        self._reflectors = None
        return self._turned

    def _kept(self) -> tuple[FloatArray, FloatArray]:
        return _not_given_up(self._reflectors)


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


class FewRows(Decomposition):
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
        super().__init__()
        n_rows, self._width = rows.shape
        columns = room(self._width, n_rows + (beside is not None))
        columns[:, :n_rows] = rows.T
        if beside is not None:
            columns[:, n_rows] = beside
        self._reflectors: tuple[FloatArray, FloatArray] | None = (columns, _triangle(columns))
        inner = min(n_rows, self._width)
        self._rotation, values, _ = singular(np.asfortranarray(np.triu(columns[:inner, :n_rows])), "thin")
        self.values = np.concatenate([values**2, np.zeros(min(columns.shape) - inner)])

    def _projected(self, columns: FloatArray) -> FloatArray:
        turned = copied(columns)
        reflect(*_not_given_up(self._reflectors), turned, skipped=0, transposed=True)
        found, inner = turned[: len(self.values)].copy(), len(self._rotation)
        found[:inner] = product(self._rotation.T, turned[:inner])
        return found

    def _combined(self, coefficients: FloatArray) -> FloatArray:
        inner = len(self._rotation)
        return self._reflected(product(self._rotation, coefficients[:inner]), coefficients[inner:])

    def _formed(self, count: int) -> FloatArray:
        inner = len(self._rotation)
        turned = np.zeros((inner, count))
        turned[:, :inner] = self._rotation[:, :count]
        return self._reflected(turned, np.eye(len(self.values), count)[inner:])

    def _all(self) -> FloatArray:
        formed, self._reflectors = self._formed(len(self.values)), None
        return formed

    def _reflected(self, turned: FloatArray, beside: FloatArray) -> FloatArray:
        """Q x for x made of what the triangle's own directions were turned to and what lies beside them."""
        found = room(self._width, turned.shape[1])
        inner, size = len(turned), len(self.values)
        found[:inner], found[inner:size], found[size:] = turned, beside, 0.0
        reflect(*_not_given_up(self._reflectors), found, skipped=0)
        return found


def _not_given_up(reflectors: tuple[FloatArray, FloatArray] | None) -> tuple[FloatArray, FloatArray]:
    if reflectors is None:
        raise PhiscopeError("the reflectors were given up for the eigenvectors; please report this")
    return reflectors


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


def reflect(
    reflectors: FloatArray, factors: FloatArray, columns: FloatArray, *, skipped: int, transposed: bool = False
) -> None:
    """Q x or Q^T x in place, for Q = H_1 H_2 ... H_k with H_i = I - tau_i v_i v_i^T.

    Args:
        reflectors: columns contiguous, shape (d, >= k); v_i is column i, 1 at entry i + `skipped` and 0 before that,
            neither of which is stored.
        factors: tau, shape (k,) or longer.
        columns: x, columns contiguous, shape (d, j); changed.
        skipped: first entries that no reflector touches: 0 after a QR decomposition, 1 after a tridiagonal reduction.
        transposed: Q^T x instead of Q x.
    """
    (size, width), n_reflectors = columns.shape, min(len(columns) - skipped, reflectors.shape[1])
    if width == 0:
        return
    triangle, work = np.empty((TOGETHER, TOGETHER), order="F"), room(width, TOGETHER)
    starts = range(0, n_reflectors, TOGETHER)
    for start in starts if transposed else reversed(starts):
        count, below = min(TOGETHER, n_reflectors - start), slice(start + skipped, size)
        block, rest = reflectors[below, start:], columns[below]
        routine("dlarft", "char *, char *, int *", 9)(
            character("F"), character("C"), integer(len(block)), integer(count), pointer(block), spacing(block),
            pointer(factors[start:]), pointer(triangle), spacing(triangle),
        )  # fmt: skip
        routine("dlarfb", "char *, char *, char *, char *, int *", 15)(
            character("L"), character("T" if transposed else "N"), character("F"), character("C"),
            integer(len(rest)), integer(width), integer(count), pointer(block), spacing(block),
            pointer(triangle), spacing(triangle), pointer(rest), spacing(rest), pointer(work), spacing(work),
        )  # fmt: skip


def room(height: int, width: int) -> FloatArray:
    """Room for a matrix with contiguous columns, `APART` numbers after each."""
    return np.empty((height + APART, width), order="F")[:height]


def copied(columns: FloatArray) -> FloatArray:
    """A copy laid out so."""
    found = room(*columns.shape)
    found[...] = columns
    return found
