"""Claims of the paper and how they are judged; thresholds are named, and the same for every family."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.reproduction.family import Results

Verdict = Literal["reproduced", "direction only", "not reproduced", "premise not met", "not run"]

VERDICTS: tuple[Verdict, ...] = ("reproduced", "direction only", "not reproduced", "premise not met", "not run")
"""In the order in which they are counted."""

SIZE_SHARE = 0.5
"""A contrast counts as reproduced when it is at least this share of the paper's, as a ratio on a logarithmic scale.

Networks, pictures and trainings are smaller than the paper's, so equal figures cannot be asked for; an effect of less
than half the size is another effect in the same direction.
"""

CLEAR_SPREADS = 2.0
"""A difference is clear when it exceeds this many standard deviations over seeds (the larger of the two).

With three seeds, and every seed ordered the same way besides, chance gives that in fewer than one case in twenty.
"""

STILL = 0.02
"""A number between 0 and 1 has moved when its mean changes by more than this: the last digit the paper prints.

A number above 1 (a norm) has moved when its mean changes by more than this share.
"""

TINY = 1e-3
"""Below this a mean is written with its power of ten."""

CHANCE_FACTOR = 1.5
"""Accuracy counts as chance up to this many times 1 / C: above it lie fluctuations of three seeds of 400 pictures."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What we found of one claim.

    Attributes:
        verdict: one of `VERDICTS`. "premise not met": what the claim presupposes did not happen (nothing was
            learned), so that these trainings say nothing about it.
        ours: our figures.
        why: the reason for the verdict.
    """

    verdict: Verdict
    ours: str
    why: str


Judge = Callable[["Results"], Judgement]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence of the paper, and the function that judges it.

    Attributes:
        sentence: what is claimed.
        paper: the paper's figures, or its words.
        labels: conditions that the judge reads; empty for all.
        judge: results in, judgement out.
        ours: the claim is phiscope's own and not the paper's.
        numbers: (name, split) of numbers that older outcomes lack; without them the claim is not run.
    """

    sentence: str
    paper: str
    labels: tuple[str, ...]
    judge: Judge
    ours: bool = False
    numbers: tuple[tuple[str, str], ...] = ()

    def judged(self, results: Results) -> Judgement:
        """Judge the claim; without all outcomes it stays in the table as not run, diverged trainings are told."""
        labels = self.labels or tuple(condition.label for condition in results.conditions)
        missing = results.missing(labels)
        if missing:
            return Judgement(verdict="not run", ours="–", why=f"not trained with every seed: {', '.join(missing)}")
        older = [label for label in labels if any(results.lacks(label, *number) for number in self.numbers)]
        if older:
            why = f"trained before the number was kept, --renew trains again: {', '.join(older)}"
            return Judgement(verdict="not run", ours="–", why=why)
        found = self.judge(results)
        diverged = results.diverged(labels)
        if diverged and found.verdict == "premise not met":
            # A training that blew up is a failure of the claim, not of what it presupposes.
            found = replace(found, verdict="not reproduced")
        seeds = len(results.seeds)
        told = "; ".join(f"{count} of {seeds} seeds of {label} diverged" for label, count in diverged.items())
        return replace(found, why=f"{found.why}; {told}") if told else found


def spread_text(values: FloatArray, *, percent: bool = False) -> str:
    """Mean ± standard deviation over seeds; of a single one the value alone.

    Example:
        >>> spread_text(np.array([0.5, 0.6, 0.7])), spread_text(np.array([0.5, 0.7]), percent=True)
        ('0.60 ± 0.10', '60.0 ± 14.1 %')
    """
    kept = values[np.isfinite(values)]
    if not len(kept):
        return "–"
    factor = 100 if percent else 1
    mean, spread = kept.mean() * factor, spread_of(kept) * factor
    if percent:
        return f"{mean:.1f} %" if len(kept) == 1 else f"{mean:.1f} ± {spread:.1f} %"
    if not spread:
        return f"{mean:.4g}"
    if 0 < abs(mean) < TINY:
        return f"{mean:.1e} ± {spread:.0e}"
    # Two digits of the spread, and as many decimals of the mean; more than four tell nobody anything.
    decimals = min(max(1 - math.floor(math.log10(spread)), 0), 4)
    return f"{mean:.{decimals}f} ± {spread:.{decimals}f}"


