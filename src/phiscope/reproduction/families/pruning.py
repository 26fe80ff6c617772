"""Units and channels cut by every rule: does discriminant information say what a network can do without?

Of arXiv:2005.13796, and not of the paper; figures to compare with are an earlier measurement on the same digits.
"""

from __future__ import annotations

import numpy as np

from phiscope.reproduction.claims import Claim, Judge, Judgement, by_share, is_less, spread_text, undefined
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup
from phiscope.runs.groups import spread_of
from phiscope.studies.cutting import CRITERIA

PREDICTS = 0.5
"""A score says which cut is better when its rank correlation with accuracy is above this, with its whole interval."""

SAME = 0.01
"""Accuracies that differ by less count as the same: four pictures of 400."""

SEEDS = 8
"""Differences between rules are of the size of their spread over seeds."""

DIGITS = Setup(
    data="digits",
    n_train=1300,
    n_test=497,
    network="taper",
    optimizer="adam",
    learning_rate=2e-3,
    batch_size=32,
    steps=41 * 40,
    points=2,
    probe=1300,
    cut="units",
)
"""64-128-64-10, ReLU, Adam 2e-3, 40 epochs; its last 64 units are cut."""

GLYPHS = Setup(
    data="glyphs",
    data_settings=(("size", 16), ("difficulty", 0.3)),
    n_train=2000,
    n_test=600,
    network="resnet18",
    depth=10,
    width=0.25,
    optimizer="adam",
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=64,
    steps=32 * 6,
    points=2,
    probe=1000,
    cut="channels",
)
"""A residual network of 10 layers, 16 to 128 channels; all its channels are cut in five rounds."""

RULES = {
    "random": "random_labels_",
    "L1 of outgoing weights": "magnitude_labels_",
    "deviation times weight": "std_magnitude_labels_",
    "DI, gradient": "gradient_labels_",
    "DI, exact": "exact_labels_",
    "DI, greedy": "greedy_labels_",
    "outputs, greedy": "greedy_outputs_",
    "eigenfeatures": "eigenfeatures_",
}
_WORDS = {
    "random": "random",
    "l1": "L1",
    "taylor": "Taylor",
    "bn_scale": "batch norm's scale",
    "di_exact": "DI, exact",
    "di_greedy": "DI, greedy",
    "outputs_greedy": "outputs, greedy",
}
UNITS, CHANNELS = "units of digits", "channels"


def channel_label(criterion: str) -> str:
    """How a criterion for channels is called in the tables."""
    return f"channels: {_WORDS[criterion]}"


def _channels(setup: Setup) -> tuple[Condition, ...]:
    return tuple(
        Condition(label=channel_label(name), setup=setup, group=CHANNELS, reads=f"{name}_", most_seeds=3)
        for name in CRITERIA
    )


SMALL = (
    *(Condition(label=label, setup=DIGITS, group=UNITS, reads=reads) for label, reads in RULES.items()),
    *_channels(GLYPHS),
)
MEDIUM = _channels(
    trained_for(
        6, network="resnet18", depth=10, width=0.25, n_train=2000, points=2, even_points=0, probe=1000, cut="channels"
    )
)


def predicts(number: str, label: str) -> Judge:
    """Judge by a rank correlation that a score says which cut is better.

    Args:
        number: name of the rank correlation.
        label: of the condition.
    """

    def judge(results: Results) -> Judgement:
        values = results.values(label, number)
        problem = undefined(values)
        if problem is not None:
            return problem
        # A correlation lies between -1 and 1, and so does its interval.
        mean = spread_of(values.tolist(), low=-1.0, high=1.0)
        low, high = mean.low, mean.high
        ours = f"{spread_text(values)}, interval of the mean {low:.2f} to {high:.2f}"
        if low > PREDICTS:
            return Judgement(verdict="reproduced", ours=ours, why=f"the whole interval is above {PREDICTS:g}")
        if low > 0:
            return Judgement(verdict="direction only", ours=ours, why=f"above 0, and not clearly above {PREDICTS:g}")
        return Judgement(verdict="not reproduced", ours=ours, why="the interval holds 0 or lies below")

    return judge


