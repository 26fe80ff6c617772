"""Neural collapse as neural-collapse computes it, and as traintools' tests ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

import phiscope
from judged_parts.exact import relative
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

EQUAL = 1e-12


def drawn(counts: tuple[int, ...], p: int = 12) -> tuple[Array, Labels]:
    """Classes of so many samples."""
    g = np.random.default_rng(3)
    labels = np.repeat(np.arange(len(counts)), counts)
    return g.normal(size=(len(counts), p))[labels] * 2 + g.normal(size=(len(labels), p)), labels


def nc1(X: Array, labels: Labels) -> float:
    """tr(S_B^+ S_W) / C, every class counted alike in S_B, which is divided by C."""
    means = np.stack([X[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    within = X - means[labels]
    centered = means - X.mean(axis=0)
    between = centered.T @ centered / len(means)
    return float(np.trace(np.linalg.pinv(between) @ (within.T @ within / len(X))) / len(means))


def cdnv(X: Array, labels: Labels) -> float:
    """Mean over pairs of classes of their mean variance over their squared distance."""
    classes = range(labels.max() + 1)
    means = [X[labels == c].mean(axis=0) for c in classes]
    spread = [np.square(X[labels == c] - means[c]).sum(axis=1).mean() for c in classes]
    return float(
        np.mean(
            [
                (spread[a] + spread[b]) / 2 / np.square(means[a] - means[b]).sum()
                for a in classes
                for b in classes
                if a < b
            ]
        )
    )


def formulas() -> Iterator[Fact]:
    """NC1 and CDNV from their formulas, in float64."""
    balanced, lopsided = drawn((100,) * 5), drawn((200, 40, 90, 10, 60))
    m = phiscope.diagonalize(balanced[0], targets=balanced[1])
    gap = relative(m["nc1"], nc1(*balanced))
    yield Fact(asserts="NC1, balanced classes: relative gap", call='m["nc1"]', figure=gap, high=EQUAL)
    gap = relative(m["cdnv"], cdnv(*balanced))
    yield Fact(asserts="CDNV, balanced classes: relative gap", call='m["cdnv"]', figure=gap, high=EQUAL)
    m = phiscope.diagonalize(lopsided[0], targets=lopsided[1])
    gap = relative(m["cdnv"], cdnv(*lopsided))
    yield Fact(asserts="CDNV, classes of 10 to 200 samples: relative gap", call='m["cdnv"]', figure=gap, high=EQUAL)
    words = "control: NC1 of unequal classes is another number there, where every class counts alike"
    gap = relative(m["nc1"], nc1(*lopsided))
    yield Fact(asserts=words, call='m["nc1"]', figure=gap, low=1e-3)


def tight_clusters() -> Iterator[Fact]:
    """Three clusters at the corners of a triangle, eight samples each, a hundredth wide; the head is their means."""
    corners = torch.tensor([[1.0, 0.0], [-0.5, 0.866], [-0.5, -0.866]])
    labels = torch.arange(3).repeat_interleave(8)
    features = corners[labels] + 0.01 * torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
    head = (corners, torch.zeros(3))
    m = phiscope.diagonalize(features, head=head, targets=labels)
    yield Fact(asserts="NC1 of three tight clusters", call='m["nc1"]', figure=m["nc1"], high=0.01)
    ratio = m["within_class_variance"] / m["between_class_variance"]
    words = "the same from traces, tr S_W / tr S_B, which is what it computes"
    yield Fact(asserts=words, call='m["within_class_variance"] / m["between_class_variance"]', figure=ratio, high=0.01)
    angles = m["nc2_equiangular"]
    yield Fact(asserts="NC2: class means at equal angles", call='m["nc2_equiangular"]', figure=angles, high=0.05)
    yield Fact(asserts="NC3: the head points where the class means do", call='m["nc3"]', figure=m["nc3"], high=0.05)
    kept = phiscope.restrict(m, (features, labels), head)
    words = "nearest class mean is right (accuracy 1), said as disagreement with a head that is"
    call = "restrict(m, samples, head).nc4 + 1 − .accuracy"
    yield Fact(asserts=words, call=call, figure=float(kept.nc4 + 1 - kept.accuracy[-1]), high=0.0)
    lone = phiscope.diagonalize(features, targets=torch.zeros(24, dtype=torch.long))
    words = "a single class has no such number: absent, with the reason"
    yield Fact(asserts=words, call='"nc1" in m.to_dict()', figure=float("nc1" in lone.to_dict()), high=0.0)


SUITES = (
    Suite(
        key="neural-collapse",
        name="rhubarbwu/neural-collapse",
        seen="neural_collapse/measure.py at c3864c2; it has no tests, and is not on PyPI, so nothing of it was run",
        about="NC1 and CDNV, from the formulas in its documentation.",
        facts=formulas,
        left_out=(
            (
                "NC1 there is divided by p in place of C at this commit",
                "a factor of C / p: see reference/conventions.md",
            ),
            (
                "distances from the simplex as one number for norms and angles; NC4 without the head's bias",
                "phiscope has them apart; reference/conventions.md has the factors",
            ),
        ),
    ),
    Suite(
        key="traintools",
        name="AparajeetS/Traintools",
        seen="PyPI 0.6.2; Traintools/tests/test_aum_importance_collapse.py at 88ba51d; run among the cases below",
        about="Three tight clusters read as collapsed, one class is refused.",
        facts=tight_clusters,
        left_out=(
            ("gradients, batches, data quality, plasticity, stopping", "other subjects"),
            ("its warnings at NC1 > 1", "phiscope names no threshold of NC1"),
        ),
    ),
)
