"""Maps distorted in training: does noise in the place of what is hit do more than zeros?

Of arXiv:2002.11022, and not of the paper; both arms hit the same share of the same maps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phiscope.reproduction.claims import Claim, Judge, Judgement, spread_text, undefined
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup
from phiscope.runs.groups import spread_of

NONE, DROPBLOCK, DISTORTION = "nothing distorted", "DropBlock", "distortion"

SEEDS = 5

WITHIN = 0.02
"""Relative difference up to which the share that was hit counts as the one that was asked for."""

GLYPHS = Setup(
    data="glyphs",
    data_settings=(("size", 16), ("difficulty", 0.5)),
    n_train=1000,
    n_test=1000,
    network="cnn",
    depth=3,
    width=0.5,
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="cosine",
    batch_size=64,
    steps=16 * 25,
    points=3,
    probe=500,
)
"""Few pictures, so that a network that learns them by heart has something to gain."""


def _arms(setup: Setup) -> tuple[Condition, ...]:
    return (
        Condition(label=NONE, setup=setup),
        Condition(label=DROPBLOCK, setup=replace(setup, distortion="dropblock")),
        Condition(label=DISTORTION, setup=replace(setup, distortion="distortion")),
    )


SMALL = _arms(GLYPHS)
MEDIUM = _arms(trained_for(15, depth=3, n_train=2000, points=3, even_points=0, probe=500))


def gains(number: str, without: str, with_it: str) -> Judge:
    """Judge that a number is higher in one arm, by the interval of the difference over seeds.

    Args:
        number: its name.
        without: label of the arm that should have less.
        with_it: label of the other one.
    """

    def judge(results: Results) -> Judgement:
        less, more = results.values(without, number), results.values(with_it, number)
        problem = undefined(less, more)
        if problem is not None:
            return problem
        mean = spread_of((more - less).tolist())
        low, high = mean.low, mean.high
        told = f"{spread_text(more, percent=True)} ({with_it}) against {spread_text(less, percent=True)} ({without})"
        ours = (
            f"{told}; difference {100 * (more - less).mean():+.2f}, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
        )
        if low > 0:
            return Judgement(verdict="reproduced", ours=ours, why="the whole interval of the difference is above 0")
        if high < 0:
            return Judgement(verdict="not reproduced", ours=ours, why="the whole interval of the difference is below 0")
        if (more - less).mean() > 0:
            return Judgement(verdict="direction only", ours=ours, why="higher on average, and the interval holds 0")
        return Judgement(verdict="not reproduced", ours=ours, why="not higher on average, and the interval holds 0")

    return judge


def _hits_alike(results: Results) -> Judgement:
    shares = [results.values(label, "realized_share") for label in (DROPBLOCK, DISTORTION)]
    problem = undefined(*shares)
    if problem is not None:
        return problem
    setup = next(one.setup for one in results.conditions if one.label == DROPBLOCK)
    # The share rises linearly from 0, so that half of it is hit on average.
    wanted = setup.distorted_share / 2
    away = max(float(np.max(np.abs(one / wanted - 1))) for one in shares)
    ours = f"{spread_text(shares[0])} (DropBlock) and {spread_text(shares[1])} (distortion), asked for {wanted:.4g}"
    why = f"at most {100 * away:.1f} % away from it in any seed; the same within {100 * WITHIN:g} %"
    return Judgement(verdict="reproduced" if away <= WITHIN else "not reproduced", ours=ours, why=why)


_ACCURACY = "test_accuracy"
_CLAIMS = (
    Claim(
        sentence="DropBlock is above nothing at the last epoch",
        paper="94.18 against 93.95 % (ResNet-56, CIFAR-10, best epoch)",
        labels=(NONE, DROPBLOCK),
        judge=gains(_ACCURACY, NONE, DROPBLOCK),
        ours=True,
    ),
    Claim(
        sentence="Distortion is above nothing at the last epoch",
        paper="94.50 against 93.95 % (ResNet-56, CIFAR-10, best epoch)",
        labels=(NONE, DISTORTION),
        judge=gains(_ACCURACY, NONE, DISTORTION),
        ours=True,
    ),
    Claim(
        sentence="Distortion is above DropBlock at the last epoch",
        paper="94.50 against 94.18 % (ResNet-56, CIFAR-10, best epoch)",
        labels=(DROPBLOCK, DISTORTION),
        judge=gains(_ACCURACY, DROPBLOCK, DISTORTION),
        ours=True,
    ),
    Claim(
        sentence="Both arms hit the share of the maps that was asked for",
        paper="the released code undershoots it",
        labels=(DROPBLOCK, DISTORTION),
        judge=_hits_alike,
        ours=True,
    ),
)
_COLUMNS = (
    Column(title="train accuracy", name="train_accuracy"),
    Column(title="test accuracy", name=_ACCURACY),
    Column(title="test loss", name="test_loss"),
    Column(title="share hit", name="realized_share"),
    Column(title="D_LR, train", name="dynamical_low_rank"),
    Column(title="NC1", name="nc1"),
)

FAMILY = Family(
    letter="l",
    name="distortion",
    title="Maps distorted in training: zeros or noise",
    paper="Another paper (arXiv:2002.11022) puts noise in the place of blocks of a map and reports more than DropBlock "
    "does, at the best of all epochs. Whether that is more than the spread over seeds is not published.",
    setting="Glyphs of 16 pixels (1,000 pictures), three convolutions at half width with batch norm, SGD 0.05 with "
    "momentum 0.9 and a cosine schedule, 25 epochs, 5 seeds. Behind the last two convolutions blocks of two fifths of "
    "a map's side are hit, 9 % of the map at the end of training; accuracy is that of the last epoch.",
    small=SMALL,
    claims=_CLAIMS,
    columns=_COLUMNS,
    medium=Medium(
        setting="Fashion-MNIST (2,000 pictures), three convolutions at half width with batch norm, SGD 0.05 with "
        "momentum 0.9 and a cosine schedule, 15 epochs, 5 seeds, the same distortion.",
        conditions=MEDIUM,
        claims=_CLAIMS,
        core_minutes=planned_minutes(MEDIUM),
    ),
    seeds=SEEDS,
)
