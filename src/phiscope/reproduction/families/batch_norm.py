"""Batch norm makes a deep plain convolutional network rich."""

from __future__ import annotations

from dataclasses import replace

from phiscope.reproduction.claims import Claim, is_less, stays
from phiscope.reproduction.families.code import TORCHS_OWN
from phiscope.reproduction.families.fashion import VGG, planned_minutes
from phiscope.reproduction.families.minimal import GLYPHS
from phiscope.reproduction.family import Column, Condition, Family, Medium
from phiscope.reproduction.outcome import PR_PER_RANK
from phiscope.reproduction.settings import Setup

_SMALL = replace(
    GLYPHS,
    network="vgg16",
    width=0.25,
    optimizer="sgd",
    momentum=0.9,
    learning_rate=0.05,
    schedule="cosine",
    steps=470,
    points=8,
)
_CIFAR = Setup(
    data="cifar100",
    network="vgg16",
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

WITH, WITHOUT, TORCHS = "with batch norm", "without", "without, torch's own initial weights"
WITH_FREE, WITHOUT_FREE = "with batch norm, no decay", "without, no decay"

_MEDIUM = (
    Condition(label=WITH, setup=VGG),
    Condition(label=WITHOUT, setup=replace(VGG, batch_norm=False)),
    Condition(label=TORCHS, setup=replace(VGG, batch_norm=False, init_scale=TORCHS_OWN)),
    Condition(label=WITH_FREE, setup=replace(VGG, weight_decay=0.0)),
    Condition(label=WITHOUT_FREE, setup=replace(VGG, weight_decay=0.0, batch_norm=False)),
)
_CLAIMS = (
    Claim(
        sentence="With batch norm D_LR is small",
        paper="0.073",
        labels=(WITH,),
        judge=stays("dynamical_low_rank", WITH, at_most=2 * 0.073),
    ),
    *(
        Claim(
            sentence=f"D_LR is far smaller with batch norm than {what}",
            paper="0.073 against 0.66",
            labels=(WITH, what),
            judge=is_less("dynamical_low_rank", WITH, what, paper=(0.073, 0.66)),
        )
        for what in (WITHOUT, TORCHS)
    ),
    *(
        Claim(
            sentence=f"Test accuracy is far better with batch norm than {what}",
            paper="72.0 % against 21.7 %",
            labels=(WITH, what),
            judge=is_less("test_accuracy", what, WITH, paper=(0.217, 0.72), percent=True),
        )
        for what in (WITHOUT, TORCHS)
    ),
)

FAMILY = Family(
    letter="c",
    name="batch-norm",
    title="Batch norm makes VGG16 rich",
    paper="CIFAR-100, VGG16: without batch norm 21.7 % at D_LR 0.66, with it 72.0 % at 0.073.",
    setting="Glyphs, VGG16 in CIFAR form at quarter width, SGD 0.05 with momentum 0.9 and a cosine "
    "schedule, 10 epochs.",
    small=(
        Condition(label=WITH, setup=_SMALL),
        Condition(label=WITHOUT, setup=replace(_SMALL, batch_norm=False)),
        Condition(label=TORCHS, setup=replace(_SMALL, batch_norm=False, init_scale=TORCHS_OWN)),
    ),
    full=(
        Condition(label=WITH, setup=_CIFAR),
        Condition(label=WITHOUT, setup=replace(_CIFAR, batch_norm=False)),
        Condition(label=TORCHS, setup=replace(_CIFAR, batch_norm=False, init_scale=TORCHS_OWN)),
    ),
    full_setting="CIFAR-100, VGG16, SGD 0.05 with momentum 0.9, weight decay 5e-4 and a cosine schedule, 200 epochs.",
    needs=("cifar100",),
    claims=_CLAIMS,
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures), VGG16 in CIFAR form at quarter width, SGD 0.05 with momentum 0.9 and "
        "a cosine schedule, 50 epochs; with and without batch norm, weight decay 5e-4 and none.",
        conditions=_MEDIUM,
        claims=(
            *_CLAIMS,
            Claim(
                sentence="Without weight decay D_LR is far smaller with batch norm than without",
                paper="–",
                labels=(WITH_FREE, WITHOUT_FREE),
                judge=is_less("dynamical_low_rank", WITH_FREE, WITHOUT_FREE, paper=(0.073, 0.66)),
                ours=True,
            ),
        ),
        core_minutes=planned_minutes(_MEDIUM),
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="U", name="used_variance"),
        Column(title="PR / r", name=PR_PER_RANK),
        Column(title="r", name="output_rank"),
        Column(title="D_eff", name="effective_dimension_centered"),
        Column(title="Pihat(C)", name="pihat_outputs"),
        Column(title="NC1", name="nc1"),
    ),
)
