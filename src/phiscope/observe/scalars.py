"""The caller's own numbers, stored beside what is measured."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from phiscope.errors import InputError


def as_number(name: str, value: Any) -> float:
    """Read one number; tensors of one element count.

    Raises:
        InputError: it is something else.
    """
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the scalar {name!r} is a {type(value).__name__}, not one number") from error
