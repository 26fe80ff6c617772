"""Which regime a network is in, by which numbers, and when that cannot be told.

Source of the words: arXiv:2410.04264 v1. The thresholds are phiscope's own: the papers give words and no numbers. They
are module constants so that a reader can see and cite them. Where the rule is blind is told in docs/guide/regimes.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from phiscope.glossary.digits import beside

Regime = Literal["coefficient", "minimal", "extended", "intermediate"]

UTILIZATION_LEVEL = 0.9
"""k90 is the least number of leading eigenfunctions that hold this share of the output span."""

FROZEN_SIMILARITY = 0.99
"""Initial kernel similarity from which on the feature map counts as unmoved."""

HEAD_MOVED = 0.01
"""Relative distance of the head's weights from their start from which on the head counts as moved."""

MINIMAL_EXTRA_FEATURES = 1
"""The minimal regime allows this many eigenfunctions beyond the output rank before Pihat(k) reaches the level."""

MINIMAL_USED_VARIANCE = 0.5
"""In the minimal regime the outputs' features dominate: at least this share of the feature variance is theirs."""

MINIMAL_CLIFF = 2.0
"""In the minimal regime they are set apart: rho_r is at least so many times rho_(r+1)."""

MINIMAL_DISTANCE = 0.2
"""In the minimal regime they are equally strong: centered D_LR is at most this; between the rich figures of
arXiv:2410.04264 v3 (at most .11) and its lazy ones (from .51)."""

MINIMAL_COLLAPSE = 0.1
"""Or the features are as unequal as classes or targets are: the distance to collapse is at most this."""

EXTENDED_RATIO = 2.0
"""From this many output ranks on in k90 the features are extended."""

TOLD_SHARE = 0.5
"""With an output rank above this share of all directions of the features, k90 cannot reach 2 r: no word is given."""

REACHABLE_SHARE = 1 / 3
"""From this share on ordinary features do not reach "extended", which the sentence says."""

WEAK_OUTPUT = 0.01
"""Output directions with less than this share of the output variance may not decide in silence."""


