"""Effective ranks as stable-pretraining's tests ask for them, and the bias of CKA that MONAI's developers measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import phiscope
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]


def ranks() -> Iterator[Fact]:
    """RankMe of embeddings of full rank and of rank one, in float32 as there."""
    g = np.random.default_rng(0)
    full = g.normal(size=(64, 16)).astype(np.float32)
    single = (g.normal(size=(64, 1)) * g.normal(size=(1, 16))).astype(np.float32)
    call = 'diagonalize(X)["rankme"]'
    yield Fact(asserts="64 x 16 normal numbers", call=call, figure=phiscope.diagonalize(full)["rankme"], low=5.0)
    yield Fact(asserts="rank one", call=call, figure=phiscope.diagonalize(single)["rankme"], high=1.5)
    values = np.linalg.svd(full.astype(np.float64), compute_uv=False)
    shares = values / values.sum() + 1e-7
    gap = abs(phiscope.diagonalize(full)["rankme"] - np.exp(-(shares * np.log(shares)).sum()))
    words = "the entropy of the singular values as Garrido et al. write it"
    yield Fact(asserts=words, call=call, figure=float(gap), high=1e-9)


P, SEEDS = 8, 20


def independent(n: int) -> tuple[Array, Array]:
    """CKA and unbiased CKA of independent normal features, one draw a seed."""
    found = []
    for seed in range(SEEDS):
        X, Y = np.random.default_rng(seed).normal(size=(2, n, P))
        c = phiscope.compare(X, Y)
        found.append((c.cka, c.cka_unbiased))
    plain, unbiased = np.array(found).T
    return plain, unbiased


def bias() -> Iterator[Fact]:
    """The table of the pull request, whose true value is 0: mean over 20 seeds."""
    for n, low, high in ((32, 0.17, 0.23), (64, 0.09, 0.13), (128, 0.045, 0.07), (256, 0.024, 0.036)):
        plain, unbiased = independent(n)
        words = f"plain CKA at n = {n}: their mean, {low:.3g} to {high:.3g}"
        yield Fact(asserts=words, call="compare(X, Y).cka", figure=float(plain.mean()), low=low, high=high)
        error = float(unbiased.std(ddof=1) / np.sqrt(SEEDS))
        words = f"unbiased CKA at n = {n}: within three standard errors of 0"
        yield Fact(
            asserts=words,
            call="compare(X, Y).cka_unbiased",
            figure=float(unbiased.mean()),
            low=-3 * error,
            high=3 * error,
        )
    words = "cut off at 0, as a score in 0..1 has to be, the mean at n = 32 is"
    figure = float(np.maximum(independent(32)[1], 0).mean())
    yield Fact(asserts=words, call="compare(X, Y).cka_unbiased", figure=figure, low=0.0, high=0.05)


SUITES = (
    Suite(
        key="stable-pretraining",
        name="galilai-group/stable-pretraining",
        seen="PyPI 0.1.8; stable_pretraining/tests/jax_backend/test_callbacks.py at c64acdc, and "
        "test_ssl_callbacks.py beside it at b0b69c9; nothing of it was run",
        about="RankMe of embeddings of full rank is large, of rank one it is near 1.",
        facts=ranks,
        left_out=(
            (
                "LiDAR: in (1, C − 1 + 0.5] for separated classes, below 1.5 for rank one",
                "phiscope has no such number: it needs surrogate classes (several views of one picture) and a ridge",
            ),
        ),
    ),
    Suite(
        key="monai",
        name="Project-MONAI/MONAI",
        seen="pull request 9129, open on 2026-11-29; PyPI 1.6.1, which is run among the cases below",
        about="Of independent features CKA is 0; the plain estimate says .198 at 32 samples of 8 features (their "
        "mean of 20 seeds), .114, .056 and .029 at 64, 128 and 256; an unbiased one says 0.",
        facts=bias,
        left_out=(
            ("centroid similarity, separation (silhouette), linear probe", "no such numbers"),
            (
                "effective_rank_score",
                "an effective rank turned round and divided by min(n − 1, p): phiscope gives the rank itself",
            ),
        ),
    ),
)
