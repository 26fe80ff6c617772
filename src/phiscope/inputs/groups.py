"""Groups of rows that were sampled together, by any names: positions of one image, tokens of one text, patients."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phiscope.errors import InputError, ShapeError, named_kind
from phiscope.inputs.arrays import flat, unpacked
from phiscope.inputs.packed import is_hdf5, is_zarr, missing_error
from phiscope.inputs.rows import Rows, as_row_source
from phiscope.typing import IntArray


def as_groups(data: Any, n_rows: int) -> IntArray:
    """Read the groups of rows as numbers from 0.

    Args:
        data: one name for each row, shape (n,): an array, a tensor, a Series, an array that lies in a file, or a list
            of anything that can be hashed; rows of one group need not follow each other.
        n_rows: n.

    Returns:
        int64 of shape (n,): rows of the same name have the same number.

    Raises:
        ShapeError: not one name for each row.
        InputError: a name is missing (None, NaN, NA), or cannot be hashed.

    Example:
        >>> as_groups(["cat", "dog", "cat"], 3).tolist(), as_groups([(1, "a"), (2, "a")], 2).tolist()
        ([0, 1, 0], [0, 1])
    """
    names = _names(data)
    if names.shape[1:] == (1,):
        names = names[:, 0]
    if names.ndim != 1:
        raise ShapeError(
            f"groups have shape {names.shape}, expected (n,): one name for each row; of several columns make tuples, "
            "as in list(zip(*columns))"
        )
    if len(names) != n_rows:
        raise ShapeError(f"features have {n_rows} samples but groups have {len(names)}; they have to match")
    missing = _missing(names)
    if missing.any():
        raise missing_error("groups", count=int(missing.sum()), first=int(missing.argmax()), total=len(names))
    if names.dtype.kind != "O":
        return np.unique(names, return_inverse=True)[1].astype(np.int64)
    return _numbered(names)


def _names(data: Any) -> NDArray[Any]:
    """The names as an array; a list keeps its entries as they are, so that tuples stay single names."""
    if isinstance(data, Rows):
        return data.whole()
    if isinstance(data, torch.Tensor):
        return unpacked(data, name="groups")
    if (is_zarr(data) or is_hdf5(data)) and np.dtype(data.dtype).kind in "fiub":
        return as_row_source(data, name="groups").whole()
    if hasattr(data, "__dask_graph__"):
        return np.asanyarray(data.compute())
    if hasattr(data, "__array__"):
        return np.asanyarray(flat(data))
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise InputError(f"groups came as {named_kind(data)}, expected one name for each row, shape (n,)")
    entries = [_plain_entry(entry) for entry in data]
    names = np.empty(len(entries), dtype=object)
    names[:] = entries
    return names


def _plain_entry(entry: Any) -> Any:
    """Tensors are hashed by where they lie, not by what they hold."""
    return entry.item() if isinstance(entry, (torch.Tensor, np.generic)) and np.ndim(entry) == 0 else entry


def _missing(names: NDArray[Any]) -> NDArray[np.bool_]:
    masked = np.ma.getmaskarray(names)
    if names.dtype.kind == "f":
        return np.asarray(masked | np.isnan(names))
    if names.dtype.kind in "mM":
        return np.asarray(masked | np.isnat(names))
    if names.dtype.kind != "O":
        return np.asarray(masked)
    return np.asarray(masked | np.array([_is_missing(name) for name in names], dtype=bool))


def _is_missing(name: Any) -> bool:
    if name is None or (isinstance(name, float) and math.isnan(name)):
        return True
    pandas = sys.modules.get("pandas")
    return pandas is not None and (name is pandas.NA or name is pandas.NaT)


def _numbered(names: NDArray[Any]) -> IntArray:
    known: dict[Any, int] = {}
    try:
        return np.array([known.setdefault(name, len(known)) for name in names.tolist()], dtype=np.int64)
    except TypeError as error:
        raise InputError(
            f"groups hold something that cannot be told apart by name ({error}); pass text, numbers or tuples of them"
        ) from error
