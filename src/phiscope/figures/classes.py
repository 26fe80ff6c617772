"""Which class lives on which eigenfunction, as a map."""

from __future__ import annotations

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.clusters import degenerate_clusters
from phiscope.figures.model import HeatMap
from phiscope.figures.spectra import spectrum_of
from phiscope.measurement import Measurement
from phiscope.rotation import Rotated

EXTRA = 6
"""So many eigenfunctions beyond the number of classes are shown."""


def columns_shown(measurement: Measurement, *, centered: bool) -> int:
    """How many leading eigenfunctions a map shows: a few more than the regime could need."""
    needed = measurement.n_classes
    if needed is None:
        needed = measurement.evidence.output_rank if measurement.evidence is not None else EXTRA
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
    clusters = degenerate_clusters(rho, n_samples=measurement.n_samples)
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
        clusters=degenerate_clusters(spectrum.eigenvalues[:shown], n_samples=measurement.n_samples),
    )
