"""Conventions of CKA, each written out by the road its name describes, and the packages of the index themselves.

similarity-repository gives a hundred implementations an id that carries the convention: kernel, estimate of HSIC, score
or angle. Here each linear convention is computed from its description alone, from n x n matrices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

import phiscope
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]

EQUAL = 1e-10
SHAPES = ((60, 7, 11), (25, 40, 30))
"""Samples and features of both maps: more samples than features, and fewer."""


def pairs() -> Iterator[tuple[Array, Array]]:
    """Two maps that have something in common, means not zero."""
    for seed, (n, p, q) in enumerate(SHAPES):
        g = np.random.default_rng(seed)
        first = g.normal(size=(n, p)) + 3 * g.normal(size=p)
        yield first, first @ g.normal(size=(p, q)) / np.sqrt(p) + g.normal(size=(n, q)) + 3 * g.normal(size=q)


def _cosine(K: Array, L: Array) -> float:
    return float((K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum()))


def _centered(K: Array) -> Array:
    return K - K.mean(axis=0) - K.mean(axis=1, keepdims=True) + K.mean()


def by_gram(X: Array, Y: Array) -> float:
    """Cosine of doubly centered Gram matrices."""
    return _cosine(_centered(X @ X.T), _centered(Y @ Y.T))


def by_features(X: Array, Y: Array) -> float:
    """Squared norms of products of centered features."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    return float((X.T @ Y).ravel() @ (X.T @ Y).ravel() / (np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)))


def by_hsic(X: Array, Y: Array) -> float:
    """Gretton's estimate of HSIC, tr(K H L H) / (n - 1)^2."""
    H = np.eye(len(X)) - 1 / len(X)
    K, L = X @ X.T, Y @ Y.T

    def hsic(A: Array, B: Array) -> float:
        return float(np.trace(A @ H @ B @ H)) / (len(X) - 1) ** 2

    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def by_distances(X: Array, Y: Array) -> float:
    """Cosine of doubly centered squared distances, as representational similarity analysis has it."""
    squared = [((Z[:, None] - Z[None]) ** 2).sum(axis=2) for Z in (X, Y)]
    return _cosine(*map(_centered, squared))


def by_song(X: Array, Y: Array) -> float:
    """Song's estimate of HSIC, from Gram matrices without their diagonals."""
    n = len(X)

    def hsic(A: Array, B: Array) -> float:
        middle = A.sum() * B.sum() / ((n - 1) * (n - 2))
        return float(np.trace(A @ B) + middle - 2 * (A @ B).sum() / (n - 2)) / (n * (n - 3))

    K, L = (Z @ Z.T - np.diag((Z * Z).sum(axis=1)) for Z in (X, Y))
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def by_u_centering(X: Array, Y: Array) -> float:
    """Cosine of U-centered Gram matrices, the same estimate by another road."""
    n = len(X)

    def u_centered(K: Array) -> Array:
        K = K - np.diag(np.diag(K))
        rows = K.sum(axis=0) / (n - 2)
        K = K - rows - rows[:, None] + K.sum() / ((n - 1) * (n - 2))
        return K - np.diag(np.diag(K))

    return _cosine(u_centered(X @ X.T), u_centered(Y @ Y.T))


GRETTON = (
    (by_gram, "hsic=gretton: cosine of doubly centered Gram matrices"),
    (by_features, "the same from p x p products of centered features"),
    (by_hsic, "the same from Gretton's HSIC, tr(K H L H) / (n − 1)²"),
    (by_distances, "rsa, squared Euclidean distances, centered: the same number"),
)
SONG = (
    (by_song, "hsic=song: Song's unbiased HSIC"),
    (by_u_centering, "the same from U-centered Gram matrices"),
)


