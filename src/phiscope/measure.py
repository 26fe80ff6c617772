"""Diagonalizing arrays: features, outputs and targets in, one frozen `Measurement` out."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from phiscope.accumulator import MomentAccumulator
from phiscope.arrays import as_head, as_rows, as_targets, look_like_labels
from phiscope.assemble import measurement_from_moments
from phiscope.errors import ShapeError
from phiscope.measurement import Measurement


def diagonalize(
    features: Any,
    outputs: Any = None,
    head: Any = None,
    targets: Any = None,
    *,
    weights: Any = None,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
) -> Measurement:
    """Diagonalize the feature operator of arrays and measure everything that they allow.

    Args:
        features: phi(x), shape (n, p), n >= 2; NumPy, torch, DLPack or ``__array__``, any precision.
        outputs: f(x) before the softmax, shape (n, C).
        head: the pair (W, b) with W (C, p) and b (C,) or None; outputs are then W phi + b.
        targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.
        weights: non-negative sample weights, shape (n,); only their ratios matter.
        num_classes: number of classes; None takes the head's outputs (at least 2), without a head the largest
            target plus one.
        rank_tolerance: eigenvalues of the outputs' moments below this share of the largest count as zero.

    Returns:
        The measurement. Without outputs or targets the numbers that need them are absent.

    Raises:
        ShapeError: shapes do not fit together.
        NonFiniteError: NaN or Inf in the data.
        EmptyDataError: fewer than two samples.
        TargetError: class indices negative or not below `num_classes`.
        InputError: anything else that cannot be used, for example weights below 0.

    Source: arXiv:2410.04264 v1 and v3.

    Example:
        >>> import itertools, numpy as np
        >>> signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
        >>> round(diagonalize(signs)["effective_dimension"], 12)
        3.0
    """
    rows = as_rows(features, name="features", letter="p")
    affine = None if head is None else as_head(head, rows.shape[1])
    if outputs is not None:
        outputs = as_rows(outputs, name="outputs", letter="C")
        if affine is not None and outputs.shape[1] != len(affine[0]):
            raise ShapeError(
                f"outputs have C = {outputs.shape[1]} columns but the head has {len(affine[0])} rows; they have to "
                "belong to the same layer"
            )
    goal = None if targets is None else as_targets(targets)
    if num_classes is None and affine is not None and goal is not None and goal.ndim == 1:
        # A single output still separates two classes.
        num_classes = max(len(affine[0]), 2)
    accumulator = MomentAccumulator(num_classes=num_classes, n_shards=None)
    accumulator.update(rows, outputs, goal, weights)
    moments, shards = accumulator.result_with_shards()
    return measurement_from_moments(
        moments,
        shards=shards,
        head=affine,
        rank_tolerance=rank_tolerance,
        provenance={"source": "arrays"},
        warnings=_doubts(goal),
    )


def _doubts(targets: NDArray[Any] | None) -> list[str]:
    """What may be meant differently than it is read."""
    n_classes = look_like_labels(targets[:, 0]) if targets is not None and targets.shape[1:] == (1,) else 0
    if not n_classes:
        return []
    return [
        f"the float targets are the whole numbers 0 to {n_classes - 1} and were read as regression values; pass "
        "integers if they are classes"
    ]
