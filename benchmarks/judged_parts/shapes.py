"""What netrep's tests ask of a metric on representations, with arccos of CKA as the distance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import phiscope
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]

ZERO = 1e-6
"""The tolerance of netrep's tests; arccos loses half of the digits near 1."""
SEEDS = (1, 2, 3)
CALL = "arccos(compare(X, Y).cka)"


def distance(X: Array, Y: Array) -> float:
    """The angle whose cosine is CKA, in radians."""
    return float(np.arccos(np.clip(phiscope.compare(X, Y).cka, -1.0, 1.0)))


def turned(seed: int) -> tuple[np.random.Generator, Array, Array]:
    """A generator, features (100, 10) and a rotation."""
    g = np.random.default_rng(seed)
    return g, g.normal(size=(100, 10)), np.linalg.qr(g.normal(size=(10, 10)))[0]


def zeros() -> Iterator[Fact]:
    """Distance 0 where the metric has to be blind."""
    worst = {"rotation": 0.0, "rotation, shift and scale": 0.0, "permutation of the units": 0.0}
    for g, X, Q in map(turned, SEEDS):
        others = (X @ Q, 3 * g.exponential() * X @ Q + g.normal(size=10), X[:, g.permutation(10)])
        for name, Y in zip(worst, others, strict=True):
            worst[name] = max(worst[name], distance(X, Y))
    for name, figure in worst.items():
        yield Fact(asserts=f"distance 0 under {name}", call=CALL, figure=figure, high=ZERO)


def linear_maps() -> Iterator[Fact]:
    """Invertible maps: canonical correlations do not see them, the distance does."""
    angles, least, condition = 0.0, np.inf, 1.0
    for g, X, _ in map(turned, SEEDS):
        mix = g.normal(size=(10, 10))
        Y = X @ mix + g.normal(size=10)
        condition = max(condition, float(np.linalg.cond(mix)))
        angles = max(angles, float(phiscope.compare(X, Y).principal_angles.max()))
        least = min(least, distance(X, Y))
    words = "cca: distance 0 under an invertible map and a shift, up to the rounding of moments: √(2 ε) condition"
    # Moments of mapped features are known to eps times the squared condition of the map, which arccos halves.
    rounding = float(np.sqrt(2 * np.finfo(np.float64).eps)) * condition
    yield Fact(asserts=words, call="compare(X, Y).principal_angles", figure=angles, high=rounding)
    yield Fact(asserts="and the distance is not 0 there", call=CALL, figure=least, low=0.01)


def principal_angles() -> Fact:
    """Against singular values of Q1^T Q2 of orthonormal columns, not centered."""
    worst = 0.0
    for g, *_ in map(turned, SEEDS):
        P, Q = (np.linalg.qr(g.normal(size=(100, 10)))[0] for _ in range(2))
        expected = np.sort(np.arccos(np.linalg.svd(P.T @ Q, compute_uv=False)))
        worst = max(worst, float(np.abs(phiscope.compare(P, Q, centered=False).principal_angles - expected).max()))
    words = "principal angles are those of the singular values"
    return Fact(asserts=words, call="compare(X, Y, centered=False).principal_angles", figure=worst, high=1e-10)


def triangles() -> Fact:
    """The largest violation of the triangle inequality among all triples of a few maps, 31 samples of 30 features."""
    worst = -np.inf
    for seed in SEEDS:
        maps = np.random.default_rng(seed).normal(size=(5, 31, 30))
        d = {frozenset((i, j)): distance(maps[i], maps[j]) for i, j in itertools.combinations(range(5), 2)}
        for i, j, k in itertools.permutations(range(5), 3):
            worst = max(worst, d[frozenset((i, k))] - d[frozenset((i, j))] - d[frozenset((j, k))])
    words = "triangle inequality: d(x, z) − d(x, y) − d(y, z) in 90 triples of three draws"
    return Fact(asserts=words, call=CALL, figure=worst, high=ZERO)


def kernel() -> Fact:
    """The least eigenvalue of exp(-lambda d) over maps that are more and less alike."""
    least = np.inf
    for seed, likeness in enumerate((0.1, 0.9)):
        g = np.random.default_rng(seed)
        shared, own = g.normal(size=(31, 30)), g.normal(size=(8, 31, 30))
        maps = likeness * shared + (1 - likeness) * own
        d = np.zeros((len(maps), len(maps)))
        for i, j in itertools.combinations(range(len(maps)), 2):
            d[i, j] = d[j, i] = distance(maps[i], maps[j])
        least = min(least, *(np.linalg.eigvalsh(np.exp(-rate * d)).min() for rate in (0.01, 0.1, 1.0, 10.0)))
    words = "exp(−λ d) is positive definite over several maps: least eigenvalue"
    return Fact(asserts=words, call=CALL, figure=float(least), low=-ZERO)


def facts() -> Iterator[Fact]:
    """All of them."""
    yield from zeros()
    yield from linear_maps()
    yield principal_angles()
    yield triangles()
    yield kernel()


SUITES = (
    Suite(
        key="netrep",
        name="ahwillia/netrep",
        seen="ahwillia/netrep/tests/test_metrics.py at 0da3be5; not on PyPI, so nothing of it was run",
        about="A distance between representations is a metric, and blind to what it says it is blind to.",
        facts=facts,
        left_out=(
            ("Procrustes and permutation distances, partial whitening (alpha)", "no such numbers"),
            ("distances between stochastic representations", "no such numbers"),
        ),
    ),
)
