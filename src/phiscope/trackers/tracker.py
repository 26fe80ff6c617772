"""What a tracker is told, and how one is made for anything else."""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture, shape (height, width, 3), red, green and blue in 0..255."""

Settings = Mapping[str, str | float | int | bool]
"""How a run was measured, by name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a tracker that has to be opened is told of the run.

    Attributes:
        name: of the run.
        folder: of the run; files of a tracker lie in a folder of their own in it.
    """

    name: str
    folder: Path


class Tracker(ABC):
    """Where numbers go beside the run on disk; derive from it for a tracker that phiscope does not know.

    Every method is called on one thread at a time. With ``background=True`` of the observers `scalars` and `settings`
    are called on the observer's thread, `picture` and `close` on the training's.

    Attributes:
        name: what a warning calls it.

    Example:
        >>> class Printed(Tracker):
        ...     name = "printed"
        ...
        ...     def scalars(self, numbers, at):
        ...         print(at, sorted(numbers))
        >>> Printed().scalars({"phiscope/train/nc1": 0.1}, 3)
        3 ['phiscope/train/nc1']
    """

    name: str = "a tracker"

    @property
    def draws(self) -> bool:
        """Whether it takes pictures."""
        return type(self).picture is not Tracker.picture

    @abstractmethod
    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """Take the numbers of one record.

        Args:
            numbers: by names that begin with ``phiscope/``; ``phiscope/epoch`` is among them.
            at: optimizer steps where they were counted, else whole epochs.
        """

    def settings(self, settings: Settings) -> None:  # noqa: B027 -- not every tracker keeps them
        """Take how the run was measured; called once, before the first record."""

    def picture(self, name: str, pixels: Pixels, at: int) -> None:  # noqa: B027 -- not every tracker shows pictures
        """Take a picture, shape (height, width, 3)."""

    def close(self, status: str) -> None:  # noqa: B027 -- not every tracker has an end
        """Let go; the status is "completed", "interrupted" or "failed"."""


def spelled(name: str, allowed: str) -> str:
    """A name in the letters that a tracker takes: two names never become one, and names of such letters stay.

    Args:
        name: the name; "/" parts it.
        allowed: what may stand in a class of a regular expression.

    Returns:
        Every other letter as ``_x`` with its number in Unicode and ``_``, such as ``_x23_`` for "#".

    Example:
        >>> [spelled(name, "A-Za-z0-9_/") for name in ("a/test_loss", "a #1", "a @1", "a_x23_1")]
        ['a/test_loss', 'a_x20__x23_1', 'a_x20__x40_1', 'a_x5F_x23_1']
    """
    # What would read like such a number is spelled as well, and so is what changes a path: two slashes, "." and "..".
    other = rf"[^{allowed}]|_(?=x[0-9A-F])|/(?=/|$)|(?<=/)\.{{1,2}}(?=/|$)"
    return re.sub(other, lambda found: "".join(f"_x{ord(letter):X}_" for letter in found.group()), name)


_SIGNS = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as a sign; "_" within a word is none."""


def settings_table(settings: Settings) -> str:
    r"""Settings as a table of Markdown, in which every letter stands for itself, and each setting has one row.

    Example:
        >>> print(settings_table({"title": "left | right", "head": "<Linear>"}), end="")
        | setting | value |
        |---|---|
        | title | left \| right |
        | head | &lt;Linear&gt; |
    """
    rows = [[_spoken(str(part)) for part in pair] for pair in settings.items()]
    return "| setting | value |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def _spoken(text: str) -> str:
    return _SIGNS.sub(r"\\\g<0>", html.escape(" ".join(text.split()), quote=False))


class Called(Tracker):
    """A function that takes the numbers and where they stand.

    Args:
        function: called as ``function(numbers, at)``.
    """

    def __init__(self, function: Callable[[Mapping[str, float], int], Any]) -> None:
        self.name = str(getattr(function, "__qualname__", type(function).__name__))
        self._function = function

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """Call the function."""
        self._function(numbers, at)


class LoggerTracker(Tracker):
    """A logger of Lightning that is none of the four: numbers only.

    Args:
        logger: anything with ``log_metrics(metrics, step)``, and ``log_hyperparams(params)`` where it keeps settings.
    """

    def __init__(self, logger: Any) -> None:
        self.name = type(logger).__name__
        self._logger = logger

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """Hand them to the logger."""
        self._logger.log_metrics(dict(numbers), step=at)

    def settings(self, settings: Settings) -> None:
        """Hand them to the logger, where it has a place for them."""
        if hasattr(self._logger, "log_hyperparams"):
            self._logger.log_hyperparams(dict(settings))
