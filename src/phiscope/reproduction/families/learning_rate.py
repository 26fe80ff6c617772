"""The learning rate: too small and too large are both less rich than the best, says the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from phiscope.reproduction.claims import Claim, Judgement, Verdict, is_clearly_less, spread_text
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.families.minimal import GLYPHS
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Of SGD with momentum, at small scale; half a decade apart."""

MEDIUM_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Far enough up that accuracy and D_LR turn: with batch norm and decay 0.3 need not be the end."""

PAPER_RATES = (0.005, 0.05, 0.2)

ALIKE = -0.5
"""Rank correlation of test accuracy and D_LR over the sweep from which on the two count as going together."""

_SMALL = replace(GLYPHS, optimizer="sgd", momentum=0.9, learning_rate=0.1, schedule="cosine", steps=705, points=8)
_CIFAR = Setup(
    data="cifar100",
    network="resnet18",
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="cosine",
    batch_size=128,
    steps=78_200,
    crops=True,
    points=12,
    probe=10_000,
)


def label(rate: float) -> str:
    """Label of a condition."""
    return f"lr {rate:g}"


def _labels(results: Results) -> tuple[str, ...]:
    return tuple(condition.label for condition in results.conditions)


def _interior(results: Results) -> Judgement:
    labels = _labels(results)
    accuracy = {name: results.values(name, "test_accuracy") for name in labels}
    # A diverged training has no accuracy: it is the worst of the sweep.
    means = np.array([np.nan_to_num(accuracy[name], nan=0.0).mean() for name in labels])
    best = int(means.argmax())
    ours = ", ".join(f"{name}: {spread_text(accuracy[name], percent=True)}" for name in labels)
    if best in (0, len(labels) - 1):
        return Judgement(verdict="not reproduced", ours=ours, why=f"the best is at the sweep's end, {labels[best]}")
    ends = [is_clearly_less(np.nan_to_num(accuracy[labels[i]]), accuracy[labels[best]]) for i in (0, -1)]
    why = f"the best is {labels[best]}; clearly better than {sum(ends)} of the two ends"
    return Judgement(verdict="reproduced" if all(ends) else "direction only", ours=ours, why=why)


def _coincides(results: Results) -> Judgement:
    labels = _labels(results)
    accuracy = np.array([np.nan_to_num(results.values(name, "test_accuracy")).mean() for name in labels])
    lowness = np.array([np.nan_to_num(results.values(name, "dynamical_low_rank"), nan=1.0).mean() for name in labels])
    best, richest = int(accuracy.argmax()), int(lowness.argmin())
    ours = f"best {labels[best]} (D_LR {lowness[best]:.3g}), least D_LR {labels[richest]} ({lowness[richest]:.3g})"
    apart = abs(best - richest)
    why = f"{apart} step{'s' * (apart != 1)} of the sweep apart; one step is within what a sweep can tell"
    return Judgement(verdict="reproduced" if apart <= 1 else "not reproduced", ours=ours, why=why)


def _together(results: Results) -> Judgement:
    pairs = [
        (results.values(name, "test_accuracy"), results.values(name, "dynamical_low_rank")) for name in _labels(results)
    ]
    accuracy, lowness = (np.concatenate(part) for part in zip(*pairs, strict=True))
    known = np.isfinite(accuracy) & np.isfinite(lowness)
    if known.sum() < 4:
        return Judgement(verdict="not reproduced", ours="–", why=f"only {known.sum()} trainings could be measured")
    correlation = float(spearmanr(accuracy[known], lowness[known]).statistic)
    verdict: Verdict = (
        "reproduced" if correlation <= ALIKE else "direction only" if correlation < 0 else "not reproduced"
    )
    why = f"over {known.sum()} trainings; {ALIKE:g} or below counts"
    return Judgement(verdict=verdict, ours=f"rank correlation {correlation:+.2f}", why=why)


_MEDIUM = tuple(Condition(label=label(rate), setup=trained_for(50, learning_rate=rate)) for rate in MEDIUM_RATES)
_CLAIMS = (
    Claim(
        sentence="Test accuracy has its maximum inside the sweep",
        paper="66.3 / 78.3 / 74.5 %",
        labels=(),
        judge=_interior,
    ),
    Claim(
        sentence="The least D_LR is within one step of the best learning rate",
        paper="0.053 / 0.025 / 0.039: both at 0.05",
        labels=(),
        judge=_coincides,
    ),
    Claim(
        sentence="Accuracy and D_LR go together over the sweep",
        paper="the same order of all three",
        labels=(),
        judge=_together,
    ),
)

FAMILY = Family(
    letter="b",
    name="learning-rate",
    title="The best learning rate comes with small D_LR",
    paper="CIFAR-100, ResNet18: test accuracy 66.3 / 78.3 / 74.5 % and D_LR 0.053 / 0.025 / 0.039 at learning rates "
    "0.005 / 0.05 / 0.2.",
    setting="Glyphs, the small CNN at half width, SGD with momentum 0.9 and a cosine schedule, 15 epochs, six learning "
    "rates.",
    small=tuple(Condition(label=label(rate), setup=replace(_SMALL, learning_rate=rate)) for rate in RATES),
    full=tuple(Condition(label=label(rate), setup=replace(_CIFAR, learning_rate=rate)) for rate in PAPER_RATES),
    full_setting="CIFAR-100, ResNet18, SGD with momentum 0.9, weight decay 5e-4 and a cosine schedule, 200 epochs.",
    needs=("cifar100",),
    claims=_CLAIMS,
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures), the small CNN at half width, SGD with momentum 0.9, weight decay 5e-4 "
        "and a cosine schedule, 50 epochs, eight learning rates.",
        conditions=_MEDIUM,
        claims=_CLAIMS,
        core_minutes=planned_minutes(_MEDIUM),
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR, train", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="D_LR, test", name="dynamical_low_rank", split="test"),
        Column(title="S_init", name="initial_kernel_similarity"),
        Column(title="NC1", name="nc1"),
    ),
)
