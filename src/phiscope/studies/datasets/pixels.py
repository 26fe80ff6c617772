"""Pictures as bytes, before they are scaled: what the readers of image files and the glyphs hand over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, as the readers get it.

    Attributes:
        folder: where the files are, or where to keep generated ones; None when none was named.
        n_train: number of training pictures; None is the set's own.
        n_test: number of test pictures; None is the set's own.
        seed: decides which pictures.
    """

    folder: Path | None
    n_train: int | None
    n_test: int | None
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPixels:
    """Pictures with their classes.

    Attributes:
        pixels: shape (n, channels, height, width), 0 to 255.
        classes: shape (n,), 0 and up.
    """

    pixels: NDArray[np.uint8]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelSet:
    """Both splits of an image set.

    Attributes:
        train: the training pictures.
        test: the test pictures.
        class_names: a name for each class.
        what: what the pictures are, without their number; the beginning of a sentence.
    """

    train: LabelledPixels
    test: LabelledPixels
    class_names: tuple[str, ...]
    what: str


def is_whole(number: object, low: int, high: float = math.inf) -> bool:
    """Whether it is a whole number from low to high; what people type may be anything."""
    return isinstance(number, Integral) and low <= int(number) <= high


def in_equal_shares(classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order of the samples in which every run of neighbors has the classes in the shares of the whole.

    Each class is shuffled and laid out evenly over the whole length, so that a shorter beginning is part of a longer
    one: what a sweep over the number of samples needs.

    Args:
        classes: shape (n,).
        seed: decides the order.

    Returns:
        A permutation, shape (n,).

    Example:
        >>> order = in_equal_shares(np.array([0] * 6 + [1] * 3), seed=0)
        >>> [int(number) for number in np.bincount(order[:3] >= 6)]
        [2, 1]
    """
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, starts, counts = np.unique(classes[by_class], return_index=True, return_counts=True)
    place = (np.arange(len(classes)) - np.repeat(starts, counts) + 0.5) / np.repeat(counts, counts)
    # Classes of equal size share their places; the shuffled order decides among them, not the class.
    tie = np.argsort(shuffled)[by_class]
    ordered: NDArray[np.int64] = by_class[np.lexsort((tie, place))]
    return ordered


def taken(samples: LabelledPixels, rows: NDArray[np.int64]) -> LabelledPixels:
    """The samples of these rows, in this order."""
    return LabelledPixels(pixels=samples.pixels[rows], classes=samples.classes[rows])


def drawn(classes: NDArray[np.int64], n: int | None, *, seed: int, split: str) -> NDArray[np.int64]:
    """Rows of n samples of a split, classes in the shares of the whole; None takes all, in the same random order.

    Raises:
        InputError: there are fewer than n.
    """
    if n is not None and n > len(classes):
        raise InputError(f"the {split} split has {len(classes)} pictures, got n_{split}={n}")
    return in_equal_shares(classes, seed)[:n]


def held_out(
    classes: NDArray[np.int64], *, n_train: int | None, n_test: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to test on, from samples that come without a test split.

    The test rows are drawn first, so that they do not depend on the number of training rows.

    Raises:
        InputError: there are not that many samples.
    """
    left = len(classes) - n_test
    wanted = left if n_train is None else n_train
    if not 1 <= wanted <= left:
        raise InputError(f"there are {len(classes)} pictures in all, got n_train={n_train} and n_test={n_test}")
    order = in_equal_shares(classes, seed)
    return order[n_test:][:wanted], order[:n_test]
