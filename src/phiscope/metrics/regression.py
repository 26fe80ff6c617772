"""Neural collapse for regression: features that hold nothing but as many directions as there are targets.

Variance-weighted forms: the papers normalize each sample's feature vector first, which weighs small and large
deviations alike and is no function of moments.
"""

from __future__ import annotations

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, SHAPE_AND_OUTPUTS, Definition
from phiscope.linalg.eigen import FewRows
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import frobenius_norm, product, row_products
from phiscope.spectrum.eigensystem import diagonalize_operator
from phiscope.typing import FloatArray


def nrc1(eigenvalues: FloatArray, n_targets: int) -> float:
    """Share of centered feature variance outside the c leading principal components; 0..1, 0 when collapsed.

    Args:
        eigenvalues: centered rho_k, shape (K,), K >= 1.
        n_targets: c, number of regression targets.

    Source: Andriopoulos et al. 2024, arXiv:2409.04180 (NRC1), variance-weighted.

    Example:
        >>> nrc1(np.array([3.0, 1.0]), 1)
        0.25
    """
    return float(eigenvalues[n_targets:].sum() / eigenvalues.sum())


def nrc2(covariance: PositiveOperator, weight: FloatArray) -> float:
    """Share of centered feature variance outside the row space of the head; 0..1, 0 when collapsed.

    Args:
        covariance: S, positive trace.
        weight: W, shape (C, p), not all zero.

    Source: Andriopoulos et al. 2024, arXiv:2409.04180 (NRC2), variance-weighted.

    Example:
        >>> nrc2(PositiveOperator(matrix=np.diag([3.0, 1.0])), np.array([[1.0, 0.0]]))
        0.25
    """
    found = FewRows(weight)
    singular = np.sqrt(found.values)
    basis = found.leading(int((singular > max(weight.shape) * np.finfo(np.float64).eps * singular[0]).sum()))
    inside = float(np.einsum("ij,ij->", basis, covariance.apply(basis)))
    return min(max(1 - inside / covariance.trace(), 0.0), 1.0)


def nrc3(weight: FloatArray, target_covariance: FloatArray) -> float:
    """Squared distance of the normalized W W^T from its predicted form, at the best gamma; 0..4, 0 when collapsed.

    Predicted is Dc^(1/2) - sqrt(gamma) I with 0 <= gamma < smallest eigenvalue of Dc.

    Args:
        weight: W, shape (c, p), not all zero.
        target_covariance: Dc, shape (c, c), not zero.

    Source: Andriopoulos et al. 2024, arXiv:2409.04180 (NRC3).

    Example:
        >>> round(nrc3(np.diag([1.0, 2.0]) ** 0.5, np.diag([1.0, 4.0])), 12)
        0.0
    """
    gram = row_products(weight)
    gram = gram / frobenius_norm(gram)
    system = diagonalize_operator(PositiveOperator(matrix=target_covariance))
    roots, vectors = np.sqrt(system.eigenvalues), system.eigenvectors
    # A target that others express leaves no room for gamma.
    largest = float(roots[-1]) * (1 - 1e-9) if len(roots) == len(gram) else 0.0

    def distance(shift: float) -> float:
        predicted = product(vectors * (roots - shift), vectors.T)
        size = frobenius_norm(predicted)
        # Equal roots make the predicted form vanish at the end of the range; it is not approached there.
        return frobenius_norm(gram - predicted / size) ** 2 if size > 1e-12 * roots[0] else np.inf

    # The cosine with a point on a line, (a - s t) / sqrt(b - 2 s r + s^2 c), has one stationary point.
    shares = np.einsum("ik,ik->k", vectors, product(gram, vectors))
    a, t, b, r, c = shares @ roots, shares.sum(), roots @ roots, roots.sum(), len(roots)
    candidates = [0.0, largest]
    if t * r != a * c:
        candidates.append(float(np.clip((t * b - a * r) / (t * r - a * c), 0.0, largest)))
    return float(min(map(distance, candidates)))


_COLLAPSE = "0: collapsed; large: far from it"
_SOURCE = "Andriopoulos et al. 2024, arXiv:2409.04180, variance-weighted here"

DEFINITIONS = (
    Definition(
        name="nrc1",
        title="NRC1, variance outside the leading components",
        symbol="NRC1",
        aliases=("NRC",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="Σ_{k>c} ρᶜₖ / Σ ρᶜₖ",
        needs=("features", "targets"),
        meaning="Share of feature variance outside as many principal components as there are regression targets.",
        source=_SOURCE,
    ),
    Definition(
        name="nrc2",
        title="NRC2, variance outside the head",
        symbol="NRC2",
        aliases=("NRC",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="1 − tr(P_W S) / tr(S), P_W on the row space of W",
        needs=("features", "targets", "head"),
        meaning="Share of feature variance that the head's weights do not see.",
        source=_SOURCE,
    ),
    Definition(
        name="nrc3",
        title="NRC3, form of the head",
        symbol="NRC3",
        aliases=("NRC",),
        range="0 .. 4",
        low=0.0,
        high=4.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=SHAPE_AND_OUTPUTS,
        equation="min_γ ‖WWᵀ/‖WWᵀ‖ − (Dc^½ − γ^½ I)/‖Dc^½ − γ^½ I‖‖², 0 ≤ γ < λ_min(Dc)",
        needs=("features", "targets", "head"),
        meaning="Distance of the head's Gram matrix from the form that collapse with weight decay predicts.",
        source="Andriopoulos et al. 2024, arXiv:2409.04180",
        caveat="Always 0 for a single target, where both forms are one positive number.",
    ),
)
