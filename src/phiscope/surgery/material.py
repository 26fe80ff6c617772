"""What scores of units are made of: the covariance of the features, what it shall keep, and how much to regularize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, get_args

import numpy as np

from phiscope.errors import InputError, MissingNumberError
from phiscope.inputs.arrays import as_head, brief
from phiscope.inputs.settings import is_word
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.moments.moments import Moments, merge
from phiscope.typing import FloatArray

Target = Literal["labels", "outputs"]
"""What the features shall say: the targets of the task, or the network's own outputs."""

Ridge = float | Literal["oas"] | None
"""How the covariance is regularized; see `regularized`."""

DEFAULT_RIDGE = 1e-3
"""Ridge as a share of the mean variance of a unit, unless another is asked for."""

LEAST_LEFT = 1e-6
"""So much of the covariance is left by a shrinkage that asks for all of it: the order of units is still one then."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Moments of one set of samples.

    Attributes:
        covariance: S, shape (p, p).
        target: N, shape (p, c): N N^T is the scatter S_B between classes, or that of the targets' or outputs' cross
            moments.
        mean: m, shape (p,).
        n_samples: equally weighted samples that say as much.
    """

    covariance: FloatArray
    target: FloatArray
    mean: FloatArray
    n_samples: float


def material_of(measurement: Measurement, target: Target, head: Any = None) -> Material:
    """Covariance and target of a measurement.

    Args:
        measurement: fresh, or from disk with all its eigenvectors.
        target: "labels" or "outputs".
        head: (W, b), for "outputs"; None where the outputs were measured with the features.

    Raises:
        InputError: what is asked for is not in the measurement: the targets, the head, or eigenvectors that a stored
            record left out.
    """
    covariance, mean = covariance_of(as_measurement(measurement)), measurement.feature_mean
    if not is_word(target, get_args(Target)):
        raise InputError(f"target={brief(target)}; expected 'labels' or 'outputs'")
    n = measurement.independent_samples
    if target == "labels":
        return Material(covariance=covariance, target=_label_target(measurement), mean=mean, n_samples=n)
    if head is None and _holds_outputs(measurement):
        # Of a layer inside the network: what it says of the outputs is in the moments, no weights say it.
        crossed = reduce(merge, moments_of(measurement)).cross_covariance("outputs")
    else:
        crossed = product(covariance, weight_of(head, len(mean), 'target="outputs"').T)
    return Material(covariance=covariance, target=crossed, mean=mean, n_samples=n)


def _holds_outputs(measurement: Measurement) -> bool:
    return measurement.resampling is not None and any(part.n_outputs for part in measurement.resampling.shards)


def covariance_of(measurement: Measurement) -> FloatArray:
    """S of a measurement, from its eigenpairs.

    Raises:
        InputError: it holds its leading eigenvectors only.
    """
    vectors, rho = all_pairs(measurement, "the covariance")
    scaled = vectors * np.sqrt(rho)
    return product(scaled, scaled.T)


def all_pairs(measurement: Measurement, what: str) -> tuple[FloatArray, FloatArray]:
    """Every centered eigenvector as a column, and the eigenvalues.

    Args:
        measurement: of the features.
        what: what needs all of them, for the message.

    Raises:
        InputError: it holds leading ones only.
    """
    spectrum = measurement.centered
    vectors, rho = spectrum.eigenvectors, spectrum.eigenvalues
    if spectrum.is_cut:
        raise InputError(
            f"the measurement holds only the {len(rho)} leading eigenvalues (k=...), and {what} needs all of them; "
            "measure without k="
        )
    if vectors.shape[1] < len(rho):
        raise InputError(
            f"the measurement holds {vectors.shape[1]} of {len(rho)} eigenvectors, and {what} needs all; "
            "measure again, or observe with keep_eigenvectors=None"
        )
    return vectors, rho


def _label_target(measurement: Measurement) -> FloatArray:
    rows = measurement.occurring()
    if rows is not None:
        # sqrt(pi_c) (mu_c - m): N N^T is the scatter between classes, each class as large as it is.
        return np.asarray((np.sqrt(rows.weights)[:, None] * (rows.means - measurement.feature_mean)).T)
    if measurement.target_squares is None:
        raise InputError('target="labels" needs targets, and the measurement has none; measure with them')
    shards = moments_of(measurement)
    return reduce(merge, shards).cross_covariance("values")