def conventions() -> Iterator[Fact]:
    """Every linear, centered convention against compare; and one that is another number."""
    cases = [(X, Y, phiscope.compare(X, Y)) for X, Y in pairs()]
    for road, words in GRETTON:
        gap = max(abs(road(X, Y) - c.cka) for X, Y, c in cases)
        yield Fact(asserts=words, call="compare(X, Y).cka", figure=gap, high=EQUAL)
    for road, words in SONG:
        gap = max(abs(road(X, Y) - c.cka_unbiased) for X, Y, c in cases)
        yield Fact(asserts=words, call="compare(X, Y).cka_unbiased", figure=gap, high=EQUAL)
    # Canonical correlations are the cosines of principal angles; where n <= p every angle is 0.
    X, Y, c = cases[0]
    P, Q = (np.linalg.qr(Z - Z.mean(axis=0))[0] for Z in (X, Y))
    cosines, sizes = np.cos(c.principal_angles), np.sqrt(X.shape[1] * Y.shape[1])
    call = "compare(X, Y).principal_angles"
    gap = abs(np.square(cosines).sum() / sizes - _cosine(P @ P.T, Q @ Q.T))
    yield Fact(asserts="cca, squared score: cosine of whitened Gram matrices", call=call, figure=gap, high=EQUAL)
    gap = abs(cosines.sum() - np.linalg.svd(P.T @ Q, compute_uv=False).sum()) / sizes
    yield Fact(asserts="cca, score: mean canonical correlation", call=call, figure=gap, high=EQUAL)
    gap = min(abs(_cosine(X @ X.T, Y @ Y.T) - c.cka) for X, Y, c in cases)
    words = "control: without centering it is another number"
    yield Fact(asserts=words, call="compare(X, Y).cka", figure=gap, low=0.01)


def packages() -> Iterator[Fact]:
    """The packages of the index on the same features, in float64."""
    from cka import cka_from_features
    from ckatorch import cka_base

    cases = [(torch.from_numpy(X), torch.from_numpy(Y), phiscope.compare(X, Y)) for X, Y in pairs()]
    for method in ("fro_norm", "hsic"):
        gap = max(abs(float(cka_base(X, Y, method=method)) - c.cka) for X, Y, c in cases)
        words = f'ckatorch: cka_base(X, Y, method="{method}")'
        yield Fact(asserts=words, call="compare(X, Y).cka", figure=gap, high=EQUAL)
    gap = max(abs(float(cka_base(X, Y, unbiased=True)) - c.cka_unbiased) for X, Y, c in cases)
    words = "ckatorch: cka_base(X, Y, unbiased=True)"
    yield Fact(asserts=words, call="compare(X, Y).cka_unbiased", figure=gap, high=EQUAL)
    gap = max(abs(float(cka_from_features(X, Y)) - c.cka_unbiased) for X, Y, c in cases)
    words = "pytorch-cka: cka_from_features(X, Y)"
    yield Fact(asserts=words, call="compare(X, Y).cka_unbiased", figure=gap, high=EQUAL)


SUITES = (
    Suite(
        key="similarity-repository",
        name="nacloos/similarity-repository",
        seen="PyPI 0.0.1; ids in its similarity/types/__init__.py at 438ee10",
        about="A hundred implementations of CKA and its relatives under ids that carry the convention; those of one "
        "convention have to agree.",
        facts=conventions,
        left_out=(
            ("CKA with hsic=lange (diagonal set to 0 after centering)", "an estimate that phiscope does not have"),
            ("other kernels than the linear one", "phiscope's kernel is that of the features"),
            ("Procrustes, NBS, Bures, RSA with correlations, regressions", "no such numbers"),
            (
                "running its registry itself",
                "its release asks for packages that exist in git repositories only, and cannot be installed from the "
                "index",
            ),
        ),
    ),
    Suite(
        key="cka-packages",
        name="ckatorch and pytorch-cka, run beside",
        seen="the installed versions, named below",
        about="Packages of the index that compute CKA, on the same features in float64.",
        facts=packages,
        left_out=(
            (
                "torch-cka on these features",
                "it takes networks and loaders, in float32; it stands among the cases below",
            ),
        ),
        imports=("ckatorch", "cka"),
    ),
)
