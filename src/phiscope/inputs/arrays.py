"""Reading what users hand in: NumPy arrays, torch tensors, anything with DLPack or ``__array__``."""

from __future__ import annotations

import math
import operator
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phiscope.errors import InputError, NonFiniteError, ReachError, ShapeError, TargetError, first_line, named_kind
from phiscope.inputs.packed import missing_error, missing_in, packing_of
from phiscope.typing import FloatArray

LARGEST = 1e36
"""Largest absolute value of features, outputs and targets; products of their squared norms stay finite."""

HEAVIEST = 1e100
"""Largest sample weight; its square stays finite."""

WIDEST = 1e30
"""Largest ratio of two weights above 0: beside the heavier sample, the lighter is nothing that float64 could tell."""


def as_array(data: Any, *, name: str) -> NDArray[Any]:
    """Read an array-like as a NumPy array without changing its numbers.

    Args:
        data: NumPy array, torch tensor (any device), DLPack or ``__array__`` object, or nested lists. Numbers that are
            stored with ``scale_factor``, ``add_offset`` or a fill value (xarray, Zarr, HDF5) are unpacked.
        name: what to call it in an error, for example ``"features"``.

    Returns:
        A plain array of the same shape in this machine's byte order; bfloat16 comes back as float32, which holds it
        exactly.

    Raises:
        InputError: the data are no array of real numbers, or entries are missing: masked, NA, or the fill value.
    """
    array = unpacked(data, name=name)
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} has dtype {array.dtype}, expected real numbers; {_what_holds_no_numbers(data, array)}convert it "
            "to a float or integer array"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        # Extended precision: beyond the range of float64 is Inf, and reported as such by the checks that follow.
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    return array


def unpacked(data: Any, *, name: str) -> NDArray[Any]:
    """`as_array` of anything, numbers or not.

    Raises:
        InputError: it is no array of any kind, or entries are missing.
    """
    _refuse_missing(data, name)
    packing = packing_of(data, place=name)
    try:
        array = _converted(data)
        array = array if packing is None else packing.unpack(array)
    # Foreign array types raise whatever they like when they cannot be read; all of it means the same to the user.
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise InputError(
            f"{name} came as {type(data).__name__} and cannot be read as an array ({first_line(error)}); "
            "pass a dense, rectangular array of numbers"
        ) from error
    return plain(array, name=name)


def plain(array: NDArray[Any], *, name: str) -> NDArray[Any]:
    """The same numbers as an array of NumPy's own class in this machine's byte order.

    A matrix multiplies in another way than an array, a masked array hides what is missing from functions that do not
    ask, and neither torch nor BLAS reads numbers of the other byte order.

    Raises:
        InputError: entries are masked.
    """
    if isinstance(array, np.ma.MaskedArray):
        missing = missing_in(array)
        if missing.any():
            raise missing_error(
                name, count=int(missing.sum()), first=int(missing.argmax()), total=len(missing), place="a masked array"
            )
    array = np.asarray(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _refuse_missing(data: Any, name: str) -> None:
    """Refuse what pandas calls missing, which becomes NaN in some of its types and an object in others."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(data, (pandas.DataFrame, pandas.Series, pandas.Index)):
        return
    rows = missing_in(np.ma.MaskedArray(np.zeros(data.shape), np.asarray(data.isna())))
    if rows.any():
        place = named_kind(data)
        raise missing_error(name, count=int(rows.sum()), first=int(rows.argmax()), total=len(rows), place=place)


def _what_holds_no_numbers(data: Any, array: NDArray[Any]) -> str:
    """What stands where numbers should, as the beginning of a sentence; nothing where the dtype says enough."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return f"its columns {_others(data)} hold none, leave them out or "
    if array.dtype.kind != "O":
        return ""
    if array.ndim == 0:
        inside = array.item()
        if hasattr(inside, "toarray"):
            return f"it is a sparse {type(inside).__name__}, pass its toarray(), or "
        keys = f" with the keys {', '.join(map(str, list(inside)[:6]))}" if isinstance(inside, dict) else ""
        return f"it is a single {type(inside).__name__}{keys}, take the array out of it or "
    entries = array.ravel()
    kinds = sorted({type(entry).__name__ for entry in entries[:10_000]})
    return f"its entries are Python objects ({', '.join(kinds[:4])}), "


def _others(table: Any) -> str:
    """The columns of a data frame that hold no numbers, as text."""
    names = [str(column) for column in table.columns]
    wrong = [name for index, name in enumerate(names) if np.asarray(table.iloc[:, index]).dtype.kind not in "fiub"]
    return ", ".join(wrong if len(wrong) <= 6 else [*wrong[:5], f"and {len(wrong) - 5} more"])


def _converted(data: Any) -> NDArray[Any]:
    if isinstance(data, torch.Tensor):
        tensor = data.detach()
        # NumPy has neither bfloat16 nor the 8-bit floats; every value of them is a float32.
        exotic = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64)
        return (tensor.float() if exotic else tensor).cpu().numpy()
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "__array__"):
        # A masked array inside, as netCDF4 gives it, has to keep its mask.
        array = np.asanyarray(data)
        return _stacked(data, array) if array.dtype.kind == "O" and hasattr(data, "iloc") else array
    if hasattr(data, "__dlpack__"):
        return _converted(torch.utils.dlpack.from_dlpack(data))
    if isinstance(data, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in data):
        # NumPy refuses a list of tensors that track gradients.
        return np.stack([_converted(part) if isinstance(part, torch.Tensor) else np.asarray(part) for part in data])
    return np.asarray(data)


