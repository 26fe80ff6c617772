"""One file for each quantity: a pure function and its definition row.

::

    dimension.py          how many features there are: dimensions of a spectrum
    richness.py           D_LR, its curve and the used variance
    random_head.py        D_LR of Gaussian random heads, the lazy reference
    regime.py             which regime a network is in, and by which numbers
    alignment.py          how eigenfunctions lie towards targets and outputs: alignment, quality, utilization
    readout.py            what a linear head could do with these features
    collapse.py           neural collapse of classes: NC1 to NC3, CDNV
    class_pairs.py        products and distances of class means, by blocks
    regression.py         neural collapse of regression targets: NRC1 to NRC3
    collapse_distance.py  distance from collapse onto targets of any strength
    similarity.py         similarity of two kernels on the same samples
    comparison.py         two feature maps: CKA, overlaps, principal angles, persistence
    movement.py           how far parameters and the tangent kernel have moved
    width.py              a kernel beside that of infinite width, and whether signals live through layers
    on_request.py         rows of numbers that a call or a second pass gives
    terms.py              words that pages and messages use and that are no numbers
    tables.py             numbers as a table, the page of definitions and the file of all rows
"""

from __future__ import annotations

from dataclasses import replace

from phiscope.errors import MissingNumberError, UnknownNameError
from phiscope.glossary.definition import Definition as Definition
from phiscope.glossary.definition import Term as Term
from phiscope.glossary.words import Words
from phiscope.metrics import (
    alignment,
    collapse,
    collapse_distance,
    comparison,
    dimension,
    movement,
    on_request,
    readout,
    regression,
    richness,
    similarity,
    terms,
    width,
)

CENTERED_TWINS = ("effective_dimension", "participation_ratio", "stable_rank")
"""Dimensions that are given for both spectra."""


def _centered_twin(row: Definition) -> Definition:
    return replace(
        row,
        name=f"{row.name}_centered",
        title=f"{row.title}, centered",
        symbol=f"{row.symbol}ᶜ",
        centering="centered",
        equation=f"{row.equation}, on the spectrum of S",
        caveat="" if "raw" in row.caveat else row.caveat,
        invariances={**row.invariances, "translation": ""},
        aliases=(),
    )


CORRECTED_TWINS = (
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "used_variance",
    "participation_ratio",
    "participation_ratio_centered",
    "target_alignment",
)
"""Ratios of moments that are also given corrected for the size of the sample."""


def _corrected_twin(row: Definition) -> Definition:
    return replace(
        row,
        name=f"{row.name}_corrected",
        title=f"{row.title}, corrected for n",
        symbol=f"{row.symbol}*",
        equation=f"{row.equation}, each moment corrected for finite n by leaving out shards",
        meaning=f"Estimate of the population value. {row.meaning}",
        source=f"{row.source}; the correction is phiscope's own",
        # Of the population, whose effective dimension is not the measured one.
        range="1 .. p, above it by chance" if row.range == "1 .. D_eff" else row.range,
        ours=True,
        caveat="",
        aliases=(),
    )


def _collect() -> dict[str, Definition]:
    rows: dict[str, Definition] = {}
    for module in (dimension, richness, alignment, readout, collapse_distance, collapse, regression, similarity):
        for row in module.DEFINITIONS:
            rows[row.name] = row
            if row.name in CENTERED_TWINS:
                rows[f"{row.name}_centered"] = _centered_twin(row)
    return {**rows, **{f"{name}_corrected": _corrected_twin(rows[name]) for name in CORRECTED_TWINS}}


SCALARS: dict[str, Definition] = _collect()
"""Every scalar, in the order in which tables show them."""

CURVES: dict[str, Definition] = {row.name: row for row in alignment.CURVES}
"""Every curve over k; both spectra have them."""

COMPARISONS: dict[str, Definition] = {
    row.name: row for row in (*comparison.DEFINITIONS, *comparison.CURVES, *movement.DEFINITIONS, *width.DEFINITIONS)
}
"""Numbers of two states, or of parameters: no measurement of one feature map has them."""

ELSEWHERE: dict[str, Definition] = {row.name: row for row in on_request.DEFINITIONS}
"""What a measurement gives by a call, or another pass over the samples gives."""

DEFINITIONS: dict[str, Definition] = {**SCALARS, **CURVES, **ELSEWHERE, **COMPARISONS}
"""Every number phiscope knows, by name."""


def place_of(name: str) -> str:
    """What to type to read a number, such as ``m.evidence.k90``."""
    if name in SCALARS:
        return f'm["{name}"]'
    if name in CURVES:
        return f"m.raw.{name} or m.centered.{name}"
    if name in comparison.PLACES:
        return comparison.PLACES[name]
    others = {**on_request.PLACES, **movement.PLACES, **width.PLACES}
    return others[name]


def why_no_scalar(name: str) -> str:
    """Why a number cannot be read as ``m[name]``, and what to type instead."""
    kinds = (
        (CURVES, "is a curve"),
        (ELSEWHERE, "is no scalar of a measurement"),
        (comparison.PLACES, "belongs to two feature maps"),
        (width.PLACES, "belongs to a network beside its theory"),
    )
    kind = next((words for rows, words in kinds if name in rows), "is not made from features")
    return f"it {kind}; read {place_of(name)}"


TERMS: dict[str, Term] = {term.name: term for term in terms.TERMS}
"""Words that are no numbers, by name."""

WORDS = Words(definitions=DEFINITIONS, terms=TERMS)
"""Every name, symbol and other word, and what it may mean."""


def definition_of(name: str) -> Definition:
    """The definition row of a number or curve, by its name, symbol, title or another word for it.

    Raises:
        UnknownNameError: there is no such number; the message offers the nearest names.
        AmbiguousNameError: it may mean several.
        MissingNumberError: it is a word for something else, and what to read instead.

    Example:
        >>> definition_of("stable_rank").symbol, definition_of("D_LR").name
        ('sr', 'dynamical_low_rank')
    """
    if not isinstance(name, str):
        raise UnknownNameError("number", name, DEFINITIONS, nearest=(), listing="phiscope explain")
    row = DEFINITIONS.get(name) or WORDS.meaning(name)
    if isinstance(row, Term):
        raise MissingNumberError(
            name, f"it is no number but a word; read {row.place or f'phiscope explain {row.name!r}'}"
        )
    return row
