"""`phiscope.diagonalize` as it is, and with a library's eigh and svd in the place of its own calls of LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from speed_parts import ours as calls
from speed_parts.cases import Case, Shape, load_case, save_case

from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement
from phiscope.spectrum import eigensystem

JOBS = ("numbers", "numbers, vectors")
SPECTRA = ("classes",)
Eigh = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def write(folder: Path, p: int, spectrum: str, n: int | None = None, classes: int = 100, **_: Any) -> None:
    """Features, a head and classes as a network has them; 2 p samples unless told otherwise."""
    save_case(Shape(n=n or 2 * p, p=p, classes=classes), folder, reference=False)


def load(folder: Path) -> Case:
    """A written case."""
    return load_case(folder)


class _Known:
    """Eigenvalues, descending, and eigenvectors that were made with them."""

    def __init__(self, values: NDArray[np.float64], vectors: NDArray[np.float64]) -> None:
        self.values, self._vectors = values, vectors

    def project(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return product(self._vectors.T, columns)

    def combine(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        return product(self._vectors, coefficients)

    def leading(self, count: int) -> NDArray[np.float64]:
        return np.array(self._vectors[:, :count])

    def vectors(self) -> NDArray[np.float64]:
        return self._vectors


def _put(eigh: Eigh, qr: Any, svd: Any) -> None:
    """Solvers in the place of phiscope's own; the process that calls it does nothing else."""

    def diagonalized(lower: NDArray[np.float64]) -> _Known:
        # Of the negative, whose ascending order is the descending one.
        np.negative(lower, out=lower)
        values, vectors = eigh(lower)
        return _Known(-values, vectors)

    def few_rows(rows: NDArray[np.float64], beside: NDArray[np.float64] | None = None) -> _Known:
        basis, triangle = qr(rows.T if beside is None else np.column_stack([rows.T, beside]))
        inner = min(rows.shape)
        turn, singular = svd(triangle[:inner, : len(rows)])[:2]
        vectors = np.column_stack([product(basis[:, :inner], turn), basis[:, inner:]])
        return _Known(np.append(singular**2, np.zeros(vectors.shape[1] - inner)), vectors)

    eigensystem.Diagonalized, eigensystem.FewRows = diagonalized, few_rows


def _numpys_svd(matrix: NDArray[np.float64]) -> Any:
    return np.linalg.svd(matrix, full_matrices=False)


def _torchs_qr(matrix: NDArray[np.float64]) -> Any:
    return [part.numpy() for part in torch.linalg.qr(torch.from_numpy(np.ascontiguousarray(matrix)))]


def _torchs_svd(matrix: NDArray[np.float64]) -> Any:
    return [part.numpy() for part in torch.linalg.svd(torch.from_numpy(np.array(matrix)), full_matrices=False)]


def _torchs(lower: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = torch.linalg.eigh(torch.from_numpy(lower))
    return values.numpy(), vectors.numpy()


def _scipys(lower: NDArray[np.float64]) -> Any:
    return scipy.linalg.eigh(lower, lower=True, overwrite_a=True, check_finite=False, driver="evd")


def ours(case: Case, job: str) -> Measurement:
    """What phiscope does."""
    read = calls.everything if "vectors" in job else calls.numbers
    return read(case, {"intervals": False})


def with_torch(case: Case, job: str) -> Measurement:
    """torch.linalg.eigh, qr and svd."""
    _put(_torchs, _torchs_qr, _torchs_svd)
    return ours(case, job)


def with_numpy(case: Case, job: str) -> Measurement:
    """numpy.linalg.eigh, qr and svd."""
    _put(np.linalg.eigh, np.linalg.qr, _numpys_svd)
    return ours(case, job)


def with_scipy(case: Case, job: str) -> Measurement:
    """scipy.linalg.eigh, and NumPy's qr and svd."""
    _put(_scipys, np.linalg.qr, _numpys_svd)
    return ours(case, job)


SOLVERS = {"phiscope": ours, "with torch": with_torch, "with numpy": with_numpy, "with scipy": with_scipy}
TRUTH = "with scipy"


def judge(case: Case, job: str, result: Measurement) -> dict[str, Any]:
    """The centered eigenvalues."""
    return {"values": result.centered.eigenvalues}
