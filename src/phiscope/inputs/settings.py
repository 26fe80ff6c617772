"""Settings that many functions take by the same name, read before any data are."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from phiscope.errors import InputError, first_line
from phiscope.inputs.arrays import as_count, brief
from phiscope.typing import IntArray


def check_max_samples(max_samples: Any) -> None:
    """Refuse what is no number of samples; None means all.

    Raises:
        InputError: it is neither None nor a whole number of at least 1.
    """
    if max_samples is not None:
        as_count(max_samples, name="max_samples")


def numbers_of(given: Any, *, name: str, of: str, most: int) -> IntArray:
    """Read several numbers of things that are counted from 1, in the order they came.

    Args:
        given: whole numbers of Python, NumPy or torch.
        name: of the setting.
        of: numbers of what, for the error.
        most: how many there are.

    Raises:
        InputError: it is no row of whole numbers, an empty one, or some are outside 1..most.

    Example:
        >>> numbers_of([2, np.int64(1)], name="k", of="numbers of eigenfeatures", most=3).tolist()
        [2, 1]
    """
    try:
        listed: list[Any] = list(given)
        found = [-1 if isinstance(one, bool) else operator.index(one) for one in listed]
    except TypeError:
        # One number, or fractions: refused below together with what is out of range.
        found = []
    if not found or min(found) < 1 or max(found) > most:
        raise InputError(f"{name}={brief(given)}; expected {of} from 1 to {most}, in a list, as [1]")
    return np.asarray(found, dtype=np.int64)


def check_seed(seed: Any) -> None:
    """Refuse what is no seed of a random generator.

    Raises:
        InputError: it is no whole number from 0 up.
    """
    as_count(seed, name="seed", least=0)


def device_of(device: Any) -> torch.device | None:
    """The device to measure on, None where none was chosen.

    Args:
        device: a device of torch, or what torch reads as one, such as "cuda:1".

    Raises:
        InputError: torch knows no such device, or finds it not on this machine.

    Example:
        >>> device_of("cpu"), device_of(None)
        (device(type='cpu'), None)
    """
    if device is None:
        return None
    try:
        found = torch.device(device)
        # Only asking for room says whether a device is there: a name may be known and no such card be built in.
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = first_line(error).rstrip(".")
        raise InputError(
            f"device={device!r} cannot be used here ({reason}), expected one that torch finds on this machine, such as "
            "'cpu' or 'cuda:0'; leave it out to measure where the parameters are"
        ) from error
    if found.type == "meta":
        raise InputError("device='meta' holds no numbers, expected one that computes, such as 'cpu' or 'cuda:0'")
    return found
