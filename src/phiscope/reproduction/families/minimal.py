"""The minimal-feature regime: convolutional networks reach it in a few epochs, a fully connected one does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from phiscope.reproduction.claims import Claim, Judge, Judgement, by_share, ends_in, is_less, stays
from phiscope.reproduction.families.fashion import VGG, planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.outcome import LAYERS, Point
from phiscope.reproduction.settings import Setup

FEW_EPOCHS = 5.0
"""What "a few epochs" is taken to be; the paper says no number."""

GLYPHS = Setup(
    data="glyphs",
    data_settings=(("difficulty", 0.5), ("num_classes", 10), ("size", 20)),
    n_train=3000,
    n_test=1000,
    network="cnn",
    width=0.5,
    optimizer="adam",
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=64,
    steps=940,
    points=10,
)
"""The harder pictures, 20 epochs; of a size that leaves a training within a minute on one core."""

_DIGITS = Setup(
    data="digits",
    n_train=1400,
    network="cnn",
    optimizer="adam",
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=32,
    steps=880,
    points=12,
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
    steps=19_550,
    crops=True,
    points=14,
    probe=10_000,
)

CNN, RESNET, FCN, FROZEN = "cnn, glyphs", "resnet, glyphs", "fcn, glyphs", "frozen cnn, glyphs"
DIGITS_CNN, DIGITS_FCN = "cnn, digits", "fcn, digits"
CLOTHES_CNN, CLOTHES_RESNET, CLOTHES_VGG = "cnn, clothes", "resnet, clothes", "vgg, clothes"
CLOTHES_FCN, CLOTHES_FROZEN = "fcn, clothes", "frozen cnn, clothes"

BASE = trained_for(40)
"""The CNN at medium scale."""

_FULLY = replace(BASE, network="fcn", width=1.0, learning_rate=0.02)


def _layered(*conditions: Condition) -> tuple[Condition, ...]:
    """The same conditions, keeping numbers of every layer."""
    return tuple(replace(one, setup=replace(one.setup, layers=True)) for one in conditions)


def _fully(what: str, **changes: Any) -> Condition:
    return Condition(label=f"fcn, {what}", setup=replace(_FULLY, **changes), group="fully connected")


_MEDIUM = _layered(
    Condition(label=CLOTHES_CNN, setup=BASE, group="architectures"),
    Condition(
        label=CLOTHES_RESNET,
        setup=replace(BASE, network="resnet18", depth=10, width=0.25),
        group="architectures",
    ),
    Condition(label=CLOTHES_VGG, setup=VGG, group="architectures"),
    Condition(label=CLOTHES_FCN, setup=_FULLY, group="architectures"),
    Condition(label=CLOTHES_FROZEN, setup=replace(BASE, frozen=True), group="architectures"),
    _fully("1 hidden layer", depth=1),
    _fully("6 hidden layers", depth=6),
    _fully("width 128", width=0.25),
    _fully("width 1024", width=2.0),
    _fully("no momentum", momentum=0.0),
    _fully("1 hidden layer, no momentum", depth=1, momentum=0.0),
    _fully("Adam, no decay", optimizer="adam", learning_rate=1e-3, weight_decay=0.0),
    _fully("square loss", loss="square"),
    _fully("1,000 pictures", n_train=1000),
    _fully("16,000 pictures", n_train=16_000, steps=2 * BASE.steps),
)
"""The paper's contrast, and the settings in which the fully connected network may be extended."""

_COLUMNS = (
    Column(title="train accuracy", name="train_accuracy"),
    Column(title="test accuracy", name="test_accuracy"),
    Column(title="D_LR", name="dynamical_low_rank"),
    Column(title="corrected", name="dynamical_low_rank_corrected"),
    Column(title="Pihat(C)", name="pihat_outputs"),
    Column(title="gap at C", name="gap"),
    Column(title="D_eff", name="effective_dimension_centered"),
    Column(title="k90", name="k90"),
    Column(title="NC1", name="nc1"),
)


def _against_fully_connected(convolutional: str, fully: str) -> tuple[Claim, ...]:
    return (
        Claim(
            sentence="The fully connected network on the harder pictures stays extended",
            paper="words",
            labels=(fully,),
            judge=ends_in("extended", fully),
        ),
        Claim(
            sentence="It ends with the larger D_LR",
            paper="words",
            labels=(convolutional, fully),
            judge=is_less("dynamical_low_rank", convolutional, fully),
        ),
        Claim(
            sentence="The gap after the tenth eigenvalue is wider in the convolutional network",
            paper="words",
            labels=(fully, convolutional),
            judge=is_less("gap", fully, convolutional),
        ),
    )


def _frozen(label: str) -> tuple[Claim, ...]:
    return (
        Claim(
            sentence="With frozen features only coefficients are learned: S_init stays 1",
            paper="words",
            labels=(label,),
            judge=stays("initial_kernel_similarity", label, at_least=0.999),
        ),
    )


def depth_curve(point: Point) -> list[float]:
    """D_LR of every layer at one moment, in the order of the forward pass; NaN where it could not be measured."""
    return [layer.get("dynamical_low_rank", np.nan) for layer in point.layers.values()]


def ends_least(curve: list[float]) -> bool:
    """Whether the last layer has less D_LR than every other."""
    return all(curve[-1] < other for other in curve[:-1])


