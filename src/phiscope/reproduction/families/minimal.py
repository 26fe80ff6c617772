"""The minimal-feature regime: convolutional networks reach it in a few epochs, a fully connected one does not."""

from __future__ import annotations

from dataclasses import replace

from phiscope.reproduction.claims import Claim, ends_in, is_less, stays
from phiscope.reproduction.family import Column, Condition, Family
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

FAMILY = Family(
    letter="a",
    name="minimal",
    title="As many dominating eigenfunctions as classes, within a few epochs",
    paper="v1: popular convolutional networks reach the minimal-feature regime within a few epochs; a fully connected "
    "network on CIFAR10 stays extended. The thresholds of the regimes are phiscope's own.",
    setting="Glyphs (10 classes, 20 x 20, 3000 pictures) with the small CNN at half width, a ResNet of 10 layers at "
    "quarter width, 3 x 512 ReLU and a frozen CNN, 20 epochs; digits with CNN and 3 x 512 ReLU.",
    small=(
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
        Claim(
            sentence="The fully connected network on the harder pictures stays extended",
            paper="words",
            labels=(FCN,),
            judge=ends_in("extended", FCN),
        ),
        Claim(
            sentence="It ends with the larger D_LR",
            paper="words",
            labels=(CNN, FCN),
            judge=is_less("dynamical_low_rank", CNN, FCN),
        ),
        Claim(
            sentence="The gap after the tenth eigenvalue is wider in the convolutional network",
            paper="words",
            labels=(FCN, CNN),
            judge=is_less("gap", FCN, CNN),
        ),
        Claim(
            sentence="With frozen features only coefficients are learned: S_init stays 1",
            paper="words",
            labels=(FROZEN,),
            judge=stays("initial_kernel_similarity", FROZEN, at_least=0.999),
        ),
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="Pihat(C)", name="pihat_outputs"),
        Column(title="gap at C", name="gap"),
        Column(title="D_eff", name="effective_dimension_centered"),
        Column(title="k90", name="k90"),
        Column(title="NC1", name="nc1"),
    ),
)
