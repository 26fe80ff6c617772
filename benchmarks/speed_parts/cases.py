"""Features to measure: the same arrays for every contestant, kept on disk between processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

BATCH_ROWS = 2048
"""Rows a batch, for the floor and for everything that takes batches."""

KEPT = 1e-4
"""Eigenvalues above this share of the largest are compared with the reference."""

MEAN, DECAY, BETWEEN = 4.0, 1.2, 3.0
"""Mean of a feature in units of its spread; power of the spectrum; spread of class means beside the noise."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a case looks like: n samples, p features, C classes."""

    n: int
    p: int
    classes: int

    def __str__(self) -> str:
        """The form that the command line takes, n x p x C."""
        return f"{self.n}x{self.p}x{self.classes}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """The arrays every contestant gets.

    Attributes:
        features: float32, shape (n, p).
        targets: class indices, shape (n,).
        head: W, shape (C, p), and b, shape (C,), float32.
        shape: n, p and C.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    head: tuple[NDArray[np.float32], NDArray[np.float32]]
    shape: Shape

    def batches(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Features and targets, 2,048 rows at a time, without a copy."""
        for start in range(0, self.shape.n, BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            yield self.features[part], self.targets[part]


def make_case(shape: Shape, seed: int = 0) -> Case:
    """Features as a network has them: classes, a decaying spectrum in a mixed basis, means of several spreads."""
    rng = np.random.default_rng(seed)
    n, p, classes = shape.n, shape.p, shape.classes
    targets = rng.integers(0, classes, n)
    spread = (np.arange(1, p + 1) ** (-DECAY / 2)).astype(np.float32)
    centers = (BETWEEN * rng.standard_normal((classes, p), dtype=np.float32)) * spread
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), p)
    features = np.empty((n, p), dtype=np.float32)
    for start in range(0, n, BATCH_ROWS):
        part = slice(start, min(start + BATCH_ROWS, n))
        noise = rng.standard_normal((part.stop - start, p), dtype=np.float32) * spread
        # A cosine transform with random signs is a rotation that costs n p log p, also where p is 8192.
        features[part] = scipy.fft.dct((noise + centers[targets[part]]) * signs, norm="ortho", axis=1)
    typical = float(np.sqrt(np.mean(spread**2) * (1 + BETWEEN**2)))
    features += (MEAN * typical * rng.uniform(0.5, 1.5, p)).astype(np.float32)
    weights = scipy.fft.dct((centers - centers.mean(axis=0)) * signs, norm="ortho", axis=1)
    weights = (weights / np.linalg.norm(weights)).astype(np.float32)
    return Case(features=features, targets=targets, head=(weights, np.zeros(classes, dtype=np.float32)), shape=shape)


def covariance_of(case: Case) -> NDArray[np.float64]:
    """The covariance in two passes of float64, mean first; shape (p, p)."""
    p = case.shape.p
    mean = np.zeros(p)
    for rows, _ in case.batches():
        mean += rows.sum(axis=0, dtype=np.float64) / case.shape.n
    scatter = np.zeros((p, p), order="F")
    for rows, _ in case.batches():
        scatter = dsyrk(1.0, (rows - mean).T, beta=1.0, c=scatter, overwrite_c=1)
    return np.asarray(np.triu(scatter) + np.triu(scatter, 1).T) / case.shape.n


def reference_of(case: Case) -> NDArray[np.float64]:
    """Eigenvalues of the covariance in float64, descending, shape (p,)."""
    return np.asarray(scipy.linalg.eigvalsh(covariance_of(case))[::-1])


def worst_error(eigenvalues: NDArray[np.float64], reference: NDArray[np.float64]) -> tuple[float, float]:
    """Largest error of any eigenvalue: relative, among those above 1e-4 rho_1; as a share of rho_1, among all.

    Eigenvalues that are missing count as zero, and NaN as an infinite error.

    Example:
        >>> worst_error(np.array([1.0, 2.5]), np.array([2.0, 1.0]))
        (0.25, 0.25)
        >>> worst_error(np.array([2.0]), np.array([2.0, 1.0]))
        (1.0, 0.5)
    """
    given = np.zeros(len(reference))
    found = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1][: len(reference)]
    given[: len(found)] = found
    error = np.where(np.isfinite(given), np.abs(given - reference), np.inf)
    kept = reference > KEPT * reference[0]
    return float(np.max(error[kept] / reference[kept])), float(np.max(error) / reference[0])


def save_case(shape: Shape, folder: Path, *, reference: bool, seed: int = 0) -> None:
    """Make a case and write it, with its reference where asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    case = make_case(shape, seed)
    np.save(folder / "features.npy", case.features)
    np.save(folder / "targets.npy", case.targets)
    np.save(folder / "weights.npy", case.head[0])
    if reference:
        np.save(folder / "reference.npy", reference_of(case))
    (folder / "shape.json").write_text(json.dumps(asdict(shape)), encoding="utf-8")


def load_case(folder: Path) -> Case:
    """A written case, read into memory."""
    shape = Shape(**json.loads((folder / "shape.json").read_text(encoding="utf-8")))
    return Case(
        features=np.load(folder / "features.npy"),
        targets=np.load(folder / "targets.npy"),
        head=(np.load(folder / "weights.npy"), np.zeros(shape.classes, dtype=np.float32)),
        shape=shape,
    )


def load_reference(folder: Path) -> NDArray[np.float64] | None:
    """The reference eigenvalues of a written case, None where none was made."""
    path = folder / "reference.npy"
    return np.load(path) if path.exists() else None