@dataclass(frozen=True, kw_only=True)
class RegimeEvidence:
    """The regime of a network, or that it cannot be told, together with the numbers that decided.

    All readings are centered; for classes the outputs are taken as logit differences.

    Attributes:
        regime: ``"coefficient"``, ``"minimal"``, ``"extended"``, ``"intermediate"``, or None where it cannot be told.
        output_rank: r, the number of independent centered outputs; 0 without outputs that vary.
        n_directions: p', the number of features (units) that vary, at most n - 1; not their rank, which collapse itself
            makes small.
        k90: least k with Pihat(k) >= 0.9; None where it is never reached, or not within `n_leading`.
        used_variance: U.
        relative_dimension: PR / r, the participation ratio for each independent output.
        dynamical_low_rank: D_LR = 1 - U sqrt(PR / r).
        cliff: rho_r / rho_(r+1); where nothing follows but rounding, rounding takes the place of rho_(r+1). None where
            `n_leading` is r or less.
        collapse_distance: how unlike classes or targets the features are; None without targets.
        effective_dimension: D_eff, reported beside; it decides nothing.
        initial_kernel_similarity: S_init, or None when the initial feature map is not known.
        head_change: norm(W - W_0) / norm(W_0), infinite from W_0 = 0, or None when the initial head is not known.
        initial_regime: the word that the initial state already read, where that is known.
        intervals: 95 % intervals of `used_variance` and `dynamical_low_rank`, where there are any.
        reason: why there are no numbers to decide by; empty otherwise.
        n_leading: how many leading eigenfunctions were looked at, where more follow that were not; None where all were.
        rule: empty, or by which earlier rule the word of a stored record was found.
        nothing_follows: whether nothing but rounding follows rho_r, so that `cliff` is no ratio of eigenvalues.
    """

    regime: Regime | None
    output_rank: int
    n_directions: int = 0
    k90: int | None = None
    used_variance: float | None = None
    relative_dimension: float | None = None
    dynamical_low_rank: float | None = None
    cliff: float | None = None
    collapse_distance: float | None = None
    effective_dimension: float | None = None
    initial_kernel_similarity: float | None = None
    head_change: float | None = None
    initial_regime: Regime | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reason: str = ""
    n_leading: int | None = None
    rule: str = ""
    nothing_follows: bool = False

    @property
    def is_start(self) -> bool:
        """Whether this is the initial state itself: nothing has moved."""
        return self.initial_kernel_similarity is not None and self.head_change is not None and not self._moved()

    def _moved(self) -> bool:
        similarity, change = self.initial_kernel_similarity, self.head_change
        return (similarity is not None and similarity < 1 - 1e-9) or (change is not None and change > 0)

    @property
    def evenness(self) -> float | None:
        """Sqrt(PR / r): 1 where the outputs' features are equally strong. D_LR = 1 - U times it."""
        return None if self.relative_dimension is None else math.sqrt(max(self.relative_dimension, 0.0))

    @property
    def allowed_k90(self) -> int:
        """The most leading eigenfunctions that "minimal" allows."""
        return self.output_rank + MINIMAL_EXTRA_FEATURES

    def is_extended(self) -> bool:
        """Whether the outputs use significantly more features than they need."""
        return self.k90 is not None and self.k90 >= EXTENDED_RATIO * self.output_rank and self.k90 > self.allowed_k90

    def failed(self) -> list[str]:
        """Which conditions of "minimal" do not hold, each with its numbers; empty where all hold."""
        said = []
        if self.k90 is None or self.k90 > self.allowed_k90:
            said.append(
                f"the outputs use more features than they need (k90 = {self.k90}, minimal <= {self.allowed_k90})"
            )
        if self.used_variance is None or self.used_variance < MINIMAL_USED_VARIANCE:
            said.append(
                f"features outside the outputs' span dominate (U = {self._said('used_variance')}, minimal >= "
                f"{MINIMAL_USED_VARIANCE:g}{self._within_error('used_variance', MINIMAL_USED_VARIANCE)})"
            )
        if self.cliff is None or self.cliff < MINIMAL_CLIFF:
            said.append(
                f"no cliff sets the first r features apart (rho_r / rho_(r+1) = {self._said('cliff')}, minimal >= "
                f"{MINIMAL_CLIFF:g})"
            )
        if not (self.is_even() or self._collapsed()):
            said.append(self._uneven_words())
        return said

    def is_even(self) -> bool:
        """Whether the outputs' features are equally strong, as far as "minimal" asks for it."""
        return self.dynamical_low_rank is not None and self.dynamical_low_rank <= MINIMAL_DISTANCE

    def _collapsed(self) -> bool:
        return self.collapse_distance is not None and self.collapse_distance <= MINIMAL_COLLAPSE

    def _uneven_words(self) -> str:
        used, evenness = self.used_variance or 0.0, self.evenness or 0.0
        unused = used <= evenness
        cause = (
            f"unused variance, U = {self._said('used_variance')}"
            if unused
            else f"features of unequal strength, PR / r = {_short(self.relative_dimension)}"
        )
        also = "" if self.collapse_distance is None else f", distance to collapse {self._said('collapse_distance')}"
        return (
            f"D_LR = {self._said('dynamical_low_rank')} is above {MINIMAL_DISTANCE:g} mostly by {cause}{also}"
            f"{self._within_error('dynamical_low_rank', MINIMAL_DISTANCE)}"
        )

    def _within_error(self, name: str, threshold: float) -> str:
        low, high = self.intervals.get(name, (math.nan, math.nan))
        return ", within its error" if low <= threshold <= high else ""

    def sentence(self) -> str:
        """The decision with its numbers, as one sentence."""
        if self.rule:
            return f"{self.regime}: {self.rule}"
        said = [self._decision(), self._coefficient_words()]
        if self.is_start:
            said.append("this is the initial state, before any training")
        elif self.initial_regime is not None and self.initial_regime == self.regime:
            said.append(f"the initial state already read {self.regime}: the word says nothing about learning")
        return "; ".join(part for part in said if part)

    def _decision(self) -> str:
        if self.regime is None:
            return f"cannot be told: {self.reason or self._why_not_told()}"
        if self.regime == "coefficient":
            far = "from zero" if self.head_change == math.inf else f"by {self._said('head_change')} of its norm"
            return (
                f"coefficient: the features have not moved (S_init = {self._said('initial_kernel_similarity')} >= "
                f"{FROZEN_SIMILARITY:g}) and the head has, {far}"
            )
        return f"{self.regime}: {self._numbers()}{self._because()}"

    @property
    def lacks_room(self) -> bool:
        """Whether r is more than half of p', so that k90 could not tell minimal from extended features."""
        return self.output_rank > TOLD_SHARE * self.n_directions

    @property
    def is_cut_short(self) -> bool:
        """Whether k90 or the cliff lies beyond the leading eigenfunctions that were looked at."""
        return self.n_leading is not None and (self.k90 is None or self.cliff is None)

    def _why_cut_short(self) -> str:
        if self.cliff is None:
            return (
                f"the cliff rho_r / rho_(r+1) of output rank r = {self.output_rank} lies beyond the {self.n_leading} "
                f"leading eigenfunctions that were computed; ask for k = {self.output_rank + 1} or more"
            )
        return (
            f"the centered Pihat(k) does not reach {UTILIZATION_LEVEL:g} within the {self.n_leading} leading "
            "eigenfunctions that were computed; ask for a larger k"
        )

    def _why_not_told(self) -> str:
        if self.is_cut_short and not self.lacks_room:
            return self._why_cut_short()
        if self.k90 is None and self.n_leading is None:
            return (
                f"the centered Pihat(k) never reaches {UTILIZATION_LEVEL:g}: the outputs are not an affine function of "
                "these features"
            )
        return (
            f"output rank r = {self.output_rank} is more than half of p' = {self.n_directions} (units that vary, at "
            "most n - 1), so that k90 cannot reach 2 r; read D_LR = "
            f"{_short(self.dynamical_low_rank)} beside its value for a random head instead"
        )

    def _numbers(self) -> str:
        cliff = "where nothing follows" if self.nothing_follows else self._said("cliff")
        return (
            f"k90 = {self.k90} for output rank r = {self.output_rank}, U = {self._said('used_variance')}, cliff "
            f"{cliff}, D_LR = {self._said('dynamical_low_rank')}"
        )

    def _said(self, name: str) -> str:
        return beside(getattr(self, name), _THRESHOLDS[name], 4 if name == "initial_kernel_similarity" else 3)

    def _because(self) -> str:
        if self.regime == "minimal":
            return self._minimal_words()
        if self.regime == "extended":
            return f" (extended: k90 >= {max(EXTENDED_RATIO * self.output_rank, self.allowed_k90 + 1):g})"
        reach = ""
        if self.output_rank > REACHABLE_SHARE * self.n_directions:
            reach = (
                f"; with r above a third of p' = {self.n_directions} (units that vary, at most n - 1), extended is out "
                "of reach of ordinary features"
            )
        return f": not minimal because {'; '.join(self.failed())}{reach}"

    def _minimal_words(self) -> str:
        error = self._within_error("dynamical_low_rank", MINIMAL_DISTANCE)
        used = self._within_error("used_variance", MINIMAL_USED_VARIANCE)
        said = f" (minimal: k90 <= {self.allowed_k90}, U >= {MINIMAL_USED_VARIANCE:g}{used}, cliff >= {MINIMAL_CLIFF:g}"
        if self.is_even():
            return f"{said}, D_LR <= {MINIMAL_DISTANCE:g}{error})"
        return (
            f"{said}); D_LR is above {MINIMAL_DISTANCE:g}{error} because the classes or targets are unequal: the "
            f"distance to collapse is {self._said('collapse_distance')} (minimal <= {MINIMAL_COLLAPSE:g})"
        )

    def _coefficient_words(self) -> str:
        similarity, change = self.initial_kernel_similarity, self.head_change
        if self.regime == "coefficient" or self.is_start or (self.regime is None and not self.output_rank):
            return ""
        if similarity is None:
            return "whether the features have moved is not known, because the initial feature map is not"
        known, far = self._said("initial_kernel_similarity"), self._said("head_change")
        if similarity >= FROZEN_SIMILARITY:
            why = "the initial head is not known" if change is None else f"the head has moved by {far} only"
            return f"S_init = {known}: the features have not moved, but {why}, so this is not coefficient"
        return f"S_init = {known} (coefficient from {FROZEN_SIMILARITY:g})"


