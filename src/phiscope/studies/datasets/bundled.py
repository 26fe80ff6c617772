"""The studies' data: scikit-learn's bundled sets and the addition table, cut into train and test by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from phiscope.errors import InputError, MissingDependencyError

Task = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs with their targets.

    Attributes:
        inputs: shape (n, ...).
        targets: class indices, shape (n,), or values, shape (n, c).
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyData:
    """What a study trains and is tested on.

    Attributes:
        train: the samples that are trained on.
        test: the samples that are not.
        n_outputs: number of classes, or of target values.
        description: one sentence for the page: what a sample is and how many there are.
        class_names: a name for each class; None in regression.
    """

    train: Samples
    test: Samples
    n_outputs: int
    description: str
    class_names: tuple[str, ...] | None = None

    @property
    def task(self) -> Task:
        """Whether the targets are classes or values."""
        return "regression" if self.class_names is None else "classification"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.inputs.shape[1:])


class DataSettings(Protocol):
    """Settings from which a study's data are made."""

    def load(self, seed: int) -> StudyData:
        """Make the data; the same seed gives the same split."""
        ...


@dataclass(frozen=True, kw_only=True)
class DigitsSettings:
    """Handwritten digits, 8 x 8 gray pixels, bundled with scikit-learn (UCI optical digits, 1797 images).

    Attributes:
        n_train: size of the training split; the other images are the test split. Both are stratified.
    """

    n_train: int = 1400

    def load(self, seed: int) -> StudyData:
        """Cut the digits into train and test, pixels scaled to 0..1.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
            InputError: n_train leaves no room for one test image of each class, or fewer than that.
        """
        images, classes = bundled("load_digits")
        if not 10 <= self.n_train <= len(images) - 10:
            raise InputError(f"n_train must be 10..{len(images) - 10} for {len(images)} digits, got {self.n_train}")
        cut = _cut(len(images), self.n_train, seed, stratify=classes)
        pixels = torch.from_numpy(images / 16.0).float().reshape(-1, 1, 8, 8)
        train, test = _split(pixels, torch.from_numpy(classes).long(), cut)
        return StudyData(
            train=train,
            test=test,
            n_outputs=10,
            description=f"scikit-learn's handwritten digits, 8 x 8 gray pixels in 0..1: {len(train)} images to train, "
            f"the other {len(test)} to test, classes in equal shares",
            class_names=tuple(str(digit) for digit in range(10)),
        )


@dataclass(frozen=True, kw_only=True)
class DiabetesSettings:
    """Disease progression of 442 patients from ten variables, bundled with scikit-learn (Efron et al. 2004).

    Attributes:
        n_train: size of the training split; the other patients are the test split.
    """

    n_train: int = 342

    def load(self, seed: int) -> StudyData:
        """Cut the patients into train and test; both are standardized by the training split's mean and spread.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
            InputError: n_train leaves fewer than two patients on either side.
        """
        inputs, targets = bundled("load_diabetes")
        if not 2 <= self.n_train <= len(inputs) - 2:
            raise InputError(f"n_train must be 2..{len(inputs) - 2} for {len(inputs)} patients, got {self.n_train}")
        cut = _cut(len(inputs), self.n_train, seed)
        train, test = _split(
            _standardized(inputs, cut[0]),
            _standardized(targets[:, None], cut[0]),
            cut,
        )
        return StudyData(
            train=train,
            test=test,
            n_outputs=1,
            description=f"scikit-learn's diabetes data, ten standardized variables and the standardized disease "
            f"progression a year later: {len(train)} patients to train, the other {len(test)} to test",
        )


@dataclass(frozen=True, kw_only=True)
class AdditionSettings:
    """Every pair (a, b) of residues with the class (a + b) mod p; an input is the three tokens a, b, "=".

    Half of the ordered pairs that are not trained on have their mirror (b, a) in training, so a network that has
    learned nothing but that a + b = b + a is right on about half of the test pairs.

    Attributes:
        modulus: p, number of residues; the token "=" has the index p.
        train_share: share of the p² pairs to train on, between 0 and 1.
    """

    modulus: int = 97
    train_share: float = 0.5

    def load(self, seed: int) -> StudyData:
        """Cut the table into train and test at random.

        Raises:
            InputError: a modulus below 2, or a share that leaves fewer than two pairs on either side.
        """
        p = self.modulus
        n_train = round(self.train_share * p * p)
        if p < 2 or not 2 <= n_train <= p * p - 2:
            raise InputError(
                f"addition needs a modulus of 2 or more and two pairs on either side, got modulus={p} and "
                f"train_share={self.train_share}"
            )
        first, second = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
        tokens = torch.stack([first, second, torch.full_like(first, p)], dim=1)
        train, test = _split(tokens, (first + second) % p, _cut(p * p, n_train, seed))
        return StudyData(
            train=train,
            test=test,
            n_outputs=p,
            description=f"the table of a + b mod {p} as three tokens a, b, =: {len(train)} pairs drawn at random to "
            f"train, the other {len(test)} to test",
            class_names=tuple(str(residue) for residue in range(p)),
        )


def bundled(loader: str) -> tuple[Any, Any]:
    """Inputs and targets of a data set that comes with scikit-learn, by the name of its loader.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        import sklearn.datasets
    except ImportError as error:
        raise MissingDependencyError(
            "scikit-learn", purpose="this study reads data bundled with scikit-learn and", extra="studies"
        ) from error
    load: Callable[..., tuple[Any, Any]] = getattr(sklearn.datasets, loader)
    return load(return_X_y=True)


def _cut(n: int, n_train: int, seed: int, *, stratify: Any = None) -> tuple[Tensor, Tensor]:
    if stratify is None:
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        return order[:n_train], order[n_train:]
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(n), train_size=n_train, stratify=stratify, random_state=seed)
    return torch.from_numpy(train), torch.from_numpy(test)


def _split(inputs: Tensor, targets: Tensor, cut: tuple[Tensor, Tensor]) -> tuple[Samples, Samples]:
    train, test = (Samples(inputs=inputs[rows], targets=targets[rows]) for rows in cut)
    return train, test


def _standardized(values: Any, train: Tensor) -> Tensor:
    # The test split must not tell the training anything, not even its mean.
    whole: Tensor = torch.from_numpy(values)
    return ((whole - whole[train].mean(0)) / whole[train].std(0, correction=0)).float()
