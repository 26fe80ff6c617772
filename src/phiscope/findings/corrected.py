"""Numbers of the population instead of the sample: ratios whose parts are each corrected for finite n.

The plain D_LR is a ratio of moments each of which is too large by an amount of order p / n. Correcting the ratio
itself leaves an error of order (p / n)^2, which is all of it at n = p; correcting its parts, which are all but
exactly linear in 1 / n, leaves next to nothing.

What disjoint shards of the samples add to a measurement: corrected numbers, errors, a held-out readout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np

from phiscope.findings.findings import Findings, warn_of_bias
from phiscope.findings.held_out import find_held_out
from phiscope.findings.outputs import outputs_of
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics import CORRECTED_TWINS, SCALARS
from phiscope.metrics.alignment import class_target_squared_norm
from phiscope.moments.jackknife import Estimate, corrected_value, estimate, leave_one_out, pseudo_values
from phiscope.moments.moments import Moments
from phiscope.moments.shards import FEWEST_SHARDS, HALVES
from phiscope.spectrum.spans import Cut, Outputs, reduced_head
from phiscope.typing import AffineHead, FloatArray

Pieces = FloatArray
"""The parts of all ratios, in the order of the indices below."""


_TRACE, _SQUARE, _LITERAL, _PROJECTION, _CENTERED, _CROSS, _TARGET, _RAW_TRACE, _RAW_SQUARE = range(9)


def pieces_of(moments: Moments, covariance: PositiveOperator, outputs: Outputs | None) -> Pieces:
    """The parts of every corrected ratio, NaN where outputs or targets are missing; no eigendecomposition of S."""
    mean = moments.mean[: moments.n_features]
    pieces = np.full(9, np.nan)
    pieces[_TRACE], pieces[_SQUARE] = covariance.trace(), covariance.squared_norm()
    along = float(product(mean, covariance.apply(mean[:, None])[:, 0]))
    length = float(product(mean, mean))
    # norm^2(S + m m^T) without forming it.
    pieces[_RAW_TRACE] = pieces[_TRACE] + length
    pieces[_RAW_SQUARE] = pieces[_SQUARE] + 2 * along + length**2
    if outputs is not None and outputs.raw_span.rank and outputs.centered_span.rank:
        rank = outputs.raw_span.rank
        loadings = outputs.literal.centered_loadings(rank)
        pieces[_LITERAL] = np.einsum("ij,ij->", loadings, loadings)
        pieces[_PROJECTION] = outputs.literal.squared_projection(rank)
        centered = outputs.centered_span.loadings
        pieces[_CENTERED] = np.einsum("ij,ij->", centered, centered)
    if moments.classes:
        shares = moments.group_weights / moments.weight
        directions = (moments.group_means[:, : moments.n_features] - mean) * shares[:, None]
        pieces[_CROSS] = np.einsum("ij,ij->", directions, directions)
        pieces[_TARGET] = class_target_squared_norm(shares)
    elif moments.n_values:
        cross = moments.cross_covariance("values")
        pieces[_CROSS] = np.einsum("ij,ij->", cross, cross)
        pieces[_TARGET] = moments.covariance("values").squared_norm()
    return pieces


def _root_ratio(top: float, bottom: float) -> float:
    return top / math.sqrt(bottom) if bottom > 0 else math.nan


def statistics_for(rank: int) -> dict[str, Callable[[Pieces], float]]:
    """Each corrected number as a function of the pieces; `rank` is r = rank(Fc)."""
    return {
        "dynamical_low_rank": lambda q: 1 - _root_ratio(q[_LITERAL], q[_PROJECTION] * q[_SQUARE]),
        "dynamical_low_rank_centered": lambda q: 1 - _root_ratio(q[_CENTERED], rank * q[_SQUARE]),
        "used_variance": lambda q: q[_CENTERED] / q[_TRACE] if q[_TRACE] > 0 else math.nan,
        "participation_ratio": lambda q: q[_RAW_TRACE] ** 2 / q[_RAW_SQUARE] if q[_RAW_SQUARE] > 0 else math.nan,
        "participation_ratio_centered": lambda q: q[_TRACE] ** 2 / q[_SQUARE] if q[_SQUARE] > 0 else math.nan,
        "target_alignment": lambda q: _root_ratio(q[_CROSS], q[_SQUARE] * q[_TARGET]),
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
        parts.append(pieces_of(moments, covariance, outputs_of(moments, covariance)))
    without = np.stack(parts)
    central = corrected_value(pieces, without, shares)
    # The projection's own norm is a rank, up to the constant's share; correcting it would only add noise.
    central[_PROJECTION] = pieces[_PROJECTION]
    spread = pseudo_values(pieces, without, shares) - central
    spread[:, _PROJECTION] = 0.0
    known = np.isfinite(central)
    estimates = {}
    for name, statistic in statistics_for(max(rank, 1)).items():
        value = float(statistic(central))
        if math.isfinite(value):
            pseudo = value + spread[:, known] @ _gradient(statistic, central)[known]
            estimates[name] = estimate(value, pseudo, shares)
    return estimates


def _gradient(statistic: Callable[[Pieces], float], at: Pieces) -> FloatArray:
    """Central differences; pieces that the statistic does not read, or that are missing, have slope 0."""
    slope = np.zeros(len(at))
    for index in np.flatnonzero(np.isfinite(at) & (at != 0)):
        step = 1e-6 * abs(at[index])
        high, low = at.copy(), at.copy()
        high[index] += step
        low[index] -= step
        slope[index] = (statistic(high) - statistic(low)) / (2 * step)
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
    return "the estimate of a squared norm is not positive: too few samples for these features"


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
        row = SCALARS[name]
        low = -np.inf if row.low is None else row.low
        high = np.inf if row.high is None else row.high
        found.numbers[f"{name}_corrected"] = float(np.clip(value.value, low, high))
    warn_of_bias(found, moments.n_samples, tuple(estimates))
    return estimates if len(shards) >= FEWEST_SHARDS else {}
