"""Features too wide for their whole spectrum: the leading k eigenfunctions and every number that needs no more.

Products of the covariance with few columns give what outputs and targets ask for exactly; trace and norm give the
dimensions that are ratios of them. What needs the whole spectrum is absent, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy
import torch

from phiscope.errors import ShapeError
from phiscope.findings.dimensions import find_ratios
from phiscope.findings.findings import Findings, warn_of_class_means, warn_of_samples
from phiscope.findings.outputs import (
    OUTPUT_NUMBERS,
    count_varying,
    find_output_numbers,
    find_regime,
    outputs_of,
    warn_of_disagreement,
)
from phiscope.findings.targets import target_squares
from phiscope.findings.wide import find_target_numbers, refuse_the_rest, residual_share, warn_of_norm, warn_of_pairs
from phiscope.inputs.arrays import as_count, as_head, as_share, as_targets, classes_of_head
from phiscope.linalg.krylov import Leading, Pairs, rounding_of
from phiscope.linalg.products import product
from phiscope.measurement.assemble import TOLERANCES
from phiscope.measurement.record import Measurement
from phiscope.metrics import SCALARS
from phiscope.metrics.regime import TOLD_SHARE
from phiscope.metrics.richness import low_rank_curve
from phiscope.moments.array_table import doubts_about
from phiscope.moments.row_table import RowTable
from phiscope.moments.wide import Sweeps, SweptMoments
from phiscope.spectrum.eigensystem import BothSystems, Eigensystem
from phiscope.spectrum.spans import Cut, Outputs, TargetSpans, target_spans
from phiscope.spectrum.spectrum import Spectrum, both_spectra
from phiscope.spectrum.wide import Limits, Solved, road_of, solve, without_rounding
from phiscope.typing import AffineHead, FloatArray

WHOLE = 2048
"""Up to this p the whole spectrum costs a second: all numbers are given and only the spectra are shortened."""

UNASKED = 128
"""Up to so many eigenfunctions are found although fewer were asked for, so that the regime does not hang on k."""


def diagonalize_leading(
    table: RowTable,
    k: int,
    head: Any = None,
    *,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
    limits: Limits | None = None,
) -> Measurement:
    """Diagonalize features that can be read again and again, but only for the leading k eigenfunctions.

    Memory is about 12 K p doubles besides one block of rows, unless a matrix is formed; see `Limits`. K is k, or r + 1
    where the output rank r is k or more and below 128, so that the regime does not hang on k.

    Args:
        table: features, shape (n, p), with what belongs beside them.
        k: eigenfunctions to keep; more than min(n, p) are as many as there are.
        head: (W, b).
        num_classes: number of classes.
        rank_tolerance: of the outputs.
        limits: what may be spent; None takes the defaults.

    Returns:
        The measurement. Both spectra are cut at k and carry `eigenvalue_bounds`; provenance tells the solver, the share
        of the trace that is held and the angle to the true space.

    Raises:
        InputError: see `phiscope.diagonalize`.

    Example:
        >>> x = RowTable({"features": np.diag(np.arange(8.0, 0.0, -1.0))})
        >>> [round(float(rho), 9) for rho in diagonalize_leading(x, 2).raw.eigenvalues]
        [8.0, 6.125]
    """
    rank_tolerance = as_share(rank_tolerance, name="rank_tolerance", example="1e-4")
    wanted = as_count(k, name="k")
    affine = None if head is None else as_head(head, table.n_features)
    parts = table.parts()
    goal = as_targets(parts["targets"]) if "targets" in parts else None
    if num_classes is None and affine is not None and table.has_classes:
        num_classes = classes_of_head(len(affine[0]))
    sweeps = Sweeps(
        parts["features"], parts.get("outputs"), goal, parts.get("weights"), num_classes, progress=table.progress
    )
    if affine is not None and sweeps.n_outputs not in (0, len(affine[0])):
        raise ShapeError(f"outputs have C = {sweeps.n_outputs} columns but the head has {len(affine[0])} rows")
    moments = sweeps.moments()
    mean = moments.mean[: moments.n_features]
    limits = limits or Limits()
    road = road_of(sweeps, limits)
    found = Findings(warnings=[*doubts_about(goal)])
    features = replace(moments.features, product=road.product)
    moments = replace(moments, features=features)
    warn_of_disagreement(found, moments, features, affine)
    outputs = outputs_of(moments, features, affine, Cut(tolerance=rank_tolerance))
    sought, more = _looked_at(wanted, outputs, moments)
    solved = solve(sweeps, mean, min(sought, *sweeps.shape), limits, road, more=more)
    features = replace(features, product=solved.product, square=solved.leading.squared_norm)
    solved = replace(solved, leading=without_rounding(solved.leading, features, mean))
    moments = replace(moments, features=replace(features, square=solved.leading.squared_norm))
    measured = _measured(found, moments, solved, wanted, outputs, affine, rank_tolerance)
    return replace(measured, provenance={**table.provenance(), **measured.provenance})


def _looked_at(wanted: int, outputs: Outputs | None, moments: SweptMoments) -> tuple[int, int]:
    """Eigenpairs to find, and how many further ones to take where they come out on the way.

    With r + 1 of them the cliff is known, with 2 r k90 as far as it tells minimal from extended features, and with one
    beyond those that are kept, whether anything follows.
    """
    rank = 0 if outputs is None else outputs.centered_span.rank
    variances = moments.features.diagonal()
    # The largest eigenvalue is not known yet: the largest variance is at most that, so that too many may count.
    directions = min(count_varying(moments.features, variances.max(keepdims=True)), moments.n_samples - 1)
    if rank + 1 > UNASKED or rank > TOLD_SHARE * directions:
        return wanted, 1
    sought = max(wanted, rank + 1 if rank else 0)
    return sought, max(max(wanted + 1, min(2 * rank, UNASKED)) - sought, 0)


def _measured(
    found: Findings,
    moments: SweptMoments,
    solved: Solved,
    k: int,
    outputs: Outputs | None,
    head: AffineHead | None,
    tolerance: float,
) -> Measurement:
    leading = solved.leading.first(k)
    targets = target_spans(moments)
    raw, centered = _spectra(solved.leading, moments.mean[: moments.n_features], targets, outputs)
    norm = float(np.sqrt(moments.features.square))
    curve = None
    if outputs is None:
        found.refuse(OUTPUT_NUMBERS, "neither outputs nor a head were given")
    else:
        find_output_numbers(found, outputs, norm, moments.features.trace(), tolerance)
        if len(centered.eigenvalues):
            rows = low_rank_curve(outputs.literal, norm, TOLERANCES)
            curve = np.array([(at, rank, np.nan if value is None else value) for at, rank, value in rows])
    find_target_numbers(found, moments, centered, len(solved.leading.centered.eigenvalues), targets, head, norm)
    find_ratios(found, moments, raw, centered)
    held = len(leading.raw.eigenvalues)
    whole = not raw.is_cut and held == len(raw.eigenvalues)
    refuse_the_rest(found, None if whole else held)
    n_varying = count_varying(moments.features, centered.eigenvalues)
    evidence = find_regime(found, centered, outputs, norm, n_samples=moments.n_samples, n_varying=n_varying)
    warn_of_samples(found, moments, n_varying, None if centered.is_cut else len(centered.eigenvalues))
    warn_of_class_means(found, moments, moments.effective_samples)
    warn_of_norm(found, moments, leading)
    warn_of_pairs(found, leading)
    return _record(
        found,
        moments,
        raw=_cut(raw, k, leading.raw.bounds),
        centered=_cut(centered, k, leading.centered.bounds),
        n_outputs=moments.n_outputs or (None if head is None else len(head[0])),
        rank_tolerance=tolerance,
        tolerance_curve=curve,
        evidence=evidence,
        provenance=_provenance(moments, leading, solved.solver),
    )


def _record(found: Findings, moments: SweptMoments, **known: Any) -> Measurement:
    classes = moments.classes
    class_means = np.where((moments.group_weights > 0)[:, None], moments.group_means[:, : moments.n_features], np.nan)
    return Measurement(
        numbers={name: found.numbers[name] for name in SCALARS if name in found.numbers},
        absent={name: reason for name, reason in found.absent.items() if name not in found.numbers},
        feature_mean=moments.mean[: moments.n_features],
        class_means=class_means if classes else None,
        class_weights=moments.group_weights / moments.weight if classes else None,
        n_samples=moments.n_samples,
        effective_samples=moments.effective_samples,
        n_features=moments.n_features,
        n_classes=len(moments.group_weights) if classes else None,
        target_squares=target_squares(moments),
        warnings=tuple(found.warnings),
        **known,
    )


def _spectra(
    leading: Leading, mean: FloatArray, targets: TargetSpans | None, outputs: Outputs | None
) -> tuple[Spectrum, Spectrum]:
    """Both spectra as far as the solver went, with `following` empty where nothing is left."""
    known = [pairs.known for pairs in (leading.raw, leading.centered)]
    raw, centered = (Eigensystem(eigenvalues=values, eigenvectors=vectors) for values, vectors in known)
    spectra = both_spectra(BothSystems(raw=raw, centered=centered, mean=mean), targets, outputs)
    made = [
        # Bounds say that these are leading ones; `_cut` keeps those of the pairs that were asked for.
        replace(spectrum, eigenvalue_bounds=pairs.bounds, following=np.zeros(0) if pairs.complete else None)
        for spectrum, pairs in zip(spectra, (leading.raw, leading.centered), strict=True)
    ]
    return made[0], made[1]


def _provenance(moments: SweptMoments, leading: Leading, solver: str) -> dict[str, str]:
    mean = moments.mean[: moments.n_features]
    totals = {"raw": moments.features.trace() + float(product(mean, mean)), "centered": moments.features.trace()}
    told: dict[str, Callable[[Pairs, float], float]] = {
        "trace_held": lambda pairs, total: float(pairs.eigenvalues.sum()) / total if total else 1.0,
        "largest_residual_share": lambda pairs, total: residual_share(pairs),
        "largest_bound_share": lambda pairs, total: float((pairs.bounds / pairs.eigenvalues).max(initial=0.0)),
        "outside_below": lambda pairs, total: pairs.outside,
        "subspace_sine_below": lambda pairs, total: pairs.sine,
    }
    found = {
        f"{name}_{key}": f"{reader(pairs, totals[name]):.6g}"
        for name, pairs in (("raw", leading.raw), ("centered", leading.centered))
        for key, reader in told.items()
    }
    return {
        "task": "classification" if moments.classes else "regression" if moments.n_values else "none",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": str(torch.__version__),
        "source": "arrays, read several times",
        "solver": solver,
        **found,
    }


def shortened(measurement: Measurement, k: int) -> Measurement:
    """A measurement of the whole spectrum with only its k leading eigenfunctions; every number stays."""
    return replace(
        measurement,
        raw=_shortened(measurement.raw, k),
        centered=_shortened(measurement.centered, k),
        # Functions, so that what is made from shards is still made only when it is read.
        warnings=lambda: measurement.warnings,  # type: ignore[arg-type]
        estimates=lambda: measurement.estimates,  # type: ignore[arg-type]
    )


def _shortened(spectrum: Spectrum, k: int) -> Spectrum:
    """A whole spectrum cut at k; the eigenvalues behind it stay known."""
    bound = rounding_of(spectrum.eigenvalues, spectrum.eigenvectors)
    return _cut(replace(spectrum, following=np.zeros(0)), k, np.full(len(spectrum.eigenvalues[:k]), bound))


def _cut(spectrum: Spectrum, k: int, bounds: FloatArray) -> Spectrum:
    """The k leading eigenfunctions of a spectrum.

    Args:
        spectrum: whole, which `following` of no length says, or a leading part.
        k: how many to keep.
        bounds: of the eigenvalues that are kept.
    """

    def cut(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[:k].copy()

    left_out = k < len(spectrum.eigenvalues) or spectrum.following is None
    return Spectrum(
        eigenvalues=spectrum.eigenvalues[:k].copy(),
        eigenvectors=np.ascontiguousarray(spectrum.eigenvectors[:, :k]),
        quality=cut(spectrum.quality),
        utilization=cut(spectrum.utilization),
        cumulative_quality=cut(spectrum.cumulative_quality),
        cumulative_utilization=cut(spectrum.cumulative_utilization),
        # A loss curve of some of the eigenfunctions would be mistaken for that of all.
        target_power=None if left_out else spectrum.target_power,
        eigenvalue_bounds=bounds,
        following=spectrum.eigenvalues[k:].copy() if k < len(spectrum.eigenvalues) else spectrum.following,
    )
