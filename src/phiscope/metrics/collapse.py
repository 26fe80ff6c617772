"""Neural collapse: how far class means have become all there is to the features.

Only classes that occur take part; a class without samples has no mean.
"""

from __future__ import annotations

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, LINEAR_SPAN, SHAPE_AND_OUTPUTS, Definition, invariant
from phiscope.linalg import dense
from phiscope.linalg.eigen import FewRows
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.positive import cholesky_factor, inverse_of, reciprocal_condition, solve_positive
from phiscope.linalg.products import frobenius_norm, product, row_products
from phiscope.metrics import class_pairs
from phiscope.metrics.class_pairs import pair_blocks, squared_distances, sum_over_both_orders
from phiscope.typing import FloatArray

BETWEEN_TOLERANCE = 1e-10
"""Relative eigenvalue tolerance of the pseudo-inverse of S_B."""

WELL_CONDITIONED = 1e-6
"""Reciprocal condition of S_B from which on a Cholesky factor loses no more than six digits, at a tenth of the time."""

MANY_CLASSES = 256
"""Classes from which on the singular value decomposition of their means is worth avoiding."""


def within_class_variance(within: PositiveOperator) -> float:
    """tr S_W, mean squared distance of the features from the mean of their class, in squared feature units; >= 0.

    Args:
        within: S_W, size p.

    Source: Papyan, Han and Donoho 2020 (what NC1 is made of).

    Example:
        >>> within_class_variance(PositiveOperator(matrix=0.5 * np.eye(2)))
        1.0
    """
    # Rounding of a scatter that is zero may be negative.
    return max(within.trace(), 0.0)


def between_class_variance(between_rows: FloatArray) -> float:
    """tr S_B = sum_c pi_c norm^2(mu_c - m), in squared feature units; >= 0.

    Args:
        between_rows: sqrt(pi_c) (mu_c - m), shape (C, p).

    Source: Papyan, Han and Donoho 2020 (what NC1 is made of).

    Example:
        >>> between_class_variance(np.sqrt(0.5) * np.array([[3.0, 0.0], [-3.0, 0.0]])).__round__(12)
        9.0
    """
    return float(np.einsum("ij,ij->", between_rows, between_rows))


def between_rows(class_means: FloatArray, shares: FloatArray) -> FloatArray:
    """sqrt(pi_c) (mu_c - m), shape (C, p), of the classes that occur: A^T A is S_B.

    Args:
        class_means: mu_c, shape (C, p).
        shares: pi_c, shape (C,), sums to 1.

    Source: Papyan, Han and Donoho 2020 (S_B there; here each class counts by its share).

    Example:
        >>> between_rows(np.array([[4.0, 0.0], [0.0, 0.0]]), np.array([0.25, 0.75])).round(12)
        array([[ 1.5      ,  0.       ],
               [-0.8660254,  0.       ]])
    """
    # About one of the means: far from zero the mean of all would be rounded by more than small spreads are.
    steps = class_means - class_means[int(np.argmax(shares))]
    return np.asarray((steps - product(shares, steps)) * np.sqrt(shares)[:, None])


def nc1(within: PositiveOperator, between_rows: FloatArray, shares: FloatArray) -> float:
    """Within-class variability in units of the between-class scatter, tr(S_W S_B^+) / C; >= 0, unbounded.

    Args:
        within: S_W, size p.
        between_rows: sqrt(pi_c) (mu_c - m) for the C classes that occur, shape (C, p), not all zero.
        shares: pi_c, shape (C,), positive.

    Source: Papyan, Han and Donoho 2020.

    Example:
        >>> means, shares = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0.5, 0.5])
        >>> round(nc1(PositiveOperator(matrix=0.5 * np.eye(2)), np.sqrt(shares)[:, None] * means, shares), 12)
        0.25
    """
    rows, found = between_rows, None
    if len(rows) > rows.shape[1]:
        found = _nc1_of_all_directions(within, rows)
    elif len(rows) >= MANY_CLASSES:
        found = _nc1_of_many_classes(within, rows, shares)
    if found is not None:
        return found
    if len(rows) > 2 * rows.shape[1]:
        # The triangle has the same singular values and directions, and 50,000 classes become p rows.
        rows = dense.triangle(rows)
    pairs = FewRows(rows)
    values = pairs.values[pairs.values > BETWEEN_TOLERANCE * pairs.values[0]]
    directions = pairs.leading(len(values))
    spread = np.einsum("jk,jk->k", directions, within.apply(directions))
    return float((spread / values).sum() / len(between_rows))


def _nc1_of_all_directions(within: PositiveOperator, rows: FloatArray) -> float | None:
    """The same where classes span all features, by a Cholesky factor of S_B; None where digits would be lost by it."""
    factor = _well_conditioned_factor(PositiveOperator(rows=rows).dense())
    if factor is None:
        return None
    return within.inner(inverse_of(factor)) / len(rows)


