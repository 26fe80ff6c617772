"""The precision of the products that moments are made of; sums are float64 in either."""

from __future__ import annotations

from typing import Any

import numpy as np

from phiscope.arrays import check_reach
from phiscope.errors import InputError

PRECISIONS: dict[str, type[np.floating[Any]]] = {"exact": np.float64, "fast": np.float32}
"""Of the products; sums are float64 in either."""

PRODUCTS = {
    "exact": "float64",
    "fast": "float32 in blocks about a pilot mean, summed in float64",
}
"""What the two are called in the conditions of a result."""

FAST_RANGE = 1e-12, 1e15
"""Norms of a batch whose squares and their sums stay inside float32."""


def check_precision(precision: str) -> None:
    """Refuse a precision that there is not.

    Raises:
        InputError: it is neither "exact" nor "fast".
    """
    if precision not in PRECISIONS:
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
