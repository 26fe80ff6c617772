"""Eigenfunctions rotated toward the classes inside clusters of nearly equal eigenvalues.

Inside a cluster any rotation of the eigenfunctions is as good as any other, and the one that the solver returns means
nothing. Turning them toward the class indicators gives pictures that a person can read, and the same ones at every
epoch. What was rotated is said in the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phiscope.errors import InputError
from phiscope.linalg import dense
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.spectrum.clusters import CLUSTER_GAP, degenerate_clusters
from phiscope.typing import FloatArray

NEARLY_EQUAL = 0.5
"""A cluster whose smallest eigenvalue is below this share of its largest is not rotated: grown from neighbor to
neighbor, it is a slope and no longer a degeneracy."""

SEEN = 1e-8
"""A direction of a cluster with a class share below this (squared norm) is not seen by the classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotated:
    """Orthonormal functions e' = e R with R orthogonal and mixing only inside clusters.

    Attributes:
        measurement: where the eigenfunctions come from.
        centered: which operator.
        rotation: R, shape (k, k); column j holds e'_j in terms of the eigenfunctions.
        eigenvalues: <e'_j|T e'_j>, shape (k,); inside a rotated cluster a mean of its eigenvalues.
        quality: share of e'_j in the span of the class indicators, shape (k,), 0..1; sums over a cluster are kept.
        rotated: half-open ranges of the clusters that were rotated.
        left: ranges of clusters that were not, because they span too wide a range of eigenvalues.
        toward: for each function the class it was turned to, None for all others.
    """

    measurement: Measurement
    centered: bool
    rotation: FloatArray
    eigenvalues: FloatArray
    quality: FloatArray
    rotated: tuple[tuple[int, int], ...]
    left: tuple[tuple[int, int], ...]
    toward: tuple[int | None, ...]

    @property
    def note(self) -> str:
        """What was done, for below a picture."""
        if not self.rotated:
            return "No eigenfunctions were rotated: no cluster of nearly equal eigenvalues."
        ranges = ", ".join(f"{start + 1} to {stop}" for start, stop in self.rotated)
        kept = ", ".join(f"{start + 1} to {stop}" for start, stop in self.left)
        tail = f" Clusters {kept} were left: their eigenvalues differ by more than a factor {1 / NEARLY_EQUAL:g}."
        return (
            f"Eigenfunctions {ranges} have nearly equal eigenvalues and were rotated toward the classes."
            f"{tail if self.left else ''}"
        )

    def eigenfunctions(self, features: Any) -> FloatArray:
        """Values of the rotated functions on any features of shape (n, p): shape (n, k).

        Raises:
            ShapeError: the features have another width.
        """
        return product(self.measurement.eigenfunctions(features, centered=self.centered), self.rotation)

    def occurring_profile(self, k: int) -> FloatArray:
        """`class_profile` of the classes that occur, in the order of `Measurement.occurring`, shape (m, k)."""
        stored = self.rotation.shape[0]
        profile = self.measurement.occurring_profile(stored, centered=self.centered)
        return np.asarray(product(profile, self.rotation)[:, :k])

    def class_profile(self, k: int | None = None) -> FloatArray:
        """E[e'_j | y = c], shape (num_classes, k); NaN for a class that never occurs."""
        return np.asarray(product(self.measurement.class_profile(centered=self.centered), self.rotation)[:, :k])


def rotate_to_classes(measurement: Measurement, *, centered: bool = False, gap: float = CLUSTER_GAP) -> Rotated:
    """Rotate eigenfunctions toward the class indicators inside each cluster of nearly equal eigenvalues.

    In a cluster of s functions the s classes that it sees best are chosen, and the rotation is the one that brings
    the s functions nearest to those indicators over sqrt(pi_c) in least squares (orthogonal Procrustes). Functions
    that no class sees keep what is left, in descending order of <e|T e>. Cumulative quality and utilization at the
    ends of clusters do not change.

    Args:
        measurement: of features with integer targets.
        centered: of the covariance instead of the second moment.
        gap: see `phiscope.spectrum.clusters.degenerate_clusters`, with the number of samples that count
            independently, `Measurement.independent_samples`.

    Returns:
        The rotated functions, as many as eigenvectors are stored, and what was done to them.

    Raises:
        InputError: the targets were not classes.

    Source: Procrustes Schonemann 1966; the use and the choice of classes are phiscope's own.

    Example:
        >>> from phiscope import diagonalize
        >>> y = np.arange(6) % 3
        >>> rotated = rotate_to_classes(diagonalize(np.eye(3)[y], targets=y))
        >>> (rotated.class_profile().round(6) + 0.0).tolist()
        [[1.732051, 0.0, 0.0], [0.0, 1.732051, 0.0], [0.0, 0.0, 1.732051]]
    """
    rows = as_measurement(measurement).occurring()
    if rows is None:
        raise InputError("rotating toward classes needs integer targets, and this measurement has none")
    kept = measurement.spectrum(centered=centered).eigenvectors.shape[1]
    rho = measurement.spectrum(centered=centered).eigenvalues[:kept]
    seen = measurement.occurring_profile(kept, centered=centered) * np.sqrt(rows.weights)[:, None]
    found = degenerate_clusters(rho, gap=gap, n_samples=measurement.independent_samples)
    narrow = [rho[stop - 1] >= NEARLY_EQUAL * rho[start] for start, stop in found]
    rotation = np.eye(kept)
    toward: list[int | None] = [None] * kept
    for (start, stop), equal in zip(found, narrow, strict=True):
        if equal:
            block, classes = _toward(seen[:, start:stop], rho[start:stop])
            rotation[start:stop, start:stop] = block
            toward[start : start + len(classes)] = [int(rows.labels[c]) for c in classes]
    return Rotated(
        measurement=measurement,
        centered=centered,
        rotation=rotation,
        eigenvalues=rho @ rotation**2,
        quality=np.minimum(((seen @ rotation) ** 2).sum(axis=0), 1.0),
        rotated=tuple(pair for pair, equal in zip(found, narrow, strict=True) if equal),
        left=tuple(pair for pair, equal in zip(found, narrow, strict=True) if not equal),
        toward=tuple(toward),
    )


def _toward(seen: FloatArray, rho: FloatArray) -> tuple[FloatArray, list[int]]:
    """Rotation of one cluster, shape (s, s), and the classes its first columns were turned to.

    Args:
        seen: <1_c / sqrt(pi_c)|e_j>, shape (classes, s).
        rho: eigenvalues of the cluster, shape (s,).
    """
    rank = int((dense.singular_values(seen) ** 2 > SEEN).sum())
    # Pivoting picks, one after the other, the class of which most is left.
    pivots = dense.pivots(seen.T)
    classes = sorted(int(c) for c in pivots[:rank])
    left, right = dense.singular_vectors(seen[classes].T)
    turned, rest = left[:, :rank] @ right, left[:, rank:]
    _, vectors = dense.eigenpairs(rest.T @ (rho[:, None] * rest))
    return np.concatenate([turned, rest @ vectors[:, ::-1]], axis=1), classes
