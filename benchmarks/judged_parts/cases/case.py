"""A case: a number on data where it is known exactly, phiscope's value, and others' values where they are installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number under one condition.

    Attributes:
        number: which number it is.
        condition: on which data.
        exact: what the definition gives, on paper.
        ours: phiscope's value; None where it has no such number.
        others: value by name of the package; a sentence where it raised.
        tolerance: how far any value may lie from the exact one and still agree, where the case's do not hold.
    """

    number: str
    condition: str
    exact: float
    ours: float | None
    others: dict[str, float | str] = field(default_factory=dict)
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """What some packages compute, under which condition it differs from the definition, and what to do.

    Attributes:
        key: short name, for the command line and for tests.
        title: heading on the page.
        packages: names on the index -> names to import.
        computes: what the packages compute, and under which condition it is another number.
        advice: what to do.
        rows: measures; takes a function that says whether a package is there.
        tolerance: how far a value may lie from the exact one, relative to it, and still agree.
        ours: the same for phiscope.
    """

    key: str
    title: str
    packages: dict[str, str]
    computes: str
    advice: str
    rows: Callable[[Callable[[str], bool]], Iterable[Row]]
    tolerance: float = 1e-3
    ours: float = 1e-9

    def installed(self, name: str) -> bool:
        """Whether a package is there."""
        return importlib.util.find_spec(self.packages[name]) is not None

    def agrees(self, value: float | str, row: Row) -> bool:
        """Whether another's value is the exact one within the tolerance."""
        return isinstance(value, float) and close(value, row.exact, row.tolerance or self.tolerance)

    def record(self) -> dict[str, Any]:
        """The case as the page's data keep it."""
        return {
            "key": self.key,
            "title": self.title,
            "computes": self.computes,
            "advice": self.advice,
            "versions": {name: version(name) if self.installed(name) else None for name in self.packages},
            "rows": [self._row(row) for row in self.rows(self.installed)],
        }

    def _row(self, row: Row) -> dict[str, Any]:
        ours = None if row.ours is None else float(row.ours)
        return {
            "number": row.number,
            "condition": row.condition,
            "exact": row.exact,
            "ours": ours,
            "ours_agrees": ours is None or close(ours, row.exact, row.tolerance or self.ours),
            "others": {name: [value, self.agrees(value, row)] for name, value in row.others.items()},
        }


def close(value: float, exact: float, tolerance: float) -> bool:
    """Whether a value is the exact one, relative to it (or as it is where that is 0)."""
    return math.isfinite(value) and bool(abs(value - exact) <= tolerance * (abs(exact) or 1.0))


def theirs(call: Callable[[], Any]) -> float | str:
    """What another package gives, its progress bars and warnings left out; a sentence where it raises."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        # Whatever a foreign package raises is what it gives here.
        try:
            value = float(call())
        except Exception as error:
            return f"raises {type(error).__name__}"
    return value
