"""Which checkpoints there are, and in which order they were saved."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from phiscope.errors import InputError
from phiscope.inputs.arrays import brief
from phiscope.inputs.settings import rows_listed
from phiscope.observe.weights import facts_of
from phiscope.runs.units import read_moment

_EPOCH = re.compile(r"(?<![a-z])(?:epochs?|ep)[=_-]?(\d+(?:\.\d+)?)", re.IGNORECASE)
_STEP = re.compile(r"(?<![a-z])(?:global_?steps?|steps?|iters?|iterations?)[=_-]?(\d+)", re.IGNORECASE)
_TRAINER = re.compile(r"checkpoint-(\d+)")
_LAST = re.compile(r"(\d+)$")
_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One saved state of a training.

    Attributes:
        path: a file, or a folder of the Trainer.
        epoch: epochs trained so far; None where only steps are known.
        step: optimizer steps so far, or None.
    """

    path: Path
    epoch: float | None
    step: int | None

    @property
    def position(self) -> float:
        """Where its record stands, as `Observer.record` counts."""
        return self.epoch if self.epoch is not None else float(self.step or 0)

    @property
    def said(self) -> str:
        """Its place in words."""
        parts = [] if self.epoch is None else [f"epoch {self.epoch:g}"]
        return ", ".join([*parts, *([] if self.step is None else [f"step {self.step}"])])


def checkpoints_of(given: Any) -> tuple[Checkpoint, ...]:
    """Read what a user names, in the order of the training.

    Args:
        given: paths, patterns such as "ckpt/*.pt", pairs (epoch, path), or a mapping of epochs to paths. Without a
            pair, epoch and step are those in the file, else those in its name ("epoch=3", "step_400", "checkpoint-400",
            or a number at its end); where no file says any, they are counted from 0 in natural order of their names.

    Raises:
        InputError: there is none, one is not there, two stand at the same place, or only some say where they stand.
    """
    pairs = list(_pairs(given))
    if not pairs:
        raise InputError(
            "no checkpoint was given; pass files or folders, for example ['ckpt/epoch=1.pt', 'ckpt/epoch=2.pt']"
        )
    missing = [path for _, path in pairs if not path.exists()]
    if missing:
        raise InputError(f"there is no checkpoint {missing[0]}")
    placed = [_placed(epoch, path) for epoch, path in pairs]
    if all(one.epoch is None and one.step is None for one in placed):
        natural = sorted(placed, key=lambda one: _natural(one.path))
        return tuple(Checkpoint(path=one.path, epoch=float(i), step=None) for i, one in enumerate(natural))
    return _in_order(placed)


def _pairs(given: Any) -> Iterable[tuple[float | None, Path]]:
    if isinstance(given, str | os.PathLike):
        given = [given]
    of = "a path or a list of them, as ['ckpt/epoch=1.pt'], or paths by their epochs, as {1: 'ckpt/a.pt'}"
    for one in given.items() if isinstance(given, Mapping) else rows_listed(given, name="checkpoints", of=of):
        if isinstance(one, tuple) and len(one) == 2 and _is_epoch(one[0]) and isinstance(one[1], str | os.PathLike):
            yield float(one[0]), Path(one[1])
        elif isinstance(one, str | os.PathLike):
            yield from ((None, path) for path in _matching(os.fspath(one)))
        else:
            raise InputError(f"a checkpoint is a path or (epoch, path), got {brief(one)}")


def _is_epoch(value: Any) -> bool:
    """A finite number, of NumPy as well."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _matching(text: str) -> list[Path]:
    if Path(text).exists() or not glob.has_magic(text):
        return [Path(text)]
    found = [Path(path) for path in sorted(glob.glob(text, recursive=True))]
    if not found:
        raise InputError(f"no checkpoint matches {text}")
    return found


def _placed(epoch: float | None, path: Path) -> Checkpoint:
    inside, named = facts_of(path), named_place(path)
    # A number at the end of a name may be anything: it counts only where nothing else is said.
    bare = named[2] if inside.epoch is None and inside.step is None and named[:2] == (None, None) else None
    known = next((value for value in (epoch, inside.epoch, named[0], bare) if value is not None), None)
    try:
        at, step = read_moment(known, inside.step if inside.step is not None else named[1])
    except InputError as error:
        raise InputError(f"{path}: {error}; or give pairs (epoch, path)") from error
    return Checkpoint(path=path, epoch=at, step=step)


def named_place(path: Path) -> tuple[float | None, int | None, float | None]:
    """Epoch, step, and a number at the end, as the name says them.

    Example:
        >>> named_place(Path("epoch=3-step=400.ckpt")), named_place(Path("model_0012.pth.tar"))
        ((3.0, 400, None), (None, None, 12.0))
    """
    stem = path.name
    while Path(stem).suffix in _SUFFIXES:
        stem = Path(stem).stem
    epoch, step, trainer, last = (
        _EPOCH.search(stem),
        _STEP.search(stem),
        _TRAINER.fullmatch(path.name),
        _LAST.search(stem),
    )
    steps = step or (trainer if path.is_dir() else None)
    bare = None if epoch or steps or last is None else float(last[1])
    return None if epoch is None else float(epoch[1]), None if steps is None else int(steps[1]), bare


def _in_order(placed: list[Checkpoint]) -> tuple[Checkpoint, ...]:
    unknown = [one for one in placed if one.epoch is None and one.step is None]
    by_step = [one for one in placed if one.epoch is None and one.step is not None]
    by_epoch = [one for one in placed if one.epoch is not None]
    if unknown or (by_step and by_epoch):
        odd, known = (unknown or by_step)[0], (by_epoch or by_step)[0]
        raise InputError(
            f"{odd.path} says no {'epoch or step' if unknown else 'epoch'}, but {known.path} does, so that their order "
            "is not known; give pairs (epoch, path)"
        )
    ordered = sorted(placed, key=lambda one: (one.position, -1 if one.step is None else one.step))
    for one, other in pairwise(ordered):
        if (one.position, one.step) == (other.position, other.step):
            raise InputError(
                f"{one.path} and {other.path} both stand at {one.said}; give pairs (epoch, path), or one of them"
            )
    return tuple(ordered)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Names sorted as people do: model_2 before model_10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
