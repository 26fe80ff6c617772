"""Fashion-MNIST at medium scale: the training that all its families vary, and what a training costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from phiscope.reproduction.family import SEEDS, Condition
from phiscope.reproduction.settings import Setup

PICTURES, TESTED = 4000, 2000
"""Pictures to train on and to test on; drawn by the seed, classes in equal shares."""

DECAY = 5e-4
"""Weight decay of the paper-sized twins, and so of the medium conditions."""

FASHION = Setup(
    data="fashion-mnist",
    n_train=PICTURES,
    n_test=TESTED,
    network="cnn",
    width=0.5,
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=DECAY,
    schedule="cosine",
    batch_size=64,
    steps=math.ceil(PICTURES / 64) * 40,
    points=6,
    even_points=5,
)
"""The small CNN at half width, SGD 0.05 with momentum 0.9, decay 5e-4 and a cosine schedule, 40 epochs."""
PACES = {"cnn": (2000, 3400), "vgg16": (600, 1290), "resnet18": (640, 1230), "fcn": (9900, 44_000)}
"""Pictures a second and core in training and in reading, measured on one busy core (28 x 28 pixels, batches of 64): CNN
at half width, VGG16 and a ResNet of 10 layers at a quarter, 3 x 512 ReLU.

Checked by processor time: a whole training of family f took 467 s of 575 s planned; of family e 27 s and 13 s (frozen)
of 25 s; one epoch of VGG16 with its measurements 33 s of 44 s, of the ResNet 32 s of 45 s."""

_FIXED = 5.0
"""Seconds of a training that do not depend on its length: reading the files, the numbers at the end."""


CHANNELS_CUT = 120.0
"""Seconds that five cuts of all channels by seven criteria take, each with and without renewed statistics."""


def trained_for(epochs: int, **changes: Any) -> Setup:
    """The base with so many passes over its pictures, and changes.

    Example:
        >>> trained_for(2, n_train=128).steps
        4
    """
    changed = replace(FASHION, **changes)
    return replace(changed, steps=math.ceil((changed.n_train or 60_000) / changed.batch_size) * epochs)


VGG = trained_for(50, network="vgg16", width=0.25)
"""VGG16 at quarter width with batch norm: of family c, and one of the architectures of family a."""


def planned_seconds(setup: Setup) -> float:
    """What one training costs on one core: its pictures at the network's pace, and its measurements.

    A measurement reads the train and test pictures for accuracy, and the probe of each split with the weights of now
    and with the initial ones.
    """
    train, read = (pace / _size(setup) for pace in PACES[setup.network])
    probed = 2 * 2 * min(setup.probe, setup.n_train or setup.probe)
    measured = min(setup.n_train or 10_000, 10_000) + TESTED + probed
    records = len(setup.measured_steps())
    cut = CHANNELS_CUT if setup.cut == "channels" else 0.0
    return setup.steps * setup.batch_size / train + records * measured / read + cut + _FIXED


def _size(setup: Setup) -> float:
    """Work of a picture in units of the network whose pace was measured."""
    if setup.network == "cnn":
        return setup.width / FASHION.width
    if setup.network != "fcn":
        return 1.0
    hidden, depth = 512 * setup.width, setup.depth or 3
    return (784 * hidden + (depth - 1) * hidden**2) / (784 * 512 + 2 * 512**2)


def planned_minutes(conditions: Iterable[Condition]) -> float:
    """What so many conditions cost with every seed, in minutes of one core; what several read counts once."""
    each = {condition.setup.key: planned_seconds(condition.setup) for condition in conditions}
    return len(SEEDS) * sum(each.values()) / 60
