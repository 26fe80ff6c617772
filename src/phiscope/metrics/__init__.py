"""One file for each quantity: a pure function and its definition row.

::

    definition.py         what a definition row is
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
    on_request.py         rows of numbers that a call or a second pass gives
    tables.py             numbers as a table, and the page of definitions
"""

from __future__ import annotations

from dataclasses import replace

from phiscope.errors import UnknownNameError
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
)
from phiscope.metrics.definition import Definition as Definition

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
        ours=True,
        caveat="",
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
    row.name: row for row in (*comparison.DEFINITIONS, *comparison.CURVES, *movement.DEFINITIONS)
}
"""Numbers of two states, or of parameters: no measurement of one feature map has them."""

ELSEWHERE: dict[str, Definition] = {row.name: row for row in on_request.DEFINITIONS}
"""What a measurement gives by a call, or another pass over the samples gives."""

DEFINITIONS: dict[str, Definition] = {**SCALARS, **CURVES, **ELSEWHERE, **COMPARISONS}
"""Every number phiscope knows, by name."""


def place_of(name: str) -> str:
    """Where a number is found that is no scalar of a measurement."""
    if name in CURVES:
        return f"it is a curve; read m.raw.{name} or m.centered.{name}"
    if name in on_request.PLACES:
        return f"it is no scalar of a measurement; read {on_request.PLACES[name]}"
    if name in movement.PLACES:
        return f"it is not made from features; call {movement.PLACES[name]}"
    return "it belongs to two feature maps; call phiscope.compare"


def definition_of(name: str) -> Definition:
    """The definition row of a number or curve.

    Raises:
        UnknownNameError: there is no such number; the message offers the nearest names.

    Example:
        >>> definition_of("stable_rank").symbol
        'sr'
    """
    if name not in DEFINITIONS:
        raise UnknownNameError("number", name, DEFINITIONS)
    return DEFINITIONS[name]
