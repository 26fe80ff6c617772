"""Regression sets by name, standardized by the training split's own mean and spread."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.datasets.bundled import DiabetesSettings
from phiscope.studies.datasets.pixels import is_whole


@dataclass(frozen=True, kw_only=True, eq=False)
class RegressionSet:
    """Inputs with target values, ready to train on.

    Attributes:
        train_x: float32, shape (n, features); every column has mean 0 and standard deviation 1 over this split.
        train_y: float32, shape (n, num_outputs), standardized the same way.
        test_x: the test split, standardized by the training split's mean and spread.
        test_y: its targets.
        num_outputs: number of target values.
        name: as given to ``load_regression``.
        source: one sentence that says what a sample is and how many there are.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    num_outputs: int
    name: str
    source: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (features,) of one input."""
        return tuple(self.train_x.shape[1:])


def load_regression(name: str, *, seed: int = 0, n_train: int | None = None) -> RegressionSet:
    """Load a regression set; what is not trained on is the test split.

    Args:
        name: "diabetes": disease progression of 442 patients from ten variables (Efron et al. 2004), bundled with
            scikit-learn; the split of the study diabetes-mlp.
        seed: decides the split.
        n_train: samples to train on; None takes 342.

    Raises:
        UnknownNameError: there is no such set.
        InputError: ``n_train`` leaves fewer than two samples on either side, or a seed below 0.
        MissingDependencyError: scikit-learn is not installed.

    Example:
        >>> diabetes = load_regression("diabetes")
        >>> diabetes.train_x.shape, diabetes.train_y.shape, len(diabetes.test_x)
        (torch.Size([342, 10]), torch.Size([342, 1]), 100)
    """
    if name != "diabetes":
        raise UnknownNameError("regression set", name, ["diabetes"])
    if not is_whole(seed, 0, 2**63 - 1):
        raise InputError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}")
    if n_train is not None and not is_whole(n_train, 2):
        raise InputError(f"n_train is a whole number, 2 or more, or None for 342, got n_train={n_train!r}")
    settings = DiabetesSettings() if n_train is None else DiabetesSettings(n_train=n_train)
    data = settings.load(seed)
    return RegressionSet(
        train_x=data.train.inputs,
        train_y=data.train.targets,
        test_x=data.test.inputs,
        test_y=data.test.targets,
        num_outputs=data.n_outputs,
        name=name,
        source=data.description,
    )
