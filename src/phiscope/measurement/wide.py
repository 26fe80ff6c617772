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
from phiscope.findings.findings import Findings, warn_of_samples
from phiscope.findings.outputs import OUTPUT_NUMBERS, find_output_numbers, find_regime, outputs_of
from phiscope.findings.wide import find_target_numbers, refuse_the_rest, residual_share, warn_of_norm, warn_of_pairs
from phiscope.inputs.arrays import as_count, as_head, as_share, as_targets, classes_of_head
from phiscope.linalg.krylov import Leading, Pairs, rounding_of
from phiscope.linalg.products import product
from phiscope.measurement.assemble import TOLERANCES
from phiscope.measurement.record import Measurement
from phiscope.metrics import SCALARS
from phiscope.metrics.richness import low_rank_curve
from phiscope.moments.array_table import doubts_about
from phiscope.moments.row_table import RowTable
from phiscope.moments.wide import Sweeps, SweptMoments
from phiscope.spectrum.eigensystem import BothSystems, Eigensystem
from phiscope.spectrum.spans import Cut, Outputs, TargetSpans, target_spans
from phiscope.spectrum.spectrum import Spectrum, both_spectra
from phiscope.spectrum.wide import Limits, Solved, solve
from phiscope.typing import AffineHead, FloatArray

WHOLE = 2048
"""Up to this p the whole spectrum costs a second: all numbers are given and only the spectra are shortened."""


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

    Memory is about 12 k p doubles besides one block of rows, unless a matrix is formed; see `Limits`.

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
    solved = solve(sweeps, mean, min(wanted, *sweeps.shape), limits or Limits())
    square = solved.leading.squared_norm
    moments = replace(moments, features=replace(moments.features, product=solved.product, square=square))
    found = Findings(warnings=[*doubts_about(goal)])
    measured = _measured(found, moments, solved, affine, rank_tolerance)
    return replace(measured, provenance={**table.provenance(), **measured.provenance})


def _measured(
    found: Findings, moments: SweptMoments, solved: Solved, head: AffineHead | None, tolerance: float
) -> Measurement:
    outputs = outputs_of(found, moments, moments.features, head, Cut(tolerance=tolerance))
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
    find_target_numbers(found, moments, centered, targets, head, norm)
    find_ratios(found, moments, raw, centered)
    refuse_the_rest(found, len(raw.eigenvalues))
    evidence = find_regime(found, centered, outputs, norm, n_samples=moments.n_samples, n_varying=moments.n_features)
    warn_of_samples(found, moments)
    warn_of_norm(found, moments, solved.leading)
    warn_of_pairs(found, solved.leading)
    classes = moments.classes
    class_means = np.where((moments.group_weights > 0)[:, None], moments.group_means[:, : moments.n_features], np.nan)
    return Measurement(
        numbers={name: found.numbers[name] for name in SCALARS if name in found.numbers},
        absent={name: reason for name, reason in found.absent.items() if name not in found.numbers},
        # A loss curve of some of the eigenfunctions would be mistaken for that of all.
        raw=replace(raw, target_power=None),
        centered=replace(centered, target_power=None),
        feature_mean=moments.mean[: moments.n_features],
        class_means=class_means if classes else None,
        class_weights=moments.group_weights / moments.weight if classes else None,
        n_samples=moments.n_samples,
        n_features=moments.n_features,
        n_outputs=moments.n_outputs or (None if head is None else len(head[0])),
        n_classes=len(moments.group_weights) if classes else None,
        rank_tolerance=tolerance,
        warnings=tuple(found.warnings),
        tolerance_curve=curve,
        evidence=evidence,
        provenance=_provenance(moments, solved),
    )


def _spectra(
    leading: Leading, mean: FloatArray, targets: TargetSpans | None, outputs: Outputs | None
) -> tuple[Spectrum, Spectrum]:
    raw, centered = (
        Eigensystem(eigenvalues=pairs.eigenvalues, eigenvectors=pairs.eigenvectors)
        for pairs in (leading.raw, leading.centered)
    )
    spectra = both_spectra(BothSystems(raw=raw, centered=centered, mean=mean), targets, outputs)
    return (
        replace(spectra[0], eigenvalue_bounds=leading.raw.bounds),
        replace(spectra[1], eigenvalue_bounds=leading.centered.bounds),
    )


def _provenance(moments: SweptMoments, solved: Solved) -> dict[str, str]:
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
        for name, pairs in (("raw", solved.leading.raw), ("centered", solved.leading.centered))
        for key, reader in told.items()
    }
    return {
        "task": "classification" if moments.classes else "regression" if moments.n_values else "none",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": str(torch.__version__),
        "source": "arrays, read several times",
        "solver": solved.solver,
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
    def cut(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[:k].copy()

    vectors = np.ascontiguousarray(spectrum.eigenvectors[:, :k])
    bound = rounding_of(spectrum.eigenvalues, spectrum.eigenvectors)
    return Spectrum(
        eigenvalues=spectrum.eigenvalues[:k].copy(),
        eigenvectors=vectors,
        quality=cut(spectrum.quality),
        utilization=cut(spectrum.utilization),
        cumulative_quality=cut(spectrum.cumulative_quality),
        cumulative_utilization=cut(spectrum.cumulative_utilization),
        eigenvalue_bounds=np.full(len(spectrum.eigenvalues[:k]), bound),
    )
