"""The picture of the method: the spectrum and how much target and output its leading part holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import MissingNumberError
from phiscope.figures.model import Axis, Dash, Figure, Line, Mark, Panel
from phiscope.figures.palette import run_color
from phiscope.measurement.record import Measurement
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray

DENSE = 40
"""So many leading eigenfunctions are always drawn one by one."""

DRAWN = 80
"""At most about so many points of a curve are drawn; beyond ``DENSE`` they thin out evenly on a log axis."""

FLOOR = 1e-8
"""Relative eigenvalues below this are left out of the picture: they would press the rest together."""

CURVES: tuple[tuple[str, str, str], ...] = (
    ("eigenvalues", "Strength of each eigenfunction", "ρₖ / ρ₁"),
    ("cumulative_quality", "Target held by the first k", "Π*(k)"),
    ("cumulative_utilization", "Output held by the first k", "Π̂(k)"),
)
"""Key in the definitions, panel title and axis letter of the three panels."""


def spectrum_of(measurement: Measurement, *, centered: bool) -> Spectrum:
    """The raw or the centered spectrum of a measurement."""
    return measurement.centered if centered else measurement.raw


def drawn_indices(count: int, marks: Sequence[Mark] = ()) -> NDArray[np.intp]:
    """Which of ``count`` eigenfunctions are drawn: every leading one, then thinning on a log axis.

    Args:
        count: how many eigenfunctions there are.
        marks: places where nothing may be thinned out, because the picture is about the fall there.

    Returns:
        Indices counted from 0, increasing, the first and the last always among them.

    Example:
        >>> drawn_indices(5).tolist()
        [0, 1, 2, 3, 4]
        >>> bool(drawn_indices(4096).size <= DRAWN), int(drawn_indices(4096)[-1])
        (True, 4095)
    """
    if count <= DENSE:
        return np.arange(count)
    tail = np.geomspace(DENSE + 1, count, DRAWN - DENSE).round().astype(np.intp) - 1
    near = [int(mark.at) + offset for mark in marks for offset in range(-4, 4)]
    kept = [k for k in near if 0 <= k < count]
    return np.unique(np.concatenate([np.arange(DENSE), tail, np.asarray(kept, dtype=np.intp)]))


def feature_marks(measurement: Measurement, *, centered: bool) -> tuple[Mark, ...]:
    """Where the minimal-feature regime would end the spectrum.

    That is the number of classes that occur for the raw operator, one less for the centered one (the constant
    function is gone), and the output rank when the targets are not classes.
    """
    there = measurement.occurring()
    classes = 0 if there is None else len(there.labels)
    if classes >= 2:
        of_more = f" of {measurement.n_classes}" if classes != measurement.n_classes else ""
        return (
            Mark(at=classes - 1, label=f"{classes}{of_more} classes − 1")
            if centered
            else Mark(at=classes, label=f"{classes}{of_more} classes"),
        )
    if measurement.evidence is None or measurement.evidence.output_rank == 0:
        return ()
    rank = measurement.evidence.output_rank
    if centered:
        return (Mark(at=rank, label=f"output rank {rank}"),)
    raw_rank = int(measurement.numbers.get("output_rank_raw", rank + 1))
    return (Mark(at=raw_rank, label=f"output rank {raw_rank}"),)


def curve(spectrum: Spectrum, name: str) -> NDArray[np.float64] | None:
    """One of the three curves: relative eigenvalues or a cumulative share; None when not measured."""
    if name == "eigenvalues":
        rho = spectrum.eigenvalues
        return rho / rho[0] if rho.size else rho
    values: NDArray[np.float64] | None = getattr(spectrum, name)
    return values


def band(measurement: Measurement, name: str, *, centered: bool) -> tuple[FloatArray, FloatArray] | None:
    """The 95 % band of a curve as it is drawn: that of eigenvalues in units of the first; None where there is none."""
    try:
        low, high = measurement.curve_interval(name, centered=centered)
    except MissingNumberError:
        return None
    rho = spectrum_of(measurement, centered=centered).eigenvalues
    unit = rho[0] if name == "eigenvalues" and rho.size and rho[0] > 0 else 1.0
    return low / unit, high / unit


def band_reason(measurement: Measurement) -> str:
    """Why the centered curves have no bands; empty where they have."""
    try:
        measurement.curve_interval("eigenvalues")
    except MissingNumberError as error:
        return error.reason
    return ""


def _at(ends: NDArray[np.float64], kept: NDArray[np.intp]) -> tuple[float, ...]:
    return tuple(float(ends[k]) if k < ends.size else float("nan") for k in kept.tolist())


def missing_reason(measurement: Measurement, name: str, *, centered: bool) -> str:
    """Why one of the three curves is absent: nothing was given for it, or what was given does not vary."""
    still = "constant" if centered else "zero"
    if not spectrum_of(measurement, centered=centered).eigenvalues.size:
        return f"Not measured: the features are {still} on these samples."
    needed = "targets" if name == "cumulative_quality" else "outputs"
    given = measurement.target_squares if needed == "targets" else measurement.n_outputs
    if given is None:
        return f"Not measured: this record was made without {needed}."
    # Outputs that differ by what all share are as good as constant, and their number says so.
    why = measurement.absent.get("used_variance", "") if needed == "outputs" and centered else ""
    return f"Not measured: {why or f'the {needed} are {still} on these samples'}."


def operator_figure(
    measurements: Sequence[tuple[str, Measurement]] | Measurement,
    *,
    centered: bool = False,
    colors: Sequence[str] | None = None,
    dashes: Sequence[Dash] | None = None,
    bands: bool = False,
) -> Figure:
    """Spectrum, Pi*(k) and Pihat(k) of one or several measurements, as data.

    Args:
        measurements: one measurement, or (label, measurement) pairs that share the panels.
        centered: True for the covariance S, False for the second moment M.
        colors: one ``#rrggbb`` for each measurement; Okabe-Ito colors when None.
        dashes: one dash for each measurement; solid when None.
        bands: with 95 % bands, where the shards of samples or a file have them.

    Returns:
        A figure of three panels, named after the curves ``eigenvalues``, ``cumulative_quality`` and
        ``cumulative_utilization``. Panels of absent curves have no lines and say why.

    Source: arXiv:2410.04264 v1, the figures of rho_k, Pi* and Pihat.
    """
    pairs = [("", measurements)] if isinstance(measurements, Measurement) else list(measurements)
    marks = tuple(dict.fromkeys(m for _, one in pairs for m in feature_marks(one, centered=centered)))
    panels = []
    for name, title, letter in CURVES:
        lines = []
        for index, (label, measurement) in enumerate(pairs):
            values = curve(spectrum_of(measurement, centered=centered), name)
            if values is None or not values.size:
                continue
            kept = drawn_indices(values.size, marks)
            ends = band(measurement, name, centered=centered) if bands else None
            lines.append(
                Line(
                    label=label,
                    x=tuple((kept + 1).tolist()),
                    y=tuple(values[kept].tolist()),
                    color=colors[index] if colors else run_color(index),
                    dash=dashes[index] if dashes else "solid",
                    low=() if ends is None else _at(ends[0], kept),
                    high=() if ends is None else _at(ends[1], kept),
                )
            )
        spectral = name == "eigenvalues"
        panels.append(
            Panel(
                name=name,
                title=title,
                x=Axis(title="k", log=True, low=0.9, whole=True),
                y=Axis(
                    title=letter,
                    log=spectral,
                    low=None if spectral else -0.02,
                    high=1.6 if spectral else 1.04,
                ),
                lines=tuple(lines),
                marks=marks,
                note="" if lines or not pairs else missing_reason(pairs[0][1], name, centered=centered),
            )
        )
    return Figure(title=f"{'Centered' if centered else 'Raw'} feature operator", panels=tuple(panels))
