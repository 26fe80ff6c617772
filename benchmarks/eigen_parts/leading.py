"""The k leading eigenpairs of a formed covariance S and of S + m m^T, with what is known of those that are left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from phiscope.linalg import rank_one
from phiscope.linalg.eigen import Diagonalized
from phiscope.linalg.krylov import Pairs, lead
from phiscope.linalg.products import product
from phiscope.linalg.ritz import spectral_norm

JOBS = ("pairs",)
SPECTRA = ("decay", "spikes", "bulk")
TOLERANCE = 1e-4
STEPS = 100
"""Of the Lanczos process that bounds what ARPACK left out: to about 2 %."""

Result = tuple[NDArray[np.float64], NDArray[np.float64], float, str]
"""Leading eigenvalues of S and of S + m m^T, descending; the largest bound as a share of its eigenvalue; words."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """S, shape (p, p), columns contiguous, m, shape (p,), and k."""

    matrix: NDArray[np.float64]
    mean: NDArray[np.float64]
    k: int

    def raw(self) -> NDArray[np.float64]:
        """S + m m^T."""
        return np.asarray(self.matrix + np.outer(self.mean, self.mean), order="F")


def write(folder: Path, p: int, spectrum: str, k: int = 64, **_: Any) -> None:
    """Covariances with eigenvalues near 1 / k, k spikes over a flat bulk, or k / 2 spikes over it."""
    rng = np.random.default_rng(0)
    spikes = {"decay": 0, "spikes": k, "bulk": k // 2}[spectrum]
    spread = 1 / np.sqrt(np.arange(1, p + 1)) if spectrum == "decay" else np.where(np.arange(p) < spikes, 6.0, 1.0)
    n, matrix = 3 * p // 2, np.zeros((p, p))
    for start in range(0, n, 2048):
        rows = rng.standard_normal((min(2048, n - start), p)) * spread
        matrix += rows.T @ rows
    np.save(folder / "matrix.npy", np.asfortranarray(matrix / n))
    np.save(folder / "mean.npy", np.full(p, 0.1))
    np.save(folder / "k.npy", k)


def load(folder: Path) -> Case:
    """A written case."""
    matrix, mean, k = (np.load(folder / f"{name}.npy") for name in ("matrix", "mean", "k"))
    return Case(matrix=matrix, mean=mean, k=int(k))


def _formed(matrix: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda columns: product(matrix, columns)


def krylov(case: Case, _: str) -> Result:
    """phiscope's block Krylov: both operators from one space, residuals and random probes bound what is left out."""
    return _told(lead(_formed(case.matrix), case.mean, case.k, tolerance=TOLERANCE))


def _told(found: Any) -> Result:
    bound = max(float((pairs.bounds / pairs.eigenvalues).max()) for pairs in (found.centered, found.raw))
    return found.centered.eigenvalues, found.raw.eigenvalues, bound, f"{found.products} products"


def everything(case: Case, _: str) -> Result:
    """phiscope's whole spectrum, the raw one by a rank-one update, and only the leading vectors of both."""
    found = Diagonalized(case.matrix.copy(order="F"))
    update = rank_one.update(found.values, found.project(case.mean[:, None])[:, 0])
    found.leading(case.k), found.combine(update.vectors(case.k).T)
    return found.values[: case.k], update.eigenvalues[: case.k], 0.0, "all eigenvalues"


def subset(case: Case, _: str) -> Result:
    """SciPy's subset solver, once for each operator."""
    p, k = len(case.matrix), case.k
    pairs = [
        scipy.linalg.eigh(each, driver="evr", subset_by_index=(p - k - 1, p - 1), check_finite=False)
        for each in (case.matrix, case.raw())
    ]
    return pairs[0][0][:0:-1], pairs[1][0][:0:-1], 0.0, ""


def _operators(case: Case) -> list[Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """S and S + m m^T, times a vector or columns."""

    def apply(columns: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        if columns.ndim == 1:
            # Reads one triangle: half of the memory that a general product reads.
            found = scipy.linalg.blas.dsymv(1.0, case.matrix, columns)
        else:
            found = product(case.matrix, columns)
        return np.asarray(found + np.multiply.outer(mean, mean @ columns))

    return [partial(apply, mean=mean) for mean in (np.zeros(len(case.mean)), case.mean)]


def _by_arpack(case: Case) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    size, pairs = len(case.matrix), []
    for apply in _operators(case):
        operator = LinearOperator((size, size), matvec=lambda vector, apply=apply: apply(vector.ravel()), dtype=float)
        values, vectors = eigsh(operator, case.k, tol=TOLERANCE)
        pairs.append((values[::-1], vectors[:, ::-1]))
    return pairs


def arpack(case: Case, _: str) -> Result:
    """ARPACK, once for each operator; nothing is known of what is left out."""
    pairs = _by_arpack(case)
    return pairs[0][0], pairs[1][0], math.nan, ""


def _left_out(apply: Callable[[Any], Any], vectors: NDArray[np.float64]) -> float:
    """Bound on the operator outside a span, wrong once in 1e9 times, from Lanczos steps of a random vector.

    Source: Kuczynski and Wozniakowski 1992, SIAM J. Matrix Anal. Appl. 13, theorem 4.2.
    """
    size = len(vectors)

    def outside(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        image = apply(vector.ravel() - vectors @ (vectors.T @ vector.ravel()))
        return np.asarray(image - vectors @ (vectors.T @ image))

    operator, start = LinearOperator((size, size), matvec=outside, dtype=float), np.random.default_rng(0)
    top = eigsh(operator, 1, ncv=min(STEPS, size), tol=1e-2, v0=start.standard_normal(size), return_eigenvectors=False)[
        0
    ]
    return float(top) / (1 - (math.log(1.648 * math.sqrt(size) / 1e-9) / (2 * STEPS - 1)) ** 2)


def arpack_with_bounds(case: Case, _: str) -> Result:
    """ARPACK, then residuals, and from Lanczos steps a bound on what it left out."""
    pairs, bound = _by_arpack(case), 0.0
    for apply, (values, vectors) in zip(_operators(case), pairs, strict=True):
        residuals = apply(vectors) - vectors * values
        norm = spectral_norm(residuals)
        found = Pairs(
            eigenvalues=values,
            eigenvectors=vectors,
            residuals=np.linalg.norm(residuals, axis=0),
            residual_norm=norm,
            outside=_left_out(apply, vectors) + norm,
        )
        bound = max(bound, float((found.bounds / values).max()))
    return pairs[0][0], pairs[1][0], bound, ""


SOLVERS = {
    "phiscope": krylov,
    "phiscope, all": everything,
    "scipy eigh subset x 2": subset,
    "arpack x 2": arpack,
    "arpack x 2, bounds": arpack_with_bounds,
}
TRUTH = "scipy eigh subset x 2"


def judge(case: Case, job: str, result: Result) -> dict[str, Any]:
    """Both sets of leading eigenvalues one after another, the largest bound, and what the solver says."""
    centered, raw, bound, words = result
    return {"values": np.concatenate([centered, raw]), "bound": bound, "words": words, "relative": True}
