"""A ladder from rich to lazy training that does not come from the paper: alpha (f - f0), alpha from 1 to 100."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import kendalltau

from phiscope.reproduction.claims import Claim, Judge, Judgement, Verdict, undefined
from phiscope.reproduction.families.code import TORCHS_OWN
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup
from phiscope.typing import FloatArray

ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0)

NEARLY_ORDERED = 0.6
"""Kendall's tau of five rungs with two neighbors exchanged; a number below that in any seed does not order them."""

_LADDER = Setup(
    data="digits",
    n_train=1000,
    network="cnn",
    width=0.25,
    batch_norm=False,
    init_scale=TORCHS_OWN,
    loss="square",
    optimizer="sgd",
    learning_rate=2.0,
    momentum=0.9,
    batch_size=64,
    steps=4000,
    points=5,
    even_points=5,
    probe=1000,
    tangent=30,
    alpha=1.0,
)
_FASHION = trained_for(
    190,
    n_train=1000,
    width=0.25,
    batch_norm=False,
    init_scale=TORCHS_OWN,
    loss="square",
    learning_rate=2.0,
    weight_decay=0.0,
    schedule="constant",
    points=5,
    probe=1000,
    tangent=30,
    alpha=1.0,
)


def label(alpha: float) -> str:
    """The label of a rung."""
    return f"alpha {alpha:g}"


def _rungs(base: Setup) -> tuple[Condition, ...]:
    return tuple(Condition(label=label(alpha), setup=replace(base, alpha=alpha)) for alpha in ALPHAS)


_MEDIUM = _rungs(_FASHION)

OWN, CHANGE = "dynamical_low_rank", "change_dynamical_low_rank"
"""D_LR of the head's own outputs f, and of f - f0, which is what was trained."""

COMPARED = (
    ("weight change", "parameter_distance", "train", False),
    ("tangent kernel distance", "tangent_kernel_distance", "train", False),
    ("S_init", "initial_kernel_similarity", "train", True),
    ("D_LR of f − f₀", CHANGE, "train", True),
    ("D_LR of f − f₀, centered", f"{CHANGE}_centered", "train", True),
    ("D_LR of f", OWN, "train", True),
    ("D_LR of f, centered", f"{OWN}_centered", "train", True),
    ("NC1", "nc1", "train", True),
    ("target alignment", "target_alignment", "train", False),
    ("test accuracy", "test_accuracy", "test", False),
)
"""Symbol, name, split, and whether the number rises toward lazy training."""


def taus(results: Results, number: str, split: str, *, up: bool) -> FloatArray:
    """Kendall's tau between alpha and a number over the rungs, one a seed; 1 is the order that is expected.

    Args:
        results: of this family.
        number: its name.
        split: on which samples.
        up: whether it is expected to rise with alpha.
    """
    values = np.array([results.values(label(alpha), number, split) for alpha in ALPHAS])
    sign = 1.0 if up else -1.0
    return np.array([sign * float(kendalltau(ALPHAS, seed).statistic) for seed in values.T])


def _orders(number: str, split: str, *, up: bool) -> Judge:
    """Judge that a number goes one way at every rung, in every seed."""

    def judge(results: Results) -> Judgement:
        rungs = [results.values(label(alpha), number, split) for alpha in ALPHAS]
        problem = undefined(*rungs)
        if problem is not None:
            return problem
        told = [f"{rung.mean():.1%}" if number.endswith("accuracy") else f"{rung.mean():.3g}" for rung in rungs]
        found = taus(results, number, split, up=up)
        verdict: Verdict = "not reproduced"
        if (found > 1 - 1e-9).all():
            verdict = "reproduced"
        elif (found > NEARLY_ORDERED - 1e-9).all():
            verdict = "direction only"
        why = f"Kendall's tau over the rungs, by seed: {', '.join(f'{tau:+.1f}' for tau in found)}"
        return Judgement(verdict=verdict, ours=", ".join(told), why=why)

    return judge


def _claim(sentence: str, number: str, elsewhere: str, *, up: bool, split: str = "train") -> Claim:
    return Claim(sentence=sentence, paper=elsewhere, labels=(), judge=_orders(number, split, up=up), ours=True)


_CLAIMS = (
    _claim(
        "The larger alpha, the less the weights move, rung by rung",
        "parameter_distance",
        "elsewhere: 33.9, 11.1, 2.89, 0.712, 0.197",
        up=False,
    ),
    _claim(
        "The larger alpha, the less the tangent kernel changes, rung by rung",
        "tangent_kernel_distance",
        "elsewhere (another measure): 13.8, 2.93, 1.02, 0.197, 0.042",
        up=False,
    ),
    _claim(
        "The larger alpha, the larger S_init, rung by rung",
        "initial_kernel_similarity",
        "not measured elsewhere",
        up=True,
    ),
    _claim("The larger alpha, the larger D_LR of f − f₀, rung by rung", CHANGE, "not measured elsewhere", up=True),
    _claim(
        "The larger alpha, the larger D_LR of the head's own outputs f, rung by rung",
        OWN,
        "not measured elsewhere",
        up=True,
    ),
    _claim(
        "The larger alpha, the larger centered D_LR of the head's own outputs f, rung by rung",
        f"{OWN}_centered",
        "not measured elsewhere",
        up=True,
    ),
    _claim(
        "The larger alpha, the worse test accuracy, rung by rung",
        "test_accuracy",
        "elsewhere: 88.1, 85.4, 72.3, 57.7, 54.8 %",
        up=False,
        split="test",
    ),
)

FAMILY = Family(
    letter="j",
    name="ladder",
    title="A ladder from rich to lazy from elsewhere: do the numbers order it alike?",
    paper="not of this paper. The model is alpha (f - f0), f0 the outputs of the initial network, and its square loss "
    "is divided by alpha²: alpha 1 is rich, large alpha lazy (Chizat, Oyallon and Bach 2019, arXiv:1812.07956). "
    "Figures of elsewhere, at alpha 1, 3, 10, 30, 100: VGG11 without batch norm on CIFAR-10, "
    "github.com/chung-neuroai-lab/feature-learning-geometry, read from notes.",
    setting="Digits (1,000), the small CNN at quarter width without batch norm and with torch's own initial weights, "
    "square loss, SGD 2.0 with momentum 0.9, 4,000 steps of 64, the same for every alpha. The head's own outputs are "
    "f, what is trained is f - f0, to which the head does not belong: its D_LR is measured from data.",
    small=_rungs(_LADDER),
    claims=_CLAIMS,
    medium=Medium(
        setting="Fashion-MNIST (1,000 pictures), the same network and training, 190 epochs.",
        conditions=_MEDIUM,
        claims=_CLAIMS,
        core_minutes=planned_minutes(_MEDIUM),
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="train loss", name="train_loss"),
        Column(title="D_LR of f − f₀", name=CHANGE),
        Column(title="D_LR of f − f₀, centered", name=f"{CHANGE}_centered"),
        Column(title="D_LR of f", name=OWN),
        Column(title="D_LR of f, centered", name=f"{OWN}_centered"),
        Column(title="rank of f, raw", name="output_rank_raw"),
        Column(title="S_init", name="initial_kernel_similarity"),
        Column(title="tangent kernel distance", name="tangent_kernel_distance"),
        Column(title="‖θ − θ₀‖", name="parameter_distance"),
        Column(title="target alignment", name="target_alignment"),
        Column(title="NC1", name="nc1"),
    ),
)
