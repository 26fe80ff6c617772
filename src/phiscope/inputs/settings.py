"""Settings that many functions take by the same name, read before any data are."""

from __future__ import annotations

from typing import Any

import torch

from phiscope.errors import InputError
from phiscope.inputs.arrays import as_count


def check_max_samples(max_samples: Any) -> None:
    """Refuse what is no number of samples; None means all.

    Raises:
        InputError: it is neither None nor a whole number of at least 1.
    """
    if max_samples is not None:
        as_count(max_samples, name="max_samples")


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
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"device={device!r} cannot be used here ({reason}), expected one that torch finds on this machine, such as "
            "'cpu' or 'cuda:0'; leave it out to measure where the parameters are"
        ) from error
    if found.type == "meta":
        raise InputError("device='meta' holds no numbers, expected one that computes, such as 'cpu' or 'cuda:0'")
    return found
