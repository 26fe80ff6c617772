"""A fact that has to hold, a suite of them, and what of a suite was left out."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One figure and the bounds between which it has to lie.

    Attributes:
        asserts: what has to hold, in words.
        call: the public call that gives the figure.
        figure: what was measured.
        low: least value that passes.
        high: largest value that passes.
    """

    asserts: str
    call: str
    figure: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether the figure lies within its bounds; NaN does not."""
        return bool(self.low <= self.figure <= self.high)

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        if math.isinf(self.low):
            return f"at most {self.high:.3g}"
        return f"at least {self.low:.3g}" if math.isinf(self.high) else f"{self.low:.3g} to {self.high:.3g}"

    def record(self) -> dict[str, Any]:
        """The fact as the page's data keep it."""
        words = {"asserts": self.asserts, "call": self.call, "bounds": self.bounds, "holds": self.holds}
        return words | {"figure": float(self.figure)}


def present(name: str) -> bool:
    """Whether there is "module", or "module:name"."""
    module, _, attribute = name.partition(":")
    if importlib.util.find_spec(module) is None:
        return False
    return not attribute or hasattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What one project's tests or benchmark assert, asked of phiscope.

    Attributes:
        key: short name, for the command line and for tests.
        name: the project and its repository.
        seen: which version of it was looked at, and in which files.
        about: what the suite judges, in a sentence.
        facts: measures and returns the facts.
        left_out: what the suite also asserts and phiscope was not asked, with the reason.
        imports: what has to be there, as "module" or "module:name"; without it the suite is not run.
        slow: True where it trains networks.
    """

    key: str
    name: str
    seen: str
    about: str
    facts: Callable[[], Iterable[Fact]]
    left_out: tuple[tuple[str, str], ...] = ()
    imports: tuple[str, ...] = ()
    slow: bool = False

    def missing(self) -> list[str]:
        """Which of its imports are not there."""
        return [name for name in self.imports if not present(name)]

    def record(self) -> dict[str, Any]:
        """The suite as the page's data keep it; without facts where a module is missing."""
        missing = self.missing()
        return {
            "key": self.key,
            "name": self.name,
            "seen": self.seen,
            "about": self.about,
            "missing": missing,
            "facts": [] if missing else [fact.record() for fact in self.facts()],
            "left_out": [list(pair) for pair in self.left_out],
        }
