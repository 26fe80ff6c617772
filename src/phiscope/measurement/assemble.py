"""From moments to the finished record: which numbers can be said, which not and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy
import torch

from phiscope.findings.collapse import (
    COLLAPSE_NUMBERS,
    REGRESSION_NUMBERS,
    VARIANCES,
    find_class_variances,
    find_collapse,
    find_regression_collapse,
)
from phiscope.findings.corrected import FROM_SHARDS, add_shards
from phiscope.findings.dimensions import find_dimensions, find_participation
from phiscope.findings.findings import NO_START, Findings, warn_of_samples
from phiscope.findings.outputs import (
    OUTPUT_NUMBERS,
    count_varying,
    find_output_numbers,
    find_random_head,
    find_regime,
    outputs_of,
    warn_of_disagreement,
)
from phiscope.findings.targets import READOUT_NUMBERS, find_alignment, find_readout, output_error, target_squares
from phiscope.inputs.arrays import as_share
from phiscope.linalg import dense
from phiscope.linalg.operators import PositiveOperator
from phiscope.measurement.class_rows import class_rows_of
from phiscope.measurement.record import Measurement
from phiscope.metrics import SCALARS
from phiscope.metrics.regime import Regime, RegimeEvidence
from phiscope.metrics.richness import low_rank_curve
from phiscope.metrics.similarity import kernel_similarity
from phiscope.moments.gathered import Gathered
from phiscope.moments.jackknife import Estimate, Resampling
from phiscope.moments.moments import Moments
from phiscope.spectrum.eigensystem import diagonalize_with_mean, varies
from phiscope.spectrum.lazy import LateMapping, Later
from phiscope.spectrum.output_coordinates import reduced_head
from phiscope.spectrum.spans import Cut, Outputs, target_spans
from phiscope.spectrum.spectrum import Spectrum, both_spectra
from phiscope.typing import AffineHead, FloatArray


def measurement_from_moments(
    moments: Moments,
    *,
    head: AffineHead | None = None,
    rank_tolerance: float = 1e-4,
    provenance: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
    start: Start | None = None,
    shards: Sequence[Moments] = (),
    ranks: tuple[int, int] | None = None,
    spanning: AffineHead | None = None,
    n_groups: int | None = None,
) -> Measurement:
    """Every number that moments allow.

    Args:
        moments: of features, and of outputs and targets where there are any.
        head: affine head (W (C, p), b (C,)); None when unknown or when outputs were measured.
        rank_tolerance: relative tolerance on the eigenvalues of F and Fc, 0 <= tolerance < 1.
        provenance: where the samples came from, stored with the result.
        warnings: what the caller already has to warn of.
        start: how far features and head have moved; None without an initial state.
        shards: moments of disjoint random shards of the same samples, for corrections and intervals.
        ranks: raw and centered output rank to use instead of the tolerance, of parts of a sample.
        spanning: a smaller head whose outputs have the same spans, see `reduced_head`, where it is known already.
        n_groups: groups of rows that shards were made of; None where nobody named any.

    Returns:
        The measurement.

    Raises:
        InputError: the tolerance is outside 0..1.
    """
    rank_tolerance = as_share(rank_tolerance, name="rank_tolerance", example="1e-4")
    early = Findings(warnings=list(warnings))
    covariance = moments.covariance("features")
    # Reduced and compared once, not for each shard.
    if spanning is None and head is not None:
        spanning = head if moments.n_outputs else reduced_head(head)
    if ranks is None:
        warn_of_disagreement(early, moments, covariance, head)
    outputs = outputs_of(moments, covariance, spanning, Cut(tolerance=rank_tolerance, ranks=ranks))
    _find_without_spectrum(early, moments, covariance, outputs, rank_tolerance)
    found_ranks = (0, 0) if outputs is None else (outputs.raw_span.rank, outputs.centered_span.rank)
    cut = Cut(tolerance=rank_tolerance, ranks=found_ranks)

    # No function of its own: a measurement is sent to other processes together with what its intervals are made from.
    again = partial(
        measurement_from_moments, head=head, rank_tolerance=rank_tolerance, ranks=found_ranks, spanning=spanning
    )
    whole = Later(lambda: _measured(early, moments, covariance, outputs, head, start or Start()))
    rest = Later(lambda: add_shards(whole().found, moments, shards, outputs, spanning, cut))
    numbers = LateMapping(early.numbers, FROM_SPECTRUM - early.numbers.keys(), lambda: _in_order(whole().found.numbers))
    absent = LateMapping({}, FROM_SPECTRUM, lambda: whole().found.absent)
    return _record(
        moments,
        numbers=LateMapping(numbers, FROM_SHARDS, lambda: _in_order(rest().numbers)),
        absent=LateMapping(absent, FROM_SHARDS, lambda: rest().absent),
        warnings=lambda: tuple(rest().warnings),
        estimates=lambda: rest().estimates,
        raw=lambda: whole().raw,
        centered=lambda: whole().centered,
        evidence=lambda: _complete(whole().evidence, rest().estimates, start),
        n_outputs=moments.n_outputs or (None if head is None else len(head[0])),
        n_groups=n_groups,
        rank_tolerance=rank_tolerance,
        target_squares=target_squares(moments),
        tolerance_curve=lambda: _tolerance_curve(outputs, whole().centered),
        resampling=Resampling(shards=shards, measure=again) if len(shards) > 1 else None,
        provenance=_versions(moments) | dict(provenance or {}),
    )


WITHOUT_SPECTRUM = frozenset(
    {
        "dynamical_low_rank",
        "dynamical_low_rank_centered",
        "used_variance",
        "output_rank",
        "output_rank_raw",
        "participation_ratio",
        "participation_ratio_centered",
        "target_alignment",
        *VARIANCES,
    }
)
"""Numbers that norms and traces give: nobody who reads only these waits for an eigendecomposition of S."""

FROM_SPECTRUM = frozenset({*SCALARS, "regime"} - FROM_SHARDS)
"""Numbers that may be made with the spectra, when one of them is first read."""


@dataclass(frozen=True, kw_only=True)
class _Whole:
    """What the spectra gave.

    Attributes:
        found: every number that needs no shards.
        raw: spectrum of M.
        centered: spectrum of S.
        evidence: for the regime.
    """

    found: Findings
    raw: Spectrum
    centered: Spectrum
    evidence: RegimeEvidence


@dataclass(frozen=True, kw_only=True)
class Start:
    """How far a network has moved from its initial state.

    Attributes:
        known: whether the initial features are known.
        similarity: S_init, None where the initial features are not known or constant.
        raw_similarity: the same uncentered; None where the initial features are not known or zero.
        head_change: norm(W - W_0) / norm(W_0), None where the initial head is not known.
        word: gives the regime that the initial state read, asked when the evidence is first read; None where nobody
            measured it.
    """

    known: bool = False
    similarity: float | None = None
    raw_similarity: float | None = None
    head_change: float | None = None
    word: Callable[[], Regime | None] | None = None


def _complete(evidence: RegimeEvidence, estimates: Mapping[str, Estimate], start: Start | None) -> RegimeEvidence:
    """The evidence with what its sentence adds: 95 % intervals that may hold a threshold, and the word at the start."""
    named = {"used_variance": "used_variance", "dynamical_low_rank": "dynamical_low_rank_centered"}
    known = {
        name: estimates[source].interval(0.95, *SCALARS[source].bounds)
        for name, source in named.items()
        if source in estimates
    }
    word = None if start is None or start.word is None or evidence.is_start else start.word()
    return replace(evidence, intervals=known, initial_regime=word)


def _in_order(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: numbers[name] for name in SCALARS if name in numbers}


def _find_without_spectrum(
    found: Findings, moments: Moments, covariance: PositiveOperator, outputs: Outputs | None, tolerance: float
) -> None:
    """`WITHOUT_SPECTRUM`, as far as there is what they need."""
    mean = moments.mean[: moments.n_features]
    squared_norm = covariance.squared_norm() if varies(covariance, mean) else 0.0
    if outputs is None:
        found.refuse(OUTPUT_NUMBERS, "neither outputs nor a head were given")
    else:
        find_output_numbers(found, outputs, float(np.sqrt(squared_norm)), covariance.trace(), tolerance)
    if moments.classes or moments.n_values:
        find_alignment(found, moments, squared_norm)
    find_class_variances(found, moments)
    find_participation(found, covariance, squared_norm, mean)


def _measured(
    early: Findings,
    moments: Moments,
    covariance: PositiveOperator,
    outputs: Outputs | None,
    head: AffineHead | None,
    start: Start,
) -> _Whole:
    """Both spectra and every number that needs no shards."""
    found = deepcopy(early)
    targets = target_spans(moments)
    systems = diagonalize_with_mean(covariance, moments.mean[: moments.n_features])
    raw, centered = both_spectra(systems, targets, outputs)
    find_dimensions(found, raw.eigenvalues, centered.eigenvalues, min(moments.n_samples, moments.n_features))
    if outputs is not None:
        find_random_head(found, centered, outputs.centered_span.rank)
    if targets is None:
        found.refuse(("target_alignment", *READOUT_NUMBERS), "no targets were given")
    else:
        norm = float(np.sqrt(covariance.squared_norm()))
        error = None if outputs is None else output_error(moments, head, outputs.variance)
        find_readout(found, moments, centered, error, targets.centered, norm)
    _find_collapse_of_either_kind(found, moments, centered, head)
    _find_similarities(found, start)
    n_varying = count_varying(covariance, centered.eigenvalues)
    evidence = find_regime(
        found,
        centered,
        outputs,
        float(np.sqrt(covariance.squared_norm())),
        n_samples=moments.n_samples,
        n_varying=n_varying,
        head_change=start.head_change,
        project=systems.centered.project,
    )
    warn_of_samples(found, moments, n_varying, len(centered.eigenvalues))
    return _Whole(found=found, raw=raw, centered=centered, evidence=evidence)


def _find_similarities(found: Findings, start: Start) -> None:
    """S_init, centered and raw; constant features have only the raw one."""
    known = {"initial_kernel_similarity": start.similarity, "initial_kernel_similarity_raw": start.raw_similarity}
    found.numbers |= {name: value for name, value in known.items() if value is not None}
    reason = "the features are constant (for the raw one zero), now or at initialization" if start.known else NO_START
    found.refuse(tuple(name for name, value in known.items() if value is None), reason)


def _find_collapse_of_either_kind(
    found: Findings, moments: Moments, centered: Spectrum, head: AffineHead | None
) -> None:
    if moments.classes:
        find_collapse(found, moments, centered, None if head is None else head[0])
    else:
        found.refuse(COLLAPSE_NUMBERS, "it needs integer targets, the class of each sample")
    if moments.n_values:
        find_regression_collapse(found, moments, centered, head)
    else:
        found.refuse(REGRESSION_NUMBERS, "it needs regression targets, floats")


TOLERANCES = 10.0 ** np.arange(-10, -0.5, 0.5)
"""Rank tolerances at which D_LR is kept, so that a reader sees whether it depends on the choice."""


def _tolerance_curve(outputs: Outputs | None, centered: Spectrum) -> FloatArray | None:
    if outputs is None or len(centered.eigenvalues) == 0:
        return None
    rows = low_rank_curve(outputs.literal, dense.length(centered.eigenvalues), TOLERANCES)
    return np.array([(tolerance, rank, np.nan if value is None else value) for tolerance, rank, value in rows])


def _versions(moments: Moments) -> dict[str, str]:
    return {
        "task": "classification" if moments.classes else "regression" if moments.n_values else "none",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": str(torch.__version__),
    }


def _record(moments: Moments, **known: Any) -> Measurement:
    # Rows of classes that never occur are made when somebody reads them: there may be a million of them.
    rows = class_rows_of(moments)
    return Measurement(
        feature_mean=moments.mean[: moments.n_features],
        class_rows=rows,
        **({} if rows is None else rows.late()),
        n_samples=moments.n_samples,
        effective_samples=moments.effective_samples,
        n_features=moments.n_features,
        n_classes=moments.n_classes if moments.classes else None,
        **known,
    )


def measurement_of(
    gathered: Gathered,
    *,
    rank_tolerance: float = 1e-4,
    provenance: Mapping[str, str] | None = None,
    initial_word: Callable[[], Regime | None] | None = None,
) -> Measurement:
    """Diagonalize what one pass gathered, and read every number.

    Args:
        gathered: moments, head and provenance of the pass.
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        provenance: further entries.
        initial_word: gives the regime that the initial state read; see `Start`.
    """
    warnings = list(gathered.warnings)
    similarity, raw = (None, None) if gathered.paired is None else _similarities(gathered.paired)
    if gathered.paired is not None and similarity is None:
        warnings.append("the features are constant, so they cannot be compared with the initial ones")
    return measurement_from_moments(
        gathered.moments,
        shards=gathered.shards,
        head=gathered.head,
        rank_tolerance=rank_tolerance,
        provenance={**gathered.provenance, **(provenance or {})},
        warnings=warnings,
        start=Start(
            known=gathered.paired is not None,
            similarity=similarity,
            raw_similarity=raw,
            head_change=gathered.head_change,
            word=initial_word,
        ),
        n_groups=gathered.n_groups,
    )


def _similarities(paired: Moments) -> tuple[float | None, float | None]:
    """S_init and its uncentered twin; None where features are constant, or zero."""
    before, after = paired.covariance("features"), paired.covariance("outputs")
    first, second = (paired.mean[paired.columns(part)] for part in ("features", "outputs"))
    cross = paired.cross_covariance("outputs")
    return (
        _similarity(cross, before.squared_norm(), after.squared_norm()),
        _similarity(
            cross + np.outer(first, second),
            before.plus_outer(first).squared_norm(),
            after.plus_outer(second).squared_norm(),
        ),
    )


def _similarity(cross: FloatArray, before: float, after: float) -> float | None:
    return None if before <= 0 or after <= 0 else kernel_similarity(cross, before, after)
