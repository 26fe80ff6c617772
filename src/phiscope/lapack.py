"""LAPACK routines that SciPy publishes for compiled code, called from here; other threads go on meanwhile.

SciPy's own functions hold Python's global lock for as long as LAPACK runs, which would stop a training that an
observer's thread works beside. Calls through ctypes let go of it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_lapack

from phiscope.errors import PhiscopeError

_BYTES, _ODDMENT = ctypes.c_char_p, ctypes.c_double(0.0)


@cache
def routine(name: str, start: str, n_arguments: int) -> Any:
    """A routine by its name in LAPACK.

    Args:
        name: such as "dlaed9".
        start: how the routine's declaration begins in SciPy.
        n_arguments: how many it takes.

    Raises:
        PhiscopeError: this SciPy declares it otherwise.
    """
    capsules: dict[str, Any] = dict(cython_lapack.__pyx_capi__)
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


def eigh_robust(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All eigenvalues, ascending, and eigenvectors as columns, by dsyevr: two p x p arrays beside the matrix.

    Args:
        matrix: symmetric, shape (p, p); not changed.

    Raises:
        PhiscopeError: LAPACK failed.

    Source: Dhillon, Parlett and Vömel 2006, ACM Trans. Math. Softw. 32 (the method of relatively robust
    representations).

    Example:
        >>> eigh_robust(np.array([[2.0, 1.0], [1.0, 2.0]]))[0].round(12).tolist()
        [1.0, 3.0]
    """
    size = len(matrix)
    work_on = np.array(matrix, dtype=np.float64, order="F")
    values, vectors = np.empty(size), np.empty((size, size), order="F")
    support, found, status = np.empty(2 * size, dtype=np.int32), ctypes.c_int(0), ctypes.c_int(0)
    work, counters = np.empty(1), np.empty(1, dtype=np.int32)
    # The first call only says how much room the second one wants.
    for asked in (True, False):
        routine("dsyevr", "char *, char *, char *, int *", 21)(
            _BYTES(b"V"), _BYTES(b"A"), _BYTES(b"L"), integer(size), pointer(work_on), integer(size),
            ctypes.byref(_ODDMENT), ctypes.byref(_ODDMENT), integer(0), integer(0), ctypes.byref(_ODDMENT),
            ctypes.byref(found), pointer(values), pointer(vectors), integer(size), pointer(support),
            pointer(work), integer(-1 if asked else len(work)),
            pointer(counters), integer(-1 if asked else len(counters)), ctypes.byref(status),
        )  # fmt: skip
        if status.value or (not asked and found.value < size):
            raise PhiscopeError(
                f"LAPACK's dsyevr ended with status {status.value} and {found.value} of {size} eigenvalues; please "
                "report this"
            )
        if asked:
            work, counters = np.empty(int(work[0])), np.empty(int(counters[0]), dtype=np.int32)
    return values, vectors
