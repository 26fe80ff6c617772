"""BLAS and LAPACK routines that SciPy publishes for compiled code, called so that other threads go on.

SciPy's own functions hold Python's global lock until they are done, which would stop a training that an observer's
thread works beside, and copy what is picked from a larger array. Calls through ctypes let go of the lock, and arrays
are read as they lie where BLAS can read them. Products in place are here;
whoever needs another routine takes it from `routine` and hands it what `pointer`, `integer`, `character` and `spacing`
make.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

from phiscope.errors import PhiscopeError

_LETTERS = {np.dtype(np.float32): ("s", ctypes.c_float), np.dtype(np.float64): ("d", ctypes.c_double)}

HANDLED = frozenset(_LETTERS)
"""Types of numbers that BLAS is asked for here."""


def multiply(
    left: NDArray[Any], right: NDArray[Any], result: NDArray[Any], *, scale: float = 1.0, kept: float = 0.0
) -> None:
    """result = scale left @ right + kept result, in place; without `kept` whatever was in the result does not count.

    Args:
        left: shape (m, k), not empty.
        right: shape (k, n), or (k,) for a vector.
        result: shape (m, n), rows or columns contiguous, or (m,) contiguous; its type, one of `HANDLED`, is that of
            the product.
        scale: factor of the product.
        kept: factor of what was in the result.

    Raises:
        PhiscopeError: the shapes do not fit, or the result cannot be written in place.

    Example:
        >>> found = np.empty((2, 1))
        >>> multiply(np.eye(2), np.array([[1.0], [2.0]]), found)
        >>> found.tolist()
        [[1.0], [2.0]]
    """
    _check(left.shape[1:] == right.shape[:1] and result.shape == (len(left), *right.shape[1:]), left, right, result)
    letter, number = _LETTERS[result.dtype]
    factor, share = ctypes.byref(number(scale)), ctypes.byref(number(kept))
    left, right = left.astype(result.dtype, copy=False), right.astype(result.dtype, copy=False)
    if right.ndim == 1:
        _check(result.flags.c_contiguous, left, right, result)
        matrix, turned = as_columns(left)
        vector = np.ascontiguousarray(right)
        routine(f"{letter}gemv", "char *, int *, int *", 11)(
            character("T" if turned else "N"), integer(matrix.shape[0]), integer(matrix.shape[1]), factor,
            pointer(matrix), spacing(matrix), pointer(vector), integer(1), share,
            pointer(result), integer(1),
        )  # fmt: skip
        return
    _check(_along_columns(result) or _along_columns(result.T), left, right, result)
    into, transposed = as_columns(result)
    # The transposed product, where the result's rows are contiguous.
    left, right = (right.T, left.T) if transposed else (left, right)
    (first, first_turned), (second, second_turned) = as_columns(left), as_columns(right)
    routine(f"{letter}gemm", "char *, char *, int *, int *, int *", 13)(
        character("T" if first_turned else "N"), character("T" if second_turned else "N"),
        integer(left.shape[0]), integer(right.shape[1]), integer(left.shape[1]), factor,
        pointer(first), spacing(first), pointer(second), spacing(second), share,
        pointer(into), spacing(into),
    )  # fmt: skip


def add_square(
    result: NDArray[Any], rows: NDArray[Any], *, scale: float = 1.0, kept: float = 1.0, lower: bool = False
) -> None:
    """result = scale rows^T rows + kept result on one triangle, in place, at half the work of a general product.

    Args:
        result: shape (p, p), columns contiguous, of a type in `HANDLED`; the other triangle is left as it is.
        rows: shape (n, p), not empty.
        scale: factor of the square.
        kept: factor of what was in the result.
        lower: which triangle.

    Raises:
        PhiscopeError: the shapes do not fit, or the result cannot be written in place.

    Example:
        >>> found = np.zeros((2, 2), order="F")
        >>> add_square(found, np.array([[1.0, 2.0]]))
        >>> found.tolist()
        [[1.0, 2.0], [0.0, 4.0]]
    """
    _check(result.shape == (rows.shape[1],) * 2 and _along_columns(result), rows, result)
    letter, number = _LETTERS[result.dtype]
    columns, turned = as_columns(rows.astype(result.dtype, copy=False))
    routine(f"{letter}syrk", "char *, char *, int *, int *", 10)(
        character("L" if lower else "U"), character("N" if turned else "T"),
        integer(rows.shape[1]), integer(rows.shape[0]), ctypes.byref(number(scale)),
        pointer(columns), spacing(columns), ctypes.byref(number(kept)),
        pointer(result), spacing(result),
    )  # fmt: skip


def as_columns(matrix: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """The matrix or its transpose with contiguous columns, as BLAS reads it, and whether it was transposed."""
    if _along_columns(matrix):
        return matrix, False
    # A copy only where neither its columns nor its rows are contiguous.
    return (matrix.T if _along_columns(matrix.T) else np.ascontiguousarray(matrix).T), True


def _along_columns(matrix: NDArray[Any]) -> bool:
    """Whether BLAS can read it without a copy."""
    size, (height, width), (down, across) = matrix.itemsize, matrix.shape, matrix.strides
    apart = width == 1 or (across >= height * size and across % size == 0)
    return bool(matrix.flags.aligned and (height == 1 or down == size) and apart)


def _check(fits: bool, *arrays: NDArray[Any]) -> None:
    """BLAS would read and write beyond arrays that do not fit."""
    if not fits or arrays[-1].dtype not in HANDLED or not arrays[-1].flags.writeable:
        told = ", ".join(f"{array.shape} with strides {array.strides} of {array.dtype}" for array in arrays)
        raise PhiscopeError(f"arrays do not fit for a product in place: {told}; please report this")


@cache
def routine(name: str, start: str, n_arguments: int) -> Any:
    """A routine by its name in LAPACK or BLAS.

    Args:
        name: such as "dlaed9".
        start: how the routine's declaration begins in SciPy.
        n_arguments: how many it takes.

    Raises:
        PhiscopeError: this SciPy declares it otherwise.
    """
    capsules: dict[str, Any] = {**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}
    capsule = capsules[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    signature = api.PyCapsule_GetName(capsule)
    if not signature.startswith(f"void ({start}".encode()) or signature.count(b",") != n_arguments - 1:
        raise PhiscopeError(
            f"this SciPy publishes {name} as {signature!r}, which phiscope does not know; please report it"
        )
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)(api.PyCapsule_GetPointer(capsule, signature))


def pointer(array: NDArray[Any]) -> Any:
    """Where an array's memory begins."""
    return ctypes.c_void_p(array.ctypes.data)


def integer(value: int) -> Any:
    """An integer as Fortran takes it."""
    return ctypes.byref(ctypes.c_int(value))


def character(letter: str) -> Any:
    """A letter as Fortran takes it."""
    return ctypes.c_char_p(letter.encode())


def spacing(columns: NDArray[Any]) -> Any:
    """From the start of one column to that of the next, as Fortran takes it; columns contiguous, not overlapping."""
    apart = columns.strides[1] // columns.itemsize if columns.shape[1] > 1 else 1
    return integer(max(columns.shape[0], apart))


def check_status(name: str, status: ctypes.c_int, shape: tuple[int, ...]) -> None:
    """Raise what LAPACK returned.

    Args:
        name: of the routine.
        status: its last argument; 0 is success.
        shape: of the matrix that it worked on.

    Raises:
        PhiscopeError: the routine failed.
    """
    if status.value:
        raise PhiscopeError(
            f"LAPACK's {name} ended with status {status.value} on a matrix of {' x '.join(map(str, shape))}; "
            "please report this"
        )