def _last_is_least(label: str) -> Judge:
    """Judge that of all layers the last ends with the least D_LR; at the start is the control."""

    def judge(results: Results) -> Judgement:
        done = [one for one in results.outcomes(label) if one is not None and one.status == "finished"]
        if not done or not all(np.isfinite(depth_curve(one.last)).all() for one in done):
            return Judgement(verdict="not reproduced", ours="–", why="a layer could not be measured in every seed")
        ends, starts = ([depth_curve(one.points[index]) for one in done] for index in (-1, 0))
        least, before = ([ends_least(curve) for curve in part] for part in (ends, starts))
        ours = f"{label}: {', '.join(f'{value:.3g}' for value in np.mean(ends, axis=0))}"
        why = f"the last of {len(ends[0])} layers has the least D_LR in {sum(least)} of {len(least)} seeds at the end, "
        why += f"and in {sum(before)} before training"
        return Judgement(verdict=by_share(sum(least) / len(least)), ours=ours, why=why)

    return judge


def _layer_claims(*labels: str) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            sentence=f"Of all layers the last one ends with the least D_LR ({label})",
            paper="words, in a reply to reviewers: the last layer has the strongest low-rank bias",
            labels=(label,),
            judge=_last_is_least(label),
            numbers=((LAYERS, "train"),),
        )
        for label in labels
    )


FAMILY = Family(
    letter="a",
    name="minimal",
    title="As many dominating eigenfunctions as classes, within a few epochs",
    paper="v1: popular convolutional networks reach the minimal-feature regime within a few epochs; a fully connected "
    "network on CIFAR10 stays extended. The thresholds of the regimes are phiscope's own.",
    setting="Glyphs (10 classes, 20 x 20, 3000 pictures) with the small CNN at half width, a ResNet of 10 layers at "
    "quarter width, 3 x 512 ReLU and a frozen CNN, 20 epochs; digits with CNN and 3 x 512 ReLU.",
    small=_layered(
        Condition(label=CNN, setup=GLYPHS, group="glyphs"),
        Condition(
            label=RESNET,
            setup=replace(GLYPHS, network="resnet18", depth=10, width=0.25, learning_rate=5e-3),
            group="glyphs",
        ),
        Condition(label=FCN, setup=replace(GLYPHS, network="fcn", width=1.0, learning_rate=1e-3), group="glyphs"),
        Condition(label=FROZEN, setup=replace(GLYPHS, frozen=True, learning_rate=1e-2), group="glyphs"),
        Condition(label=DIGITS_CNN, setup=_DIGITS, group="digits"),
        Condition(label=DIGITS_FCN, setup=replace(_DIGITS, network="fcn", learning_rate=1e-3), group="digits"),
    ),
    full=(
        Condition(label=RESNET, setup=_CIFAR, group="CIFAR-10"),
        Condition(label=CNN, setup=replace(_CIFAR, network="vgg16"), group="CIFAR-10"),
        Condition(label=FCN, setup=replace(_CIFAR, network="fcn", learning_rate=0.02, crops=False), group="CIFAR-10"),
        Condition(label=FROZEN, setup=replace(_CIFAR, frozen=True), group="CIFAR-10"),
        Condition(label=DIGITS_CNN, setup=_DIGITS, group="digits"),
        Condition(label=DIGITS_FCN, setup=replace(_DIGITS, network="fcn", learning_rate=1e-3), group="digits"),
    ),
    full_setting="CIFAR-10: ResNet18, VGG16 with batch norm and a frozen ResNet18, "
    "SGD 0.05 for 50 epochs; 3 x 512 ReLU. Digits as at small scale.",
    needs=("cifar10",),
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures), SGD with momentum 0.9, weight decay 5e-4 and a cosine schedule, "
        "40 epochs: the small CNN at half width, a ResNet of 10 layers and VGG16 (50 epochs) at quarter width, and a "
        "frozen CNN, all at 0.05; 3 x 512 ReLU at 0.02, also with other depths, widths, optimizers, loss, numbers of "
        "pictures.",
        conditions=_MEDIUM,
        claims=(
            *(
                Claim(
                    sentence=f"The minimal regime is reached within {FEW_EPOCHS:g} epochs ({label})",
                    paper="words",
                    labels=(label,),
                    judge=ends_in("minimal", label, by_epoch=FEW_EPOCHS),
                )
                for label in (CLOTHES_CNN, CLOTHES_RESNET, CLOTHES_VGG)
            ),
            *(
                Claim(
                    sentence=f"The minimal regime is where training ends ({label})",
                    paper="words",
                    labels=(label,),
                    judge=ends_in("minimal", label),
                )
                for label in (CLOTHES_CNN, CLOTHES_RESNET, CLOTHES_VGG)
            ),
            *_against_fully_connected(CLOTHES_CNN, CLOTHES_FCN),
            *_frozen(CLOTHES_FROZEN),
            *_layer_claims(CLOTHES_CNN, CLOTHES_RESNET, CLOTHES_VGG, CLOTHES_FCN),
        ),
        # VGG16 is family c's training; it is counted there.
        core_minutes=planned_minutes(condition for condition in _MEDIUM if condition.label != CLOTHES_VGG),
        columns=(*_COLUMNS, Column(title="U", name="used_variance"), Column(title="cliff", name="gap_centered")),
        records=(CLOTHES_CNN, CLOTHES_RESNET, CLOTHES_VGG, CLOTHES_FCN),
    ),
    claims=(
        *(
            Claim(
                sentence=f"The minimal regime is reached within {FEW_EPOCHS:g} epochs ({label})",
                paper="words",
                labels=(label,),
                judge=ends_in("minimal", label, by_epoch=FEW_EPOCHS),
            )
            for label in (DIGITS_CNN, CNN, RESNET)
        ),
        *_against_fully_connected(CNN, FCN),
        *_frozen(FROZEN),
        *_layer_claims(DIGITS_CNN, CNN, RESNET, DIGITS_FCN, FCN),
    ),
    columns=_COLUMNS,
)