def spread_of(values: FloatArray) -> float:
    """Standard deviation over seeds, 0 for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def is_clearly_less(small: FloatArray, large: FloatArray) -> bool:
    """Every seed is ordered, and the means are further apart than `CLEAR_SPREADS` spreads.

    Example:
        >>> is_clearly_less(np.array([1.0, 1.1]), np.array([2.0, 2.1]))
        True
        >>> is_clearly_less(np.array([1.0, 2.2]), np.array([2.0, 2.1]))
        False
    """
    apart = float(large.mean() - small.mean())
    return bool((small < large).all()) and apart > CLEAR_SPREADS * max(spread_of(small), spread_of(large))


def undefined(*parts: FloatArray) -> Judgement | None:
    """A judgement when a number is missing in some seed, else None: without it there is nothing to compare."""
    if all(np.isfinite(part).all() for part in parts):
        return None
    return Judgement(
        verdict="premise not met",
        ours=" against ".join(spread_text(part) for part in parts),
        why="a number could not be measured in every seed, as where features or outputs are constant",
    )


def is_less(
    number: str,
    small: str,
    large: str,
    *,
    paper: tuple[float, float] | None = None,
    split: str = "train",
    percent: bool = False,
) -> Judge:
    """Judge that a number is less under one condition than under another.

    Args:
        number: its name.
        small: label of the condition that should have less.
        large: label of the other one.
        paper: the paper's figures of both, in this order; None when only the direction is claimed.
        split: on which samples it was measured.
        percent: show shares as percent.
    """

    def judge(results: Results) -> Judgement:
        a, b = results.values(small, number, split), results.values(large, number, split)
        problem = undefined(a, b)
        if problem is not None:
            return problem
        ours = f"{spread_text(a, percent=percent)} ({small}) against {spread_text(b, percent=percent)} ({large})"
        return _contrast(a, b, ours, paper)

    return judge


def _contrast(a: FloatArray, b: FloatArray, ours: str, paper: tuple[float, float] | None) -> Judgement:
    if not a.mean() < b.mean():
        return Judgement(verdict="not reproduced", ours=ours, why="the order is the other way round")
    if not is_clearly_less(a, b):
        why = f"right order on average, but not in every seed or within {CLEAR_SPREADS:g} spreads"
        return Judgement(verdict="direction only", ours=ours, why=why)
    if paper is None:
        return Judgement(verdict="reproduced", ours=ours, why="every seed agrees, and the difference is clear")
    size, theirs = b.mean() / a.mean() if a.mean() > 0 else np.inf, paper[1] / paper[0]
    told = f"a factor of {size:.3g} here, {theirs:.3g} in the paper"
    if np.log(size) >= SIZE_SHARE * np.log(theirs):
        return Judgement(verdict="reproduced", ours=ours, why=told)
    return Judgement(verdict="direction only", ours=ours, why=f"{told}: less than half of it on a logarithmic scale")


def stays(
    number: str,
    label: str,
    *,
    at_least: float = -np.inf,
    at_most: float = np.inf,
    split: str = "train",
    percent: bool = False,
) -> Judge:
    """Judge that a number ends on one side of a bound in every seed.

    Args:
        number: its name.
        label: the condition.
        at_least: lower bound.
        at_most: upper bound.
        split: on which samples.
        percent: show shares as percent.
    """

    def judge(results: Results) -> Judgement:
        values = results.values(label, number, split)
        problem = undefined(values)
        if problem is not None:
            return problem
        ours = f"{spread_text(values, percent=percent)} ({label})"
        inside = (values >= at_least) & (values <= at_most)
        bounds = [
            f"{word} {bound:g}" for word, bound in (("at least", at_least), ("at most", at_most)) if abs(bound) < np.inf
        ]
        told = f"{inside.sum()} of {len(values)} seeds are {' and '.join(bounds)}"
        return Judgement(verdict=by_share(float(inside.mean())), ours=ours, why=told)

    return judge


def by_share(share: float) -> Verdict:
    """All seeds: reproduced; most of them: direction only."""
    return "reproduced" if share == 1 else "direction only" if share > 0.5 else "not reproduced"


def ends_in(
    regime: str, label: str, *, by_epoch: float | None = None, from_step: int = 1, split: str = "train"
) -> Judge:
    """Judge that a condition is in a regime, at the end or within so many epochs.

    Args:
        regime: "minimal", "extended", "coefficient" or "intermediate".
        label: the condition.
        by_epoch: it has to be reached at a measurement up to this epoch; None asks for the end.
        from_step: measurements before this step do not count.
        split: on which samples.
    """

    def judge(results: Results) -> Judgement:
        reached, told = [], []
        for outcome in results.outcomes(label):
            points = [] if outcome is None or outcome.status == "diverged" else list(outcome.points)
            points = [point for point in points if point.step >= from_step]
            kept = points[-1:] if by_epoch is None else [point for point in points if point.epoch <= by_epoch]
            first = next((point for point in kept if point.regimes.get(split) == regime), None)
            reached.append(first is not None)
            told.append(_when(first, points[-1].regimes.get(split, "–") if points else "diverged", by_epoch))
        share = sum(reached) / len(reached)
        return Judgement(
            verdict=by_share(share),
            ours=f"{label}: {', '.join(told)}",
            why=f"{sum(reached)} of {len(reached)} seeds are {regime} "
            + ("at the end" if by_epoch is None else f"by epoch {by_epoch:g}"),
        )

    return judge


def _when(first: object, end: str, by_epoch: float | None) -> str:
    epoch = getattr(first, "epoch", None)
    if by_epoch is None:
        return end
    return f"{end} at the end" if epoch is None else f"epoch {epoch:.2g}"


def moves(number: str, start: str, end: str, *, up: bool | None, split: str = "train") -> Judge:
    """Judge which way a number goes from one condition to another.

    Args:
        number: its name.
        start: label of the first condition.
        end: label of the last.
        up: True it rises, False it falls, None it does not move.
        split: on which samples.
    """

    def judge(results: Results) -> Judgement:
        a, b = results.values(start, number, split), results.values(end, number, split)
        problem = undefined(a, b)
        if problem is not None:
            return problem
        ours = f"{spread_text(a)} ({start}) to {spread_text(b)} ({end})"
        if up is not None:
            return _contrast(a, b, ours, None) if up else _contrast(b, a, ours, None)
        size = abs(float(a.mean()))
        change = float(b.mean() - a.mean()) / max(size, 1.0)
        told = f"{change:+.2g}" if size <= 1 else f"{change:+.0%}"
        clear = is_clearly_less(a, b) or is_clearly_less(b, a)
        if abs(change) <= STILL:
            return Judgement(verdict="reproduced", ours=ours, why=f"it moves by {told}, at most {STILL:g}")
        if not clear:
            return Judgement(verdict="direction only", ours=ours, why=f"it moves by {told}, within its spread")
        return Judgement(verdict="not reproduced", ours=ours, why=f"it moves clearly, by {told}")

    return judge
