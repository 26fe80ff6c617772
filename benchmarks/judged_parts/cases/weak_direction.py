"""Class means a thousand times closer along one axis than along another, in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

import phiscope
from judged_parts.cases.case import Case, Row, theirs
from judged_parts.exact import classes_on_axes, nc1_on_axes

LENGTHS = {1: (1.0, 1.0, 1.0), 32: (1.0, 2.0**-2, 2.0**-5), 1024: (1.0, 2.0**-5, 2.0**-10)}
"""Largest over smallest distance -> distances of class means along three axes."""
WITHIN, P = 2.0**-12, 16


def as_written(features: Tensor, labels: Tensor) -> float:
    """tr(S_B^+ S_W) / C with torch.linalg.pinv, all in the precision of the features."""
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(4)])
    centered, within = means - features.mean(dim=0), features - means[labels]
    between = centered.T @ centered / 4
    return float((torch.linalg.pinv(between) @ (within.T @ within)).trace() / len(features) / 4)


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """The formula in float32 and in float64."""
    for ratio, lengths in LENGTHS.items():
        for kind in (torch.float32, torch.float64):
            X, labels = classes_on_axes(lengths, WITHIN, P)
            features, y = torch.from_numpy(X.astype(np.float32)).to(kind), torch.from_numpy(labels)
            yield Row(
                number="NC1, tr(S_W S_B⁺) / C",
                condition=f"distances of means 1 to {ratio:,}, {str(kind).removeprefix('torch.')}",
                exact=nc1_on_axes(lengths, WITHIN),
                ours=phiscope.diagonalize(features, targets=y)["nc1"],
                others={"torch": theirs(lambda f=features, y=y: as_written(f, y))} if there("torch") else {},
            )


CASE = Case(
    key="weak-direction",
    title="Classes that differ much along one axis and little along another",
    packages={"torch": "torch"},
    computes="The pseudo-inverse in NC1 drops directions below a share of the largest that depends on the "
    "precision: in float32 `torch.linalg.pinv` drops eigenvalues of S_B below p · 1.2 · 10⁻⁷ of the "
    "first, here distances of class means below 1/720 of the largest, and the smallest count most in "
    "NC1. The column “torch” is the formula as it stands; no package of the index that was tried "
    "computes it so (rhubarbwu/neural-collapse does by default, as its source says; it is not on the "
    "index and was not run).",
    advice="Cast to float64 before the formula.",
    rows=rows,
)
