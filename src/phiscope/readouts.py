"""Numbers about the best linear head, regression collapse and a random head, from moments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.findings import NO_SPREAD, Findings
from phiscope.jackknife import leave_one_out
from phiscope.metrics import collapse_distance, readout, regression
from phiscope.metrics.random_head import random_head_distance
from phiscope.moments import Moments, merge
from phiscope.operators import PositiveOperator
from phiscope.positive import solve_positive
from phiscope.products import product, row_products
from phiscope.spans import TARGET_TOLERANCE
from phiscope.spectrum import FunctionSpan, Spectrum

HELD_OUT_RIDGE = 1e-6
"""Ridge of the held-out readout, relative to the mean eigenvalue of S: below every direction that carries signal."""

MOST_CLASS_SHARES = 2048
"""Distinct class shares up to which the spectrum of the targets is computed: one symmetric matrix of this size."""

READOUT_NUMBERS = tuple(row.name for row in (*readout.DEFINITIONS, *collapse_distance.DEFINITIONS))
REGRESSION_NUMBERS = tuple(row.name for row in regression.DEFINITIONS)


def target_cross(moments: Moments) -> FloatArray | None:
    """Gc = cov(phi, y) with one-hot rows for classes, shape (p, c); None without targets."""
    p = moments.n_features
    if moments.classes:
        shares = moments.group_weights / moments.weight
        return np.asarray(((moments.group_means[:, :p] - moments.mean[:p]) * shares[:, None]).T)
    return moments.cross_covariance("values") if moments.n_values else None


def target_means(moments: Moments) -> FloatArray:
    """E[y], shape (c,): class shares, or the mean of the values."""
    if moments.classes:
        return np.asarray(moments.group_weights / moments.weight)
    return moments.mean[moments.columns("values")]


def target_variance(moments: Moments) -> float:
    """tr(Dc)."""
    if moments.classes:
        shares = moments.group_weights / moments.weight
        return float(1 - shares @ shares)
    return moments.covariance("values").trace()


def target_squares(moments: Moments) -> FloatArray | None:
    """tr(D) and tr(Dc), shape (2,); None without targets."""
    if not (moments.classes or moments.n_values):
        return None
    centered = target_variance(moments)
    means = target_means(moments)
    return np.array([1.0 if moments.classes else centered + float(product(means, means)), centered])


def output_error(moments: Moments, head: tuple[FloatArray, FloatArray] | None, output_variance: float) -> float | None:
    """E norm^2(f - y) against one-hot or real targets; None when the widths differ or one of both is missing.

    Args:
        moments: of features, targets and, where they were measured, outputs.
        head: affine head (W, b), read when outputs were not measured.
        output_variance: tr(Fc).
    """
    cross, means = target_cross(moments), target_means(moments)
    if cross is None:
        return None
    if moments.n_outputs:
        output_means = moments.mean[moments.columns("outputs")]
        if len(output_means) != len(means):
            return None
        joint = moments.output_target_trace()
    elif head is not None and len(head[0]) == len(means):
        weight, bias = head
        output_means = product(weight, moments.mean[: moments.n_features]) + bias
        joint = float(np.einsum("cp,pc->", weight, cross))
    else:
        return None
    offset = output_means - means
    return output_variance - 2 * joint + target_variance(moments) + float(product(offset, offset))


def find_readout(
    found: Findings,
    moments: Moments,
    spectrum: Spectrum,
    error: float | None,
    span: FunctionSpan,
    covariance_norm: float,
) -> None:
    """Best linear head, excess loss, whitened alignment, discriminant information; needs targets.

    `error` is the `output_error` of the trained head, if there is one.
    """
    cross, variance = target_cross(moments), target_variance(moments)
    if cross is None or len(spectrum.eigenvalues) == 0 or span.rank == 0:
        reason = NO_SPREAD if len(spectrum.eigenvalues) == 0 else "the targets are constant on these samples"
        found.refuse(READOUT_NUMBERS, reason)
        return
    power = np.asarray(spectrum.target_power)
    best = min(readout.readout_r2(spectrum.eigenvalues, power, variance), 1.0)
    found.numbers["readout_r2"] = best
    aligned = float(np.einsum("ij,ij->", span.loadings, span.loadings)) / (np.sqrt(span.rank) * covariance_norm)
    found.numbers["target_alignment_whitened"] = float(min(aligned, 1.0))
    _find_collapse_distance(found, moments, cross, covariance_norm)
    if error is None:
        found.refuse(("head_excess_loss",), "it needs outputs of the same width as the targets")
    else:
        # The best head cannot lose to the trained one; below 0 is rounding.
        found.numbers["head_excess_loss"] = max(error - variance * (1 - best), 0.0)
    if moments.classes and spectrum.quality is not None:
        between = spectrum.quality * spectrum.eigenvalues
        found.numbers["discriminant_information"] = readout.discriminant_information(spectrum.eigenvalues, between)
    else:
        found.refuse(("discriminant_information",), "it needs integer targets, the class of each sample")


def _find_collapse_distance(found: Findings, moments: Moments, cross: FloatArray, covariance_norm: float) -> None:
    if moments.classes:
        present = moments.group_weights > 0
        shares = moments.group_weights[present] / moments.weight
        distinct = len(np.unique(shares))
        if distinct > MOST_CLASS_SHARES:
            reason = f"the classes have {distinct} distinct shares, and up to {MOST_CLASS_SHARES} are diagonalized"
            found.refuse(("collapse_distance",), reason)
            return
        targets = collapse_distance.class_eigenspaces(shares, cross.T[present].T, TARGET_TOLERANCE)
    else:
        targets = collapse_distance.value_eigenspaces(moments.covariance("values"), cross, TARGET_TOLERANCE)
    found.numbers["collapse_distance"] = collapse_distance.collapse_distance(targets, covariance_norm)


def find_held_out(found: Findings, shards: Sequence[Moments]) -> None:
    """Readout fitted on every other shard and scored on the rest, both ways."""
    score = held_out_r2(reduce(merge, shards[::2]), reduce(merge, shards[1::2]))
    if np.isnan(score):
        found.refuse(("readout_r2_held_out",), "features or targets are constant in one half of the samples")
    else:
        found.numbers["readout_r2_held_out"] = score


def held_out_r2(first: Moments, second: Moments) -> float:
    """Mean R^2 of the head fitted on one half and judged on the other, both ways; NaN where one half is constant."""
    halves = [(half, half.covariance("features")) for half in (first, second)]
    return float(np.mean([_score(*fitted, *judged) for fitted, judged in (halves, halves[::-1])]))


def held_out_without_each(shards: Sequence[Moments]) -> list[float]:
    """`held_out_r2` without each shard in turn; no other sample changes its half."""
    halves = shards[::2], shards[1::2]
    scores = np.empty(len(shards))
    for side, other in ((0, 1), (1, 0)):
        whole = reduce(merge, halves[other])
        scores[side::2] = [held_out_r2(part, whole) for part in leave_one_out(halves[side])]
    return scores.tolist()


def _score(fitted: Moments, covariance: PositiveOperator, judged: Moments, spread: PositiveOperator) -> float:
    """R^2 on `judged` of the affine head fitted to `fitted`, NaN when one of them does not vary; S of both is given."""
    cross, judged_cross = target_cross(fitted), target_cross(judged)
    variance = target_variance(judged)
    if cross is None or judged_cross is None or covariance.trace() <= 0 or variance <= 0:
        return float("nan")
    ridge = HELD_OUT_RIDGE * covariance.trace() / covariance.size
    if covariance.matrix is not None:
        system = covariance.dense()
        system[np.diag_indices_from(system)] += ridge
        weight = solve_positive(system.T, cross)
    else:
        rows = np.asarray(covariance.rows)
        # (A^T A + r)^-1 G = (G - A^T (A A^T + r)^-1 A G) / r never makes p x p.
        small = row_products(rows) + ridge * np.eye(len(rows))
        weight = (cross - product(rows.T, solve_positive(small, product(rows, cross)))) / ridge
    p = fitted.n_features
    offset = target_means(fitted) - target_means(judged) + product(weight.T, judged.mean[:p] - fitted.mean[:p])
    expressed = float(np.einsum("ij,ij->", weight, spread.apply(weight)))
    missed = variance - 2 * float(np.einsum("ij,ij->", weight, judged_cross)) + float(product(offset, offset))
    return 1 - (expressed + missed) / variance


def find_regression_collapse(
    found: Findings, moments: Moments, spectrum: Spectrum, head: tuple[FloatArray, FloatArray] | None
) -> None:
    """NRC1 to NRC3 for regression targets."""
    if len(spectrum.eigenvalues) == 0:
        found.refuse(REGRESSION_NUMBERS, NO_SPREAD)
        return
    found.numbers["nrc1"] = regression.nrc1(spectrum.eigenvalues, moments.n_values)
    weight = None if head is None else head[0]
    if weight is None or not weight.any():
        found.refuse(("nrc2", "nrc3"), "it reads the weights of the head, and none were given or all are zero")
        return
    found.numbers["nrc2"] = regression.nrc2(moments.covariance("features"), weight)
    targets = moments.covariance("values")
    values = targets.dense()
    if len(weight) != moments.n_values:
        found.refuse(("nrc3",), f"the head has {len(weight)} outputs and there are {moments.n_values} targets")
    elif not values.any():
        found.refuse(("nrc3",), "the targets are constant on these samples")
    else:
        found.numbers["nrc3"] = regression.nrc3(weight, values)


RANDOM_HEAD_ERROR = 0.005
"""A standard error of the random head's mean beyond this is said."""


def find_random_head(found: Findings, centered: Spectrum, rank: int) -> None:
    """The lazy reference, where there are outputs and features that vary."""
    name = "dynamical_low_rank_random_head"
    if not (rank and len(centered.eigenvalues)):
        found.refuse((name,), "features or outputs are constant on these samples")
        return
    found.numbers[name], error = random_head_distance(centered.eigenvalues, rank)
    if error > RANDOM_HEAD_ERROR:
        found.warnings.append(
            f"{name} is a mean over random heads that scatter widely with {rank} output{'s' * (rank > 1)}; its "
            f"standard error is {error:.2g}"
        )
