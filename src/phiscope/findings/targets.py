"""Numbers that need targets: alignment and the best linear head.

Numbers about the best linear head, regression collapse and a random head, from moments.
"""

from __future__ import annotations

import numpy as np

from phiscope.findings.findings import NO_SPREAD, Findings
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics import alignment, collapse_distance, readout
from phiscope.moments.moments import Moments
from phiscope.spectrum.eigensystem import varies
from phiscope.spectrum.spans import TARGET_TOLERANCE, FunctionSpan
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray


def find_alignment(found: Findings, moments: Moments, covariance_squared_norm: float) -> None:
    """Target alignment, for classes without ever making C x C."""
    shares = moments.group_weights / moments.weight
    if moments.classes:
        directions = moments.group_means[:, : moments.n_features] - moments.mean[: moments.n_features]
        cross = (directions * shares[:, None]).T
        target = alignment.class_target_squared_norm(shares)
    else:
        cross, covariance = moments.cross_covariance("values"), moments.covariance("values")
        found.warnings.extend(doubts_about_rows(covariance, target_means(moments)))
        # Numbers and spectra have to agree on which targets are constant.
        target = covariance.squared_norm() if varies(covariance, target_means(moments)) else 0.0
    if covariance_squared_norm <= 0:
        found.refuse(("target_alignment",), NO_SPREAD)
    elif target <= 0:
        found.refuse(("target_alignment",), "the targets are constant on these samples")
    else:
        found.numbers["target_alignment"] = alignment.target_alignment(cross, covariance_squared_norm, target)


def doubts_about_rows(covariance: PositiveOperator, means: FloatArray) -> tuple[str, ...]:
    """What to warn of when each row of float targets is one-hot or adds up to 1, as soft labels do.

    Read as values, outputs keep the direction that a softmax does not see, which moves every centered number that reads
    them, and there are no numbers of classes. No pass over rows is needed: sums are constant where their variance is 0,
    and E y^2 = E y in each column is what 0 and 1 have.

    Args:
        covariance: Dc, (c, c).
        means: E[y], shape (c,).

    Example:
        >>> shares = np.array([0.5, 0.5])
        >>> one_hot = PositiveOperator(matrix=np.diag(shares) - np.outer(shares, shares))
        >>> doubts_about_rows(one_hot, shares)[0][:40]
        'each row of the float targets is one-hot'
    """
    squares, ones = covariance.diagonal() + means**2, np.ones((len(means), 1))
    sums = float(product(ones.T, covariance.apply(ones))[0, 0])
    inside = bool((means >= 0).all() and (squares <= means + _ROUNDING).all())
    adds_up = abs(float(means.sum()) - 1) <= _SUM_ROUNDING and sums <= _SUM_ROUNDING**2 * covariance.trace()
    if len(means) < 2 or not inside or not adds_up:
        return ()
    one_hot = bool(np.abs(squares - means).max() <= _ROUNDING)
    what = "is one-hot" if one_hot else "adds up to 1, as soft labels do"
    return (
        f"each row of the float targets {what}, and they were read as regression values: outputs as they are, without "
        "numbers of classes; pass integers, as argmax(1) makes them, if they are classes",
    )


_ROUNDING = 1e-6
_SUM_ROUNDING = 1e-2
"""How far sums of soft labels may be from 1: those of bfloat16 are, by a few thousandths."""

MOST_CLASS_SHARES = 2048
"""Distinct class shares up to which the spectrum of the targets is computed: one symmetric matrix of this size."""

READOUT_NUMBERS = tuple(row.name for row in (*readout.DEFINITIONS, *collapse_distance.DEFINITIONS))


def target_cross(moments: Moments) -> FloatArray | None:
    """Gc = cov(phi, y), a column for each group or value, shape (p, c); None without targets."""
    p = moments.n_features
    if moments.classes:
        shares = moments.group_weights / moments.weight
        return np.asarray(((moments.group_means[:, :p] - moments.mean[:p]) * shares[:, None]).T)
    return moments.cross_covariance("values") if moments.n_values else None


def target_means(moments: Moments) -> FloatArray:
    """E[y], shape (c,): the share of each group, or the mean of the values."""
    if moments.classes:
        return np.asarray(moments.group_weights / moments.weight)
    return moments.mean[moments.columns("values")]


def target_variance(moments: Moments) -> float:
    """tr(Dc)."""
    if moments.classes:
        return alignment.class_target_variance(moments.group_weights / moments.weight)
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
    n_targets = moments.n_classes if moments.classes else len(means)
    means = moments.by_class(means) if moments.classes else means
    if moments.n_outputs:
        output_means = moments.mean[moments.columns("outputs")]
        if len(output_means) != n_targets:
            return None
        joint = moments.output_target_trace()
    elif head is not None and len(head[0]) == n_targets:
        weight, bias = head
        output_means = product(weight, moments.mean[: moments.n_features]) + bias
        own = weight if moments.labels is None else weight[moments.labels]
        joint = float(np.einsum("cp,pc->", own, cross))
    else:
        return None
    offset = output_means - means
    return output_variance - 2 * joint + target_variance(moments) + float(product(offset, offset))


OTHER_WIDTH = "it needs outputs of the same width as the targets"
"""Why there is no excess loss of a head whose outputs are missing or are no guesses of these targets."""

EXCESS_ROUNDING = 1e-6
"""Share of the targets' variance by which the best linear head may lose to outputs that are linear: rounding of float32
outputs, and directions below the rank tolerance."""


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
        found.refuse(("head_excess_loss",), OTHER_WIDTH)
    else:
        _find_excess(found, error, variance * (1 - best), variance)
    if moments.classes and spectrum.quality is not None:
        between = spectrum.quality * spectrum.eigenvalues
        value = readout.discriminant_information(spectrum.eigenvalues, between)
        # Beyond the rank of the class indicators is rounding.
        found.numbers["discriminant_information"] = min(value, float(span.rank))
    else:
        found.refuse(("discriminant_information",), "it needs integer targets, the class of each sample")


def _find_excess(found: Findings, error: float, least: float, variance: float) -> None:
    """Loss of the outputs above that of the best linear head."""
    excess = error - least
    if excess < -EXCESS_ROUNDING * variance:
        # Measured outputs may be any function: those of a cosine head, or of layers above.
        found.refuse(("head_excess_loss",), "the outputs fit better than any linear head on these features can")
    else:
        found.numbers["head_excess_loss"] = max(excess, 0.0)


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