def _stacked(table: Any, objects: NDArray[Any]) -> NDArray[Any]:
    """A data frame of several types, which pandas gives as objects even where every column holds numbers."""
    if objects.ndim != 2 or _others(table):
        return objects
    return np.stack([np.asarray(table.iloc[:, index]) for index in range(table.shape[1])], axis=1)


def flat(data: Any) -> Any:
    """A single row or column of NumPy's matrix, which has no vectors, as one; anything else as it came."""
    return np.asarray(data).ravel() if isinstance(data, np.matrix) and 1 in data.shape else data


def as_rows(data: Any, *, name: str, letter: str) -> NDArray[Any]:
    """Read samples as rows: shape (n, width).

    Raises:
        ShapeError: the array is not two-dimensional or has no columns.
    """
    array = as_array(data, name=name)
    _check_rows(array.shape, name=name, letter=letter)
    return array


def as_row_tensor(data: torch.Tensor, *, name: str, letter: str) -> torch.Tensor:
    """`as_rows` for a tensor that stays on its device.

    Raises:
        ShapeError: the tensor is not two-dimensional or has no columns.
    """
    _check_rows(tuple(data.shape), name=name, letter=letter)
    return data.detach()


def _check_rows(shape: tuple[int, ...], *, name: str, letter: str) -> None:
    if len(shape) != 2 or shape[1] == 0:
        raise ShapeError(
            f"{name} has shape {shape}, expected (n, {letter}) with n samples as rows and "
            f"{letter} >= 1 columns; reshape it first"
        )


def as_targets(data: Any) -> NDArray[Any]:
    """Read targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.

    Returns:
        int64 of shape (n,) for classes, float64 of shape (n, c) for values.

    Raises:
        TargetError: integer targets with more than one column, or more than two dimensions.
    """
    array = as_array(flat(data), name="targets")
    if array.dtype.kind in "iub":
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise TargetError(
                f"integer targets have shape {array.shape}, expected (n,) class indices; for several values a "
                "sample pass floats, for one-hot rows pass targets.argmax(1)"
            )
        if array.dtype.kind == "u" and array.dtype.itemsize == 8:
            # An index beyond int64 must not wrap around to a negative one.
            array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
        return array.astype(np.int64)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise TargetError(f"float targets have shape {array.shape}, expected (n,) or (n, c) regression values")
    return (array[:, None] if array.ndim == 1 else array).astype(np.float64)


def as_head(head: Any, n_features: int) -> tuple[FloatArray, FloatArray]:
    """Read a head ``(W, b)`` as float64 arrays of shape (C, p) and (C,); a bias of None counts as zero.

    Raises:
        ShapeError: W is not (C, p) or b is not (C,).
        InputError: the head is not a pair, or holds NaN or Inf.
    """
    if not isinstance(head, (tuple, list)) or len(head) != 2:
        raise InputError(f"head is {named_kind(head)}, expected the pair (W, b) with W (C, p) and b (C,) or None")
    weight = as_array(head[0], name="head weight").astype(np.float64)
    if weight.ndim != 2 or weight.shape[1] != n_features or len(weight) == 0:
        raise ShapeError(
            f"head weight has shape {weight.shape}, expected (C, p) with C >= 1 outputs and p = {n_features} features; "
            "transpose it, or measure the features that this head reads"
        )
    bias = np.zeros(len(weight)) if head[1] is None else as_array(flat(head[1]), name="head bias").astype(np.float64)
    if bias.shape != (len(weight),):
        raise ShapeError(f"head bias has shape {bias.shape}, expected (C,) with C = {len(weight)} outputs")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError("the head holds NaN or Inf, expected finite numbers; the training probably diverged")
    check_reach(max(float(np.abs(weight).max()), float(np.abs(bias).max())), name="the head's numbers")
    return weight, bias