def _short(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"


_THRESHOLDS = {
    "used_variance": MINIMAL_USED_VARIANCE,
    "cliff": MINIMAL_CLIFF,
    "dynamical_low_rank": MINIMAL_DISTANCE,
    "collapse_distance": MINIMAL_COLLAPSE,
    "initial_kernel_similarity": FROZEN_SIMILARITY,
    "head_change": HEAD_MOVED,
}


def decide_regime(
    *,
    output_rank: int,
    n_directions: int,
    k90: int | None,
    used_variance: float,
    dynamical_low_rank: float,
    cliff: float | None,
    collapse_distance: float | None = None,
    effective_dimension: float | None = None,
    initial_kernel_similarity: float | None = None,
    head_change: float | None = None,
    n_leading: int | None = None,
    nothing_follows: bool = False,
) -> RegimeEvidence:
    """Decide the regime from named numbers, all of the centered spectrum.

    The tests run in this order: unmoved features under a moved head, cannot be told, minimal, extended, else
    intermediate.

    Args:
        output_rank: r = rank(Fc), at least 1.
        n_directions: p', the number of features that vary, at most n - 1.
        k90: least k with Pihat(k) >= 0.9, at least 1; None where it is never reached, or not within the leading
            eigenfunctions that were looked at: no word is given then.
        used_variance: U, 0..1.
        dynamical_low_rank: D_LR, 0..1.
        cliff: rho_r / rho_(r+1), >= 1; None where it lies beyond the leading eigenfunctions: no word is given then.
        collapse_distance: 0..1, None without targets.
        effective_dimension: D_eff; decides nothing.
        initial_kernel_similarity: S_init in 0..1, or None to skip the first test.
        head_change: norm(W - W_0) / norm(W_0), or None to skip the first test.
        n_leading: how many leading eigenfunctions were looked at; None for all that there are.
        nothing_follows: whether rounding took the place of rho_(r+1); decides nothing.

    Returns:
        The regime with the numbers that decided.

    Source: words from arXiv:2410.04264 v1; thresholds are phiscope's own.

    Example:
        >>> decide_regime(
        ...     output_rank=9, n_directions=128, k90=9, used_variance=0.94, dynamical_low_rank=0.02, cliff=26.0
        ... ).regime
        'minimal'
    """
    # D_LR = 1 - U sqrt(PR / r), exactly.
    relative_dimension = ((1 - dynamical_low_rank) / used_variance) ** 2 if used_variance > 0 else 0.0
    numbers = RegimeEvidence(
        regime=None,
        output_rank=output_rank,
        n_directions=n_directions,
        k90=k90,
        used_variance=used_variance,
        relative_dimension=relative_dimension,
        dynamical_low_rank=dynamical_low_rank,
        cliff=cliff,
        collapse_distance=collapse_distance,
        effective_dimension=effective_dimension,
        initial_kernel_similarity=initial_kernel_similarity,
        head_change=head_change,
        n_leading=n_leading,
        nothing_follows=nothing_follows,
    )
    return with_word(numbers)


def with_word(numbers: RegimeEvidence) -> RegimeEvidence:
    """The evidence with the word that its numbers decide."""
    return replace(numbers, regime=_word(numbers))


def _word(numbers: RegimeEvidence) -> Regime | None:
    similarity, change = numbers.initial_kernel_similarity, numbers.head_change
    if similarity is not None and change is not None and similarity >= FROZEN_SIMILARITY and change >= HEAD_MOVED:
        return "coefficient"
    if numbers.k90 is None or numbers.is_cut_short or numbers.lacks_room:
        return None
    if not numbers.failed():
        return "minimal"
    return "extended" if numbers.is_extended() else "intermediate"


def weak_outputs_decide(evidence: RegimeEvidence, without: RegimeEvidence, share: float) -> str:
    """Say when output directions that hold next to nothing decide the word; otherwise nothing.

    Args:
        evidence: the regime and what decided.
        without: the same without output directions below `WEAK_OUTPUT` of the output variance.
        share: what these hold of the output variance, 0..1.

    Returns:
        A sentence for the warnings, empty when such directions decide nothing.

    Source: phiscope's own.

    Example:
        >>> numbers = dict(n_directions=50, used_variance=0.9, dynamical_low_rank=0.1, cliff=5.0)
        >>> evidence = decide_regime(output_rank=3, k90=9, **numbers)
        >>> weak_outputs_decide(evidence, decide_regime(output_rank=2, k90=2, **numbers), 5e-4).split(":")[0]
        'extended rests on 1 of 3 output directions that hold 0.05 % of the output variance'
    """
    if evidence.regime in ("coefficient", None) or without.regime == evidence.regime:
        return ""
    r, kept = evidence.output_rank, without.output_rank
    return (
        f"{evidence.regime} rests on {r - kept} of {r} output directions that hold {100 * share:.2g} % of the output "
        f"variance: without them, as with a larger rank_tolerance, it is {without.regime or 'not to be told'} (k90 = "
        f"{without.k90} for r = {kept})"
    )
