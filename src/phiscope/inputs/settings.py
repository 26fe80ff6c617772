"""Settings that many functions take by the same name, read before any data are."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from pathlib import Path
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


def check_flag(given: Any, *, name: str, otherwise: str = "") -> None:
    """Refuse what is neither True nor False: any text is true to Python, "no" as well.

    Args:
        given: a bool of Python or NumPy, or 0 or 1.
        name: of the setting.
        otherwise: what None means; None is refused where this is empty.

    Raises:
        InputError: it is something else.

    Example:
        >>> check_flag(np.bool_(True), name="centered"), check_flag(None, name="progress", otherwise="in a terminal")
        (None, None)
    """
    if isinstance(given, bool | np.bool_) or (isinstance(given, int) and given in (0, 1)):
        return
    if given is None and otherwise:
        return
    none = f", or None = {otherwise}" if otherwise else ""
    raise InputError(f"{name} is {brief(given)}, expected True or False{none}")


def check_level(level: Any) -> None:
    """Refuse what is no nominal coverage of an interval.

    Raises:
        InputError: it is no number between 0 and 1.
    """
    if not is_between(level, 0, 1) or level in (0, 1):
        raise InputError(f"level is {brief(level)}, expected a coverage between 0 and 1, for example 0.95")


def is_between(given: Any, low: float, high: float) -> bool:
    """Whether something is one real number of a range, its ends included; text, arrays and NaN are not.

    Example:
        >>> is_between(0.5, 0, 1), is_between("0.5", 0, 1), is_between(float("nan"), 0, 1)
        (True, False, False)
    """
    real = isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)
    return bool(real and low <= given <= high)


def is_word(given: Any, known: Iterable[str]) -> bool:
    """Whether something is one of some words; a list or an array is none, and asking does not fail.

    Example:
        >>> is_word("exact", ("exact", "fast")), is_word(["exact"], {"exact": 1}), is_word(np.zeros(2), ("exact",))
        (True, False, False)
    """
    return isinstance(given, str) and given in known


def rows_listed(given: Any, *, name: str, of: str) -> list[Any]:
    """What a setting that takes several things holds, as a list.

    Args:
        given: anything that can be walked through, but text and mappings.
        name: of the setting.
        of: what is expected, with an example.

    Raises:
        InputError: it cannot be walked through.

    Example:
        >>> rows_listed((1, 2), name="k", of="numbers, as [1, 2]")
        [1, 2]
    """
    listed = walked(given)
    if listed is None:
        raise InputError(f"{name} is {brief(given)}, expected {of}")
    return listed


def walked(given: Any) -> list[Any] | None:
    """What can be walked through as a list; None for one thing alone: text, a number, an array without an axis.

    Example:
        >>> walked({1}), walked("ab"), walked(np.array(3.0)), walked(None)
        ([1], None, None, None)
    """
    alone = isinstance(given, (str, bytes)) or getattr(given, "shape", None) == ()
    return None if alone or not isinstance(given, Iterable) else list(given)


def path_of(path: Any, *, name: str) -> Path:
    """A path that names something.

    Args:
        path: text or a path of Python.
        name: what it is the path of, for the error.

    Raises:
        InputError: it is no path, or an empty one.

    Example:
        >>> path_of("runs/mine", name="the run").name
        'mine'
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"the path of {name} is {brief(path)}, expected text or a pathlib.Path that names it")
    return Path(text)


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
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = first_line(error).rstrip(".")
        raise InputError(
            f"device={device!r} cannot be used here ({reason}), expected one that torch finds on this machine, such as "
            "'cpu' or 'cuda:0'; leave it out to measure where the parameters are"
        ) from error
    if found.type == "meta":
        raise InputError("device='meta' holds no numbers, expected one that computes, such as 'cpu' or 'cuda:0'")
    return found
