"""Bias correction and intervals from a single pass: the measurement repeated without each of its random shards.

Source: Busing, Meijer and van der Leeden 1999, Statistics and Computing 9, for shards of unequal weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.special import stdtrit

from phiscope.inputs.settings import check_level
from phiscope.moments.leaving_out import leave_one_out
from phiscope.moments.moments import Moments, merge
from phiscope.moments.shards import FEWEST_SHARDS
from phiscope.moments.togetherness import independent_samples
from phiscope.typing import FloatArray


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

    def interval(self, level: float, floor: float = -math.inf, ceiling: float = math.inf) -> tuple[float, float]:
        """Student's t interval for the population value, low <= high.

        The value is clipped to the range before anything is added: a corrected value may lie outside, and an interval
        about it would end up beside the range, upside down once it is clipped.

        Args:
            level: nominal coverage, 0 < level < 1.
            floor: least possible value.
            ceiling: largest possible value.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        check_level(level)
        # The quantile that scipy.stats.t.ppf gives, which takes most of a second to load.
        reach = float(stdtrit(self.freedom, (1 + level) / 2)) * self.error
        center = min(max(self.value, floor), ceiling)
        return max(center - reach, floor), min(center + reach, ceiling)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The logarithm of the distance from one end of a number's range, on which its errors are nearly even.

    The error of a share that is nearly 1, as of a ratio that is nearly 0, grows with the distance from that end; an
    even interval then misses on one side more often than it says. On the logarithm it is even.

    Attributes:
        edge: the end of the range.
        above: whether the range lies above it.

    Example:
        >>> scale = Scale(edge=1.0, above=False)
        >>> round(float(scale.read(np.array(0.0))), 12), float(scale.back(scale.read(np.array(0.75))))
        (0.0, 0.75)
    """

    edge: float
    above: bool

    def read(self, values: FloatArray) -> FloatArray:
        """ln abs(x - edge), of values inside the range."""
        return np.asarray(np.log(values - self.edge if self.above else self.edge - values))

    def back(self, read: FloatArray) -> FloatArray:
        """The inverse of `read`."""
        with np.errstate(over="ignore"):
            distance = np.exp(read)
        return np.asarray(self.edge + distance if self.above else self.edge - distance)

    def holds(self, values: FloatArray) -> bool:
        """Whether all values lie off the edge by more than rounding."""
        distance = np.asarray(values) - self.edge if self.above else self.edge - np.asarray(values)
        return bool((distance > EDGE * max(abs(self.edge), 1.0)).all())


EDGE = 1e-12
"""Values this close to the end of their range are at it, as far as rounding can tell."""


@dataclass(frozen=True, kw_only=True)
class ScaledEstimate(Estimate):
    """An estimate whose interval is even on a scale; value and error are in the unit of the statistic.

    Attributes:
        scale: the scale.
        even: the estimate on it.
    """

    scale: Scale
    even: Estimate

    def interval(self, level: float, floor: float = -math.inf, ceiling: float = math.inf) -> tuple[float, float]:
        """Student's t interval on the scale, read back, low <= high.

        Args:
            level: nominal coverage, 0 < level < 1.
            floor: least possible value.
            ceiling: largest possible value.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        far = ceiling if self.scale.above else floor
        # The other end of the range bounds the distance from this one, and so the center on the scale.
        most = float(self.scale.read(np.array(far))) if math.isfinite(far) else math.inf
        ends = replace(self.even, value=min(self.even.value, most)).interval(level)
        low, high = sorted(self.scale.back(np.array(ends)).tolist())
        return min(max(low, floor), ceiling), min(max(high, floor), ceiling)


def corrected_value(value: FloatArray, left_out: FloatArray, shares: FloatArray) -> FloatArray:
    """The bias-corrected statistic G theta - sum_g (1 - share_g) theta_(-g), shape (...)."""
    weights = (1 - shares).reshape(-1, *[1] * np.ndim(value))
    return np.asarray(len(shares) * value - (weights * left_out).sum(axis=0))


LEAST_EVEN = 0.75
"""Uneven shards have to be worth this share of as many even ones: below it, where few groups or weighted samples hold
most of the weight, intervals of nominal 95 % were found to hold the truth in as few as 75 % of samples, and near it in
84 to 97 %: benchmarks/coverage.py --groups uneven."""


def worth_of(shares: FloatArray) -> float:
    """How many shards of even weight say as much, 1 / sum of squared shares.

    Example:
        >>> round(worth_of(np.array([0.5, 0.5])), 12), round(worth_of(np.array([0.9, 0.1])), 2)
        (2.0, 1.22)
    """
    return 1 / float(shares @ shares)


def are_even(shares: FloatArray) -> bool:
    """Whether shards are even enough for an interval.

    Args:
        shares: weight of each shard, shape (G,), sums to 1.
    """
    return worth_of(shares) >= LEAST_EVEN * len(shares)


def estimate(value: float, pseudo: FloatArray, shares: FloatArray) -> Estimate:
    """Standard error of a corrected value from its pseudo-values.

    Args:
        value: the bias-corrected statistic.
        pseudo: pseudo-values, shape (G,), G >= 2.
        shares: weight of each shard, shape (G,).
    """
    return Estimate(value=value, error=float(standard_error(pseudo - value, shares)), freedom=len(shares) - 1)


