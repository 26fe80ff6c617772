"""Confidence bands of curves over k: made from shards of samples, kept in files for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from phiscope.errors import MissingNumberError
from phiscope.findings.findings import NO_SHARDS, ONE_SHARD
from phiscope.moments.jackknife import (
    LEAST_EVEN,
    Resampling,
    corrected_value,
    pseudo_values,
    standard_error,
    worth_of,
)
from phiscope.moments.shards import FEWEST_SHARDS, HALVES, shards_for
from phiscope.spectrum.clusters import CLUSTER_GAP, degenerate_clusters, relative_sampling_error
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement

BAND_ERRORS = 2.0
"""A band takes neighbors closer than so many sampling errors for one cluster. One error, which marks clusters in
pictures, is not enough: benchmarks/coverage.py then finds bands that miss inside and at the ends of clusters."""

UNDEFINED = "leaving out a shard of samples makes it undefined"

SHARES = ("quality", "utilization", "cumulative_quality", "cumulative_utilization")
"""Curves whose values are in 0..1."""

CURVES = (*SHARES, "eigenvalues")
"""Curves that have a band."""

DRAWN = ("eigenvalues", "cumulative_quality", "cumulative_utilization")
"""Curves whose centered bands are kept with a measurement, for pictures of it."""

LEVEL = 0.95
"""Coverage of the bands that are kept."""

KEPT = 512
"""So many leading places of a band are kept."""


def band_of(
    measurement: Measurement, resampling: Resampling[Measurement], curve: str, *, centered: bool, level: float
) -> tuple[FloatArray, FloatArray]:
    """The band of one curve; see `Measurement.curve_interval`.

    Raises:
        MissingNumberError: leaving out a shard makes the curve undefined.
    """
    which = "centered" if centered else "raw"
    spectrum = getattr(measurement, which)
    held = len(spectrum.eigenvalues)
    # A cluster that a cut goes through is one all the same, and its band that of all its eigenvalues.
    value = spectrum.known_eigenvalues if curve == "eigenvalues" else getattr(spectrum, curve)
    without = [getattr(getattr(part, which), curve) for part in resampling.without_each]
    if any(part is None for part in without):
        raise MissingNumberError(f"the interval of {curve}", UNDEFINED)
    length = min(len(value), *(len(part) for part in without))
    value, left = value[:length], np.stack([part[:length] for part in without])
    shares = resampling.shares
    center = corrected_value(value, left, shares)
    spread = pseudo_values(value, left, shares) - center
    reach = stdtrit(len(shares) - 1, (1 + level) / 2) * standard_error(spread, shares)
    ceiling = 1.0 if curve in SHARES else np.inf
    # As with single numbers: a center outside the range would leave a band beside it.
    center = np.clip(center, 0.0, ceiling)
    low, high = np.maximum(center - reach, 0.0), np.minimum(center + reach, ceiling)
    # Beyond 1 nothing can lie apart.
    gap = min(max(CLUSTER_GAP, BAND_ERRORS * relative_sampling_error(resampling.independent_samples)), 1.0)
    unresolved = degenerate_clusters(spectrum.known_eigenvalues, gap=gap)
    low, high = _over_clusters(curve, low, high, unresolved)
    return low[:held], high[:held]


def why_no_interval(measurement: Measurement) -> str:
    """Why intervals and bands cannot be made: which shards of samples are missing."""
    m, reasons = measurement, tuple(measurement.absent.values())
    if m.n_groups is not None and m.n_groups < FEWEST_SHARDS:
        return (
            f"it needs at least {FEWEST_SHARDS} groups of rows, and {m.n_groups} came; how rows of a group vary does "
            "not say how groups do"
        )
    if m.n_samples < FEWEST_SHARDS:
        return f"it needs at least {FEWEST_SHARDS} shards of samples, and {m.n_samples} samples came"
    if NO_SHARDS in reasons:
        return NO_SHARDS
    if ONE_SHARD in reasons:
        return (
            f"it needs the shards of samples, at least {FEWEST_SHARDS}, and none were gathered; ask for intervals=True"
        )
    if m.resampling is None:
        kept = f"; it kept the intervals of {', '.join(m.estimates)}" if m.estimates else ""
        return (
            f"it needs the shards of samples, which a stored or resampled record lacks{kept}; bands of curves are kept "
            "with the last record of a completed run, and all others are made where the samples are measured"
        )
    return _why_not_of(m, len(m.resampling.shards), m.resampling.shares)


def _why_not_of(m: Measurement, held: int, shares: FloatArray) -> str:
    """What is wrong with the shards that there are: uneven, of too few inputs, or too large for more of them."""
    if held >= FEWEST_SHARDS:
        return (
            f"few groups or weighted samples hold most of the weight: the {held} shards of samples are worth "
            f"{worth_of(shares):.3g} of as many even ones, and at least {LEAST_EVEN * held:.3g} are needed"
        )
    if held > HALVES or shards_for(m.n_features, m.n_classes or 1) >= FEWEST_SHARDS:
        # Where memory is short one or two are gathered; otherwise every input that came is in some shard.
        return (
            f"it needs rows of at least {FEWEST_SHARDS} inputs, and those of {held} came; how rows of an input vary "
            "does not say how inputs do"
        )
    return (
        f"it needs at least {FEWEST_SHARDS} shards of samples, and {held} were gathered because {m.n_features} "
        "features make each of them large; diagonalize gathers more with intervals=True"
    )


def has_room_for_bands(measurement: Measurement) -> bool:
    """Whether `kept_bands` would make bands: only where corrected numbers are made of the same shards."""
    return bool(measurement.estimates) and measurement.resampling is not None


def kept_bands(measurement: Measurement) -> dict[str, FloatArray]:
    """The bands that are kept with a measurement: shape (2, K'), low and high end, by curve.

    Each shard left out is one more eigendecomposition with eigenvectors, which makes this dearer than all numbers.
    """
    if not has_room_for_bands(measurement):
        return dict(measurement.bands)
    bands = {}
    for curve in DRAWN:
        try:
            ends = measurement.curve_interval(curve, level=LEVEL)
        except MissingNumberError:
            # Its targets or outputs are missing, or too few shards were gathered: pictures say so.
            continue
        bands[curve] = np.stack(ends)[:, :KEPT]
    return bands


def _over_clusters(
    curve: str, low: FloatArray, high: FloatArray, clusters: tuple[tuple[int, int], ...]
) -> tuple[FloatArray, FloatArray]:
    """Widen a band where the order of eigenfunctions is not known; ranges are half-open and may pass its end."""
    wide_low, wide_high = low.copy(), high.copy()
    for start, stop in ((start, stop) for start, stop in clusters if start < len(low)):
        if curve == "eigenvalues":
            wide_low[start:stop], wide_high[start:stop] = low[start:stop].min(), high[start:stop].max()
        elif curve.startswith("cumulative"):
            # At the end of the cluster the sum holds all of it, in whatever order.
            inside = slice(start, stop - 1)
            wide_low[inside] = np.minimum(low[inside], low[start - 1] if start else 0.0)
            wide_high[inside] = np.maximum(high[inside], high[stop - 1] if stop <= len(high) else 1.0)
        else:
            wide_low[start:stop], wide_high[start:stop] = 0.0, 1.0
    return wide_low, wide_high
