"""A progress bar for people who watch, and nothing at all for those who do not: no line, no thread."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from phiscope.inputs.settings import check_flag


class Quiet:
    """Stands where a bar would; it passes on what it is given.

    Attributes:
        n: what `update` has counted.

    Args:
        items: what is walked through.
    """

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.n: float = 0
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""

    def update(self, n: float = 1) -> None:
        """Count on."""
        self.n += n

    def set_postfix_str(self, text: str) -> None:
        """Nobody reads."""

    def close(self) -> None:
        """Nothing is left to do."""


def bar_of(items: Iterable[Any] | None = None, *, shown: bool | None, **words: Any) -> Any:
    """A tqdm bar, or `Quiet` where it would not be seen: tqdm starts a thread even for a bar that it does not show.

    Args:
        items: what is walked through; None for a bar that is updated by hand.
        shown: True, False, or None = when stderr is a terminal.
        words: tqdm's own settings.

    Example:
        >>> with bar_of(range(3), shown=False) as bar:
        ...     print(sum(bar))
        3
    """
    check_flag(shown, name="progress", otherwise="in a terminal")
    if shown is None:
        shown = sys.stderr is not None and sys.stderr.isatty()
    if not shown:
        return Quiet(() if items is None else items)
    return tqdm(items, **words)
