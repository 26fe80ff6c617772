"""How far parameters and the tangent kernel have moved."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from phiscope.glossary.definition import Definition, invariant
from phiscope.linalg import dense
from phiscope.typing import FloatArray


def squared_parameter_norm(parameters: Iterable[FloatArray]) -> float:
    """Sum of the squares of all parameters.

    Source: comparator in arXiv:2410.04264 v3.

    Example:
        >>> squared_parameter_norm([np.array([3.0, 4.0])])
        25.0
    """
    return math.fsum(float(np.vdot(part, part)) for part in parameters)


def relative_change(present: FloatArray, before: FloatArray) -> float:
    """Norm of W - W_0 over the norm of W_0; infinite where only W_0 is zero, 0 where both are.

    Args:
        present: W, any shape.
        before: W_0, of the same shape.

    Example:
        >>> relative_change(np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]])).__round__(6)
        1.333333
    """
    moved, size = dense.length(present - before), dense.length(before)
    return moved / size if size > 0 else math.inf if moved > 0 else 0.0


def kernel_distance(first: FloatArray, second: FloatArray) -> float:
    """1 - <K_a, K_b> / (norm K_a norm K_b) of two kernels that are not centered; 0..1.

    Args:
        first: a positive kernel that is not zero, any shape.
        second: a positive kernel of the same shape.

    Source: Fort et al. 2020, arXiv:2010.15110, section 3.

    Example:
        >>> kernel_distance(np.eye(2), np.diag([1.0, 0.0])).__round__(12) == round(1 - 0.5**0.5, 12)
        True
    """
    a, b = first / dense.length(first), second / dense.length(second)
    # norm^2(a - b) / 2 is the same number; small distances keep their digits.
    return min(max(float(np.vdot(a - b, a - b)) / 2, 0.0), 1.0)


_TURNS = invariant("permutation", orthogonal="where the layer that makes the features is linear and turns with them")

DEFINITIONS = (
    Definition(
        name="parameter_norm",
        title="squared parameter norm",
        symbol="‖θ‖²",
        unit="squared parameter units",
        range=">= 0",
        low=0.0,
        direction="large: large weights",
        centering="none",
        invariances=_TURNS,
        equation="Σ θ²",
        meaning="Sum of the squares of all trainable parameters.",
        source="Comparator in arXiv:2410.04264 v3",
        caveat="Changes with the parametrization while the function stays the same; misjudges weight decay.",
    ),
    Definition(
        name="parameter_distance",
        title="distance from initialization",
        symbol="‖θₜ − θ₀‖",
        unit="parameter units",
        range=">= 0",
        low=0.0,
        direction="0: the parameters have not moved; large: they are far from where they began",
        centering="none",
        invariances={},
        equation="√(Σ (θₜ − θ₀)²)",
        meaning="Euclidean distance of all trainable parameters from their initial values.",
        needs=("initial",),
        source="Comparator in arXiv:2410.04264 v3; the Euclidean norm is phiscope's own choice",
        caveat="Symmetries of the parameters move it without changing the function.",
    ),
    Definition(
        name="tangent_kernel_distance",
        title="distance of tangent kernels",
        symbol="d(K₀, Kₜ)",
        aliases=("NTK", "tangent kernel", "neural tangent kernel"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: the tangent kernel has not turned (lazy training); large: it has changed",
        centering="none",
        invariances=_TURNS,
        equation="1 − ⟨K₀, Kₜ⟩ / (‖K₀‖ ‖Kₜ‖)",
        meaning="How far the empirical tangent kernel on a small probe has turned between two states of a network. "
        "The kernel itself is phiscope.tangent_kernel(model, inputs).",
        needs=("samples", "initial"),
        source="Fort et al. 2020, arXiv:2010.15110",
        caveat="Not centered: a common positive offset of all entries keeps the distance small.",
    ),
)

PLACES = {
    "parameter_norm": "phiscope.theory.tangent.parameter_norm(model)",
    "parameter_distance": "phiscope.theory.tangent.parameter_distance(model, initial)",
    "tangent_kernel_distance": "phiscope.theory.tangent.tangent_kernel_distance(first, second)",
}
"""Where each of these numbers is made."""
