"""Eigenfunctions rotated toward the classes inside clusters, for pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from phiscope.arrays import FloatArray
from phiscope.clusters import degenerate_clusters
from phiscope.errors import ShapeError
from phiscope.figures.classes import columns_shown
from phiscope.figures.spectra import spectrum_of
from phiscope.measurement import Measurement
from phiscope.rotation import Rotated, rotate_to_classes


def turned(measurement: Measurement, *, centered: bool, count: int = 0) -> Rotated | None:
    """The leading eigenfunctions, rotated inside their clusters toward the classes.

    Only as many as a picture shows and up to the end of the last one's cluster: rotating all of some thousand
    functions at every record would take minutes.

    Args:
        measurement: where the eigenfunctions come from.
        centered: which operator.
        count: rotate at least so many, besides those of a class map.

    Returns:
        The rotated functions, or None when that is impossible; see `obstacle`.
    """
    if obstacle(measurement, centered=centered):
        return None
    spectrum = spectrum_of(measurement, centered=centered)
    stored = spectrum.eigenvectors.shape[1]
    wanted = min(max(count, columns_shown(measurement, centered=centered)), stored)
    clusters = degenerate_clusters(spectrum.eigenvalues[:stored], n_samples=measurement.n_samples)
    end = next((stop for start, stop in clusters if start < wanted < stop), wanted)
    cut = replace(spectrum, eigenvectors=spectrum.eigenvectors[:, :end])
    part = replace(measurement, centered=cut) if centered else replace(measurement, raw=cut)
    return rotate_to_classes(part, centered=centered)


def obstacle(measurement: Measurement, *, centered: bool) -> str:
    """Why the eigenfunctions cannot be rotated toward classes, as one sentence; empty when they can."""
    if measurement.class_weights is None:
        return "Rotating toward classes needs classes, and the targets of this run are none."
    if not spectrum_of(measurement, centered=centered).eigenvectors.shape[1]:
        return "Rotating needs eigenvectors, and this run stored none (keep_eigenvectors=0, or constant features)."
    return ""


def turned_values(rotated: Rotated, values: ArrayLike) -> tuple[FloatArray, tuple[tuple[int, int], ...]]:
    """Rotate stored values of eigenfunctions, such as those on the gallery samples.

    Args:
        rotated: from `turned`.
        values: the first k eigenfunctions on some samples, shape (g, k), of the same record.

    Returns:
        The values of the rotated functions, shape (g, k), and the half-open ranges of rotated clusters that reach
        beyond the k stored functions: their values cannot be rotated and stay as diagonalized.

    Raises:
        ShapeError: ``values`` is not a matrix.
    """
    table = np.array(values, dtype=np.float64)
    if table.ndim != 2:
        raise ShapeError(f"eigenfunction values must have shape (g, k), got {table.shape}")
    stored = table.shape[1]
    beyond = tuple(pair for pair in rotated.rotated if pair[0] < stored < pair[1])
    for start, stop in rotated.rotated:
        if stop <= stored:
            table[:, start:stop] = table[:, start:stop] @ rotated.rotation[start:stop, start:stop]
    return table, beyond
