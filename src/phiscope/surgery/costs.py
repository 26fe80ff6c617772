"""What an intervention costs: accuracy and loss of the same samples before and after, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from phiscope.errors import NonFiniteError, ShapeError, TargetError
from phiscope.inputs.arrays import as_targets, classes_of_head
from phiscope.linalg.products import squared_lengths
from phiscope.network.rows import Rows
from phiscope.typing import FloatArray, IntArray

NORMAL = 1.959963984540054
"""Standard errors on each side of a 95 % interval."""


@dataclass(frozen=True)
class Cost:
    """What one intervention cost every sample.

    Attributes:
        right_before: 1 where right, 0 where wrong, shape (n,); None for values.
        right_after: the same with the intervention.
        added: loss added, shape (n,).
        change: mean squared change of the outputs, summed over outputs.
    """

    right_before: FloatArray | None
    right_after: FloatArray | None
    added: FloatArray
    change: float


def cost_of(before: FloatArray, after: FloatArray, targets: Any) -> Cost:
    """Compare outputs before and after, each of shape (n, C)."""
    change = float(squared_lengths(after - before).mean())
    rights = [right_of(outputs, targets) for outputs in (before, after)]
    added = losses_of(after, targets) - losses_of(before, targets)
    return Cost(right_before=rights[0], right_after=rights[1], added=added, change=change)


def right_of(outputs: FloatArray, targets: Any) -> FloatArray | None:
    """1 where the answer is right, 0 where it is wrong; None where targets are values.

    Raises:
        ShapeError: targets are no class or row of values for each sample.
        TargetError: classes that the outputs do not have.
    """
    told = _fitting(outputs, targets)
    if not _is_classes(told):
        return None
    answer = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)
    return np.asarray(answer == told, dtype=np.float64)


def losses_of(outputs: FloatArray, targets: Any) -> FloatArray:
    """Cross-entropy in nats of each sample, or squared error summed over outputs.

    Raises:
        ShapeError: targets are no class or row of values for each sample.
        TargetError: classes that the outputs do not have.
    """
    told = _fitting(outputs, targets)
    if not _is_classes(told):
        return squared_lengths(outputs - told)
    if outputs.shape[1] == 1:
        return np.asarray(np.logaddexp(0.0, np.where(told == 1, -outputs[:, 0], outputs[:, 0])))
    return np.asarray(-log_softmax(outputs, axis=1)[np.arange(len(outputs)), told])


def _is_classes(told: NDArray[Any]) -> bool:
    return bool(np.issubdtype(told.dtype, np.integer))


def _fitting(outputs: FloatArray, targets: Any) -> NDArray[Any]:
    """Targets as classes (n,) or values of the outputs' shape, that these outputs can be held against."""
    told = as_targets(targets)
    n, width = outputs.shape
    if len(told) != n:
        raise ShapeError(f"targets have {len(told)} rows for outputs of {n} samples; expected one for each sample")
    if _is_classes(told):
        most = classes_of_head(width)
        if n and not (told.min() >= 0 and told.max() < most):
            raise TargetError(
                f"integer targets run from {told.min()} to {told.max()}, and {width} output(s) tell {most} classes "
                f"apart; expected class indices from 0 to {most - 1}: relabel them, or drop samples that do not count"
            )
        return told
    if told.shape != outputs.shape:
        raise ShapeError(
            f"float targets have {told.shape[1]} value(s) a sample and the network has {width} outputs; expected one "
            "value for each output, or classes as integers (n,)"
        )
    if not np.isfinite(told).all():
        raise NonFiniteError("targets hold NaN or Inf, expected finite ones; leave those samples out", where="targets")
    return told


def paired_proportions(
    before: FloatArray, after: FloatArray, units: IntArray | None = None
) -> tuple[float, float, float]:
    """Share right before minus after, on the same samples, with its 95 % interval.

    Half a sample is added to each of the four cells of the paired table, so that no interval has width zero. Where
    several samples come from one input, the interval is wider by the square root of `clustering`.

    Args:
        before: 1 where right, 0 where wrong, shape (n,).
        after: the same after.
        units: which input each sample comes from, shape (n,); None for one each.

    Source: Agresti and Min 2005 (Wald + 2).

    Example:
        >>> value, low, high = paired_proportions(np.ones(100), np.ones(100))
        >>> value, round(low, 3), round(high, 3)
        (0.0, -0.019, 0.019)
    """
    n = len(before)
    lost, gained = float(np.sum((before > 0) & (after < 1))) + 0.5, float(np.sum((before < 1) & (after > 0))) + 0.5
    center = (lost - gained) / (n + 2)
    spread = math.sqrt(max(lost + gained - (lost - gained) ** 2 / (n + 2), 0.0)) / (n + 2)
    spread *= math.sqrt(clustering(before - after, units))
    value = float(np.mean(before) - np.mean(after))
    low, high = center - NORMAL * spread, center + NORMAL * spread
    return value, max(min(low, value), -1.0), min(max(high, value), 1.0)


def paired_means(added: FloatArray, units: IntArray | None = None) -> tuple[float, float, float]:
    """Mean of what each sample lost, with its 95 % interval (normal).

    Args:
        added: what each sample lost, shape (n,).
        units: which input each sample comes from, shape (n,); None for one each.

    Example:
        >>> value, low, high = paired_means(np.array([1.0, 3.0]))
        >>> value, round(high - value, 2)
        (2.0, 1.96)
    """
    value, n = float(np.mean(added)), len(added)
    error = float(np.std(added, ddof=1)) / math.sqrt(n) * math.sqrt(clustering(added, units)) if n > 1 else math.nan
    return value, value - NORMAL * error, value + NORMAL * error


def clustering(values: FloatArray, units: IntArray | None) -> float:
    """How many times the variance of a mean is larger because samples of one input go together, 1 or more.

    Sums of deviations over each input, squared, against those of samples taken for independent.

    Args:
        values: shape (n,).
        units: which input each comes from, shape (n,); None for one each.

    Source: the cluster-robust variance of a mean (Liang and Zeger 1986); never taken below 1.

    Example:
        >>> clustering(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
        3.0
    """
    if units is None:
        return 1.0
    _, place = np.unique(units, return_inverse=True)
    count, n = int(place.max()) + 1, len(values)
    if count == n:
        return 1.0
    if count == 1:
        return math.inf
    away = values - values.mean()
    alone = float(np.sum(away**2)) / (n - 1)
    together = float(np.sum(np.bincount(place, weights=away) ** 2)) / n * count / (count - 1)
    return max(together / alone, 1.0) if alone > 0 else 1.0


def outputs_of(rows: Rows) -> Tensor | None:
    """Outputs of some rows, measured or made by their head; None where there are none."""
    if rows.outputs is not None or rows.weight is None:
        return rows.outputs
    made = rows.features @ rows.weight.T
    return made if rows.bias is None else made + rows.bias
