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

from phiscope.findings.findings import ONE_SHARD, Findings, warn_of_bias, warn_of_class_means
from phiscope.findings.held_out import find_held_out
from phiscope.findings.outputs import outputs_of
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics import CORRECTED_TWINS, SCALARS
from phiscope.metrics.alignment import class_target_squared_norm
from phiscope.metrics.dimension import most_of
from phiscope.moments.jackknife import Estimate, are_even, corrected_value, estimate, pseudo_values
from phiscope.moments.leaving_out import leave_one_out
from phiscope.moments.moments import Moments
from phiscope.moments.shards import FEWEST_SHARDS, HALVES
from phiscope.moments.togetherness import independent_samples
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

DENOMINATORS = {
    "square": ("covariance", "features"),
    "raw_square": ("second moment", "features"),
    "target": ("covariance of the targets", "targets"),
}
"""Corrected squared norms that ratios divide by, of what; `projection` is not corrected, a trace next to unbiased."""

READ = {
    "dynamical_low_rank": ("square", "projection", "literal"),
    "dynamical_low_rank_centered": ("square", "centered"),
    "used_variance": ("trace", "centered"),
    "participation_ratio": ("raw_trace", "raw_square"),
    "participation_ratio_centered": ("trace", "square"),
    "target_alignment": ("square", "target", "cross"),
}
"""What each ratio is made of."""

LEAST_LEFT = 4.0
"""A squared norm is known where the correction leaves more than so many n-th parts of it, times G / (G - 1).

Leaving out one of G shards takes away what is linear in 1 / n. Of a covariance it keeps tr(S)^2 / n^2 * G / (G - 1),
and tr(S)^2 / n is nearly all that was measured where next to nothing is left: of four n-th parts a quarter is that
rest. Of samples that are orthogonal to each other nothing but that rest, or rounding, is left.
"""

ROUNDING = 1e-9
"""Share of a dimension that rounding may add to it."""


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
    found = {}
    if outputs is not None and outputs.raw_span.rank:
        rank = outputs.raw_span.rank
        found["literal"] = _squared(outputs.literal.centered_loadings(rank))
        found["projection"] = outputs.literal.squared_projection(rank)
    if outputs is not None and outputs.centered_span.rank:
        found["centered"] = _squared(outputs.centered_span.loadings)
    return found


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


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """Ratios corrected for the size of the sample.

    Attributes:
        estimates: with standard errors, by the name of the plain number; without those that cannot be corrected.
        unknown: why a piece is not known, by its name.
    """

    estimates: dict[str, Estimate]
    unknown: dict[str, str]


def correct(
    shards: Sequence[Moments],
    total: Moments,
    outputs: Outputs | None,
    outputs_again: Callable[[Moments, PositiveOperator], Outputs | None],
) -> Corrected:
    """Correct every ratio for the size of the sample.

    Args:
        shards: G >= 2 moments of disjoint random shards.
        total: moments of all samples together.
        outputs: their outputs.
        outputs_again: the outputs of any moments and their covariance, with the ranks of all samples.
    """
    weights = np.array([shard.weight for shard in shards])
    shares = weights / weights.sum()
    parts = []
    for moments in leave_one_out(shards, total):
        covariance = moments.covariance("features")
        parts.append(pieces_of(moments, covariance, outputs_again(moments, covariance)).vector())
    without, whole = np.stack(parts), pieces_of(total, total.covariance("features"), outputs).vector()
    central = corrected_value(whole, without, shares)
    # The projection's own norm is a rank, up to the constant's share; correcting it would only add noise.
    projection = NAMES.index("projection")
    central[projection] = whole[projection]
    unknown = _lost(central) | _crowded(shards, total, outputs) | _vanishing(central, whole, total, len(shards))
    central[[NAMES.index(name) for name in unknown]] = math.nan
    spread = pseudo_values(whole, without, shares) - central
    spread[:, projection] = 0.0
    known = np.isfinite(central)
    estimates = {}
    rank = 0 if outputs is None else outputs.centered_span.rank
    for name, statistic in statistics_for(max(rank, 1)).items():
        value = float(statistic(Pieces.of(central)))
        if math.isfinite(value):
            pseudo = value + spread[:, known] @ _gradient(statistic, central)[known]
            estimates[name] = estimate(value, pseudo, shares)
    return Corrected(estimates=estimates, unknown=unknown)


