"""Runs that differ only by their seed, as one: mean, interval over seeds, and a test between two such groups."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from phiscope.runs.reading import Record, Run
from phiscope.typing import FloatArray

SEEDS = ("seed", "random_seed", "data_seed", "torch_seed")
"""Settings that make another run of the same experiment."""

LEVEL = 0.95
"""Nominal coverage of intervals."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one experiment with different seeds, or one run alone.

    Attributes:
        label: name of the first run.
        runs: in the order they were given.
    """

    label: str
    runs: tuple[Run, ...]

    def values(self, name: str, split: str) -> tuple[float, ...]:
        """The number of each run at its last record of a split; runs without it are left out."""
        last = (last_of(run, split) for run in self.runs)
        return tuple(n[name] for record in last if record is not None and name in (n := record.numbers(split)))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over the seeds of a group.

    Attributes:
        mean: over the seeds.
        low: lower end of the interval for the mean over all seeds; NaN for a single run.
        high: upper end.
        n: number of seeds.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How the means of two groups differ.

    Attributes:
        value: second minus first.
        low: lower end of its 95 % interval; NaN where a group is a single run.
        high: upper end.
        p: of Welch's test that the means are equal, 0..1; NaN where a group is a single run, or nothing varies.
    """

    value: float
    low: float
    high: float
    p: float


def groups_of(runs: Sequence[Run]) -> tuple[Group, ...]:
    """Gather runs whose headers differ by their seed alone.

    Runs belong together when network, data, task and settings are equal, and every one has a seed of its own. A run
    without settings stays alone: nobody knows what it was.

    Args:
        runs: opened.

    Returns:
        Groups in the order of their first runs.
    """
    found: dict[str, list[Run]] = {}
    for index, run in enumerate(runs):
        key = _experiment(run)
        while True:
            key = key or f"alone {index}"
            members = found.setdefault(key, [])
            if not members or seed_of(run) not in [seed_of(one) for one in members]:
                members.append(run)
                break
            # The same seed twice is the same run again, not another one of the group.
            key += " again"
    return tuple(Group(label=members[0].name, runs=tuple(members)) for members in found.values())


def _experiment(run: Run) -> str:
    settings = run.header.get("settings")
    if not isinstance(settings, Mapping) or seed_of(run) is None:
        return ""
    kept = {name: value for name, value in settings.items() if name not in SEEDS}
    facts = [run.header.get(name) for name in ("task", "model", "data", "framework", "head", "splits")]
    return json.dumps([kept, facts], sort_keys=True, default=str)


def seed_of(run: Run) -> Any:
    """The run's seeds, None when its settings say none."""
    settings = run.header.get("settings")
    if not isinstance(settings, Mapping):
        return None
    seeds = tuple(str(settings[name]) for name in SEEDS if name in settings)
    return seeds or None


def last_of(run: Run, split: str) -> Record | None:
    """The last record that measured a split."""
    return next((record for record in reversed(run.records) if split in record.measured), None)


def spread_of(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Spread:
    """Mean and Student's interval of values over seeds.

    Args:
        values: one for each seed.
        low: least value that the number can have; the interval is clipped to it.
        high: largest value.

    Example:
        >>> spread = spread_of([1.0, 2.0, 3.0])
        >>> spread.mean, round(spread.low, 3), round(spread.high, 3)
        (2.0, -0.484, 4.484)
    """
    array, n = np.asarray(values, dtype=np.float64), len(values)
    mean = float(array.mean()) if n else math.nan
    if n < 2:
        return Spread(mean=mean, low=math.nan, high=math.nan, n=n)
    reach = float(reach_of(array))
    return Spread(mean=mean, low=max(mean - reach, low), high=min(mean + reach, high), n=n)


def reach_of(values: FloatArray) -> FloatArray:
    """Half the width of the 95 % interval of a mean over seeds, by Student's t; NaN for one seed.

    Args:
        values: one row a seed, shape (S, ...).

    Example:
        >>> reach_of(np.array([[1.0], [3.0]])).round(1).tolist()
        [12.7]
    """
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    factor = float(stdtrit(count - 1, (1 + LEVEL) / 2)) / math.sqrt(count)
    return np.asarray(factor * values.std(axis=0, ddof=1))


def difference_of(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Second mean minus first, with Welch's interval and test: variances need not be equal.

    Source: Welch 1947.

    Example:
        >>> difference_of([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]).value
        3.0
    """
    # It takes most of a second to load, which only who compares runs has to wait for.
    from scipy.stats import ttest_ind_from_stats

    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    value = float(b.mean() - a.mean()) if len(a) and len(b) else math.nan
    # What differs by rounding alone does not vary.
    rounding = 1e-12 * max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    if len(a) < 2 or len(b) < 2 or max(a.std(), b.std()) <= rounding:
        return Difference(value=value, low=math.nan, high=math.nan, p=math.nan)
    # From the moments: SciPy's own interval warns where one group alone does not vary, which is no trouble here.
    parts = [(one.mean(), one.std(ddof=1), len(one)) for one in (b, a)]
    p = ttest_ind_from_stats(*parts[0], *parts[1], equal_var=False).pvalue
    shares = [deviation**2 / n for _, deviation, n in parts]
    freedom = sum(shares) ** 2 / sum(share**2 / (n - 1) for share, (_, _, n) in zip(shares, parts, strict=True))
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(sum(shares))
    return Difference(value=value, low=value - reach, high=value + reach, p=float(p))


def differing_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs: one text for each run, a dash where it says none.

    Seeds come last: of all differences they say least.
    """
    settings = [run.header["settings"] if isinstance(run.header.get("settings"), Mapping) else {} for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    ordered = [*(name for name in names if name not in SEEDS), *(name for name in names if name in SEEDS)]
    told = {str(name): [_text(one[name]) if name in one else "-" for one in settings] for name in ordered}
    model = [str(run.header.get("model") or "-") for run in runs]
    return {name: texts for name, texts in {"model": model, **told}.items() if len(set(texts)) > 1}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
