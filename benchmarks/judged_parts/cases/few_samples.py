"""Independent features have a CKA of 0; from few samples the plain estimate is far from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from judged_parts.cases.case import Case, Row, theirs
from judged_parts.ranks import SEEDS, P, independent

SIZES = (32, 64, 128, 256)


def by_monai(n: int) -> float:
    """MONAI's domain_shift, a mean over the same draws."""
    from monai.metrics.embedding_collapse import compute_embedding_collapse

    def one(X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
        found = compute_embedding_collapse(torch.from_numpy(X), target_embeddings=torch.from_numpy(Y))
        return float(found["domain_shift"])

    return float(np.mean([one(*np.random.default_rng(seed).normal(size=(2, n, P))) for seed in range(SEEDS)]))


def by_ckatorch(n: int) -> float:
    """ckatorch's unbiased estimate, a mean over the same draws."""
    from ckatorch import cka_base

    draws = [torch.from_numpy(np.random.default_rng(seed).normal(size=(2, n, P))) for seed in range(SEEDS)]
    return float(np.mean([float(cka_base(X, Y, unbiased=True)) for X, Y in draws]))


JUDGES = {"MONAI": by_monai, "ckatorch": by_ckatorch}


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """Means of 20 draws."""
    for n in SIZES:
        unbiased = independent(n)[1]
        yield Row(
            number="CKA, unbiased: mean of 20 draws",
            condition=f"{n} samples, {P} independent features each",
            exact=0.0,
            ours=float(unbiased.mean()),
            others={name: theirs(lambda by=by, n=n: by(n)) for name, by in JUDGES.items() if there(name)},
            tolerance=3 * float(unbiased.std(ddof=1)) / len(unbiased) ** 0.5,
        )


CASE = Case(
    key="few-samples",
    title="Few samples",
    packages={"MONAI": "monai", "ckatorch": "ckatorch"},
    computes="MONAI's `domain_shift` is CKA from an estimate of HSIC that its docstring calls unbiased; it is the "
    "plain one, whose mean for independent features of p dimensions is near p / (n + p). A pull request "
    "to MONAI (9129, open) mends it. phiscope's `cka` is the plain one, too, and says so; this is about "
    "`cka_unbiased`. A value agrees within three standard errors of the mean.",
    advice="Compare CKA only between equal numbers of samples, use many more samples than features, or take an "
    "unbiased estimate. An unbiased one goes below 0 now and then; cut off at 0 its mean is not 0 any "
    "more.",
    rows=rows,
)
