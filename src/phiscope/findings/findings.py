"""From moments to numbers: each group of numbers in one function, refusing what cannot be said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from phiscope.moments.jackknife import Estimate
from phiscope.moments.moments import Moments


@dataclass
class Findings:
    """Numbers gathered so far, the ones refused with their reason, and warnings."""

    numbers: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    estimates: dict[str, Estimate] = field(default_factory=dict)

    def refuse(self, names: tuple[str, ...], reason: str) -> None:
        """Note why numbers cannot be given."""
        for name in names:
            self.absent[name] = reason


SIMILARITIES = ("initial_kernel_similarity", "initial_kernel_similarity_raw")
"""Numbers that compare with the initial state."""

NO_START = "the feature map at initialization is not known here"

NO_SPREAD = "the features are constant on these samples, so their covariance is zero"


AT_THIS_RATIO = "biased low at this ratio"
"""Words of the warning that samples are not ten times as many as features."""

ARE_FEW = "samples are few for"
"""Words of the warning that a correction for finite n is larger than nothing."""


def is_of_precision(warning: str) -> bool:
    """Whether a warning says how precise a number is, as most measurements have it, and not that something is wrong.

    Example:
        >>> is_of_precision("397 samples are few for D_LR: ..."), is_of_precision("2 of 10 classes never occur (8, 9)")
        (True, False)
    """
    return AT_THIS_RATIO in warning or ARE_FEW in warning


def warn_of_samples(found: Findings, moments: Moments) -> None:
    """What a reader has to know about the samples before trusting a number."""
    n, p = moments.n_samples, moments.n_features
    effective = moments.weight**2 / moments.squared_weight
    if n <= p:
        found.warnings.append(
            f"{n} samples for {p} features: any targets can be fitted exactly, so cumulative quality and nc1_bounded "
            f"say nothing, and D_LR and the dimensions are biased low; 10 p = {10 * p} samples would do"
        )
    elif effective < 10 * p:
        told = moments.classes or moments.n_values
        chance = f", and targets that say nothing would reach R² and Pi*(p) = {p / max(effective - 1, p):.2g}"
        found.warnings.append(
            f"{effective:.0f} {'samples' if effective == n else 'effective samples'} for {p} features: D_LR and the "
            f"dimensions are {AT_THIS_RATIO} unless the spectrum decays fast{chance if told else ''}; "
            f"10 p = {10 * p} would do"
        )
    present = moments.group_labels[moments.group_weights > 0]
    n_empty = moments.n_classes - len(present)
    if moments.classes and n_empty:
        # The first few are among as many as occur, and as many more.
        empty = np.setdiff1d(np.arange(min(moments.n_classes, len(present) + 5)), present)[:5]
        named = ", ".join(map(str, empty)) + (", ..." if n_empty > 5 else "")
        found.warnings.append(
            f"{n_empty} of {moments.n_classes} classes never occur ({named}); class numbers use the {len(present)} "
            "that do"
        )


BIAS_TO_WARN_OF = 0.01
"""A bias from finite n beyond this is said, with the number of samples that would bring it below."""

RELATIVE_BIAS_TO_WARN_OF = 0.05
"""The same for participation ratios, as a share of the number."""


def warn_of_bias(found: Findings, n_samples: int, names: tuple[str, ...]) -> None:
    """Say which numbers n is too small for, and how many samples would do: the bias falls as 1 / n."""
    said = []
    for name in names:
        plain, better = found.numbers[name], found.numbers[f"{name}_corrected"]
        allowed = RELATIVE_BIAS_TO_WARN_OF * better if "ratio" in name else BIAS_TO_WARN_OF
        if abs(plain - better) > allowed > 0:
            enough = math.ceil(n_samples * abs(plain - better) / allowed / 100) * 100
            label = "D_LR" if name == "dynamical_low_rank" else name
            said.append(f"{label}: {plain:.3g} as measured, {better:.3g} corrected for n, about {enough} would do")
    if said:
        found.warnings.append(
            f"{n_samples} {ARE_FEW} {'; '.join(said)} (difference under {BIAS_TO_WARN_OF:g}, for "
            f"participation ratios under {RELATIVE_BIAS_TO_WARN_OF:.0%})"
        )
