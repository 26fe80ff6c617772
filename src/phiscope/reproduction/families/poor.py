"""Where the minimal regime comes with poor performance: rich features are not good features."""

from __future__ import annotations

from dataclasses import replace

from phiscope.reproduction.claims import (
    CHANCE_FACTOR,
    Claim,
    Judge,
    Judgement,
    by_share,
    is_less,
    spread_text,
    undefined,
)
from phiscope.reproduction.families import code, shuffled
from phiscope.reproduction.families.fashion import planned_minutes
from phiscope.reproduction.families.minimal import BASE, CNN, GLYPHS
from phiscope.reproduction.families.minimal import FAMILY as MINIMAL
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup

POOR = 0.5
"""Test accuracy at or below which performance is poor, in sets of ten classes that a good network reads at 95 %."""

FEW = 100
"""Pictures to learn from in the small training set; the network has as many epochs to fit them as it wants."""


def _first(conditions: tuple[Condition, ...], label: str) -> Setup:
    return next(condition.setup for condition in conditions if condition.label == label)


GOOD, SHUFFLED, CODED, LITTLE = "enough pictures", "shuffled labels", "foreign code", f"{FEW} pictures"

_LITTLE = replace(GLYPHS, n_train=FEW, steps=400, batch_size=32, probe=FEW)


def _poor(label: str, *, at_most: float = POOR) -> Judge:
    """Judge that the condition ends minimal on training samples and reads few test samples right."""

    def judge(results: Results) -> Judgement:
        accuracy, lowness = results.values(label, "test_accuracy"), results.values(label, "dynamical_low_rank")
        problem = undefined(accuracy, lowness)
        if problem is not None:
            return problem
        regimes = [outcome.last.regimes["train"] for outcome in results.outcomes(label) if outcome is not None]
        both = [
            regime == "minimal" and value <= at_most for regime, value in zip(regimes, accuracy.tolist(), strict=True)
        ]
        ours = f"{spread_text(accuracy, percent=True)} on test samples at D_LR {spread_text(lowness)}"
        ours += f"; {', '.join(regimes)}"
        why = f"minimal and at most {at_most:.0%} in {sum(both)} of {len(both)} seeds"
        return Judgement(verdict=by_share(sum(both) / len(both)), ours=ours, why=why)

    return judge


_CLAIMS = (
    Claim(
        sentence="Minimal and at chance: shuffled labels",
        paper="words; 9.5 % at D_LR 0.034",
        labels=(SHUFFLED,),
        judge=_poor(SHUFFLED, at_most=CHANCE_FACTOR * 0.1),
    ),
    Claim(
        sentence="Minimal and at chance: a code beside the picture",
        paper="words; 10.0 % at D_LR 0.0087",
        labels=(CODED,),
        judge=_poor(CODED, at_most=CHANCE_FACTOR * 0.1),
    ),
    Claim(
        sentence="Minimal and poor: too few pictures",
        paper="words",
        labels=(LITTLE,),
        judge=_poor(LITTLE),
    ),
    Claim(
        sentence="The poor one's features are the less minimal on test pictures",
        paper="not in the paper",
        labels=(GOOD, LITTLE),
        judge=is_less("dynamical_low_rank", GOOD, LITTLE, split="test"),
        ours=True,
    ),
)
FREE = SHUFFLED + shuffled.FREE

_NEW = Condition(label=LITTLE, setup=replace(BASE, n_train=FEW, steps=400, batch_size=32, probe=FEW))
_MEDIUM = (
    Condition(label=GOOD, setup=BASE),
    Condition(label=SHUFFLED, setup=_first(shuffled.MEDIUM, shuffled.SHUFFLED)),
    Condition(label=FREE, setup=_first(shuffled.MEDIUM, shuffled.SHUFFLED + shuffled.FREE)),
    Condition(label=CODED, setup=_first(code.MEDIUM, code.label(code.MEDIUM_STRENGTHS[-1], False))),
    _NEW,
)

FAMILY = Family(
    letter="i",
    name="poor",
    title="The minimal regime with poor performance",
    paper="v1: optimal generalization after tuning usually coincides with the minimal regime, but poor performance "
    "inside it exists.",
    setting="Three ways to it: shuffled labels and a foreign code on digits (families shuffled and code), and glyphs "
    f"with {FEW} pictures to learn from; beside them the CNN with enough pictures.",
    small=(
        Condition(label=GOOD, setup=_first(MINIMAL.small, CNN)),
        Condition(label=SHUFFLED, setup=_first(shuffled.FAMILY.small, "shuffled labels")),
        Condition(label=CODED, setup=_first(code.FAMILY.small, code.label(1.0, False))),
        Condition(label=LITTLE, setup=_LITTLE),
    ),
    claims=_CLAIMS,
    medium=Medium(
        setting="Fashion-MNIST: shuffled labels with weight decay 5e-4 and without, and a foreign code of strength "
        f"{code.MEDIUM_STRENGTHS[-1]:g} (trainings of families f and e), {FEW} pictures to learn from; beside them the "
        "CNN with enough pictures (family a).",
        conditions=_MEDIUM,
        claims=(
            *_CLAIMS,
            Claim(
                sentence="Minimal and at chance: shuffled labels without weight decay",
                paper="words; 9.5 % at D_LR 0.034",
                labels=(FREE,),
                judge=_poor(FREE, at_most=CHANCE_FACTOR * 0.1),
            ),
        ),
        core_minutes=planned_minutes([_NEW]),
        from_known=True,
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR, train", name="dynamical_low_rank"),
        Column(title="D_LR, test", name="dynamical_low_rank", split="test"),
        Column(title="k90", name="k90"),
        Column(title="D_eff", name="effective_dimension_centered"),
        Column(title="NC1, train", name="nc1"),
        Column(title="NC1, test", name="nc1", split="test"),
    ),
)