def _nc1_of_many_classes(within: PositiveOperator, rows: FloatArray, shares: FloatArray) -> float | None:
    """The same from inner products K of the rows, S_B^+ = A^T K^-2 A; None where digits would be lost by it.

    sqrt(pi)^T A = 0, so that a reflector that turns sqrt(pi) into a unit vector leaves C - 1 rows with the same S_B.
    """
    mirrored = np.sqrt(shares / shares.sum())
    mirrored[0] += 1.0
    # Of the reflector's product with the rows only what stands beside the first unit vector is left.
    reduced = rows[1:] - np.outer(mirrored[1:] * (2 / product(mirrored, mirrored)), rows[0])
    factor = _well_conditioned_factor(row_products(reduced))
    if factor is None:
        return None
    inverse = solve_positive(factor, reduced, factored=True)
    return float(np.einsum("cp,pc->", inverse, within.apply(inverse.T))) / len(rows)


def _well_conditioned_factor(matrix: FloatArray) -> FloatArray | None:
    """Upper Cholesky factor of a symmetric matrix; None where it would lose digits or there is none."""
    size = float(np.abs(matrix).sum(axis=0).max())
    factor = cholesky_factor(matrix)
    return None if factor is None or reciprocal_condition(factor, size) < WELL_CONDITIONED else factor


def nc2_equinorm(class_vectors: FloatArray) -> float:
    """Population standard deviation over mean of the norms of v_c; >= 0, 0 at the simplex.

    Args:
        class_vectors: v_c = mu_c minus the unweighted mean of the class means, shape (C, p), not all zero.

    Source: Papyan, Han and Donoho 2020.

    Example:
        >>> nc2_equinorm(np.array([[3.0, 0.0], [0.0, 1.0]]))
        0.5
    """
    norms = dense.row_lengths(class_vectors)
    return float(norms.std() / norms.mean())


def nc2_equiangular(class_vectors: FloatArray, products: FloatArray | None = None) -> float:
    """Mean over class pairs of abs(cos(v_c, v_c') + 1/(C-1)); 0..2, 0 at the simplex.

    Args:
        class_vectors: v_c, shape (C, p), C >= 2, none of them zero.
        products: their `pair_products`; None takes them block by block.

    Source: Papyan, Han and Donoho 2020.

    Example:
        >>> nc2_equiangular(np.array([[1.0, 0.0], [0.0, 1.0]]))
        1.0
    """
    n_classes = len(class_vectors)
    norms = dense.row_lengths(class_vectors)
    total = 0.0
    for block in pair_blocks(n_classes):
        later = slice(block.start, None)
        pairs = product(class_vectors[block], class_vectors[later].T) if products is None else products[block, later]
        cosines = pairs / norms[later]
        cosines /= norms[block, None]
        cosines += 1 / (n_classes - 1)
        total += sum_over_both_orders(np.abs(cosines, out=cosines))
    # The pairs of a class with itself, cosine 1, were counted above.
    total -= n_classes * (1 + 1 / (n_classes - 1))
    return max(total / (n_classes * (n_classes - 1)), 0.0)


def nc3(weight: FloatArray, class_vectors: FloatArray) -> float:
    """Squared distance of the normalized head and the normalized class means; 0..4, 0 when self-dual.

    Args:
        weight: rows of the head for the classes that occur, shape (C, p), not all zero.
        class_vectors: v_c, shape (C, p), not all zero.

    Source: Papyan, Han and Donoho 2020.

    Example:
        >>> round(nc3(np.eye(2), 3 * np.eye(2)), 12)
        0.0
    """
    difference = weight / frobenius_norm(weight) - class_vectors / frobenius_norm(class_vectors)
    return float(np.einsum("ij,ij->", difference, difference))


def cdnv(
    class_means: FloatArray, class_variances: FloatArray, resolution: float = 0.0, products: FloatArray | None = None
) -> float:
    """Class-distance normalized variance: mean over pairs of (var_c + var_c') / (2 norm^2(mu_c - mu_c')); >= 0.

    Args:
        class_means: shape (C, p), C >= 2.
        class_variances: E_c norm^2(phi - mu_c), shape (C,).
        resolution: means at most this far apart count as the same.
        products: `pair_products` of the means minus their unweighted mean; None takes them block by block.

    Returns:
        inf when two classes have the same mean.

    Source: Galanti, György and Hutter 2021, arXiv:2112.15121.

    Example:
        >>> cdnv(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([1.0, 3.0]))
        0.5
    """
    n_classes = len(class_means)
    total = 0.0
    if n_classes > class_pairs.DIFFERENCES:
        # Products lose fewer digits about a point amid the means.
        class_means = class_means - class_means.mean(axis=0)
    for block in pair_blocks(n_classes):
        later = slice(block.start, None)
        known = None if products is None else products[block, later]
        distances = squared_distances(class_means[block], class_means[later], n_classes, known)
        np.fill_diagonal(distances, np.inf)
        if distances.min() <= resolution**2:
            return float("inf")
        distances *= 2
        ratios = class_variances[block, None] + class_variances[block.start :]
        ratios /= distances
        total += sum_over_both_orders(ratios)
    return total / (n_classes * (n_classes - 1))


