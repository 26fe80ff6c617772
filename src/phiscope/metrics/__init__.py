"""What is measured: one file for each quantity, pure functions, and a definition row for every number."""

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
    readout,
    regression,
    richness,
    similarity,
)
from phiscope.metrics import on_request as elsewhere
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

ELSEWHERE: dict[str, Definition] = {row.name: row for row in elsewhere.DEFINITIONS}
"""What a measurement gives by a call, or another pass over the samples gives."""

DEFINITIONS: dict[str, Definition] = {**SCALARS, **CURVES, **ELSEWHERE, **COMPARISONS}
"""Every number phiscope knows, by name."""


def place_of(name: str) -> str:
    """Where a number is found that is no scalar of a measurement."""
    if name in CURVES:
        return f"it is a curve; read m.raw.{name} or m.centered.{name}"
    if name in elsewhere.PLACES:
        return f"it is no scalar of a measurement; read {elsewhere.PLACES[name]}"
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