def _lost(central: FloatArray) -> dict[str, str]:
    """Pieces that some of the samples do not have."""
    lost = "without one of the shards of samples the rest does not vary enough to have it: too few samples"
    return {name: lost for name, value in zip(NAMES, central, strict=True) if not math.isfinite(value)}


def _crowded(shards: Sequence[Moments], total: Moments, outputs: Outputs | None) -> dict[str, str]:
    """Projections on outputs that span next to everything that the samples of a part can tell apart.

    Such a span holds whatever features there are, which no part of the samples tells from outputs that go with them.
    """
    fewest = total.n_samples - max(shard.n_samples for shard in shards)
    ranks = (0, 0) if outputs is None else (outputs.raw_span.rank, outputs.centered_span.rank)
    return {
        name: f"outputs of rank {rank} span next to all functions of {fewest} samples, which are left without a shard: "
        "too few samples for these outputs"
        for name, rank in zip(("literal", "centered"), ranks, strict=True)
        if rank >= fewest - 1
    }


def _vanishing(central: FloatArray, whole: FloatArray, total: Moments, n_shards: int) -> dict[str, str]:
    """Squared norms of which the correction leaves nothing that is known."""
    n = total.effective_samples
    parts = LEAST_LEFT * n_shards / (n_shards - 1)
    return {
        name: f"the correction for n = {n:.0f} leaves at most {parts:.3g}/n of the squared norm of the {of}, which may "
        f"be nothing at all: too few samples for these {what}"
        for name, (of, what) in DENOMINATORS.items()
        if central[NAMES.index(name)] <= parts / n * whole[NAMES.index(name)]
    }


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
    found, unknown = deepcopy(plain), {}
    warn_of_class_means(found, moments, independent_samples(shards, moments))
    if len(shards) > 1:
        unknown = _add_corrections(found, moments, shards, outputs, head, cut)
        if moments.classes or moments.n_values:
            find_held_out(found, shards)
    if "readout_r2_held_out" not in found.numbers:
        found.absent.setdefault("readout_r2_held_out", "it needs at least 2 shards of samples")
    for name in CORRECTED_TWINS:
        if f"{name}_corrected" not in found.numbers:
            found.refuse((f"{name}_corrected",), _why_not_corrected(found, name, len(shards), unknown))
    return found


def _why_not_corrected(found: Findings, name: str, n_shards: int, unknown: dict[str, str]) -> str:
    if name in found.absent:
        return found.absent[name]
    if n_shards < HALVES:
        return ONE_SHARD
    reasons = [unknown[piece] for piece in READ[name] if piece in unknown]
    return reasons[0] if reasons else "the correction for n leaves nothing to divide by: too few samples"


def _within_range(name: str, value: float, moments: Moments) -> float:
    """Clipped to the range of the number; a dimension may lie beyond p by more than rounding, see `warn_of_bias`."""
    low, high = SCALARS[name].bounds
    most = most_of(name, moments.n_samples, moments.n_features)
    # A single feature has one dimension in every population.
    if most < value and (most == low or value <= most * (1 + ROUNDING)):
        return most
    return float(np.clip(value, low, high))


def _add_corrections(
    found: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: AffineHead | None,
    cut: Cut,
) -> dict[str, str]:
    """Add corrected twins, and a sentence where plain numbers are off; errors only from enough shards.

    Returns:
        Why pieces of other ratios are not known.
    """
    made = correct(shards, moments, outputs, lambda part, covariance: outputs_of(part, covariance, head, cut))
    estimates = {name: value for name, value in made.estimates.items() if name in found.numbers}
    for name, value in estimates.items():
        found.numbers[f"{name}_corrected"] = _within_range(name, value.value, moments)
    warn_of_bias(found, moments.n_samples, moments.n_features, tuple(estimates))
    if len(shards) >= FEWEST_SHARDS and are_even(np.array([shard.weight for shard in shards]) / moments.weight):
        found.estimates.update(estimates)
    return made.unknown
