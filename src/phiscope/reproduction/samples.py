"""The samples of a setup: loaded, then changed as the setup says (shuffled labels, codes, whitened targets)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phiscope.errors import InputError
from phiscope.reproduction.settings import Setup
from phiscope.studies.architectures import build_network
from phiscope.studies.datasets.arithmetic import modular_table
from phiscope.studies.datasets.images import load_images
from phiscope.studies.datasets.regression import load_regression

ARITHMETIC = ("addition", "subtraction", "division")
IMAGES = ("digits", "glyphs", "fashion-mnist", "mnist", "cifar10", "cifar100")
FROM_FILES = ("fashion-mnist", "mnist", "cifar10", "cifar100")

_CODE_SEED, _SHUFFLE_SEED, _TEACHER_SEED = 71, 72, 73
"""Added to a setup's seed in disjoint streams, so that codes and shuffles do not repeat the order of the samples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSet:
    """What a network is trained and tested on.

    Attributes:
        train_x: inputs, shape (n, ...).
        train_y: classes (n,) or values (n, c).
        test_x: inputs that are not trained on.
        test_y: their targets.
        input_shape: as `build_network` wants it.
        num_outputs: C.
        source: one sentence: what the samples are.
        further: other test inputs by name, aligned with test_y, on which accuracy is read too.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    input_shape: tuple[int, ...]
    num_outputs: int
    source: str
    further: dict[str, Tensor] = field(default_factory=dict)

    @property
    def is_regression(self) -> bool:
        """Whether the targets are values."""
        return self.train_y.is_floating_point()


def samples_of(setup: Setup, *, folder: str | None = None) -> SampleSet:
    """Make the samples of a setup.

    Args:
        setup: the settings.
        folder: has the files of MNIST and CIFAR in sub-folders "mnist", "cifar10", "cifar100", and may have those of
            Fashion-MNIST in "fashion-mnist".

    Raises:
        InputError: data that do not exist, files that are missing, settings the data do not have.
        UnknownNameError: there are no such data.
    """
    loaded = _loaded(setup, folder)
    for change in (_shuffle_labels, _write_code, _whiten_targets):
        loaded = change(loaded, setup)
    return loaded


def files_of(data: str, folder: str | os.PathLike[str] | None) -> str | None:
    """Where below the folder of all data the files of one set are; None where it needs none or finds them itself.

    Args:
        data: name of the set.
        folder: has a sub-folder of that name.
    """
    if folder is None or data not in FROM_FILES:
        return None
    place = Path(folder) / data
    return None if data == "fashion-mnist" and not place.is_dir() else str(place)


def _loaded(setup: Setup, folder: str | None) -> SampleSet:
    if setup.data in ARITHMETIC:
        return _table(setup)
    if setup.data == "diabetes":
        return _diabetes(setup)
    if setup.data == "teacher":
        return _teacher(setup)
    images = _images(
        setup.data,
        files_of(setup.data, folder),
        setup.n_train,
        setup.n_test,
        setup.seed,
        setup.data_settings,
    )
    return replace(images, further={})


@lru_cache(maxsize=2)
def _images(
    name: str,
    folder: str | None,
    n_train: int | None,
    n_test: int | None,
    seed: int,
    settings: tuple[tuple[str, Any], ...],
) -> SampleSet:
    # Families train many networks on the same pictures; generating them takes longer than some of the trainings.
    images = load_images(name, folder=folder, n_train=n_train, n_test=n_test, seed=seed, **dict(settings))
    return SampleSet(
        train_x=images.train_x,
        train_y=images.train_y,
        test_x=images.test_x,
        test_y=images.test_y,
        input_shape=tuple(images.train_x.shape[1:]),
        num_outputs=images.num_classes,
        source=images.source,
    )


def _table(setup: Setup) -> SampleSet:
    table = modular_table(setup.data, train_share=setup.train_share, seed=setup.seed, **dict(setup.data_settings))
    return SampleSet(
        train_x=table.train_x,
        train_y=table.train_y,
        test_x=table.test_x,
        test_y=table.test_y,
        input_shape=table.input_shape,
        num_outputs=table.num_classes,
        source=table.source,
    )


def _diabetes(setup: Setup) -> SampleSet:
    made = load_regression("diabetes", seed=setup.seed, n_train=setup.n_train)
    return SampleSet(
        train_x=made.train_x,
        train_y=made.train_y,
        test_x=made.test_x,
        test_y=made.test_y,
        input_shape=tuple(made.train_x.shape[1:]),
        num_outputs=made.num_outputs,
        source=made.source,
    )


def _teacher(setup: Setup) -> SampleSet:
    """Digits whose three targets are the outputs of a random network that looks at the whole picture."""
    digits = load_images("digits", n_train=setup.n_train, n_test=setup.n_test, seed=setup.seed)
    teacher = build_network(
        "fcn", input_shape=digits.train_x.shape[1:], num_outputs=3, width=0.125, depth=1, seed=_TEACHER_SEED
    ).eval()
    with torch.no_grad():
        train_y, test_y = teacher(digits.train_x), teacher(digits.test_x)
    return SampleSet(
        train_x=digits.train_x,
        train_y=train_y,
        test_x=digits.test_x,
        test_y=test_y,
        input_shape=tuple(digits.train_x.shape[1:]),
        num_outputs=3,
        source="digits with the three outputs of a random network with 64 hidden units as targets",
    )


def _shuffle_labels(samples: SampleSet, setup: Setup) -> SampleSet:
    if not setup.shuffled:
        return samples
    generator = torch.Generator().manual_seed(setup.seed * 1000 + _SHUFFLE_SEED)
    n = len(samples.train_y)
    chosen = torch.randperm(n, generator=generator)[: round(setup.shuffled * n)]
    labels = samples.train_y.clone()
    labels[chosen] = samples.train_y[chosen[torch.randperm(len(chosen), generator=generator)]]
    return replace(samples, train_y=labels)


def _write_code(samples: SampleSet, setup: Setup) -> SampleSet:
    """Add rows of pixels above each picture; their first C hold the code."""
    if setup.code is None:
        return samples
    if samples.train_x.ndim != 4:
        raise InputError(f"a code is written beside pictures (n, channels, height, width), not into {setup.data!r}")
    generator = torch.Generator().manual_seed(setup.seed * 1000 + _CODE_SEED)
    classes, low, high = samples.num_outputs, samples.train_x.min(), samples.train_x.max()
    strength = setup.code

    def coded(pictures: Tensor, of: Tensor | None) -> Tensor:
        pictures = (pictures - low) / (high - low)
        n, channels, _, width = pictures.shape
        rows = torch.zeros(n, channels, -(-classes // width) * width)
        if of is not None:
            rows[torch.arange(n), :, of] = strength
        return torch.cat([rows.reshape(n, channels, -1, width), pictures], dim=2)

    random = torch.randint(classes, (len(samples.test_y),), generator=generator)
    train_x = coded(samples.train_x, samples.train_y)
    return replace(
        samples,
        train_x=train_x,
        test_x=coded(samples.test_x, random),
        input_shape=tuple(train_x.shape[1:]),
        source=f"{samples.source}; pixels in 0..1, the label's code of strength {strength:g} in extra rows on top",
        further={"no_code": coded(samples.test_x, None), "right_code": coded(samples.test_x, samples.test_y)},
    )


def _whiten_targets(samples: SampleSet, setup: Setup) -> SampleSet:
    if not samples.is_regression:
        return samples
    train_y, test_y = samples.train_y, samples.test_y
    if setup.target_spread:
        change = _whitening(train_y.double(), setup.target_spread)
        train_y, test_y = change(train_y), change(test_y)
    return replace(samples, train_y=train_y * setup.target_scale, test_y=test_y * setup.target_scale)


def _whitening(targets: Tensor, spread: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    if len(spread) != targets.shape[1]:
        raise InputError(f"target_spread has {len(spread)} values for {targets.shape[1]} targets")
    mean = targets.mean(dim=0)
    centered = targets - mean
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(targets))
    # Symmetric whitening: the targets stay as near to themselves as they can.
    matrix = vectors @ torch.diag(values.rsqrt()) @ vectors.T @ torch.diag(torch.tensor(spread, dtype=torch.float64))

    def change(some: Tensor) -> Tensor:
        changed: Tensor = ((some.double() - mean) @ matrix).float()
        return changed

    return change
