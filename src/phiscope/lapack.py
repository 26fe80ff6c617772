"""LAPACK and BLAS routines that SciPy publishes for compiled code, called from here; other threads go on meanwhile.

SciPy's own functions hold Python's global lock for as long as a routine runs, which would stop a training that an
observer's thread works beside. Calls through ctypes let go of it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

from phiscope.errors import PhiscopeError


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