def _takes_over(results: Results) -> Judgement:
    """The worst rule with compensation against the best without, each seed by itself."""
    rules = [label for label in RULES if label != "eigenfeatures"]
    with_it, without = (
        np.stack([results.values(label, f"16_{how}_accuracy") for label in rules]) for how in ("taken_over", "mean")
    )
    problem = undefined(with_it, without)
    if problem is not None:
        return problem
    worst, best = with_it.min(axis=0), without.max(axis=0)
    ours = f"{spread_text(worst, percent=True)} (worst) against {spread_text(best, percent=True)} (best)"
    above = worst > best
    why = f"in {above.sum()} of {len(worst)} seeds the worst rule with compensation is above the best without"
    return Judgement(verdict=by_share(float(above.mean())), ours=ours, why=why)


def _loses_nothing(results: Results) -> Judgement:
    whole = results.values("eigenfeatures", "test_accuracy")
    leading = results.values("eigenfeatures", "10_accuracy")
    problem = undefined(whole, leading)
    if problem is not None:
        return problem
    lost = float((whole - leading).mean())
    ours = f"{spread_text(leading, percent=True)} of {spread_text(whole, percent=True)}"
    why = f"the mean loss is {lost:.3f}; nothing means at most {SAME:g}"
    return Judgement(verdict="reproduced" if lost <= SAME else "not reproduced", ours=ours, why=why)


_PLAIN, _GREEDY, _OUTPUTS = "L1 of outgoing weights", "DI, greedy", "outputs, greedy"
_TWO = "2_renewed_accuracy"
"""After two rounds half of all channels are left, and something is still right."""

_CHANNEL_CLAIMS = (
    Claim(
        sentence="Channels: after two rounds with renewed statistics DI (greedy) keeps more than L1",
        paper="not in the paper",
        labels=(channel_label("l1"), channel_label("di_greedy")),
        judge=is_less(_TWO, channel_label("l1"), channel_label("di_greedy"), percent=True),
        ours=True,
    ),
    Claim(
        sentence="Channels: after two rounds with renewed statistics DI (greedy) keeps more than random",
        paper="not in the paper",
        labels=(channel_label("random"), channel_label("di_greedy")),
        judge=is_less(_TWO, channel_label("random"), channel_label("di_greedy"), percent=True),
        ours=True,
    ),
    Claim(
        sentence="Channels: held-out DI of what the head reads says which network answers better, statistics renewed",
        paper="not in the paper",
        labels=(channel_label("di_greedy"),),
        judge=predicts("renewed_rank_correlation", channel_label("di_greedy")),
        ours=True,
    ),
    Claim(
        sentence="Channels: the same without renewed statistics",
        paper="not in the paper",
        labels=(channel_label("di_greedy"),),
        judge=predicts("cut_rank_correlation", channel_label("di_greedy")),
        ours=True,
    ),
)

