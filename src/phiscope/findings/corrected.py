"""Numbers of the population instead of the sample: ratios whose parts are each corrected for finite n.

The plain D_LR is a ratio of moments each of which is too large by an amount of order p / n. Correcting the ratio
itself leaves an error of order (p / n)^2, which is all of it at n = p; correcting its parts, which are all but
exactly linear in 1 / n, leaves next to nothing. With the errors and the held-out readout these are what disjoint
shards of the samples add to a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import astuple, dataclass, fields

import numpy as np

from phiscope.findings.findings import Findings, warn_of_bias
from phiscope.findings.held_out import find_held_out
from phiscope.findings.outputs import outputs_of
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics import CORRECTED_TWINS, SCALARS
from phiscope.metrics.alignment import class_target_squared_norm
from phiscope.moments.jackknife import Estimate, corrected_value, estimate, pseudo_values
from phiscope.moments.leaving_out import leave_one_out
from phiscope.moments.moments import Moments
from phiscope.moments.shards import FEWEST_SHARDS, HALVES
from phiscope.spectrum.output_coordinates import reduced_head
from phiscope.spectrum.spans import Cut, Outputs
from phiscope.typing import AffineHead, FloatArray

Ratio = Callable[["Pieces"], float]
"""A corrected number as a function of the pieces."""


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The parts of every corrected ratio, NaN where outputs or targets are missing.

    Attributes:
        trace: tr S.
        square: norm^2 of S.
        literal: tr(F^+ Bc^T Bc).
        projection: tr(F^+ Fc F^+ Fc), a rank up to the constant's share.
        centered: tr(Fc^+ Bc^T Bc).
        cross: norm^2 of Gc.
        target: norm^2 of Dc.
        raw_trace: tr M.
        raw_square: norm^2 of M.
    """

    trace: float
    square: float
    literal: float = math.nan
    projection: float = math.nan
    centered: float = math.nan
    cross: float = math.nan
    target: float = math.nan
    raw_trace: float
    raw_square: float

    def vector(self) -> FloatArray:
        """As numbers to be averaged, shape (9,), in the order of the fields."""
        return np.array(astuple(self))

    @classmethod
    def of(cls, vector: FloatArray) -> Pieces:
        """The inverse of `vector`."""
        return cls(**dict(zip(NAMES, vector.tolist(), strict=True)))


NAMES = tuple(row.name for row in fields(Pieces))

DENOMINATORS = ("square", "target", "raw_square")
"""Corrected squared norms that ratios divide by; `projection` is not corrected, and a trace is next to unbiased."""

LEAST_LEFT = 4.0
"""A squared norm is known where the correction leaves more than so many n-th parts of it.

Leaving out one of G shards takes away what is linear in 1 / n. Of a covariance it keeps tr(S)^2 / n^2 * G / (G - 1),
and tr(S)^2 / n is nearly all that was measured where next to nothing is left: of four n-th parts a quarter is that
rest. Of samples that are orthogonal to each other nothing but that rest, or rounding, is left.
"""


def pieces_of(moments: Moments, covariance: PositiveOperator, outputs: Outputs | None) -> Pieces:
    """The parts of every corrected ratio; no eigendecomposition of S."""
    mean = moments.mean[: moments.n_features]
    trace, square = covariance.trace(), covariance.squared_norm()
    along = float(product(mean, covariance.apply(mean[:, None])[:, 0]))
    length = float(product(mean, mean))
    return Pieces(
        trace=trace,
        square=square,
        raw_trace=trace + length,
        # norm^2(S + m m^T) without forming it.
        raw_square=square + 2 * along + length**2,
        **_output_pieces(outputs),
        **_target_pieces(moments, mean),
    )


def _output_pieces(outputs: Outputs | None) -> dict[str, float]:
    if outputs is None or not (outputs.raw_span.rank and outputs.centered_span.rank):
        return {}
    rank = outputs.raw_span.rank
    return {
        "literal": _squared(outputs.literal.centered_loadings(rank)),
        "projection": outputs.literal.squared_projection(rank),
        "centered": _squared(outputs.centered_span.loadings),
    }


def _target_pieces(moments: Moments, mean: FloatArray) -> dict[str, float]:
    if moments.classes:
        shares = moments.group_weights / moments.weight
        directions = (moments.group_means[:, : moments.n_features] - mean) * shares[:, None]
        return {"cross": _squared(directions), "target": class_target_squared_norm(shares)}
    if moments.n_values:
        squared = moments.covariance("values").squared_norm()
        return {"cross": _squared(moments.cross_covariance("values")), "target": squared}
    return {}


def _squared(matrix: FloatArray) -> float:
    return float(np.einsum("ij,ij->", matrix, matrix))


def _root_ratio(top: float, bottom: float) -> float:
    return top / math.sqrt(bottom) if bottom > 0 else math.nan


def statistics_for(rank: int) -> dict[str, Ratio]:
    """Each corrected number as a function of the pieces; `rank` is r = rank(Fc)."""
    return {
        "dynamical_low_rank": lambda q: 1 - _root_ratio(q.literal, q.projection * q.square),
        "dynamical_low_rank_centered": lambda q: 1 - _root_ratio(q.centered, rank * q.square),
        "used_variance": lambda q: q.centered / q.trace if q.trace > 0 else math.nan,
        "participation_ratio": lambda q: q.raw_trace**2 / q.raw_square if q.raw_square > 0 else math.nan,
        "participation_ratio_centered": lambda q: q.trace**2 / q.square if q.square > 0 else math.nan,
        "target_alignment": lambda q: _root_ratio(q.cross, q.square * q.target),
    }