def jackknife(value: float, left_out: FloatArray, shares: FloatArray, scale: Scale | None = None) -> Estimate:
    """The bias-corrected value with its error, on a scale where one is given and all values lie inside it.

    Args:
        value: the statistic of all samples.
        left_out: the statistic without each shard, shape (G,).
        shares: weight of each shard, shape (G,).
        scale: None for the statistic itself.

    Source: Busing et al. 1999; on a transformed statistic Miller 1974, Biometrika 61.

    Example:
        >>> found = jackknife(0.5, np.array([0.5, 0.5]), np.array([0.5, 0.5]), Scale(edge=1.0, above=False))
        >>> found.value, found.error, found.interval(0.95)
        (0.5, 0.0, (0.5, 0.5))
    """
    if scale is None or not scale.holds(np.append(left_out, value)):
        center = float(corrected_value(np.asarray(value), left_out, shares))
        return estimate(center, pseudo_values(np.asarray(value), left_out, shares), shares)
    whole, parts = scale.read(np.asarray(value)), scale.read(left_out)
    even = jackknife(float(whole), parts, shares)
    center = float(scale.back(np.array(even.value)))
    error = even.error * abs(center - scale.edge)
    return ScaledEstimate(value=center, error=error, freedom=even.freedom, scale=scale, even=even)


def jackknife_of_sizes(values: FloatArray, left_out: FloatArray, shares: FloatArray, apart: float) -> Estimate:
    """The mean of abs(d_i) with its error, also where the sample does not tell the sign of some d_i.

    There the absolute value has a kink, at which leaving out a shard says too little. The errors of such d_i are added
    up instead: abs(abs(D) - abs(d)) is never more than abs(D - d), so that the interval is wide enough, if not tight.

    Args:
        values: d_i of all samples, shape (m,).
        left_out: the same without each shard, shape (G, m).
        shares: weight of each shard, shape (G,).
        apart: standard errors from which on a sign is known.

    Example:
        >>> jackknife_of_sizes(np.array([3.0, -1.0]), np.array([[3.0, -1.0]] * 2), np.array([0.5, 0.5]), 2.0).value
        2.0
    """
    center = corrected_value(values, left_out, shares)
    spread = pseudo_values(values, left_out, shares) - center
    errors, size = standard_error(spread, shares), len(values)
    known = np.abs(center) > apart * errors
    together = float(standard_error((spread[:, known] @ np.sign(center[known]))[:, None], shares)[0])
    value = float(np.abs(center).sum()) / size
    return Estimate(value=value, error=(together + float(errors[~known].sum())) / size, freedom=len(shares) - 1)


def standard_error(spread: FloatArray, shares: FloatArray) -> FloatArray:
    """Standard error from pseudo-values minus the corrected statistic, shape (G, ...) to (...)."""
    # One shard has all but rounding of the weight: nothing is left to say how sure the statistic is.
    if (1 / shares <= 1).any():
        return np.full(spread.shape[1:], np.inf)
    h = (1 / shares).reshape(-1, *[1] * (spread.ndim - 1))
    return np.asarray(np.sqrt((spread**2 / (h - 1)).mean(axis=0)))


Result = TypeVar("Result")

NO_INTERVAL = {
    "alpha_req": "a fitted slope follows the sorted noise of a flat spectrum, and intervals were found to miss it",
    **dict.fromkeys(("srank", "output_rank", "output_rank_raw"), "it is a whole number, which has no standard error"),
}
"""Numbers without an interval, and why; see benchmarks/coverage.py."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampling(Generic[Result]):
    """The random shards of a measurement and how to measure without one of them; nothing is done before it is asked.

    Attributes:
        shards: moments of G disjoint random shards.
        measure: measures merged moments as the whole was measured.
    """

    shards: Sequence[Moments]
    measure: Callable[[Moments], Result]

    def __getstate__(self) -> dict[str, Any]:
        """Without the measurements that were made already: they are as large as the shards and follow from these."""
        return {"shards": tuple(self.shards), "measure": self.measure}

    @property
    def enough(self) -> bool:
        """Whether an interval can be made from these shards."""
        return len(self.shards) >= FEWEST_SHARDS and are_even(self.shares)

    @cached_property
    def shares(self) -> FloatArray:
        """Weight of each shard, shape (G,), sums to 1."""
        weights = np.array([shard.weight for shard in self.shards])
        return np.asarray(weights / weights.sum())

    @cached_property
    def whole(self) -> Moments:
        """Moments of all shards together."""
        return reduce(merge, self.shards)

    @cached_property
    def independent_samples(self) -> float:
        """How many independent samples these rows are worth, of which some may have come together."""
        return independent_samples(self.shards, self.whole)

    @cached_property
    def without_each(self) -> list[Result]:
        """The measurement without each shard; costs as much as G measurements without their pass."""
        return [self.measure(part) for part in leave_one_out(self.shards, self.whole)]
