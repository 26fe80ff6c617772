"""Which class lives on which eigenfunction, as a map.

Inside a cluster of nearly equal eigenvalues the functions that the solver returns mean nothing; rotated toward the
classes they can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from phiscope.analysis.rotation import Rotated, rotate_to_classes
from phiscope.errors import ShapeError
from phiscope.figures.model import HeatMap
from phiscope.figures.spectra import spectrum_of
from phiscope.measurement.record import Measurement
from phiscope.spectrum.clusters import degenerate_clusters
from phiscope.typing import FloatArray, IntArray

EXTRA = 6
"""So many eigenfunctions beyond the number of classes are shown."""

MOST_CLASSES = 200
"""Of more classes a map shows those that differ most, and fewer columns."""

SHOWN_CLASSES = 40
"""So many of them."""

FEW_COLUMNS = 16
"""So many leading eigenfunctions."""


def has_many(measurement: Measurement) -> bool:
    """Whether there are too many classes for a row each."""
    return (measurement.n_classes or 0) > MOST_CLASSES


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassOrder:
    """The classes that occur, those first that differ most.

    The part of class c is pi_c sum_k E[e_k | c]^2 over the leading centered eigenfunctions: its frequency times its
    squared distance from the mean along them. Parts of all classes add up to sum_k Q*_k.

    Attributes:
        labels: the classes, shape (m,).
        parts: their parts, descending, shape (m,).
        columns: so many eigenfunctions were asked.
    """

    labels: IntArray
    parts: FloatArray
    columns: int

    def share(self, count: int) -> float:
        """How much of all parts the first classes hold, 0..1."""
        total = float(self.parts.sum())
        return float(self.parts[:count].sum()) / total if total > 0 else 0.0


def class_order(measurement: Measurement, *, columns: int = FEW_COLUMNS) -> ClassOrder | None:
    """The classes that occur, by how much they differ; None where targets are no classes.

    Source: the part of a class is phiscope's own, the quality Q* that it sums to is arXiv:2410.04264v1's.

    Example:
        >>> from phiscope import diagonalize
        >>> order = class_order(diagonalize([[0.0], [0.0], [0.0], [8.0]], targets=[3, 3, 1, 2]))
        >>> order.labels.tolist(), order.parts.round(3).tolist(), round(order.share(1), 3)
        ([2, 3, 1], [0.75, 0.167, 0.083], 0.75)
    """
    rows = measurement.occurring()
    if rows is None:
        return None
    asked = min(columns, measurement.centered.eigenvectors.shape[1])
    parts = rows.weights * (measurement.occurring_profile(asked, centered=True) ** 2).sum(axis=1)
    order = np.argsort(-parts, kind="stable")
    return ClassOrder(labels=rows.labels[order], parts=parts[order], columns=asked)


def columns_shown(measurement: Measurement, *, centered: bool) -> int:
    """How many leading eigenfunctions a map shows: a few more than the regime could need."""
    if has_many(measurement):
        return int(min(FEW_COLUMNS, spectrum_of(measurement, centered=centered).eigenvectors.shape[1]))
    needed = measurement.n_classes
    if needed is None:
        evidence = measurement.evidence
        needed = evidence.output_rank if evidence is not None and evidence.output_rank else EXTRA
    # A stored measurement may keep fewer eigenvectors than eigenvalues.
    return int(min(needed + EXTRA, spectrum_of(measurement, centered=centered).eigenvectors.shape[1]))


def class_map(
    measurement: Measurement,
    *,
    centered: bool = False,
    class_names: tuple[str, ...] | None = None,
    rows: IntArray | None = None,
) -> HeatMap | None:
    """Mean of each leading eigenfunction within each class.

    A row is a class, a column is e_k; e_k has mean square 1 over all samples, so a value of v says that
    the class sits v standard units from zero along e_k. A class that never occurs is an empty row. Of more than 200
    classes those are shown that differ most, see `class_order`.

    Args:
        measurement: where the eigenfunctions come from.
        centered: which operator.
        class_names: one text for each class; ``"class 0"`` and so on when None or of another length.
        rows: the classes to show; None = all, or those that differ most.

    Returns:
        The map, or None when the targets are not classes.
    """
    if measurement.occurring() is None or measurement.n_classes is None:
        return None
    shown = columns_shown(measurement, centered=centered)
    if not shown:
        return None
    chosen = rows if rows is not None else _chosen(measurement)
    profile = measurement.occurring_profile(shown, centered=centered)
    clusters, goes_on = _clusters_shown(measurement, shown, centered)
    return replace(_class_map(measurement, profile, clusters, class_names, chosen), goes_on=goes_on)


def _clusters_shown(measurement: Measurement, shown: int, centered: bool) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Clusters as far as so many columns show them, and whether the last one goes on behind these."""
    spectrum = spectrum_of(measurement, centered=centered)
    known = spectrum.known_eigenvalues
    # From all that is known: a column at the edge belongs to the neighbor that is not shown, too.
    found = degenerate_clusters(known, n_samples=measurement.independent_samples)
    inside = tuple((start, min(stop, shown)) for start, stop in found if start < shown)
    if not inside:
        return (), False
    end = found[len(inside) - 1][1]
    # Of leading eigenfunctions alone nobody knows how near the next one is.
    return inside, end > shown or (spectrum.is_cut and spectrum.following is None and end == len(known))


