"""From moments to numbers: each group of numbers in one function, refusing what cannot be said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from phiscope.findings.mean_noise import NOTHING_LEFT, samples_for, share_of_noise, worth
from phiscope.metrics.collapse import MANY_CLASSES
from phiscope.metrics.dimension import most_of
from phiscope.moments.jackknife import Estimate
from phiscope.moments.moments import Moments
from phiscope.moments.shards import HALVES


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


NO_SHARDS = "it is made from shards of samples, which are not gathered when only leading eigenfunctions are wanted"
"""Why features so wide that k= is the only road have neither corrected numbers nor intervals."""


ONE_SHARD = f"it is made from at least {HALVES} shards of samples, and there were 1"
"""Why there are no corrected numbers where nobody asked for shards."""


AT_THIS_RATIO = "at this ratio"
"""Words of the warning that samples are not ten times as many as features, also as earlier records have it."""

RICHNESS_IS_BIASED = "D_LR is biased, low far from collapse and high near it"
"""What n not far above p does to D_LR: it makes the norm of S and the share of the outputs in it too large."""

DIMENSIONS_ARE_BIASED = "the dimensions are biased low"
"""What the same norm does to participation ratios and their like."""

ARE_FEW = "samples are few for"
"""Words of the warning that a correction for finite n is larger than nothing."""

IS_NOISE = "the variance between classes is noise of so few samples"
"""Words of the warning that class means lie apart by chance."""

BY_NOISE = "apart by noise of so few samples"
"""Words of the warning that this is so in some directions only."""

LITTLE_NOISE = 0.1
"""Share of the variance between classes that may be noise before anybody is told: NC1 and CDNV miss as much."""

MUCH_NOISE = 0.25
"""Share of what NC1 divides by, direction by direction, that may be noise before anybody is told."""


def is_of_precision(warning: str) -> bool:
    """Whether a warning says how precise a number is, as most measurements have it, and not that something is wrong.

    Example:
        >>> is_of_precision("397 samples are few for D_LR: ..."), is_of_precision("2 of 10 classes never occur (8, 9)")
        (True, False)
    """
    return any(words in warning for words in (AT_THIS_RATIO, ARE_FEW, IS_NOISE, BY_NOISE))


def warn_of_samples(found: Findings, moments: Moments, n_varying: int, rank: int | None) -> None:
    """What a reader has to know about the number of samples and classes before trusting a number.

    Args:
        found: to be added to.
        moments: of the samples.
        n_varying: number of features that vary.
        rank: of the covariance; None where only its leading eigenvalues are known.
    """
    # Constant features have no number that n could bias.
    if rank != 0:
        _warn_of_number(found, moments, n_varying, rank)
    _warn_of_empty_classes(found, moments)


def warn_of_class_means(found: Findings, moments: Moments, n: float) -> None:
    """Where class means may lie apart by chance: each misses that of the population, and few samples make it miss far.

    (C - 1) / (n - C) tr S_W / tr S_B, one over the F of an analysis of variance, is the share of tr S_B that is noise.

    Args:
        found: to be added to.
        moments: of the samples.
        n: independent samples.
    """
    n_classes = int((moments.group_weights > 0).sum())
    between, within = (found.numbers.get(f"{name}_class_variance", 0.0) for name in ("between", "within"))
    # Constant features have no number that n could bias.
    if n_classes < 2 or between <= 0 or "participation_ratio_centered" not in found.numbers:
        return
    if n_classes == moments.n_samples:
        found.warnings.append(
            "every class has one sample, so that nothing varies within classes: collapse numbers say nothing of the "
            "network"
        )
        return
    share = (n_classes - 1) / max(n - n_classes, 1.0) * within / between
    if share <= LITTLE_NOISE:
        _warn_of_weak_directions(found, moments, n, n_classes)
        return
    said = "the class means may be the same"
    if share < NOTHING_LEFT:
        said = f"about {samples_for(LITTLE_NOISE, share, n)} samples would do{worth(n, moments)}"
    found.warnings.append(
        f"{min(share, 1.0):.0%} of {IS_NOISE}: NC1 and CDNV are too small by about as much, NC2 and NC3 show chance; "
        f"{said}"
    )


def _warn_of_weak_directions(found: Findings, moments: Moments, n: float, n_classes: int) -> None:
    """Class means may lie in fewer than C - 1 directions: NC1 divides by what noise leaves in the others."""
    if "nc1" not in found.numbers or n_classes > MANY_CLASSES:
        return
    share = share_of_noise("nc1", moments, n)
    # Of a class of one sample nobody knows.
    if MUCH_NOISE < share < math.inf:
        found.warnings.append(
            f"NC1 rests by {min(share, 1.0):.0%} on directions in which class means lie {BY_NOISE}; "
            "nc1_bounded does not"
        )


def _warn_of_number(found: Findings, moments: Moments, n_varying: int, rank: int | None) -> None:
    """Too few samples, for the directions that the features have: dead units and repeated ones need none."""
    n, p = moments.n_samples, moments.n_features
    effective = moments.effective_samples
    # Where the samples themselves are the limit, more of them may show as many directions as there are features.
    directions = n_varying if rank is None or rank >= min(n - 1, n_varying) else rank
    features, enough, last = f"{p} features", "10 p", "p"
    if directions == rank and rank < p:
        features, enough, last = f"{p} features of rank {rank}", "10 times the rank", "K"
    elif directions < p:
        features, enough, last = f"{p} features, of which {directions} vary", f"10 times {directions}", "K"
    enough = f"{enough} = {10 * directions}"
    if n - 1 <= directions and directions == n_varying:
        # The n - 1 centered samples are independent, or nobody knows; of fewer directions no rule can fit everything.
        known = "" if rank is not None else " where these samples are independent"
        found.warnings.append(
            f"{n} samples for {features}: any targets can be fitted exactly{known}{_said_of_nothing(found, moments)}; "
            f"{_are_biased(found)}; {enough} samples would do"
        )
    elif effective < 10 * directions:
        # Of a cut spectrum neither the readout nor the end of the curve is there to be held against chance.
        chance = f"; targets that say nothing would reach R² and Pi*({last}) = "
        reached = f"{min(directions / max(effective - 1, directions), 1.0):.2g}"
        told = f"{chance}{reached}" if "readout_r2" in found.numbers else ""
        found.warnings.append(
            f"{effective:.0f} {'samples' if effective == n else 'effective samples'} for {features}: "
            f"{_are_biased(found)} {AT_THIS_RATIO}, unless the spectrum decays fast{told}; {enough} would do"
        )


def _said_of_nothing(found: Findings, moments: Moments) -> str:
    """Which numbers of this record say nothing where everything can be fitted; of one that it lacks nothing is said."""
    curve = ("cumulative quality",) if moments.classes or moments.n_values else ()
    names = (*curve, *(name for name in ("readout_r2", "nc1_bounded") if name in found.numbers))
    if not names:
        return ""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f", so {listed} say{'' if len(names) > 1 else 's'} nothing"


def _are_biased(found: Findings) -> str:
    """Which numbers of this record n is too small for; every record of features that vary has a dimension."""
    richness = any(name.startswith("dynamical_low_rank") for name in found.numbers)
    return f"{RICHNESS_IS_BIASED}, and {DIMENSIONS_ARE_BIASED}" if richness else DIMENSIONS_ARE_BIASED


def _warn_of_empty_classes(found: Findings, moments: Moments) -> None:
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


def warn_of_bias(found: Findings, n_samples: int, n_features: int, names: tuple[str, ...]) -> None:
    """Say which numbers n is too small for, and how many samples would do: the bias falls as 1 / n.

    A corrected dimension may lie beyond p, as its mean over samples would else fall short: that is said, too.
    """
    said = []
    for name in names:
        plain, better = found.numbers[name], found.numbers[f"{name}_corrected"]
        allowed = RELATIVE_BIAS_TO_WARN_OF * better if "ratio" in name else BIAS_TO_WARN_OF
        most = most_of(name, n_samples, n_features)
        biased, beyond = abs(plain - better) > allowed > 0, better > most
        if biased or beyond:
            enough = math.ceil(n_samples * abs(plain - better) / allowed / 100) * 100
            label = "D_LR" if name == "dynamical_low_rank" else name
            above = f" (by chance above p = {most:g}, where its interval ends)" if beyond else ""
            needed = f", about {enough} would do" if biased else ""
            said.append(f"{label}: {plain:.3g} as measured, {better:.3g} corrected for n{above}{needed}")
    if said:
        found.warnings.append(
            f"{n_samples} {ARE_FEW} {'; '.join(said)} (difference under {BIAS_TO_WARN_OF:g}, for "
            f"participation ratios under {RELATIVE_BIAS_TO_WARN_OF:.0%})"
        )
