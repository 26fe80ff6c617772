"""What is written below a figure of a paper: what is drawn, of how many samples, in which units, with which bands."""

from __future__ import annotations

from phiscope.figures.spectra import band_reason
from phiscope.measurement.record import Measurement
from phiscope.version import __version__

MADE = f"phiscope {__version__}."
"""How a caption ends."""

NOT_ASKED = "they were not asked for"
"""Why there are no bands, where somebody was in a hurry."""

BANDS = "Bands: pointwise 95 % confidence intervals (delete-a-group jackknife over shards of the samples)."


def of_whom(measurement: Measurement, moment: str = "", split: str = "") -> str:
    """Samples, features and the moment, as a caption says them.

    Args:
        measurement: what was measured.
        moment: such as "epoch 20"; empty where nobody knows.
        split: of the data; empty where nobody knows.
    """
    split = split or str(measurement.provenance.get("split", ""))
    parts = [f"n = {measurement.n_samples:,} samples"]
    parts += [f"split {split!r}"] if split else []
    parts += [f"p = {measurement.n_features:,} features"]
    parts += [f"{measurement.n_classes} classes"] if measurement.n_classes else []
    spectrum = measurement.centered
    parts += [f"the {len(spectrum.eigenvalues)} leading eigenfunctions alone"] if spectrum.is_cut else []
    parts += [moment] if moment else []
    return ", ".join(parts) + "."


def spectrum_caption(measurement: Measurement, moment: str = "", split: str = "", *, bands: bool = True) -> str:
    """Below spectrum and shares."""
    reason = band_reason(measurement) if bands else NOT_ASKED
    told = f"No bands: {reason}." if reason else BANDS
    has_null = measurement.centered.cumulative_quality is not None and measurement.centered.cumulative_quality.size
    null = (
        "The dotted line beside Π*(k) is what targets that say nothing would reach, k / (n − 1). " if has_null else ""
    )
    return (
        "Left: eigenvalues ρ_k of the feature operator in units of the first; middle: share Π*(k) of the targets in "
        "the span of the k leading eigenfunctions; right: share Π̂(k) of the outputs. Solid: centered (covariance); "
        f"dashed: raw (second moment). All are pure numbers. {null}Shaded eigenvalues are nearly equal, and their "
        f"order means nothing. {of_whom(measurement, moment, split)} {told} {MADE}"
    )


def why_caption(moment: str, measurement: Measurement | None, split: str = "", *, course: bool = True) -> str:
    """Below the plane of D_LR; of a course of records, or of one measurement alone."""
    ends = " Square: first record; circle: last." if course else ""
    whom = "" if measurement is None else f" {of_whom(measurement, moment, split)}"
    return (
        "Centered D_LR = 1 − U √(PR / r): how much of the features' variance the outputs use (U), and how evenly the "
        "participation ratio PR fills the output rank r. Dotted: equal D_LR; the black one and the line at U bound the "
        "minimal regime in this plane (the cliff of the spectrum and k90 decide besides)."
        f"{ends} All are pure numbers.{whom} {MADE}"
    )
