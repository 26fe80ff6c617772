"""Numbers of the features alone: dimensions and ratios of both spectra."""

from __future__ import annotations

from phiscope.findings.findings import NO_SPREAD, Findings
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics import dimension
from phiscope.metrics.dimension import participation_ratio
from phiscope.moments.wide import SweptMoments
from phiscope.spectrum.eigensystem import rounding_of
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray


def find_ratios(found: Findings, moments: SweptMoments, raw: Spectrum, centered: Spectrum) -> None:
    """Participation ratio and stable rank, from trace and norm."""
    mean = moments.mean[: moments.n_features]
    length = float(product(mean, mean))
    trace, square = moments.features.trace(), moments.features.square
    along = float(product(mean, moments.features.apply(mean[:, None])[:, 0]))
    for suffix, spectrum, total, squares in (
        ("", raw, trace + length, square + 2 * along + length**2),
        ("_centered", centered, trace, square),
    ):
        if len(spectrum.eigenvalues):
            found.numbers[f"participation_ratio{suffix}"] = participation_ratio(total, squares)
            found.numbers[f"stable_rank{suffix}"] = total / float(spectrum.eigenvalues[0])
        else:
            found.refuse((f"participation_ratio{suffix}", f"stable_rank{suffix}"), NO_SPREAD)


VISIBLE = 1e-9
"""Share of the trace from which on rounding of the rows would be seen in a number."""


def find_participation(found: Findings, covariance: PositiveOperator, squared_norm: float, mean: FloatArray) -> None:
    """Both participation ratios from traces and norms, without an eigendecomposition.

    Where rounding of the rows is a visible part of the trace, the centered one is left to the eigenvalues above it.
    """
    trace, length = covariance.trace(), float(product(mean, mean))
    along = float(product(mean, covariance.apply(mean[:, None])[:, 0]))
    raw_squares = squared_norm + 2 * along + length**2
    if raw_squares > 0:
        found.numbers["participation_ratio"] = dimension.participation_ratio(trace + length, raw_squares)
    if squared_norm > 0 and covariance.size * rounding_of(mean) < VISIBLE * trace:
        found.numbers["participation_ratio_centered"] = dimension.participation_ratio(trace, squared_norm)


def find_dimensions(found: Findings, raw: FloatArray, centered: FloatArray, n_singular: int) -> None:
    """Dimensions of both spectra."""
    if len(raw) == 0:
        found.refuse(
            ("effective_dimension", "participation_ratio", "stable_rank", "rankme", "srank"),
            "all features are zero on these samples",
        )
    else:
        found.numbers["rankme"] = dimension.rankme(raw, n_singular)
        found.numbers["srank"] = float(dimension.srank(raw))
    for values, suffix in ((raw, ""), (centered, "_centered")):
        if len(values) == 0:
            continue
        found.numbers[f"effective_dimension{suffix}"] = dimension.effective_dimension(values)
        found.numbers[f"stable_rank{suffix}"] = dimension.stable_rank(values)
    if len(centered) == 0:
        twins = ("effective_dimension_centered", "participation_ratio_centered", "stable_rank_centered")
        found.refuse(twins, NO_SPREAD)
    elif "participation_ratio_centered" not in found.numbers:
        ratio = dimension.participation_ratio(float(centered.sum()), float(product(centered, centered)))
        found.numbers["participation_ratio_centered"] = ratio
    if len(centered) < 2:
        found.refuse(("alpha_req",), "a slope needs at least two centered eigenvalues")
    else:
        found.numbers["alpha_req"] = dimension.alpha_req(centered)
