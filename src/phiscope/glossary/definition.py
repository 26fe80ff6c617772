"""What a number is, and what a word is: rows of facts that captions, documentation and ``explain`` all read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Need = Literal["features", "outputs", "targets", "classes", "head", "initial", "samples", "weights"]

Transformation = Literal[
    "orthogonal", "permutation", "translation", "isotropic_scaling", "invertible_linear", "invertible_outputs"
]

TRANSFORMATIONS: Mapping[Transformation, str] = {
    "orthogonal": "φ → Q φ with an orthogonal Q; W → W Qᵀ",
    "permutation": "the features in another order, and the columns of W with them",
    "translation": "φ → φ + t with a fixed t; b → b − W t",
    "isotropic_scaling": "φ → s φ with a number s > 0; W → W / s",
    "invertible_linear": "φ → A φ with an invertible A; W → W A⁻¹",
    "invertible_outputs": "f → A f with an invertible A, by W → A W and b → A b; the features stay",
}
"""What a number may be invariant to. The first five change the features, and the head along, so that the outputs stay;
the last one changes the outputs. Where ranks of outputs are counted, it may carry no direction past the tolerance."""

KEEPS_ONES = "where targets are classes, A takes the all-ones vector to a multiple of itself"
"""Centered readings of class outputs see differences of logits, and these follow from each other only then."""

CENTERED_ONE = "the centered one"
"""Curves are given for both spectra."""


def invariant(*always: Transformation, **conditions: str) -> dict[Transformation, str]:
    """A row's invariances in their common order, each with its condition, empty where there is none.

    Example:
        >>> invariant("orthogonal", translation="the centered one")
        {'orthogonal': '', 'translation': 'the centered one'}
    """
    return {name: conditions.get(name, "") for name in TRANSFORMATIONS if name in always or name in conditions}


SHAPE = invariant("orthogonal", "permutation", "isotropic_scaling", "invertible_outputs")
"""The shape of the features about the origin, whatever the outputs are."""

CENTERED_SHAPE = invariant("orthogonal", "permutation", "translation", "isotropic_scaling", "invertible_outputs")
"""The shape of the features about their mean, whatever the outputs are."""

CENTERED_SHAPE_AND_SPAN = invariant(
    "orthogonal", "permutation", "translation", "isotropic_scaling", invertible_outputs=KEEPS_ONES
)
"""The shape of the features about their mean, and the span of the centered outputs."""

SHAPE_AND_OUTPUTS = invariant("orthogonal", "permutation", "translation", "isotropic_scaling")
"""The shape of the features about their mean, and the outputs themselves."""

LINEAR_SPAN = invariant(*TRANSFORMATIONS)
"""What any linear map of the features could express."""


SPECTRA: Mapping[str, str] = {
    "raw": "the raw spectrum (of M)",
    "centered": "the centered spectrum (of S)",
    "both": "the raw spectrum (of M) or the centered one (of S), as asked for",
    "mixed": "centered features (S) and the span of the raw outputs (F)",
    "none": "",
}
"""Which spectrum a number reads, in words."""


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
        centering: which spectrum it reads: ``"raw"``, ``"centered"``, ``"both"`` (one reading of each), ``"mixed"``
            (centered features, the span of the raw outputs) or ``"none"``.
        invariances: what leaves it as it is (`TRANSFORMATIONS`), each with the condition under which it does; empty
            text for none. Whatever is not named changes it; tests/whole/test_invariances.py tries both.
        equation: the formula in plain Unicode, in the letters of docs/reference/definitions.md ("Letters").
        meaning: one or two sentences for somebody who has not read the paper.
        needs: what has to be known besides the features.
        source: paper and section; papers of the field carry their arXiv number and version.
        ours: True when this definition is phiscope's own and not a published one.
        caveat: when the number misleads; empty when nothing particular is known.
        aliases: other words for it, beside name, title and symbol.
        scale: what its interval is even on; the number itself, or the logarithm of its distance from one end of the
            range. The scales were chosen by counting how often intervals hold the truth (benchmarks/coverage.py).
    """

    name: str
    title: str
    symbol: str
    range: str
    direction: str
    centering: Literal["raw", "centered", "both", "mixed", "none"]
    invariances: Mapping[Transformation, str] = field(hash=False)
    equation: str
    meaning: str
    source: str
    needs: tuple[Need, ...] = ("features",)
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    ours: bool = False
    caveat: str = ""
    aliases: tuple[str, ...] = ()
    scale: Literal["x", "log(x)", "log(x - 1)", "log(1 - x)", "log(C - 1 - x)"] = "x"

    @property
    def spectrum_text(self) -> str:
        """Which spectrum it reads, in words; empty where it reads none."""
        return SPECTRA[self.centering]

    @property
    def invariance_text(self) -> str:
        """The transformations that leave it as it is, with their conditions in brackets; empty where none does."""
        kept = {name: self.invariances[name] for name in TRANSFORMATIONS if name in self.invariances}
        return ", ".join(f"{name} ({when})" if when else name for name, when in kept.items())

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest value, infinite where there is none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word that pages and messages use and that is no number.

    Attributes:
        name: the word.
        meaning: one or more sentences.
        aliases: other words for it.
        numbers: names of the numbers that it goes with.
        place: what to type to read it; empty where there is nothing to read.
    """

    name: str
    meaning: str
    aliases: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    place: str = ""
