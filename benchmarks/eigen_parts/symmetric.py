"""The whole spectrum of a p x p matrix: eigenvalues; then all eigenvectors; or then the coordinates of some columns.

Coordinates V^T x of few columns are what a measurement asks for: 30 of them with 10 classes, 190 with 100.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from phiscope.linalg import eigen
from phiscope.linalg.lapack import character, check_status, integer, pointer, routine, spacing

JOBS = ("values", "vectors", "project 30", "project 190")
SPECTRA = ("decay", "half", "graded")
Result = tuple[NDArray[np.float64], NDArray[np.float64] | None]
"""Eigenvalues, descending, and eigenvectors (job "vectors"), coordinates (job "project") or None."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A covariance, shape (p, p), and columns, shape (p, 190)."""

    matrix: NDArray[np.float64]
    columns: NDArray[np.float64]

    def some(self, job: str) -> NDArray[np.float64]:
        """The columns that a job named "project ..." asks for."""
        return self.columns[:, : int(job.split()[1])]


def write(folder: Path, p: int, spectrum: str, **_: Any) -> None:
    """Covariances of random samples: eigenvalues near 1 / k; half of them zero; falling over twelve decades."""
    rng = np.random.default_rng(0)
    n = p // 2 if spectrum == "half" else 2 * p
    spread = 10.0 ** (-6 * np.arange(p) / p) if spectrum == "graded" else 1 / np.sqrt(np.arange(1, p + 1))
    rows = rng.standard_normal((n, p)) * spread
    mirror = rng.standard_normal(p)
    mirror /= np.linalg.norm(mirror)
    # A reflection mixes the axes, so that no solver profits from small entries.
    rows -= 2 * np.outer(rows @ mirror, mirror)
    np.save(folder / "matrix.npy", rows.T @ rows / n)
    np.save(folder / "columns.npy", rng.standard_normal((p, 190)))


def load(folder: Path) -> Case:
    """A written case."""
    return Case(matrix=np.load(folder / "matrix.npy"), columns=np.load(folder / "columns.npy"))


def ours(case: Case, job: str) -> Result:
    """What phiscope calls."""
    found = eigen.Diagonalized(np.array(case.matrix, order="F"))
    if job == "values":
        return found.values, None
    return found.values, found.vectors() if job == "vectors" else found.project(case.some(job))


def _lapack_reflects(
    reflectors: NDArray[np.float64],
    factors: NDArray[np.float64],
    columns: NDArray[np.float64],
    *,
    skipped: int,
    transposed: bool = False,
) -> None:
    """`eigen.reflect` after a tridiagonal reduction, by LAPACK's own routine."""
    if skipped != 1:
        raise ValueError(f"dormtr skips 1 entry, not {skipped}")
    work = np.empty(1)
    for asked in (True, False):
        status = ctypes.c_int(0)
        routine("dormtr", "char *, char *, char *, int *", 13)(
            character("L"), character("L"), character("T" if transposed else "N"), integer(columns.shape[0]),
            integer(columns.shape[1]), pointer(reflectors), spacing(reflectors), pointer(factors), pointer(columns),
            spacing(columns), pointer(work), integer(-1 if asked else len(work)), ctypes.byref(status),
        )  # fmt: skip
        check_status("dormtr", status, columns.shape)
        work = np.empty(int(work[0])) if asked else work


def ours_with_dormtr(case: Case, job: str) -> Result:
    """The same with LAPACK's product of reflectors in place of ours; its process does nothing else."""
    eigen.reflect = _lapack_reflects
    return ours(case, job)


def _finished(case: Case, job: str, values: Any, vectors: Any) -> Result:
    vectors = np.asarray(vectors)[:, ::-1]
    return np.asarray(values)[::-1], vectors if job == "vectors" else vectors.T @ case.some(job)


def by_torch(case: Case, job: str) -> Result:
    """torch.linalg; the product stays with it, so that no other threads wake."""
    matrix = torch.from_numpy(case.matrix)
    if job == "values":
        return torch.linalg.eigvalsh(matrix).numpy()[::-1], None
    values, vectors = torch.linalg.eigh(matrix)
    if job == "vectors":
        return _finished(case, job, values.numpy(), vectors.numpy())
    return values.numpy()[::-1], (vectors.T @ torch.from_numpy(case.some(job))).numpy()[::-1]


def by_numpy(case: Case, job: str) -> Result:
    """numpy.linalg."""
    if job == "values":
        return np.linalg.eigvalsh(case.matrix)[::-1], None
    return _finished(case, job, *np.linalg.eigh(case.matrix))


def _by_scipy(case: Case, job: str, driver: str) -> Result:
    if job == "values":
        found = scipy.linalg.eigh(case.matrix, driver=driver, eigvals_only=True, check_finite=False)
        return np.asarray(found)[::-1], None
    return _finished(case, job, *scipy.linalg.eigh(case.matrix, driver=driver, check_finite=False))


def by_scipy_dividing(case: Case, job: str) -> Result:
    """scipy.linalg, divide and conquer."""
    return _by_scipy(case, job, "evd")


def by_scipy_representations(case: Case, job: str) -> Result:
    """scipy.linalg, relatively robust representations."""
    return _by_scipy(case, job, "evr")


SOLVERS = {
    "phiscope": ours,
    "phiscope, dormtr": ours_with_dormtr,
    "torch eigh": by_torch,
    "numpy eigh": by_numpy,
    "scipy eigh evd": by_scipy_dividing,
    "scipy eigh evr": by_scipy_representations,
}
TRUTH = "scipy eigh evd"
"""Whose eigenvalues the others are compared with."""


def judge(case: Case, job: str, result: Result) -> dict[str, Any]:
    """Eigenvalues, and of eigenvectors the residual in eps rho_1 and the distance from orthonormal in eps."""
    values, vectors = result
    told: dict[str, Any] = {"values": np.array(values)}
    if job == "vectors" and vectors is not None:
        eps = np.finfo(np.float64).eps
        residual = case.matrix @ vectors - vectors * values
        told["residual"] = float(np.linalg.norm(residual, axis=0).max() / (eps * values[0]))
        told["orthogonal"] = float(np.abs(vectors.T @ vectors - np.eye(len(values))).max() / eps)
    return told
