"""What an intervention costs: accuracy and loss of the same samples before and after, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax
from torch import Tensor

from phiscope.linalg.products import squared_lengths
from phiscope.network.rows import Rows
from phiscope.typing import FloatArray

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


def _is_classes(targets: Any) -> bool:
    return bool(np.issubdtype(np.asarray(targets).dtype, np.integer))


def right_of(outputs: FloatArray, targets: Any) -> FloatArray | None:
    """1 where the answer is right, 0 where it is wrong; None where targets are values."""
    if not _is_classes(targets):
        return None
    answer = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)
    return np.asarray(answer == targets, dtype=np.float64)


def losses_of(outputs: FloatArray, targets: Any) -> FloatArray:
    """Cross-entropy in nats of each sample, or squared error summed over outputs."""
    if not _is_classes(targets):
        return squared_lengths(outputs - np.asarray(targets, dtype=np.float64).reshape(outputs.shape))
    if outputs.shape[1] == 1:
        return np.asarray(np.logaddexp(0.0, np.where(targets == 1, -outputs[:, 0], outputs[:, 0])))
    return np.asarray(-log_softmax(outputs, axis=1)[np.arange(len(outputs)), targets])


def paired_proportions(before: FloatArray, after: FloatArray) -> tuple[float, float, float]:
    """Share right before minus after, on the same samples, with its 95 % interval.

    Half a sample is added to each of the four cells of the paired table, so that no interval has width zero.

    Args:
        before: 1 where right, 0 where wrong, shape (n,).
        after: the same after.

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
    value = float(np.mean(before) - np.mean(after))
    low, high = center - NORMAL * spread, center + NORMAL * spread
    return value, max(min(low, value), -1.0), min(max(high, value), 1.0)


def paired_means(added: FloatArray) -> tuple[float, float, float]:
    """Mean of what each sample lost, with its 95 % interval (normal).

    Example:
        >>> value, low, high = paired_means(np.array([1.0, 3.0]))
        >>> value, round(high - value, 2)
        (2.0, 1.96)
    """
    value, n = float(np.mean(added)), len(added)
    reach = NORMAL * float(np.std(added, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return value, value - reach, value + reach


def outputs_of(rows: Rows) -> Tensor | None:
    """Outputs of some rows, measured or made by their head; None where there are none."""
    if rows.outputs is not None or rows.weight is None:
        return rows.outputs
    made = rows.features @ rows.weight.T
    return made if rows.bias is None else made + rows.bias
