"""Which class lives on which eigenfunction, as a map.

Inside a cluster of nearly equal eigenvalues the functions that the solver returns mean nothing; rotated toward the
classes they can be read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from phiscope.analysis.rotation import Rotated, rotate_to_classes
from phiscope.errors import ShapeError
from phiscope.figures.model import HeatMap
from phiscope.figures.spectra import spectrum_of
from phiscope.measurement.record import Measurement
from phiscope.spectrum.clusters import degenerate_clusters
from phiscope.typing import FloatArray

EXTRA = 6
"""So many eigenfunctions beyond the number of classes are shown."""


def columns_shown(measurement: Measurement, *, centered: bool) -> int:
    """How many leading eigenfunctions a map shows: a few more than the regime could need."""
    needed = measurement.n_classes
    if needed is None:
        evidence = measurement.evidence
        needed = evidence.output_rank if evidence is not None and evidence.output_rank else EXTRA
    # A stored measurement may keep fewer eigenvectors than eigenvalues.
    return int(min(needed + EXTRA, spectrum_of(measurement, centered=centered).eigenvectors.shape[1]))


def class_map(
    measurement: Measurement, *, centered: bool = False, class_names: tuple[str, ...] | None = None
) -> HeatMap | None:
    """Mean of each leading eigenfunction within each class.

    A row is a class, a column is e_k; e_k has mean square 1 over all samples, so a value of v says that
    the class sits v standard units from zero along e_k. A class that never occurs is an empty row.

    Args:
        measurement: where the eigenfunctions come from.
        centered: which operator.
        class_names: one text for each class; ``"class 0"`` and so on when None or of another length.

    Returns:
        The map, or None when the targets are not classes.
    """
    if measurement.class_means is None or measurement.n_classes is None:
        return None
    shown = columns_shown(measurement, centered=centered)
    if not shown:
        return None
    profile = measurement.class_profile(shown, centered=centered)
    rho = spectrum_of(measurement, centered=centered).eigenvalues[:shown]
    clusters = degenerate_clusters(rho, n_samples=measurement.independent_samples)
    return _class_map(profile, clusters, class_names)


def turned_map(rotated: Rotated, *, class_names: tuple[str, ...] | None = None) -> HeatMap:
    """The class map of eigenfunctions that were rotated inside clusters toward the classes.

    Args:
        rotated: from `phiscope.figures.turned`.
        class_names: see `class_map`.

    Returns:
        As many columns as `class_map` has; the clusters are the rotated ones, as far as they are shown.
    """
    shown = columns_shown(rotated.measurement, centered=rotated.centered)
    clusters = tuple((start, min(stop, shown)) for start, stop in rotated.rotated if start < shown)
    return _class_map(rotated.class_profile(shown), clusters, class_names)


def _class_map(
    profile: FloatArray, clusters: tuple[tuple[int, int], ...], class_names: tuple[str, ...] | None
) -> HeatMap:
    values = np.asarray(profile, dtype=np.float64)
    classes = values.shape[0]
    if class_names is None or len(class_names) != classes:
        class_names = tuple(f"class {c}" for c in range(classes))
    finite = np.abs(values[np.isfinite(values)])
    limit = float(finite.max()) if finite.size else 1.0
    return HeatMap(
        title="Mean of each eigenfunction within each class",
        row_title="class",
        column_title="eigenfunction k",
        row_labels=class_names,
        values=tuple(tuple(row) for row in values.tolist()),
        low=-limit,
        high=limit,
        clusters=clusters,
        scale="mean of e_k within the class",
    )


def span_map(measurement: Measurement, *, centered: bool = False) -> HeatMap | None:
    """Quality and utilization of each leading eigenfunction: the map of a regression run.

    Returns:
        A map with the rows ``quality Q*`` and ``utilization Q̂`` (those that were measured), values in
        0..1, or None when neither was measured.
    """
    spectrum = spectrum_of(measurement, centered=centered)
    shown = columns_shown(measurement, centered=centered)
    rows = {"target Q*ₖ": spectrum.quality, "output Q̂ₖ": spectrum.utilization}
    present = {label: values for label, values in rows.items() if values is not None}
    if not present or not shown:
        return None
    return HeatMap(
        title="How much target and output each eigenfunction holds",
        row_title="",
        column_title="eigenfunction k",
        row_labels=tuple(present),
        values=tuple(tuple(values[:shown].tolist()) for values in present.values()),
        low=0.0,
        high=1.0,
        diverging=False,
        scale="share, 0..1",
        clusters=degenerate_clusters(spectrum.eigenvalues[:shown], n_samples=measurement.independent_samples),
    )


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
    clusters = degenerate_clusters(spectrum.eigenvalues[:stored], n_samples=measurement.independent_samples)
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
