"""How far features are from perfect collapse onto the targets, also when target directions are of unequal strength.

The unconstrained-feature model minimizes square loss over head and features at once, with weight decay on both. With c
the product of the two decays, head and features then have singular values proportional to sqrt(s_j),
s_j = sqrt(d_j) - sqrt(c): as c goes to 0, the feature variance along the target function t_j is proportional to
sqrt(d_j), and W W^T to Dc^(1/2) (the form that NRC3 reads).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, Definition
from phiscope.linalg import dense
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.spectrum.eigensystem import diagonalize_operator
from phiscope.typing import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class TargetEigenspaces:
    """Eigenspaces of Dc, and how features load on the whitened target functions t = u . (y - yb) / sqrt(d) in each.

    Attributes:
        eigenvalues: d_j > 0, shape (J,), in squared target units.
        multiplicities: dimension of each eigenspace, shape (J,).
        squared_loadings: norm^2 of E[(phi - m) t] summed over an orthonormal basis of each, shape (J,), in squared
            feature units.
    """

    eigenvalues: FloatArray
    multiplicities: IntArray
    squared_loadings: FloatArray


def _eigenspaces(values: FloatArray, sizes: IntArray, squares: FloatArray, tolerance: float) -> TargetEigenspaces:
    """From d_j, dimensions and norm^2 of Gc on each eigenspace; those at or below the tolerance are left out."""
    kept = values > tolerance * values.max(initial=0.0)
    return TargetEigenspaces(
        eigenvalues=values[kept], multiplicities=sizes[kept], squared_loadings=squares[kept] / values[kept]
    )


def value_eigenspaces(covariance: PositiveOperator, cross: FloatArray, tolerance: float) -> TargetEigenspaces:
    """Eigenspaces of real targets, each of dimension 1.

    Args:
        covariance: Dc, size c.
        cross: Gc = cov(phi, y), shape (p, c).
        tolerance: eigenvalues at or below this share of the largest count as zero.
    """
    system = diagonalize_operator(covariance)
    projected = product(cross, system.eigenvectors)
    sizes = np.ones(len(system.eigenvalues), dtype=np.int64)
    return _eigenspaces(system.eigenvalues, sizes, np.einsum("pj,pj->j", projected, projected), tolerance)


def class_eigenspaces(shares: FloatArray, cross: FloatArray, tolerance: float) -> TargetEigenspaces:
    """Eigenspaces of one-hot targets, Dc = diag(pi) - pi pi^T, never C x C.

    Inside a set of classes of equal share every direction that sums to 0 is an eigenvector with that share as
    eigenvalue. What remains is one direction for each distinct share, and n samples have at most sqrt(2 n) of those.

    Args:
        shares: pi_c > 0, shape (C,), sum 1.
        cross: Gc = cov(phi, one-hot), shape (p, C).
        tolerance: eigenvalues at or below this share of the largest count as zero; the constant direction does.
    """
    distinct, member, counts = np.unique(shares, return_inverse=True, return_counts=True)
    order = np.argsort(member, kind="stable")
    # Classes as rows, those of equal share next to each other.
    rows = cross.T[order]
    sums = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
    rows -= np.repeat(sums / counts[:, None], counts, axis=0)
    inside = np.add.reduceat(np.einsum("cp,cp->c", rows, rows), np.cumsum(counts) - counts)
    values, vectors = dense.eigenpairs(_between_shares(distinct, counts))
    projected = product((sums / np.sqrt(counts)[:, None]).T, vectors)
    several = counts > 1
    return _eigenspaces(
        np.concatenate([distinct[several], values]),
        np.concatenate([counts[several] - 1, np.ones(len(values), dtype=np.int64)]),
        np.concatenate([inside[several], np.einsum("pk,pk->k", projected, projected)]),
        tolerance,
    )


def _between_shares(distinct: FloatArray, counts: IntArray) -> FloatArray:
    """Dc in the basis of normalized sums of the classes of equal share."""
    masses = counts * distinct
    largest = int(np.argmax(masses))
    others = masses.sum() - masses
    # A sum of what is left, not 1 - mass: a class of nearly all samples would lose every digit.
    others[largest] = np.delete(masses, largest).sum()
    scaled = np.sqrt(counts) * distinct
    matrix = -np.outer(scaled, scaled)
    np.fill_diagonal(matrix, distinct * others)
    return matrix


def collapse_distance(targets: TargetEigenspaces, covariance_norm: float) -> float:
    """1 - CKA of the feature operator and sum_j sqrt(d_j) t_j t_j^T, the one that collapse would give; 0..1.

    It is 0 exactly when S has no other variance than along the targets and its eigenvalues there are proportional
    to sqrt(d_j).

    Args:
        targets: eigenspaces of Dc, at least one.
        covariance_norm: Frobenius norm of S, positive.

    Source: phiscope's own; the collapsed form from Andriopoulos et al. 2024, arXiv:2409.04180.

    Example:
        Target standard deviations 1, 2, 3 and features of variance 1, 2, 3 along them; then equally strong ones.

        >>> d, ones = np.array([1.0, 4.0, 9.0]), np.ones(3, dtype=np.int64)
        >>> collapsed = TargetEigenspaces(eigenvalues=d, multiplicities=ones, squared_loadings=np.sqrt(d))
        >>> round(collapse_distance(collapsed, covariance_norm=14**0.5), 12)
        0.0
        >>> equal = TargetEigenspaces(eigenvalues=d, multiplicities=ones, squared_loadings=np.ones(3))
        >>> round(collapse_distance(equal, covariance_norm=3**0.5), 3)
        0.074
    """
    overlap = float(np.sqrt(targets.eigenvalues) @ targets.squared_loadings)
    size = math.sqrt(float(targets.eigenvalues @ targets.multiplicities)) * covariance_norm
    # Cauchy-Schwarz bounds the quotient by 1; beyond that is rounding.
    return min(max(1 - overlap / size, 0.0), 1.0)


DEFINITIONS = (
    Definition(
        name="collapse_distance",
        title="distance from collapse",
        symbol="D_col",
        aliases=("collapse distance", "distance to collapse"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: the features are the targets, each direction as strong as collapse makes it; 1: unrelated",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="1 − Σⱼ √dⱼ ‖E[(φ − m) tⱼ]‖² / (√Σⱼdⱼ ‖S‖), Dc uⱼ = dⱼ uⱼ, tⱼ = uⱼ·(y − ȳ) / √dⱼ",
        needs=("features", "targets"),
        meaning="Distance (1 − CKA) of the feature kernel from that of perfect collapse onto the targets, where the "
        "feature variance along target direction j is proportional to √dⱼ. 0 at collapse also for targets of unequal "
        "scale and for rare classes, where D_LR is not.",
        source="phiscope, with the collapsed form of Andriopoulos et al. 2024, arXiv:2409.04180",
        ours=True,
        caveat="The √d form is that of square loss with head and features of least norm; with weight decay it is "
        "√d − √c, c the product of the decays of head and features. Cross-entropy on imbalanced classes collapses to "
        "another form (arXiv:2208.05512). Memorized labels give 0 too. Biased when n is not much larger than p, low "
        "but near collapse.",
    ),
)
