"""From moments to numbers: each group of numbers in one function, refusing what cannot be said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from phiscope.arrays import FloatArray, IntArray
from phiscope.jackknife import Estimate
from phiscope.metrics import alignment, collapse, dimension, richness
from phiscope.metrics.class_pairs import pair_products
from phiscope.metrics.regime import UTILIZATION_LEVEL, RegimeEvidence, decide_regime
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.products import frobenius_norm, product
from phiscope.spectrum import FunctionSpan, Spectrum

Affine = tuple[FloatArray, FloatArray]


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


NO_SPREAD = "the features are constant on these samples, so their covariance is zero"


def find_participation(found: Findings, covariance: PositiveOperator, squared_norm: float, mean: FloatArray) -> None:
    """Both participation ratios from traces and norms, without an eigendecomposition."""
    trace, length = covariance.trace(), float(product(mean, mean))
    along = float(product(mean, covariance.apply(mean[:, None])[:, 0]))
    for name, total, squares in (
        ("participation_ratio", trace + length, squared_norm + 2 * along + length**2),
        ("participation_ratio_centered", trace, squared_norm),
    ):
        if squares > 0:
            found.numbers[name] = dimension.participation_ratio(total, squares)


def find_dimensions(found: Findings, raw: FloatArray, centered: FloatArray, n_singular: int) -> None:
    """Dimensions of both spectra."""
    if len(raw) == 0:
        found.refuse(
            ("effective_dimension", "participation_ratio", "stable_rank", "rankme", "srank"),
            "all features are zero on these samples",
        )
    else:
        found.numbers["rankme"] = dimension.rankme(raw, n_singular)
        found.numbers["srank"] = float(dimension.srank(raw))
    for values, suffix in ((raw, ""), (centered, "_centered")):
        if len(values) == 0:
            continue
        found.numbers[f"effective_dimension{suffix}"] = dimension.effective_dimension(values)
        found.numbers[f"stable_rank{suffix}"] = dimension.stable_rank(values)
    if len(centered) == 0:
        twins = ("effective_dimension_centered", "participation_ratio_centered", "stable_rank_centered")
        found.refuse(twins, NO_SPREAD)
    if len(centered) < 2:
        found.refuse(("alpha_req",), "a slope needs at least two centered eigenvalues")
    else:
        found.numbers["alpha_req"] = dimension.alpha_req(centered)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs on the probe, measured or derived from an affine head, with both spans.

    Attributes:
        literal: whitened by F.
        centered: whitened by Fc.
        raw_span: span of the outputs.
        centered_span: span of the centered outputs.
        variance: tr(Fc).
    """

    literal: richness.OutputFunctions
    centered: richness.OutputFunctions
    raw_span: FunctionSpan
    centered_span: FunctionSpan
    variance: float


OUTPUT_NUMBERS = tuple(row.name for row in richness.DEFINITIONS)


def find_output_numbers(
    found: Findings, outputs: Outputs, covariance_norm: float, trace: float, tolerance: float
) -> None:
    """D_LR in both readings, used variance and the ranks, with the warnings that belong to them.

    None of them needs an eigendecomposition of the covariance, only its norm and its trace.
    """
    found.numbers["output_rank"] = float(outputs.centered_span.rank)
    found.numbers["output_rank_raw"] = float(outputs.raw_span.rank)
    if covariance_norm == 0 or trace <= 0:
        found.refuse(("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance"), NO_SPREAD)
        return
    literal = richness.low_rank_distance(outputs.literal, covariance_norm, outputs.literal.rank(tolerance))
    centered = richness.low_rank_distance(outputs.centered, covariance_norm, outputs.centered.rank(tolerance))
    for name, value in (("dynamical_low_rank", literal), ("dynamical_low_rank_centered", centered)):
        if value is None:
            found.refuse((name,), "the outputs are constant on these samples")
        else:
            found.numbers[name] = value
    if outputs.centered_span.rank:
        found.numbers["used_variance"] = richness.used_variance(outputs.centered_span.loadings, trace)
    else:
        found.refuse(("used_variance",), "the outputs are constant on these samples")
    if literal is None or centered is None:
        return
    if abs(literal - centered) > richness.READINGS_DISAGREE:
        found.warnings.append(
            f"the two readings of D_LR disagree: {literal:.3f} literal, {centered:.3f} centered; say which one you use"
        )
    _warn_of_tolerance(found, outputs.literal, covariance_norm, tolerance)


def _warn_of_tolerance(
    found: Findings, functions: richness.OutputFunctions, covariance_norm: float, tolerance: float
) -> None:
    around = np.array([tolerance / math.sqrt(10), tolerance, tolerance * math.sqrt(10)])
    values = [value for _, _, value in richness.low_rank_curve(functions, covariance_norm, around) if value is not None]
    if values and max(values) - min(values) > richness.TOLERANCE_MOVES:
        found.warnings.append(
            f"D_LR depends on the rank tolerance: it runs from {min(values):.3f} to {max(values):.3f} over one decade "
            f"around {tolerance:g}, because the spectrum of the outputs has no gap there"
        )