FAMILY = Family(
    letter="k",
    name="pruning",
    title="Units and channels cut by every rule",
    paper="Another paper (arXiv:2005.13796) orders units by discriminant information. No figure of it is claimed here; "
    "what is in the table's paper column is an earlier measurement of the same cuts on the same digits, 8 seeds.",
    setting="Digits, 64-128-64-10, ReLU, Adam 2e-3, 40 epochs, 8 seeds: the last 64 units are cut to 16 and 8. Glyphs "
    "of 16 pixels, a residual network of 10 layers at quarter width, Adam 2e-3, 6 epochs, 3 seeds: three tenths of all "
    "channels are cut by Torch-Pruning, five times. Nothing is trained after a cut.",
    small=SMALL,
    claims=(
        Claim(
            sentence="16 of 64 units: every rule with compensation is above every rule without",
            paper="95.9 % (worst) against 80.2 % (best)",
            labels=tuple(RULES),
            judge=_takes_over,
            ours=True,
        ),
        Claim(
            sentence="16 of 64 units with means in place: DI (greedy) keeps more than L1 of outgoing weights",
            paper="69.6 against 73.4 %: the other way round",
            labels=(_PLAIN, _GREEDY),
            judge=is_less("16_mean_accuracy", _PLAIN, _GREEDY, percent=True),
            ours=True,
        ),
        Claim(
            sentence="8 of 64 units, taken over: DI (greedy) keeps more than L1 of outgoing weights",
            paper="93.7 against 91.0 %",
            labels=(_PLAIN, _GREEDY),
            judge=is_less("8_taken_over_accuracy", _PLAIN, _GREEDY, percent=True),
            ours=True,
        ),
        Claim(
            sentence="8 of 64 units, taken over: outputs (greedy) keeps more than DI (greedy)",
            paper="94.7 against 93.7 %",
            labels=(_GREEDY, _OUTPUTS),
            judge=is_less("8_taken_over_accuracy", _GREEDY, _OUTPUTS, percent=True),
            ours=True,
        ),
        Claim(
            sentence="The 10 leading of 64 eigenfeatures lose nothing",
            paper="nothing",
            labels=("eigenfeatures",),
            judge=_loses_nothing,
            ours=True,
        ),
        Claim(
            sentence="Held-out DI says which 8 units are better, taken over",
            paper="not in the paper",
            labels=(_GREEDY,),
            judge=predicts("8_taken_over_rank_correlation", _GREEDY),
            ours=True,
        ),
        Claim(
            sentence="Held-out DI says which 16 units are better with means in place",
            paper="not in the paper",
            labels=(_GREEDY,),
            judge=predicts("16_mean_rank_correlation", _GREEDY),
            ours=True,
        ),
        *_CHANNEL_CLAIMS,
    ),
    columns=(
        Column(title="whole", name="test_accuracy"),
        Column(title="16 units, means", name="16_mean_accuracy"),
        Column(title="16, taken over", name="16_taken_over_accuracy"),
        Column(title="8, taken over", name="8_taken_over_accuracy"),
        Column(title="10 eigenfeatures", name="10_accuracy"),
        Column(title="5 eigenfeatures", name="5_accuracy"),
        Column(title="held-out DI ranks 8, taken over", name="8_taken_over_rank_correlation"),
        Column(title="ranks 16, means", name="16_mean_rank_correlation"),
        Column(title="channels, 1 round", name="1_cut_accuracy"),
        Column(title="1 round, renewed", name="1_renewed_accuracy"),
        Column(title="2 rounds, renewed", name=_TWO),
        Column(title="5 rounds, renewed", name="5_renewed_accuracy"),
        Column(title="held-out DI ranks, renewed", name="renewed_rank_correlation"),
        Column(title="ranks, not renewed", name="cut_rank_correlation"),
    ),
    medium=Medium(
        setting="Fashion-MNIST (2,000 pictures), a residual network of 10 layers at quarter width, SGD 0.05 with "
        "momentum 0.9, 6 epochs; three tenths of all channels are cut by Torch-Pruning, five times.",
        conditions=MEDIUM,
        claims=_CHANNEL_CLAIMS,
        columns=(
            Column(title="whole", name="test_accuracy"),
            Column(title="1 round", name="1_cut_accuracy"),
            Column(title="1 round, renewed", name="1_renewed_accuracy"),
            Column(title="2 rounds, renewed", name=_TWO),
            Column(title="5 rounds, renewed", name="5_renewed_accuracy"),
            Column(title="held-out DI ranks, renewed", name="renewed_rank_correlation"),
            Column(title="ranks, not renewed", name="cut_rank_correlation"),
        ),
        core_minutes=planned_minutes(MEDIUM),
    ),
    seeds=SEEDS,
)