def moments_of(measurement: Measurement) -> Sequence[Moments]:
    """The shards of samples of a fresh measurement.

    Raises:
        InputError: it has none.
    """
    if measurement.resampling is None or not measurement.resampling.shards:
        raise InputError(
            "this needs the shards of samples, which a measurement from disk, or one with intervals=False, lacks; "
            "measure again"
        )
    return measurement.resampling.shards


def weight_of(head: Any, n_features: int, why: str) -> FloatArray:
    """W of a head, shape (C, p).

    Raises:
        InputError: there is none.
        ShapeError: it does not fit the features.
    """
    if head is None:
        raise InputError(f"{why} needs the head; pass head=(W, b)")
    return as_head(head, n_features)[0]


def regularized(covariance: FloatArray, n_samples: float, ridge: Ridge) -> tuple[FloatArray, float]:
    """S + r I, with r given, a share of the mean variance, or what the oracle-approximating shrinkage comes to.

    Shrinking S to (1 - s) S + s (tr S / p) I shrinks what it has of targets and between units with it, by 1 - s: what
    is left is the ridge r = s / (1 - s) tr S / p. Read against a target or units that were not shrunk, it would claim
    more than the targets hold, and compensation would go beyond least squares.

    Args:
        covariance: S, shape (p, p).
        n_samples: n.
        ridge: r in squared feature units; None takes 1e-3 tr S / p; "oas" that of the shrinkage.

    Returns:
        The matrix and r.

    Raises:
        InputError: a ridge below 0, no number, or 0 on a singular covariance.

    Source: Chen, Wiesel, Eldar and Hero 2010 ("oas", its share); the relative ridge is phiscope's own, because an
    absolute one, as the released code of arXiv:2005.13796 has it, depends on the scale of the features.
    """
    p = len(covariance)
    trace = float(np.trace(covariance))
    if is_word(ridge, ("oas",)):
        square = float(np.sum(covariance**2))
        above = (1 - 2 / p) * square + trace**2
        below = (n_samples + 1 - 2 / p) * (square - trace**2 / p)
        share = 1.0 if below <= 0 else min(above / below, 1.0)
        added: Any = share / max(1 - share, LEAST_LEFT) * trace / p
    else:
        added = DEFAULT_RIDGE * trace / p if ridge is None else ridge
    numbers = int | float | np.integer | np.floating
    if isinstance(added, bool) or not isinstance(added, numbers) or not math.isfinite(added) or added < 0:
        raise InputError(f"ridge={ridge!r}; expected a number from 0 up, None, or 'oas'")
    return covariance + float(added) * np.eye(p), float(added)


def held_out_pair(measurement: Measurement, target: Target, head: Any) -> tuple[Material, Material]:
    """Material of two halves of the samples.

    Raises:
        MissingNumberError: fewer than two shards were gathered.
    """
    shards = moments_of(measurement)
    if len(shards) < 2:
        raise MissingNumberError("the held-out score", "fewer than two shards of samples were gathered")
    halves = (reduce(merge, shards[::2]), reduce(merge, shards[1::2]))
    first, second = (_of_moments(half, target, head) for half in halves)
    return first, second


def _of_moments(moments: Moments, target: Target, head: Any) -> Material:
    covariance = moments.covariance("features").dense()
    mean = moments.mean[moments.columns("features")]
    n = moments.effective_samples
    if target == "outputs":
        if head is None and moments.n_outputs:
            crossed = moments.cross_covariance("outputs")
        else:
            crossed = product(covariance, weight_of(head, len(mean), 'target="outputs"').T)
        return Material(covariance=covariance, target=crossed, mean=mean, n_samples=n)
    if moments.n_values:
        return Material(covariance=covariance, target=moments.cross_covariance("values"), mean=mean, n_samples=n)
    # Halves may hold other classes: a column for each class keeps them side by side.
    shares = moments.by_class(moments.group_weights / moments.weight)
    centered = moments.by_class(moments.group_means[:, moments.columns("features")]) - mean
    return Material(covariance=covariance, target=(np.sqrt(shares)[:, None] * centered).T, mean=mean, n_samples=n)
