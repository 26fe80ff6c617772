"""The spectrum of A^T A from fewer rows than columns, and one more direction that reaches a given vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from phiscope.linalg.eigen import FewRows

JOBS = ("vectors", "project 30", "project 190")
SPECTRA = ("decay", "graded")
Result = tuple[NDArray[np.float64], NDArray[np.float64] | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows, shape (r, p), a vector beside them, shape (p,), and columns, shape (p, 190)."""

    rows: NDArray[np.float64]
    beside: NDArray[np.float64]
    columns: NDArray[np.float64]


def write(folder: Path, p: int, spectrum: str, n: int | None = None, **_: Any) -> None:
    """Random rows, p / 2 of them unless told otherwise, columns of falling size."""
    rng = np.random.default_rng(0)
    spread = 10.0 ** (-6 * np.arange(p) / p) if spectrum == "graded" else 1 / np.sqrt(np.arange(1, p + 1))
    np.save(folder / "rows.npy", rng.standard_normal((n or p // 2, p)) * spread)
    np.save(folder / "beside.npy", rng.standard_normal(p))
    np.save(folder / "columns.npy", rng.standard_normal((p, 190)))


def load(folder: Path) -> Case:
    """A written case."""
    return Case(**{name: np.load(folder / f"{name}.npy") for name in ("rows", "beside", "columns")})


def _some(case: Case, job: str) -> NDArray[np.float64]:
    return case.columns[:, : int(job.split()[1])]


def ours(case: Case, job: str) -> Result:
    """What phiscope calls."""
    found = FewRows(case.rows, case.beside)
    return found.values, found.vectors() if job == "vectors" else found.project(_some(case, job))


def _completed(case: Case, job: str, singular: Any, right: Any) -> Result:
    """The vector's direction outside the rows joins them."""
    left = case.beside
    for _ in range(2):
        left = left - right.T @ (right @ left)
    whole = np.vstack([right, left / np.linalg.norm(left)])
    values = np.append(np.asarray(singular) ** 2, 0.0)
    return values, whole.T if job == "vectors" else whole @ _some(case, job)


def by_numpy(case: Case, job: str) -> Result:
    """numpy.linalg.svd."""
    _, singular, right = np.linalg.svd(case.rows, full_matrices=False)
    return _completed(case, job, singular, right)


def by_torch(case: Case, job: str) -> Result:
    """torch.linalg.svd."""
    _, singular, right = torch.linalg.svd(torch.from_numpy(case.rows), full_matrices=False)
    return _completed(case, job, singular.numpy(), right.numpy())


def by_scipy(case: Case, job: str) -> Result:
    """scipy.linalg.svd."""
    _, singular, right = scipy.linalg.svd(case.rows, full_matrices=False, check_finite=False)
    return _completed(case, job, singular, right)


def _of_triangle(case: Case, job: str, basis: Any, turn: Any, singular: Any) -> Result:
    """Basis times what the triangle's directions are turned to; without that product where coordinates will do."""
    values, inner = np.append(np.asarray(singular) ** 2, 0.0), len(turn)
    if job == "vectors":
        return values, np.column_stack([basis[:, :inner] @ turn, basis[:, inner:]])
    along = basis.T @ _some(case, job)
    return values, np.vstack([turn.T @ along[:inner], along[inner:]])


def by_numpys_triangle(case: Case, job: str) -> Result:
    """numpy.linalg.qr of the rows and the vector, then the triangle's svd."""
    basis, triangle = np.linalg.qr(np.column_stack([case.rows.T, case.beside]))
    turn, singular, _ = np.linalg.svd(triangle[:-1, :-1])
    return _of_triangle(case, job, basis, turn, singular)


def by_torchs_triangle(case: Case, job: str) -> Result:
    """torch.linalg.qr of the rows and the vector, then the triangle's svd."""
    basis, triangle = torch.linalg.qr(torch.from_numpy(np.column_stack([case.rows.T, case.beside])))
    turn, singular, _ = torch.linalg.svd(triangle[:-1, :-1])
    return _of_triangle(case, job, basis.numpy(), turn.numpy(), singular.numpy())


SOLVERS = {
    "phiscope": ours,
    "numpy svd": by_numpy,
    "torch svd": by_torch,
    "scipy svd": by_scipy,
    "numpy qr, svd": by_numpys_triangle,
    "torch qr, svd": by_torchs_triangle,
}
TRUTH = "scipy svd"


def judge(case: Case, job: str, result: Result) -> dict[str, Any]:
    """Eigenvalues, and of eigenvectors the residual in eps rho_1 and the distance from orthonormal in eps."""
    values, vectors = result
    told: dict[str, Any] = {"values": np.array(values)}
    if job == "vectors" and vectors is not None:
        eps = np.finfo(np.float64).eps
        residual = case.rows.T @ (case.rows @ vectors) - vectors * values
        told["residual"] = float(np.linalg.norm(residual, axis=0).max() / (eps * values[0]))
        told["orthogonal"] = float(np.abs(vectors.T @ vectors - np.eye(len(values))).max() / eps)
    return told
