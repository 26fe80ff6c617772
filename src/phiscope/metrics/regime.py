"""Which regime a network is in, and by which numbers.

Source of the words: arXiv:2410.04264 v1. The thresholds are phiscope's own: the papers give words
and no numbers. They are module constants so that a reader can see and cite them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from phiscope.metrics.alignment import least_k_reaching
from phiscope.typing import FloatArray

Regime = Literal["coefficient", "minimal", "extended", "intermediate"]

UTILIZATION_LEVEL = 0.9
"""k90 is the least number of leading eigenfunctions that hold this share of the output span."""

FROZEN_SIMILARITY = 0.99
"""Initial kernel similarity from which on the feature map counts as unmoved."""

MINIMAL_EXTRA_FEATURES = 1
"""The minimal regime allows this many eigenfunctions beyond the output rank before Pihat(k) reaches the level."""

MINIMAL_DIMENSION_RATIO = 1.5
"""The minimal regime needs a centered effective dimension of at most this many output ranks."""

EXTENDED_RATIO = 2.0
"""From this many output ranks on, in k90 or in centered effective dimension, the features are extended."""


WEAK_OUTPUT = 0.01
"""Output directions with less than this share of the output variance are too weak to keep a network from being minimal
in silence: softmax logits sum to nearly a constant, and what is left of that sum can be any function."""


@dataclass(frozen=True, kw_only=True)
class RegimeEvidence:
    """The regime of a network together with the numbers that decided.

    Attributes:
        regime: ``"coefficient"``, ``"minimal"``, ``"extended"`` or ``"intermediate"``.
        output_rank: r = rank(Fc), the number of independent centered outputs.
        k90: least k with centered Pihat(k) >= 0.9.
        effective_dimension_centered: D_eff of the centered spectrum.
        initial_kernel_similarity: S_init, or None when the initial feature map is not known.
    """

    regime: Regime
    output_rank: int
    k90: int
    effective_dimension_centered: float
    initial_kernel_similarity: float | None = None

    def sentence(self) -> str:
        """The decision with its numbers, as one sentence."""
        r = self.output_rank
        if self.initial_kernel_similarity is None:
            first = "the coefficient test was skipped because the initial feature map is not known"
        else:
            first = f"S_init = {self.initial_kernel_similarity:.4g} (coefficient from {FROZEN_SIMILARITY:g})"
        return (
            f"{self.regime}: k90 = {self.k90} and centered D_eff = {self.effective_dimension_centered:.3g} "
            f"for output rank r = {r} (minimal: k90 <= {r + MINIMAL_EXTRA_FEATURES} and D_eff <= "
            f"{MINIMAL_DIMENSION_RATIO * r:g}; extended: k90 >= {EXTENDED_RATIO * r:g} or D_eff >= "
            f"{EXTENDED_RATIO * r:g}); {first}"
        )


def decide_regime(
    *,
    output_rank: int,
    k90: int,
    effective_dimension_centered: float,
    initial_kernel_similarity: float | None = None,
) -> RegimeEvidence:
    """Decide the regime from its four numbers.

    The tests run in this order: unmoved feature map, minimal, extended, else intermediate.

    Args:
        output_rank: r = rank(Fc), at least 1.
        k90: least k with centered Pihat(k) >= 0.9.
        effective_dimension_centered: D_eff of the centered spectrum, at least 1.
        initial_kernel_similarity: S_init in 0..1, or None to skip the first test.

    Returns:
        The regime with the numbers that decided.

    Source: words from arXiv:2410.04264 v1; thresholds are phiscope's own.

    Example:
        >>> decide_regime(output_rank=9, k90=9, effective_dimension_centered=9.2).regime
        'minimal'
    """
    if initial_kernel_similarity is not None and initial_kernel_similarity >= FROZEN_SIMILARITY:
        regime: Regime = "coefficient"
    elif (
        k90 <= output_rank + MINIMAL_EXTRA_FEATURES
        and effective_dimension_centered <= MINIMAL_DIMENSION_RATIO * output_rank
    ):
        regime = "minimal"
    elif k90 >= EXTENDED_RATIO * output_rank or effective_dimension_centered >= EXTENDED_RATIO * output_rank:
        regime = "extended"
    else:
        regime = "intermediate"
    return RegimeEvidence(
        regime=regime,
        output_rank=output_rank,
        k90=k90,
        effective_dimension_centered=effective_dimension_centered,
        initial_kernel_similarity=initial_kernel_similarity,
    )


def weak_outputs_decide(
    evidence: RegimeEvidence, strengths: FloatArray, cumulative_utilization: Callable[[int], FloatArray]
) -> str:
    """Say when a network would be minimal but for output directions that hold next to nothing; otherwise nothing.

    Args:
        evidence: the regime and what decided.
        strengths: eigenvalues of Fc, descending, shape (J,), J >= r.
        cumulative_utilization: centered Pihat(k) of the span of the given number of strongest output directions.

    Returns:
        A sentence for the warnings, empty when such directions decide nothing.

    Source: phiscope's own.

    Example:
        >>> import numpy as np
        >>> evidence = decide_regime(output_rank=3, k90=9, effective_dimension_centered=2.1)
        >>> weak_outputs_decide(evidence, np.array([1.0, 1.0, 1e-3]), lambda kept: np.array([0.5, 1.0])).split(":")[0]
        'extended rests on 1 of 3 output directions that hold 0.05 % of the output variance'
    """
    r = evidence.output_rank
    shares = strengths[:r] / strengths[:r].sum()
    kept = int((shares >= WEAK_OUTPUT).sum())
    if evidence.regime in ("coefficient", "minimal") or kept == r:
        return ""
    if evidence.effective_dimension_centered > MINIMAL_DIMENSION_RATIO * kept:
        return ""
    k90 = least_k_reaching(cumulative_utilization(kept), UTILIZATION_LEVEL)
    if k90 is None or k90 > kept + MINIMAL_EXTRA_FEATURES:
        return ""
    weak = shares[kept:].sum()
    return (
        f"{evidence.regime} rests on {r - kept} of {r} output directions that hold {100 * weak:.2g} % of the output "
        f"variance: without them k90 = {k90} for r = {kept}, and the regime is minimal, as with a larger rank_tolerance"
    )
