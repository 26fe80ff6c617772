"""What the page shows when eigenfunctions are rotated toward the classes: only what differs from the diagonalized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phiscope.figures import HeatMap, spectrum_of, turned, turned_map, turned_values
from phiscope.figures.classes import columns_shown
from phiscope.page.charts import finite, rounded
from phiscope.page.gallery import gallery_frame
from phiscope.spectrum.clusters import CLUSTER_GAP, SAMPLING_ERRORS, relative_sampling_error
from phiscope.typing import IntArray

if TYPE_CHECKING:
    from phiscope.analysis.rotation import Rotated
    from phiscope.measurement.record import Measurement

Frame = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """One record's eigenfunctions rotated inside their clusters.

    Attributes:
        heat: the whole class map of the rotated functions; None where it was not asked for.
        values: the rotated functions on the gallery samples, shape (g, k); None without a gallery.
        frame: ``ranges`` rotated, ``left`` (too wide to be one cluster) and ``beyond`` (not all values stored), all
            counted from 1; by k the map's ``columns``, and ``functions`` of the gallery: ``toward`` which class,
            relative ``rho``, ``quality`` and ``ends``.
    """

    heat: HeatMap | None
    values: NDArray[np.float64] | None
    frame: Frame


def turn_of(
    measurement: Measurement,
    values: NDArray[np.float64] | None,
    *,
    centered: bool,
    rows: IntArray | None = None,
) -> Turn | None:
    """Rotate one record's eigenfunctions; None where that is impossible. `rows` are the classes that the map shows."""
    rotated = turned(measurement, centered=centered, count=0 if values is None else values.shape[1])
    return None if rotated is None else turn_from(rotated, values, rows=rows)


def turn_from(
    rotated: Rotated,
    values: NDArray[np.float64] | None,
    *,
    rows: IntArray | None = None,
    cells: bool = True,
    ends: bool = True,
) -> Turn:
    """What the page is told of one record's rotated eigenfunctions; see `turn_of`.

    Args:
        rotated: from `turned`.
        values: of the eigenfunctions on the gallery samples, as diagonalized.
        rows: the classes that the map shows.
        cells: with the map, and its columns in the frame.
        ends: with the ends of functions on the gallery samples.
    """
    stored = 0 if values is None else values.shape[1]
    heat = turned_map(rotated, rows=rows) if cells else None
    moved, beyond = (None, ()) if values is None else turned_values(rotated, values)
    columns = [] if heat is None else rounded(np.asarray(heat.values).T)
    shown = max(columns_shown(rotated.measurement, centered=rotated.centered), stored)
    ranges = [pair for pair in rotated.rotated if pair[0] < shown]
    inside = [k for start, stop in ranges for k in range(start, min(stop, shown))]
    frame: Frame = {
        "ranges": [[start + 1, stop] for start, stop in ranges],
        "left": [[start + 1, stop] for start, stop in rotated.left if start < shown],
        "beyond": [[start + 1, stop] for start, stop in beyond],
        "columns": {str(k + 1): columns[k] for k in inside if k < len(columns)},
        "functions": {},
    }
    unturned = {k for start, stop in beyond for k in range(start, stop)}
    found = gallery_frame(moved) if ends else None
    strongest = spectrum_of(rotated.measurement, centered=rotated.centered).eigenvalues[0]
    for k in inside:
        if k < stored and k not in unturned:
            frame["functions"][str(k + 1)] = {
                "toward": rotated.toward[k],
                "rho": finite(float(rotated.eigenvalues[k] / strongest), 4),
                "quality": finite(float(rotated.quality[k]), 3),
                **({"ends": found[k]} if found else {}),
            }
    return Turn(heat=heat, values=moved, frame=frame)


def gap_words(n_samples: int) -> str:
    """How near neighbors are that belong to one cluster.

    Example:
        >>> gap_words(5000), gap_words(200)
        ('5 %', '10 %, the sampling error of an eigenvalue from 200 samples')
    """
    error = SAMPLING_ERRORS * relative_sampling_error(n_samples)
    if error <= CLUSTER_GAP:
        return f"{100 * CLUSTER_GAP:g} %"
    return f"{100 * error:.2g} %, the sampling error of an eigenvalue from {n_samples} samples"
