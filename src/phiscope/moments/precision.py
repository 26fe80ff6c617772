"""The precision of the products that moments are made of; sums are float64 in either."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phiscope.errors import InputError
from phiscope.inputs.arrays import check_reach
from phiscope.inputs.rows import Rows
from phiscope.inputs.settings import is_word
from phiscope.linalg.products import squared_lengths

PRECISIONS: dict[str, type[np.floating[Any]]] = {"exact": np.float64, "fast": np.float32}
"""Of the products; sums are float64 in either."""

PRODUCTS = {
    "exact": "float64",
    "fast": "float32 in blocks about a pilot mean, summed in float64",
}
"""What the two are called in the conditions of a result."""

FAST_RANGE = 1e-12, 1e15
"""Norms of a batch whose squares and their sums stay inside float32."""


FULL_DOUBLE = {(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)}
"""Compute capabilities of NVIDIA's cards that multiply float64 at half the rate of float32."""


def check_precision(precision: str) -> None:
    """Refuse a precision that there is not.

    Raises:
        InputError: it is neither "exact" nor "fast".
    """
    if not is_word(precision, PRECISIONS):
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(map(repr, PRECISIONS))}")


def check_range(reach: float, *, name: str, precision: str) -> None:
    """Refuse numbers whose powers leave the range of the precision.

    Args:
        reach: largest absolute value, or the norm of a batch; 0 passes.
        name: what holds it, in the plural.
        precision: of the products.

    Raises:
        InputError: they do.
    """
    check_reach(reach, name=name)
    if precision == "fast" and reach and not FAST_RANGE[0] <= reach <= FAST_RANGE[1]:
        raise InputError(
            f"{name} reach {reach:.3g}, and precision 'fast' holds from {FAST_RANGE[0]:g} to {FAST_RANGE[1]:g}; "
            "rescale them or use precision 'exact'"
        )


def has_double(device: torch.device) -> bool:
    """Whether the device has float64 at all; Apple's and some integrated GPUs have none."""
    return _has_double(str(device))


@lru_cache
def _has_double(device: str) -> bool:
    try:
        torch.ones(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def precision_for(device: torch.device) -> str:
    """The precision of products that a device is good at: "exact" where float64 runs at a fair share of float32.

    That is a CPU, and of NVIDIA's cards those of `FULL_DOUBLE`; the others multiply float64 at 1/32 or less. AMD's
    cards under ROCm are taken for the former.

    Example:
        >>> precision_for(torch.device("cpu"))
        'exact'
    """
    if device.type == "cpu":
        return "exact"
    if device.type == "cuda":
        full = torch.version.hip is not None or torch.cuda.get_device_capability(device) in FULL_DOUBLE
        return "exact" if full else "fast"
    return "fast"


@contextmanager
def plain_products(device: torch.device) -> Iterator[None]:
    """float32 products in float32: neither autocast nor TF32, whatever the user has set; set back afterwards."""
    may_cast = torch.amp.is_autocast_available(device.type)
    with _no_tensor_float(), torch.no_grad(), torch.autocast(device.type, enabled=False) if may_cast else nullcontext():
        yield


@contextmanager
def _no_tensor_float() -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # torch does not answer once its newer setting, one for each backend, was used.
        with _no_tensor_float_by_backend():
            yield
        return
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _no_tensor_float_by_backend() -> Iterator[None]:
    backends: Any = torch.backends
    settings = backends.cuda.matmul, backends.mkldnn.matmul
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            # What came from the setting for all backends has to follow it again.
            setting.fp32_precision = "none" if value == backends.fp32_precision else value


def reach_of(part: NDArray[Any] | torch.Tensor) -> float:
    """A bound of all absolute values, NaN or Inf if an entry is: one pass, whatever the type and the device."""
    if isinstance(part, torch.Tensor):
        low, high = torch.stack(torch.aminmax(part.detach())).tolist()
        return math.nan if math.isnan(low + high) else max(-low, high)
    norm = _norm(part)
    # NaN and Inf reach the extremes.
    return norm if norm is not None else float(max(-float(part.min()), float(part.max())))


def _norm(part: NDArray[Any]) -> float | None:
    """Frobenius norm in one pass, which bounds the entries; None where it may have left the range of its type."""
    if part.dtype not in (np.float32, np.float64) or not part.flags.c_contiguous:
        return None
    # Beyond the range of its type the answer is Inf or NaN, and the entries are looked at one by one. Row by row, as a
    # long dot product would wake the threads of NumPy's BLAS, which then spin beside those of SciPy's.
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(squared_lengths(part.reshape(len(part), -1)).sum())
    return math.sqrt(square) if 1e-10 < square < 1e30 else None


def eps_of(data: Any) -> float:
    """Relative rounding of floats as they came; of anything else that of double precision.

    Example:
        >>> eps_of(np.ones(2)), eps_of(np.ones(2, np.float32)), eps_of([1, 2]) == eps_of(np.ones(2, int))
        (2.220446049250313e-16, 1.1920928955078125e-07, True)
    """
    if isinstance(data, Rows) and data.eps is not None:
        return data.eps
    dtype, double = getattr(data, "dtype", None), float(np.finfo(np.float64).eps)
    if isinstance(dtype, torch.dtype):
        return max(torch.finfo(dtype).eps, double) if dtype.is_floating_point else double
    # Wider floats are read as double.
    return max(float(np.finfo(dtype).eps), double) if isinstance(dtype, np.dtype) and dtype.kind == "f" else double
