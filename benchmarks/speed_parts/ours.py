"""phiscope as a person calls it: the pass alone, everything at once, one number, intervals on request."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.measurement.record import Measurement
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import Moments
from speed_parts.cases import Case

CURVES = ("quality", "utilization", "cumulative_quality", "cumulative_utilization")


def takes(function: Any, keyword: str) -> bool:
    """Whether this version of phiscope knows a keyword; a mode it lacks is a row that says so."""
    return keyword in inspect.signature(function).parameters


def pass_alone(case: Case, keywords: dict[str, Any]) -> Moments:
    """The streaming pass alone, fed as a network feeds it; class moments included, shards where asked for."""
    accumulator = MomentAccumulator(num_classes=case.shape.classes, **keywords)
    for rows, targets in case.batches():
        accumulator.update(rows, targets=targets)
    moments, shards = accumulator.finish()
    # Shards are made when they are read; one that nobody reads is not free, only late.
    list(shards)
    return moments


def numbers(case: Case, keywords: dict[str, Any]) -> Measurement:
    """All scalars, both spectra, every curve: all that needs no eigenvectors."""
    measured = phiscope.diagonalize(case.features, head=case.head, targets=case.targets, **keywords)
    # Read everything, so that nothing left for later is counted as free.
    if "dynamical_low_rank" not in measured.to_dict():
        raise RuntimeError("the measurement lacks D_LR, so its time would be no comparison")
    for spectrum in (measured.raw, measured.centered):
        absent = [name for name in CURVES if getattr(spectrum, name) is None]
        if absent or not len(spectrum.eigenvalues):
            raise RuntimeError(f"the measurement lacks {absent or 'eigenvalues'}, so its time would be no comparison")
    if measured.tolerance_curve is None:
        raise RuntimeError("the measurement lacks D_LR over the rank tolerance, so its time would be no comparison")
    return measured


def everything(case: Case, keywords: dict[str, Any]) -> Measurement:
    """The same, and the centered eigenvectors; the raw ones are a p x p x p product more, made for who reads them."""
    measured = numbers(case, keywords)
    if measured.centered.eigenvectors.shape[0] != case.shape.p:
        raise RuntimeError("the measurement lacks eigenvectors, so its time would be no comparison")
    return measured


def with_intervals(case: Case, keywords: dict[str, Any]) -> Measurement:
    """Everything, and the interval of every scalar that has one."""
    measured = numbers(case, keywords)
    given = 0
    for name in measured.to_dict():
        try:
            measured.interval(name)
        except MissingNumberError:
            continue  # whole numbers and fitted slopes have none, and say so
        given += 1
    if not given:
        raise RuntimeError("no number has an interval, so the time would be no comparison")
    return measured


def one_number(case: Case, keywords: dict[str, Any]) -> float:
    """D_LR and nothing else."""
    measured = phiscope.diagonalize(case.features, head=case.head, targets=case.targets, **keywords)
    return measured["dynamical_low_rank"]


def from_moments(_: Case, moments: Moments) -> NDArray[np.float64]:
    """Eigenvalues of the covariance that the moments hold."""
    operator = moments.covariance("features")
    if operator.matrix is not None:
        return np.asarray(scipy.linalg.eigvalsh(operator.dense()))
    return np.asarray(scipy.linalg.svdvals(operator.rows) ** 2)


def from_measurement(_: Case, measured: Measurement) -> NDArray[np.float64]:
    """The centered eigenvalues."""
    return measured.centered.eigenvalues