_COLLAPSE = "0: collapsed; large: far from it"
_NC = "Papyan, Han and Donoho 2020, PNAS (arXiv:2008.08186)"

DEFINITIONS = (
    Definition(
        name="within_class_variance",
        title="variance within classes",
        symbol="tr S_W",
        aliases=("S_W", "within"),
        unit="squared feature units",
        range=">= 0",
        low=0.0,
        direction="0: every class has shrunk to its mean; large: wide classes",
        centering="centered",
        invariances=invariant("orthogonal", "permutation", "translation", "invertible_outputs"),
        equation="Σ_c π_c E_c‖φ − μ_c‖²",
        needs=("features", "classes"),
        meaning="Mean squared distance of the features from the mean of their class; with the variance between classes "
        "it makes up tr S.",
        source=_NC,
        caveat="Grows with the square of the features' scale: read it beside the variance between classes. Their ratio "
        "is not NC1, which weighs each direction by S_B⁺.",
    ),
    Definition(
        name="between_class_variance",
        title="variance between classes",
        symbol="tr S_B",
        aliases=("S_B", "between classes"),
        unit="squared feature units",
        range=">= 0",
        low=0.0,
        direction="0: all class means coincide; large: they are far from their center",
        centering="centered",
        invariances=invariant("orthogonal", "permutation", "translation", "invertible_outputs"),
        equation="Σ_c π_c ‖μ_c − m‖²",
        needs=("features", "classes"),
        meaning="Mean squared distance of the class means from the mean of all features.",
        source=_NC,
        caveat="Grows with the square of the features' scale. Means of few samples lie apart by chance alone: labels "
        "that say nothing give about (C − 1)/n of tr S.",
    ),
    Definition(
        name="nc1",
        title="NC1, within-class variability",
        symbol="NC1",
        aliases=("NC", "neural collapse"),
        range=">= 0, unbounded",
        low=0.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances={**CENTERED_SHAPE, "invertible_linear": "where the class means span all features"},
        equation="tr(S_W S_B⁺) / C",
        needs=("features", "classes"),
        meaning="Spread of samples about their class mean, measured in units of the distances between class means.",
        scale="log(x)",
        source=_NC,
        caveat="Unbounded, and a fixed ratio of spread to distance gives different values for different C.",
    ),
    Definition(
        name="nc1_bounded",
        title="NC1, bounded",
        symbol="NC1ᵇ",
        aliases=("neural collapse",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: class membership is a linear function of the features; 1: it is unrelated",
        ours=True,
        centering="centered",
        invariances=LINEAR_SPAN,
        equation="1 − tr(S_B S⁺) / (C − 1)",
        needs=("features", "classes"),
        meaning="Share of the class indicators that a linear head on these features cannot express; equals "
        "1 − Π*(K) of the centered spectrum.",
        scale="log(x)",
        source="phiscope",
        caveat="0 for any labels where the centered features have rank n − 1, as they mostly have for n <= p + 1: all "
        "labels can then be interpolated.",
    ),
    Definition(
        name="nc2_equinorm",
        title="NC2, equal norms",
        symbol="NC2ⁿ",
        aliases=("NC", "NC2", "neural collapse"),
        range=">= 0",
        low=0.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="std_c ‖v_c‖ / mean_c ‖v_c‖, v_c = μ_c − mean of the class means",
        needs=("features", "classes"),
        meaning="How unequal the distances of the class means from their center are.",
        source=_NC,
    ),
    Definition(
        name="nc2_equiangular",
        title="NC2, equal angles",
        symbol="NC2ᵃ",
        aliases=("NC", "NC2", "neural collapse"),
        range="0 .. 2",
        low=0.0,
        high=2.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="mean_{c≠c′} |cos(v_c, v_c′) + 1/(C − 1)|",
        needs=("features", "classes"),
        meaning="How far the angles between class means are from those of a simplex.",
        source=_NC,
    ),
    Definition(
        name="nc3",
        title="NC3, self-duality",
        symbol="NC3",
        aliases=("NC", "neural collapse"),
        range="0 .. 4",
        low=0.0,
        high=4.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=SHAPE_AND_OUTPUTS,
        equation="‖W/‖W‖ − V/‖V‖‖², rows of V the v_c",
        needs=("features", "classes", "head"),
        meaning="Distance between the rows of the head and the class means, both normalized as a whole.",
        source=_NC,
        caveat="Not invariant under an invertible change of the outputs, unlike the D_LR numbers.",
    ),
    Definition(
        name="cdnv",
        title="class-distance normalized variance",
        symbol="CDNV",
        range=">= 0",
        low=0.0,
        direction=_COLLAPSE,
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="mean_{c≠c′} (var_c + var_c′) / (2 ‖μ_c − μ_c′‖²), var_c = E_c‖φ − μ_c‖²",
        needs=("features", "classes"),
        meaning="Spread of two classes over their squared distance, averaged over pairs.",
        scale="log(x)",
        source="Galanti, György and Hutter 2021, arXiv:2112.15121",
    ),
)
