"""What a number is: one row of facts that captions, documentation and ``explain`` all read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Need = Literal["features", "outputs", "targets", "classes", "head", "initial", "samples"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The facts about one number.

    Attributes:
        name: the key in ``Measurement.to_dict()``.
        title: a few words for a table row or axis.
        symbol: the letter used in the formula, plain Unicode.
        unit: the physical unit; ``"1"`` when the number has none.
        range: the attainable interval, as text.
        low: lower end of the range, None when unbounded.
        high: upper end of the range, None when unbounded or dependent on the data.
        direction: what a small and a large value mean, without praise.
        centering: which spectrum it reads: ``"raw"``, ``"centered"`` or ``"none"``.
        equation: the formula in plain Unicode, in the letters of the method page.
        meaning: one or two sentences for somebody who has not read the paper.
        needs: what has to be known besides the features.
        source: paper and section; papers of the field carry their arXiv number and version.
        ours: True when this definition is phiscope's own and not a published one.
        caveat: when the number misleads; empty when nothing particular is known.
        scale: what its interval is even on; the number itself, or the logarithm of its distance from one end of the
            range. The scales were chosen by counting how often intervals hold the truth (benchmarks/coverage.py).
    """

    name: str
    title: str
    symbol: str
    range: str
    direction: str
    centering: Literal["raw", "centered", "none"]
    equation: str
    meaning: str
    source: str
    needs: tuple[Need, ...] = ("features",)
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    ours: bool = False
    caveat: str = ""
    scale: Literal["x", "log(x)", "log(x - 1)", "log(1 - x)", "log(C - 1 - x)"] = "x"

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest value, infinite where there is none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high
