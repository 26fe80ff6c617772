"""The same samples several times over: no average changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

import phiscope
from judged_parts.cases.case import Case, Row, theirs
from judged_parts.exact import cdnv_on_axes, classes_on_axes, nc1_on_axes

LENGTHS, WITHIN, P = (1.0, 0.5, 0.25), 0.125, 16
TIMES = (1, 5, 25)


def by_traintools(features: torch.Tensor, labels: torch.Tensor) -> float:
    """traintools' NC1, a ratio of traces."""
    from traintools import NeuralCollapseMonitor

    return float(NeuralCollapseMonitor().measure(features, labels).nc1_within_to_between)


def by_kowalski(features: torch.Tensor, labels: torch.Tensor) -> float:
    """kowalski's NC1."""
    from kowalski.neural_collapse import within_class_variability
    from kowalski.utils import to_per_class_list

    return float(within_class_variability(to_per_class_list(features, labels)))


def cdnv_by_kowalski(features: torch.Tensor, labels: torch.Tensor) -> float:
    """kowalski's CDNV."""
    from kowalski.neural_collapse import class_distance_normalized_variance
    from kowalski.utils import to_per_class_list

    return float(class_distance_normalized_variance(to_per_class_list(features, labels)))


def repeated(times: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The samples so many times over."""
    features, labels = classes_on_axes(LENGTHS, WITHIN, P)
    return np.tile(features, (times, 1)), np.tile(labels, times)


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """NC1 as a ratio of traces and with the pseudo-inverse, and CDNV."""
    exact = {
        "tr S_W / tr S_B": P * WITHIN**2 / sum(length**2 for length in LENGTHS),
        "NC1, tr(S_W S_B⁺) / C": nc1_on_axes(LENGTHS, WITHIN),
        "CDNV": cdnv_on_axes(LENGTHS, WITHIN, P),
    }
    judges = {
        "tr S_W / tr S_B": ("traintools", by_traintools),
        "NC1, tr(S_W S_B⁺) / C": ("kowalski", by_kowalski),
        "CDNV": ("kowalski", cdnv_by_kowalski),
    }
    for number, (package, judge) in judges.items():
        for times in TIMES:
            X, y = repeated(times)
            m = phiscope.diagonalize(X, targets=y)
            ratio = m["within_class_variance"] / m["between_class_variance"]
            given = torch.from_numpy(X), torch.from_numpy(y)
            yield Row(
                number=number,
                condition=f"256 samples, {times} {'time' if times == 1 else 'times'}",
                exact=exact[number],
                ours={"tr S_W / tr S_B": ratio, "CDNV": m["cdnv"]}.get(number, m["nc1"]),
                others={package: theirs(lambda j=judge, g=given: j(*g))} if there(package) else {},
            )


CASE = Case(
    key="repeated-data",
    title="NC1 and the number of samples",
    packages={"traintools": "traintools", "kowalski": "kowalski"},
    computes="traintools divides a sum over all samples (within classes) by a sum over classes (between them), so "
    "that its NC1 grows with the number of samples. kowalski's between-class matrix is a sum over all "
    "samples, about the mean of all, divided by the number of classes, so that its NC1 falls with the "
    "number of samples; and it holds the spread within classes, too.",
    advice="Divide traintools' NC1 by the number of samples in a class to get the ratio of traces. kowalski's compares "
    "with itself at one number of samples only; its CDNV is the definition's.",
    rows=rows,
)