def find_alignment(found: Findings, moments: Moments, covariance_squared_norm: float) -> None:
    """Target alignment, for classes without ever making C x C."""
    shares = moments.group_weights / moments.weight
    if moments.classes:
        directions = moments.group_means[:, : moments.n_features] - moments.mean[: moments.n_features]
        cross = (directions * shares[:, None]).T
        target = alignment.class_target_squared_norm(shares)
    else:
        cross = moments.cross_covariance("values")
        target = moments.covariance("values").squared_norm()
    if covariance_squared_norm <= 0:
        found.refuse(("target_alignment",), NO_SPREAD)
    elif target <= 0:
        found.refuse(("target_alignment",), "the targets are constant on these samples")
    else:
        found.numbers["target_alignment"] = alignment.target_alignment(cross, covariance_squared_norm, target)


COLLAPSE_NUMBERS = tuple(row.name for row in collapse.DEFINITIONS)


def find_collapse(found: Findings, moments: Moments, spectrum: Spectrum, weight: FloatArray | None) -> None:
    """Neural collapse over the classes that occur."""
    present = np.flatnonzero(moments.group_weights > 0)
    if len(present) < 2:
        found.refuse(COLLAPSE_NUMBERS, "collapse compares classes and only one class occurs in these samples")
        return
    columns = slice(0, moments.n_features)
    shares = moments.group_weights[present] / moments.weight
    means = moments.group_means[present, columns]
    vectors = means - means.mean(axis=0)
    scale = frobenius_norm(vectors)
    # Class means that coincide up to rounding of the features themselves have no directions to compare.
    rounding = 1e-14 * max(frobenius_norm(means), math.sqrt(moments.within_covariance().trace()))
    if scale <= rounding:
        found.refuse(COLLAPSE_NUMBERS, "all class means coincide on these samples")
        return
    rows = (means - product(shares, means)) * np.sqrt(shares)[:, None]
    found.numbers["nc1"] = collapse.nc1(moments.within_covariance(), rows, shares)
    if spectrum.cumulative_quality is not None and len(spectrum.eigenvalues):
        found.numbers["nc1_bounded"] = max(1.0 - float(spectrum.cumulative_quality[-1]), 0.0)
    found.numbers["nc2_equinorm"] = collapse.nc2_equinorm(vectors)
    norms, products = np.linalg.norm(vectors, axis=1), pair_products(vectors)
    if norms.min() > rounding:
        found.numbers["nc2_equiangular"] = collapse.nc2_equiangular(vectors, products)
    else:
        found.refuse(("nc2_equiangular",), "a class mean coincides with the center of the class means and has no angle")
    _find_duality(found, moments, weight, vectors, present)
    variances = moments.group_squares[present] / moments.group_weights[present]
    value = collapse.cdnv(means, variances, resolution=rounding, products=products)
    if math.isfinite(value):
        found.numbers["cdnv"] = value
    else:
        found.refuse(("cdnv",), "two classes have the same mean, so their distance is zero")


def _find_duality(
    found: Findings, moments: Moments, weight: FloatArray | None, vectors: FloatArray, present: IntArray
) -> None:
    if weight is None:
        found.refuse(("nc3",), "it compares class means with the head, and no head was given")
    elif len(weight) != len(moments.group_weights):
        found.refuse(("nc3",), f"the head has {len(weight)} outputs and there are {len(moments.group_weights)} classes")
    elif not frobenius_norm(weight[present]):
        found.refuse(("nc3",), "the weights of the head are all zero")
    else:
        found.numbers["nc3"] = collapse.nc3(weight[present], vectors)


def find_regime(
    found: Findings, spectrum: Spectrum, output_rank: int, initial_kernel_similarity: float | None
) -> RegimeEvidence | None:
    """The regime, or None with the reason noted under ``"regime"``."""
    dimension_centered = found.numbers.get("effective_dimension_centered")
    if output_rank == 0 or spectrum.cumulative_utilization is None or dimension_centered is None:
        found.refuse(("regime",), "it needs features and outputs that vary over the samples")
        return None
    k90 = alignment.least_k_reaching(spectrum.cumulative_utilization, UTILIZATION_LEVEL)
    if k90 is None:
        found.refuse(
            ("regime",),
            f"the centered Pihat(k) never reaches {UTILIZATION_LEVEL:g}: the outputs are not an affine function of "
            "these features",
        )
        return None
    return decide_regime(
        output_rank=output_rank,
        k90=k90,
        effective_dimension_centered=dimension_centered,
        initial_kernel_similarity=initial_kernel_similarity,
    )


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
            f"dimensions are biased low at this ratio unless the spectrum decays fast{chance if told else ''}; "
            f"10 p = {10 * p} would do"
        )
    if moments.classes and (moments.group_weights == 0).any():
        empty = np.flatnonzero(moments.group_weights == 0)
        named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        found.warnings.append(
            f"{len(empty)} of {len(moments.group_weights)} classes never occur ({named}); class numbers use the "
            f"{len(moments.group_weights) - len(empty)} that do"
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
            f"{n_samples} samples are few for {'; '.join(said)} (difference under {BIAS_TO_WARN_OF:g}, for "
            f"participation ratios under {RELATIVE_BIAS_TO_WARN_OF:.0%})"
        )
