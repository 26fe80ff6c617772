"""Whether so few samples say enough of a number for its interval, and how many would."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from phiscope.findings.mean_noise import NOTHING_LEFT, samples_for, share_of_noise, worth
from phiscope.metrics.tables import SAMPLES_A_DIMENSION, SAMPLES_A_NORM, SAMPLES_A_TARGET, SAMPLES_NEEDED
from phiscope.moments.moments import Moments
from phiscope.spectrum.clusters import relative_sampling_error
from phiscope.spectrum.spans import target_spans
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray, IntArray

APART = 2.0
"""Standard errors by which an order or a sign has to be known: within them a number that rests on it has a kink, and
intervals of nominal 95 % were found to hold the truth in 88 to 91 % of samples."""

TRACY_WIDOM = 2.02
"""Where 99 % of the Tracy-Widom law of order one lie below."""

MOST_SAMPLES = 1e9
"""Nobody measures more; how many would do is not looked for beyond."""

NORMED = ("target_alignment_whitened", "collapse_distance")
"""Numbers that divide by the norm of the covariance and are not corrected part by part."""

PROJECTED = (
    *(*NORMED, "readout_r2", "readout_r2_held_out", "discriminant_information", "nc1_bounded"),
    *("within_class_variance", "between_class_variance"),
)
"""Numbers that project on the span of the targets, or targets on that of the features."""

NOISE = {"nc1": 0.1, "cdnv": 0.2, "nc2_equinorm": 0.2, "nc3": 0.4}
"""How much of the squared distances of class means that a number reads may be noise, where it has an interval. What
intervals beyond that would hold, benchmarks/coverage.py --anyway --signal 0.1 counts."""


def why_order_unknown(name: str, spectrum: Spectrum, moments: Moments, n: float) -> str | None:
    """Why the sample does not say which eigenvalue is the largest, for a number that rests on it.

    Args:
        name: of the number.
        spectrum: that it reads.
        moments: of all samples.
        n: independent samples.
    """
    if not name.startswith("stable_rank"):
        return None
    values = spectrum.known_eigenvalues
    gap = 1 - float(values[1] / values[0]) if len(values) > 1 else 1.0
    reach = APART * relative_sampling_error(n)
    if gap <= reach:
        enough = math.ceil(n * (reach / max(gap, 1e-3)) ** 2)
        return (
            f"the two largest eigenvalues are within {APART:g} sampling errors of each other; {enough} samples would "
            f"do if they stay as far apart{worth(n, moments)}"
        )
    reason = _why_largest_by_chance(values, n)
    return reason and f"{reason}{worth(n, moments)}"


def _why_largest_by_chance(values: FloatArray, n: float) -> str | None:
    """Why the largest eigenvalue may be one of several equal ones that chance set apart.

    Source: Johnstone 2001, Ann. Statist. 29, theorem 1.1 (the largest eigenvalue of n samples of c equal directions).
    """
    alike = np.arange(3, len(values) + 1)
    # Two alone are the rule before this one.
    ratios = values[0] / (np.cumsum(values[1:]) / np.arange(1, len(values)))[1:]
    short = _largest_by_chance(alike, n) - ratios
    if not (short >= 0).any():
        return None
    enough = n
    while enough < MOST_SAMPLES and (ratios <= _largest_by_chance(alike, enough)).any():
        enough *= 1.1
    count = int(alike[np.argmax(short)])
    return (
        f"the largest eigenvalue is no farther from the next {count - 1} than chance sets one of {count} equal ones "
        f"apart; about {math.ceil(enough)} samples would do if it stays as far apart"
    )


def _largest_by_chance(alike: IntArray, n: float) -> FloatArray:
    """The largest of c sample eigenvalues, in units of their common value, that 99 of 100 samples stay below."""
    one, other = math.sqrt(max(n - 1, 1)), np.sqrt(alike)
    width = (one + other) * (1 / one + 1 / other) ** (1 / 3)
    return np.asarray(((one + other) ** 2 + TRACY_WIDOM * width) / n)


def why_too_few(name: str, numbers: Mapping[str, float], centered: Spectrum, moments: Moments, n: float) -> str | None:
    """Why so few samples say too little about a number, and how many would do; None where they are enough.

    Args:
        name: of the number.
        numbers: all that were measured, by name.
        centered: the centered spectrum.
        moments: of all samples.
        n: independent samples.
    """
    p = moments.n_features
    ratio, reason = SAMPLES_NEEDED.get(name, (0, ""))
    # Of a cut spectrum those behind the cut count, too: all of them are known where there are shards.
    kept = len(centered.known_eigenvalues)
    # Where the samples themselves are the limit, more of them may show as many directions as there are features.
    enough = ratio * (kept if kept < moments.n_samples - 1 else p)
    if name in NORMED:
        dimension = numbers.get("participation_ratio_centered_corrected", 0.0)
        enough = math.ceil(SAMPLES_A_NORM * min(dimension, p))
        reason = "so few samples make the norm of the covariance, which is divided by, far too large"
    if name.startswith("effective_dimension"):
        enough = math.ceil(SAMPLES_A_DIMENSION * numbers[name])
        reason = "the spectrum of so few samples falls off faster than that of many"
    if name in PROJECTED:
        spans = target_spans(moments)
        rank = 0 if spans is None else spans.centered.rank
        if SAMPLES_A_TARGET * rank > enough:
            enough = SAMPLES_A_TARGET * rank
            reason = f"targets of rank {rank} are too many for {n:.0f} samples to tell what goes with them from chance"
    if n < enough:
        return f"{reason}; {enough} samples would do{worth(n, moments)}"
    return _why_means_unknown(name, moments, n)


def _why_means_unknown(name: str, moments: Moments, n: float) -> str | None:
    """Why the sample says too little of how far class means are apart, for a number that divides by that."""
    most = NOISE.get(name)
    if most is None or not moments.classes:
        return None
    share = share_of_noise(name, moments, n)
    if share <= most:
        return None
    if math.isinf(share):
        return "a class of one sample says nothing of how far its mean may be off; each class needs several"
    if share >= NOTHING_LEFT:
        return (
            "class means lie no farther apart than noise of so few samples puts them, and may be the same in the "
            "population"
        )
    return (
        f"{share:.0%} of the squared distances of class means that it reads are noise of so few samples; about "
        f"{samples_for(most, share, n)} samples would do{worth(n, moments)}"
    )
