"""Shuffled labels: the features become as rich as on true ones, and generalize nothing."""

from __future__ import annotations

from dataclasses import replace

from phiscope.reproduction.claims import CHANCE_FACTOR, Claim, Judge, Judgement, is_less, spread_text, stays, undefined
from phiscope.reproduction.families.fashion import DECAY, planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup

AS_RICH = 0.05
"""D_LR of both counts as the same within this; the paper's differ by 0.003, seeds of small networks by 0.02."""

_CLEAN = Setup(
    data="digits",
    n_train=1400,
    network="cnn",
    optimizer="adam",
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=64,
    steps=2640,
    points=10,
)
_CIFAR = Setup(
    data="cifar10",
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


def _pair(clean: Setup, shuffled: Setup) -> tuple[Condition, ...]:
    half = replace(clean, shuffled=0.5)
    return (
        Condition(label="clean labels", setup=clean),
        Condition(label="half shuffled", setup=half),
        Condition(label="shuffled labels", setup=shuffled),
    )


def as_rich(clean: str, shuffled: str) -> Judge:
    """Judge that D_LR is the same under two conditions, named by their labels."""

    def judge(results: Results) -> Judgement:
        a, b = (results.values(label, "dynamical_low_rank") for label in (clean, shuffled))
        problem = undefined(a, b)
        if problem is not None:
            return problem
        apart = abs(float(a.mean() - b.mean()))
        ours = f"{spread_text(a)} ({clean}) and {spread_text(b)} ({shuffled})"
        why = f"the means differ by {apart:.2g}; the same means within {AS_RICH:g}"
        lazy = results.outcomes(shuffled)[0]
        initial = None if lazy is None or not lazy.points else lazy.points[0].value("dynamical_low_rank")
        why += "" if initial is None else f"; at initialization it is {initial:.2g}"
        if apart <= AS_RICH:
            return Judgement(verdict="reproduced", ours=ours, why=why)
        nearer = initial is not None and apart < 0.5 * abs(initial - float(a.mean()))
        return Judgement(verdict="direction only" if nearer else "not reproduced", ours=ours, why=why)

    return judge


CLEAN, HALF, SHUFFLED = "clean labels", "half shuffled", "shuffled labels"
FREE = ", no decay"
"""Ends the labels of conditions without weight decay, at medium scale."""

_TO_COLLAPSE = trained_for(250, even_points=10)
"""Long after the labels are known: D_LR falls on from there."""

MEDIUM = tuple(
    Condition(
        label=name + ending, setup=replace(_TO_COLLAPSE, shuffled=share, weight_decay=decay), group=f"decay {decay:g}"
    )
    for decay, ending in ((DECAY, ""), (0.0, FREE))
    for name, share in ((CLEAN, 0.0), (HALF, 0.5), (SHUFFLED, 1.0))
)
_CLAIMS = (
    Claim(
        sentence="Shuffled labels are learned by heart",
        paper="words",
        labels=(SHUFFLED,),
        judge=stays("train_accuracy", SHUFFLED, at_least=0.99, percent=True),
    ),
    Claim(
        sentence="On test pictures the network is then at chance",
        paper="9.5 %",
        labels=(SHUFFLED,),
        judge=stays("test_accuracy", SHUFFLED, at_most=CHANCE_FACTOR * 0.1, percent=True),
    ),
    Claim(
        sentence="With true labels it generalizes",
        paper="95.0 % against 9.5 %",
        labels=(CLEAN, SHUFFLED),
        judge=is_less("test_accuracy", SHUFFLED, CLEAN, paper=(0.095, 0.95), percent=True),
    ),
    Claim(
        sentence="D_LR is the same with both, near 0",
        paper="0.031 clean, 0.034 shuffled",
        labels=(CLEAN, SHUFFLED),
        judge=as_rich(CLEAN, SHUFFLED),
    ),
)

FAMILY = Family(
    letter="f",
    name="shuffled",
    title="Shuffled labels are learned with features as rich",
    paper="CIFAR-10: clean labels 95.0 % at D_LR 0.031, fully shuffled labels 9.5 % at 0.034.",
    setting="The small convolutional network on digits, Adam 2e-3 falling to 0, 120 epochs, on true labels, half and "
    "all of them shuffled among the training pictures.",
    small=_pair(_CLEAN, replace(_CLEAN, shuffled=1.0)),
    full=_pair(_CIFAR, replace(_CIFAR, shuffled=1.0, crops=False, weight_decay=0.0)),
    full_setting="CIFAR-10, ResNet18, SGD 0.05 with momentum 0.9, 200 epochs; "
    "crops and weight decay with true labels only.",
    needs=("cifar10",),
    claims=_CLAIMS,
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures), the small CNN at half width, SGD 0.05 with momentum 0.9 and a cosine "
        "schedule, 250 epochs, weight decay 5e-4 and none, on true labels, half and all of them shuffled.",
        conditions=MEDIUM,
        claims=(
            *_CLAIMS,
            Claim(
                sentence="Without weight decay D_LR is the same with both, near 0",
                paper="0.031 clean, 0.034 shuffled (decay not published)",
                labels=(CLEAN + FREE, SHUFFLED + FREE),
                judge=as_rich(CLEAN + FREE, SHUFFLED + FREE),
            ),
        ),
        core_minutes=planned_minutes(MEDIUM),
        from_known=True,
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR, train", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="D_LR, test", name="dynamical_low_rank", split="test"),
        Column(title="Pihat(C)", name="pihat_outputs"),
        Column(title="gap at C", name="gap"),
        Column(title="NC1", name="nc1"),
    ),
)
