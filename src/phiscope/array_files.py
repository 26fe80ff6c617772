"""Arrays from .npy files, left on the disk until their rows are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError

_NPY_MAGIC = b"\x93NUMPY"


def open_array(path: str | os.PathLike[str], *, name: str) -> NDArray[Any]:
    """Open a .npy file as a memory-mapped array; no pickle is ever read.

    Args:
        path: the file.
        name: what the array is, for messages: ``"features"``.

    Returns:
        A read-only array of real numbers, in the file's own dtype and shape.

    Raises:
        InputError: there is no such file, it is no .npy file, it is cut short, or it does not hold numbers.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{name}: there is no file {file}")
    try:
        with file.open("rb") as opened:
            is_npy = opened.read(len(_NPY_MAGIC)) == _NPY_MAGIC
    except OSError as error:
        raise InputError(f"{name}: {file} cannot be read: {error.strerror}") from error
    if not is_npy:
        raise InputError(f"{name}: {file} is not a .npy file; write one with numpy.save")
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "Python objects" in str(error) or "pickle" in str(error):
            raise InputError(f"{name}: {file} holds Python objects; save an array of numbers") from error
        # NumPy cannot map a file without rows, yet it reads one: what to say of it is the measurement's matter.
        array = _load_whole(file, name)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: {file} has dtype {array.dtype}; expected float, integer or bool")
    return array


def _load_whole(file: Path, name: str) -> NDArray[Any]:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise InputError(f"{name}: {file} is damaged or was cut short: {error}") from error