def correct(
    shards: Sequence[Moments],
    total: Moments,
    pieces: Pieces,
    outputs_of: Callable[[Moments, PositiveOperator], Outputs | None],
    rank: int,
) -> dict[str, Estimate]:
    """Correct every ratio for the size of the sample.

    Args:
        shards: G >= 2 moments of disjoint random shards.
        total: moments of all samples together.
        pieces: their pieces.
        outputs_of: the outputs of any moments and their covariance, with the ranks of all samples.
        rank: r = rank(Fc), 0 without outputs.

    Returns:
        Estimates with standard errors, by the name of the plain number; without those that cannot be corrected.
    """
    weights = np.array([shard.weight for shard in shards])
    shares = weights / weights.sum()
    parts = []
    for moments in leave_one_out(shards, total):
        covariance = moments.covariance("features")
        parts.append(pieces_of(moments, covariance, outputs_of(moments, covariance)).vector())
    without, whole = np.stack(parts), pieces.vector()
    central = corrected_value(whole, without, shares)
    # The projection's own norm is a rank, up to the constant's share; correcting it would only add noise.
    projection = NAMES.index("projection")
    central[projection] = whole[projection]
    _forget_unknown(central, whole, total, len(shards))
    spread = pseudo_values(whole, without, shares) - central
    spread[:, projection] = 0.0
    known = np.isfinite(central)
    estimates = {}
    for name, statistic in statistics_for(max(rank, 1)).items():
        value = float(statistic(Pieces.of(central)))
        if math.isfinite(value):
            pseudo = value + spread[:, known] @ _gradient(statistic, central)[known]
            estimates[name] = estimate(value, pseudo, shares)
    return estimates


def _forget_unknown(central: FloatArray, whole: FloatArray, total: Moments, n_shards: int) -> None:
    """NaN in place of squared norms of which the correction leaves nothing that is known."""
    n = total.weight**2 / total.squared_weight
    share = LEAST_LEFT / n * n_shards / (n_shards - 1)
    for index in map(NAMES.index, DENOMINATORS):
        if central[index] <= share * whole[index]:
            central[index] = math.nan


def _gradient(statistic: Ratio, at: FloatArray) -> FloatArray:
    """Central differences; pieces that the statistic does not read, or that are missing, have slope 0."""
    slope = np.zeros(len(at))
    for index in np.flatnonzero(np.isfinite(at) & (at != 0)):
        step = 1e-6 * abs(at[index])
        high, low = at.copy(), at.copy()
        high[index] += step
        low[index] -= step
        slope[index] = (statistic(Pieces.of(high)) - statistic(Pieces.of(low))) / (2 * step)
    return slope


FROM_SHARDS = frozenset({"readout_r2_held_out", *(f"{name}_corrected" for name in CORRECTED_TWINS)})
"""Numbers that are made from shards when one of them is first read."""


def add_shards(
    plain: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: AffineHead | None,
    cut: Cut,
) -> Findings:
    """The findings with everything that shards add: corrected numbers, the held-out readout, what is biased."""
    found = deepcopy(plain)
    if len(shards) > 1:
        found.estimates.update(_corrections(found, moments, shards, outputs, head, cut))
        if moments.classes or moments.n_values:
            find_held_out(found, shards)
    if "readout_r2_held_out" not in found.numbers:
        found.absent.setdefault("readout_r2_held_out", "it needs at least 2 shards of samples")
    for name in CORRECTED_TWINS:
        if f"{name}_corrected" not in found.numbers:
            found.refuse((f"{name}_corrected",), _why_not_corrected(found, name, len(shards)))
    return found


def _why_not_corrected(found: Findings, name: str, n_shards: int) -> str:
    if name in found.absent:
        return found.absent[name]
    if n_shards < HALVES:
        return f"it is made from at least {HALVES} shards of samples, and there were {max(n_shards, 1)}"
    return (
        f"the correction for n leaves at most {LEAST_LEFT:g}/n of a squared norm, which may be nothing at all: too "
        "few samples for these features or targets"
    )


def _corrections(
    found: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: AffineHead | None,
    cut: Cut,
) -> dict[str, Estimate]:
    """Corrected twins, and a sentence where plain numbers are off; errors only from enough shards."""
    rank = 0 if outputs is None else outputs.centered_span.rank
    quiet = Findings()
    # Reduced once, not for each shard.
    small = head if head is None or moments.n_outputs else reduced_head(head)

    def outputs_again(part: Moments, covariance: PositiveOperator) -> Outputs | None:
        return outputs_of(quiet, part, covariance, small, cut)

    pieces = pieces_of(moments, moments.covariance("features"), outputs)
    estimates = correct(shards, moments, pieces, outputs_again, rank)
    estimates = {name: value for name, value in estimates.items() if name in found.numbers}
    for name, value in estimates.items():
        low, high = SCALARS[name].bounds
        found.numbers[f"{name}_corrected"] = float(np.clip(value.value, low, high))
    warn_of_bias(found, moments.n_samples, tuple(estimates))
    return estimates if len(shards) >= FEWEST_SHARDS else {}
