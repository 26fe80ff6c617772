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
from numpy.typing import NDArray

from phiscope.errors import ShapeError
from phiscope.findings.dimensions import find_ratios
from phiscope.findings.findings import Findings, warn_of_samples
from phiscope.findings.outputs import HEAD_DISAGREES, OUTPUT_NUMBERS, find_output_numbers
from phiscope.findings.wide import find_target_numbers, refuse_the_rest, residual_share, warn_of_norm, warn_of_pairs
from phiscope.inputs.arrays import as_count, as_head, as_share, as_targets, look_like_labels
from phiscope.linalg.krylov import Leading, Pairs, rounding_of
from phiscope.linalg.products import frobenius_norm, product
from phiscope.measurement.assemble import TOLERANCES
from phiscope.measurement.record import Measurement
from phiscope.metrics import SCALARS
from phiscope.metrics.richness import low_rank_curve
from phiscope.moments.row_table import doubts_about_labels
from phiscope.moments.wide import Sweeps, SweptMoments, table_rows
from phiscope.spectrum.eigensystem import BothSystems, Eigensystem
from phiscope.spectrum.spans import Cut, Outputs, TargetSpans, affine_outputs, measured_outputs, target_spans
from phiscope.spectrum.spectrum import Spectrum, both_spectra
from phiscope.spectrum.wide import Limits, Solved, solve
from phiscope.typing import FloatArray, Head

WHOLE = 2048
"""Up to this p the whole spectrum costs a second: all numbers are given and only the spectra are shortened."""


def diagonalize_leading(
    features: Any,
    k: int,
    outputs: Any = None,
    head: Any = None,
    targets: Any = None,
    *,
    weights: Any = None,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
    limits: Limits | None = None,
    progress: bool | None = False,
) -> Measurement:
    """Diagonalize features that can be read again and again, but only for the leading k eigenfunctions.

    Memory is about 12 k p doubles besides one block of rows, unless a matrix is formed; see `Limits`.

    Args:
        features: shape (n, p): array, memory map or Zarr array.
        k: eigenfunctions to keep; more than min(n, p) are as many as there are.
        outputs: see `phiscope.diagonalize`, as all that follow.
        head: (W, b).
        targets: classes or values.
        weights: of samples.
        num_classes: number of classes.
        rank_tolerance: of the outputs.
        limits: what may be spent; None takes the defaults.
        progress: True shows a bar on stderr for each pass over the samples, False none, None one on a terminal.

    Returns:
        The measurement. Both spectra are cut at k and carry `eigenvalue_bounds`; provenance tells the solver, the share
        of the trace that is held and the angle to the true space.

    Raises:
        InputError: see `phiscope.diagonalize`.

    Example:
        >>> x = np.diag(np.arange(8.0, 0.0, -1.0))
        >>> [round(float(rho), 9) for rho in diagonalize_leading(x, 2).raw.eigenvalues]
        [8.0, 6.125]
    """
    rank_tolerance = as_share(rank_tolerance, name="rank_tolerance", example="1e-4")
    wanted = as_count(k, name="k")
    rows = table_rows(features, "features", "p")
    affine = None if head is None else as_head(head, rows.shape[1])
    goal = None if targets is None else as_targets(targets)
    if num_classes is None and affine is not None and goal is not None and goal.ndim == 1:
        # A single output still separates two classes.
        num_classes = max(len(affine[0]), 2)
    sweeps = Sweeps(rows, outputs, goal, weights, num_classes, progress=progress)
    if affine is not None and sweeps.n_outputs not in (0, len(affine[0])):
        raise ShapeError(f"outputs have C = {sweeps.n_outputs} columns but the head has {len(affine[0])} rows")
    moments = sweeps.moments()
    mean = moments.mean[: moments.n_features]
    solved = solve(sweeps, mean, min(wanted, *sweeps.shape), limits or Limits())
    square = solved.leading.squared_norm
    moments = replace(moments, features=replace(moments.features, product=solved.product, square=square))
    found = Findings(warnings=_doubts(goal))
    return _measured(found, moments, solved, affine, rank_tolerance)


def _doubts(targets: NDArray[Any] | None) -> list[str]:
    one_column = targets is not None and targets.shape[1:] == (1,)
    return doubts_about_labels(look_like_labels(targets)) if one_column else []


def _measured(
    found: Findings, moments: SweptMoments, solved: Solved, head: Head | None, tolerance: float
) -> Measurement:
    outputs, targets = _outputs(found, moments, head, Cut(tolerance=tolerance)), target_spans(moments)
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
        provenance=_provenance(moments, solved),
    )


def _outputs(found: Findings, moments: SweptMoments, head: Head | None, cut: Cut) -> Outputs | None:
    if not moments.n_outputs:
        mean = moments.mean[: moments.n_features]
        return None if head is None else affine_outputs(moments.features, mean, head, cut)
    if head is not None:
        expected = moments.features.apply(head[0].T)
        distance = frobenius_norm(moments.cross_covariance("outputs") - expected)
        if distance > HEAD_DISAGREES * frobenius_norm(expected):
            found.warnings.append("the outputs are not head(features); spans were taken from the outputs")
    return measured_outputs(moments, cut)


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