def classes_of_head(n_outputs: int) -> int:
    """How many classes a head of so many outputs tells apart: a single output still separates two.

    Example:
        >>> classes_of_head(1), classes_of_head(10)
        (2, 10)
    """
    return max(n_outputs, 2)


def check_reach(largest: float, *, name: str, batch: int | None = None) -> None:
    """Refuse numbers whose fourth powers, of which squared norms are sums, leave the range of float64.

    Args:
        largest: largest absolute value; 0 passes.
        name: what holds it, in the plural.
        batch: index of the batch it came in.

    Raises:
        ReachError: the value is beyond 1e36 or, without being 0, below 1e-36.
    """
    if largest and not 1 / LARGEST <= largest <= LARGEST:
        raise ReachError(
            f"{name} reach {largest:.3g} in absolute value, expected 0 or between {1 / LARGEST:g} and {LARGEST:g}, so "
            "that their fourth powers stay in float64; rescale them, or check whether the training diverged",
            where=name,
            batch=batch,
        )


def as_weights(data: Any, n_samples: int, *, batch: int) -> FloatArray:
    """Read sample weights, shape (b,); None is weight 1 for each.

    Raises:
        ShapeError: not one weight for each sample.
        NonFiniteError: NaN or Inf among them.
        InputError: a weight is negative or outside 1e-100 .. 1e100.
    """
    if data is None:
        return np.ones(n_samples)
    weights = as_array(flat(data), name="weights").astype(np.float64)
    if weights.ndim != 1:
        raise ShapeError(
            f"weights have shape {weights.shape}, expected (n,): one number for each sample; pass them flat, as in "
            "numpy.ravel(weights)"
        )
    if len(weights) != n_samples:
        raise ShapeError(f"features have {n_samples} samples but weights have {len(weights)}; they have to match")
    if not np.isfinite(weights).all():
        row = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise NonFiniteError(
            f"weights hold NaN or Inf in batch {batch} (sample {row} of that batch), expected finite numbers >= 0",
            where="weights",
            batch=batch,
        )
    positive = weights[weights != 0]
    if len(positive) and not (positive.min() >= 1 / HEAVIEST and positive.max() <= HEAVIEST):
        raise InputError(
            f"weights in batch {batch} run from {weights.min():g} to {weights.max():g}, expected 0 or positive numbers "
            f"between {1 / HEAVIEST:g} and {HEAVIEST:g}; only their ratios matter, so rescale them"
        )
    if len(positive):
        check_weight_ratio(float(positive.min()), float(positive.max()))
    return weights


def check_weight_ratio(least: float, most: float) -> None:
    """Refuse weights of which the lighter count for nothing beside the heavier, yet would count as samples.

    Args:
        least: smallest weight above 0.
        most: largest one.

    Raises:
        InputError: their ratio is beyond `WIDEST`.
    """
    if most > WIDEST * least:
        raise InputError(
            f"weights above 0 run from {least:g} to {most:g}, a ratio beyond {WIDEST:g} at which the lighter samples "
            "count for nothing; give those weight 0, or weights that are nearer to each other"
        )


def brief(value: Any) -> str:
    """Anything in a few words, for a sentence about it.

    Example:
        >>> brief(-3), brief(torch.zeros(2, 3)), brief("x" * 200)[-8:]
        ('-3', 'a Tensor of shape (2, 3)', 'xxxxx...')
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{named_kind(value)} of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def as_count(value: Any, *, name: str, least: int = 1) -> int:
    """Read a whole number that counts something.

    Raises:
        InputError: it is no whole number, or below `least`.
    """
    try:
        count = operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} is {brief(value)}, expected a whole number of at least {least}") from error
    if isinstance(value, bool) or count < least:
        raise InputError(f"{name} is {brief(value)}, expected a whole number of at least {least}")
    return count


def as_share(value: Any, *, name: str, example: str) -> float:
    """Read a number that is at least 0 and below 1.

    Raises:
        InputError: it is no number, or outside that range.
    """
    try:
        share = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        share = math.nan
    if not 0 <= share < 1:
        raise InputError(f"{name} is {value!r}, expected 0 <= {name} < 1, for example {example}")
    return share


def look_like_labels(targets: Any) -> int:
    """How many classes float targets seem to name: whole numbers 0, 1, ..., C - 1, each of them and nothing else.

    Returns:
        C, or 0 when they look like measured values.

    Example:
        >>> look_like_labels(np.array([0.0, 1.0, 2.0, 1.0])), look_like_labels(np.array([0.0, 0.5, 1.0]))
        (3, 0)
    """
    values = np.unique(targets)
    whole = np.array_equal(values, np.arange(len(values)))
    return len(values) if whole and 2 <= len(values) <= len(targets) // 2 + 1 else 0
