"""What can be said of features of which only the leading eigenfunctions, the trace and the norm are known."""

from __future__ import annotations

from phiscope.findings.collapse import (
    COLLAPSE_NUMBERS,
    REGRESSION_NUMBERS,
    find_class_variances,
    find_collapse,
    find_regression_collapse,
)
from phiscope.findings.findings import NO_SHARDS, NO_START, SIMILARITIES, Findings
from phiscope.findings.targets import OTHER_WIDTH, READOUT_NUMBERS, find_alignment, find_readout, output_error
from phiscope.linalg.krylov import Leading, Pairs
from phiscope.linalg.products import product
from phiscope.metrics import CORRECTED_TWINS
from phiscope.moments.wide import SweptMoments
from phiscope.spectrum.spans import TargetSpans
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import AffineHead

WHOLE_SPECTRUM = (
    "effective_dimension",
    "effective_dimension_centered",
    "rankme",
    "alpha_req",
    "srank",
    "dynamical_low_rank_random_head",
    "readout_r2",
    "readout_r2_held_out",
    "head_excess_loss",
    "discriminant_information",
    "nc1_bounded",
)
"""Numbers that the leading eigenvalues, the trace and the norm do not determine."""

LOOSE = 0.01
"""Eigenvalues whose bound is beyond this share of them are reported as uncertain."""

_READ_NORM = (
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "target_alignment",
    "target_alignment_whitened",
    "collapse_distance",
)


def find_target_numbers(
    found: Findings,
    moments: SweptMoments,
    centered: Spectrum,
    n_sought: int,
    targets: TargetSpans | None,
    head: AffineHead | None,
    norm: float,
) -> None:
    """Numbers about targets; those that a cut spectrum would falsify are taken out again afterwards.

    Of the eigenvalues only the first `n_sought` were found to the tolerance.
    """
    if targets is None:
        found.refuse(("target_alignment", *READOUT_NUMBERS), "no targets were given")
    else:
        find_alignment(found, moments, norm**2)
        find_readout(found, moments, centered, None, targets.centered, norm)
        if found.absent.get("head_excess_loss") == OTHER_WIDTH and output_error(moments, head, 0.0) is not None:
            # What it lacks is the rest of the spectrum.
            del found.absent["head_excess_loss"]
    find_class_variances(found, moments)
    if moments.classes:
        find_collapse(found, moments, centered, None if head is None else head[0])
    else:
        found.refuse(COLLAPSE_NUMBERS, "it needs integer targets, the class of each sample")
    if not moments.n_values:
        found.refuse(REGRESSION_NUMBERS, "it needs regression targets, floats")
        return
    find_regression_collapse(found, moments, centered, head)
    if "nrc1" in found.numbers:
        # Behind all that vary, nothing is missing.
        if moments.n_values <= n_sought or not centered.is_cut:
            inside = float(centered.eigenvalues[: moments.n_values].sum())
            found.numbers["nrc1"] = max(1 - inside / moments.features.trace(), 0.0)
        else:
            del found.numbers["nrc1"]
            found.refuse(("nrc1",), f"it needs the {moments.n_values} leading eigenvalues; ask for a larger k")


def refuse_the_rest(found: Findings, kept: int | None) -> None:
    """Take out what was computed from a cut spectrum as if it were whole, and say why it is absent.

    Args:
        found: the numbers.
        kept: how many eigenvalues are kept of more; None where they are all.
    """
    reason = f"it needs the whole spectrum, and only the {kept} leading eigenvalues were computed"
    if kept is None:
        reason = "of features this wide it is made without k= only, although nothing but rounding follows here"
    for name in WHOLE_SPECTRUM:
        found.numbers.pop(name, None)
        if name not in found.absent:
            found.refuse((name,), reason)
    for name in CORRECTED_TWINS:
        found.refuse((f"{name}_corrected",), found.absent.get(name, NO_SHARDS))
    found.refuse(SIMILARITIES, NO_START)


def warn_of_norm(found: Findings, moments: SweptMoments, leading: Leading) -> None:
    """The standard error that an estimated norm leaves on every number that reads it."""
    error = leading.squared_norm_error / leading.squared_norm if leading.squared_norm > 0 else 0.0
    if error < 1e-9:
        return
    mean = moments.mean[: moments.n_features]
    errors: dict[str, float] = {}
    for name in _READ_NORM:
        if name in found.numbers:
            value = found.numbers[name]
            errors[name] = (value if name.startswith("target") else 1 - value) * error / 2
    for name, length in (("participation_ratio", float(product(mean, mean))), ("participation_ratio_centered", 0.0)):
        if name in found.numbers:
            trace = moments.features.trace() + length
            errors[name] = found.numbers[name] ** 2 * leading.squared_norm_error / trace**2
    listed = ", ".join(f"{name} ± {value:.1g}" for name, value in errors.items())
    found.warnings.append(
        f"the squared norm of the covariance was estimated from random probes (relative standard error {error:.1g}), "
        f"which leaves standard errors: {listed}"
    )


def warn_of_pairs(found: Findings, leading: Leading) -> None:
    """Say where eigenvalues were not found to the tolerance, or may not be the leading ones."""
    if not leading.reached:
        found.warnings.append(
            f"the solver stopped before its tolerance: residuals reach {residual_share(leading.raw):.2g} (raw) and "
            f"{residual_share(leading.centered):.2g} (centered) of their eigenvalues; allow more products or memory, "
            "or ask for fewer"
        )
    for name, pairs in (("raw", leading.raw), ("centered", leading.centered)):
        loose = int((pairs.bounds > LOOSE * pairs.eigenvalues).sum())
        if loose:
            found.warnings.append(
                f"{loose} of {len(pairs.eigenvalues)} {name} eigenvalues are surely eigenvalues, to within "
                f"{residual_share(pairs):.1g} of themselves, but not surely the leading ones: no gap separates them "
                f"from what lies outside, which is only known to be below {pairs.outside:.4g}"
            )


def residual_share(pairs: Pairs) -> float:
    """Largest residual as a share of its eigenvalue."""
    return float((pairs.residuals / pairs.eigenvalues).max(initial=0.0))
