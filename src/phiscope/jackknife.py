"""Leaving out one random shard at a time: bias correction and intervals from a single pass.

Source: Busing, Meijer and van der Leeden 1999, Statistics and Computing 9, for shards of unequal weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from phiscope.arrays import FloatArray
from phiscope.errors import InputError
from phiscope.moments import Moments, merge


def leave_one_out(shards: Sequence[Moments]) -> list[Moments]:
    """Moments of all shards but one, for each shard, by merging only: subtracting would lose digits.

    Args:
        shards: G >= 2 moments of disjoint samples.

    Returns:
        G moments; the g-th lacks shard g.
    """
    after: list[Moments | None] = [None]
    for shard in reversed(shards[1:]):
        last = after[-1]
        after.append(shard if last is None else merge(shard, last))
    after.reverse()
    left, before = [], None
    for shard, rest in zip(shards, after, strict=True):
        parts = [part for part in (before, rest) if part is not None]
        left.append(parts[0] if len(parts) == 1 else merge(parts[0], parts[1]))
        before = shard if before is None else merge(before, shard)
    return left


def pseudo_values(value: FloatArray, left_out: FloatArray, shares: FloatArray) -> FloatArray:
    """What each shard says on its own: h theta - (h - 1) theta_(-g) with h = 1 / share.

    Args:
        value: the statistic of all samples, shape (...).
        left_out: the statistic without each shard, shape (G, ...).
        shares: weight of each shard, shape (G,), sums to 1.

    Returns:
        Shape (G, ...); their mean, weighted by the shares' complement, is the bias-corrected statistic.

    Example:
        >>> pseudo_values(np.array(2.0), np.array([1.0, 3.0]), np.array([0.5, 0.5])).tolist()
        [3.0, 1.0]
    """
    h = (1 / shares).reshape(-1, *[1] * np.ndim(value))
    return np.asarray(h * value - (h - 1) * left_out)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A bias-corrected value with its standard error.

    Attributes:
        value: the bias-corrected statistic.
        error: its standard error, in the unit of the statistic.
        freedom: degrees of freedom of the error, G - 1.
    """

    value: float
    error: float
    freedom: int

    def interval(self, level: float) -> tuple[float, float]:
        """Student's t interval for the population value.

        Args:
            level: nominal coverage, 0 < level < 1.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise InputError(f"level is {level}, expected a coverage between 0 and 1, for example 0.95")
        reach = float(scipy.stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.value - reach, self.value + reach


def corrected_value(value: FloatArray, left_out: FloatArray, shares: FloatArray) -> FloatArray:
    """The bias-corrected statistic G theta - sum_g (1 - share_g) theta_(-g), shape (...)."""
    weights = (1 - shares).reshape(-1, *[1] * np.ndim(value))
    return np.asarray(len(shares) * value - (weights * left_out).sum(axis=0))


def estimate(value: float, pseudo: FloatArray, shares: FloatArray) -> Estimate:
    """Standard error of a corrected value from its pseudo-values.

    Args:
        value: the bias-corrected statistic.
        pseudo: pseudo-values, shape (G,), G >= 2.
        shares: weight of each shard, shape (G,).
    """
    h = 1 / shares
    variance = float(((pseudo - value) ** 2 / (h - 1)).mean())
    return Estimate(value=value, error=float(np.sqrt(variance)), freedom=len(shares) - 1)