def _chosen(measurement: Measurement) -> IntArray:
    """The classes that a map shows."""
    order = class_order(measurement) if has_many(measurement) else None
    return np.arange(measurement.n_classes or 0) if order is None else order.labels[:SHOWN_CLASSES]


def turned_map(
    rotated: Rotated, *, class_names: tuple[str, ...] | None = None, rows: IntArray | None = None
) -> HeatMap:
    """The class map of eigenfunctions that were rotated inside clusters toward the classes.

    Args:
        rotated: from `phiscope.figures.turned`.
        class_names: see `class_map`.
        rows: see `class_map`.

    Returns:
        As many columns as `class_map` has; the clusters are the rotated ones, as far as they are shown.
    """
    shown = columns_shown(rotated.measurement, centered=rotated.centered)
    clusters = tuple((start, min(stop, shown)) for start, stop in rotated.rotated if start < shown)
    chosen = rows if rows is not None else _chosen(rotated.measurement)
    return _class_map(rotated.measurement, rotated.occurring_profile(shown), clusters, class_names, chosen)


def class_label(label: int, class_names: tuple[str, ...] | None, n_classes: int) -> str:
    """The name of a class; its number where names are unknown or not as many as classes."""
    return class_names[label] if class_names is not None and len(class_names) == n_classes else f"class {label}"


def _class_map(
    measurement: Measurement,
    profile: FloatArray,
    clusters: tuple[tuple[int, int], ...],
    class_names: tuple[str, ...] | None,
    chosen: IntArray,
) -> HeatMap:
    """From the rows of classes that occur to those that are shown."""
    there = measurement.occurring()
    labels = np.zeros(0, dtype=np.int64) if there is None else there.labels
    values = np.full((len(chosen), profile.shape[1]), np.nan)
    place = np.searchsorted(labels, chosen).clip(max=max(len(labels) - 1, 0))
    occurs = labels[place] == chosen if len(labels) else np.zeros(len(chosen), dtype=bool)
    values[occurs] = profile[place[occurs]]
    finite = np.abs(values[np.isfinite(values)])
    limit = float(finite.max()) if finite.size else 1.0
    return HeatMap(
        title="Mean of each eigenfunction within each class",
        row_title="class",
        column_title="eigenfunction k",
        row_labels=tuple(class_label(c, class_names, measurement.n_classes or 0) for c in chosen.tolist()),
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
    held = " and ".join(label.partition(" ")[0] for label, values in rows.items() if values is not None)
    present = {label: values for label, values in rows.items() if values is not None}
    if not present or not shown:
        return None
    clusters, goes_on = _clusters_shown(measurement, shown, centered)
    return HeatMap(
        title=f"How much {held} each eigenfunction holds",
        row_title="",
        column_title="eigenfunction k",
        row_labels=tuple(present),
        values=tuple(tuple(values[:shown].tolist()) for values in present.values()),
        low=0.0,
        high=1.0,
        diverging=False,
        scale="share, 0..1",
        clusters=clusters,
        goes_on=goes_on,
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
    if measurement.occurring() is None:
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
