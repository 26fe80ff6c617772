"""Features whose numbers are known exactly: all sign vectors, columns uncorrelated, each of mean 0 and variance 1."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BITS = 8
SAMPLES = 2**BITS


def signs() -> Array:
    """All sign vectors of length 8, (256, 8)."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=BITS)))


def products(columns: range, count: int) -> Array:
    """`count` products of so few of the columns as possible; uncorrelated, with each other and with the rest."""
    rows = signs()
    subsets = itertools.chain.from_iterable(
        itertools.combinations(columns, size) for size in range(1, len(columns) + 1)
    )
    return np.stack([rows[:, list(chosen)].prod(axis=1) for chosen in itertools.islice(subsets, count)], axis=1)


def sharing(count: int, shared: int) -> tuple[Array, Array]:
    """Two maps of `count` sign columns each, `shared` of which they have in common; their CKA is shared / count."""
    rows = signs()
    return rows[:, :count], rows[:, count - shared : 2 * count - shared]


def unbiased_cka(count: int, shared: int, n: int = SAMPLES) -> float:
    """CKA from unbiased HSIC of the two maps of `sharing`, by Song's formula on paper.

    The Gram matrix K has count on its diagonal and rows that sum to 0, so without its diagonal tr(K L) becomes
    shared n^2 - count^2 n, 1'K 1 becomes -count n, and 1'K L 1 becomes count^2 n.
    """
    rest = count**2 * (n**2 / ((n - 1) * (n - 2)) - 2 * n / (n - 2) - n)
    return (shared * n**2 + rest) / (count * n**2 + rest)


def classes_on_axes(lengths: tuple[float, float, float], within: float, p: int) -> tuple[Array, NDArray[np.int64]]:
    """Four balanced classes whose means lie along three axes, `lengths` from the middle; variance within^2 around them.

    S_B is diagonal with the squared lengths, S_W is within^2 times the identity, so NC1 is
    within^2 / 4 times the sum of 1 / length^2.
    """
    rows = signs()
    means = np.stack([rows[:, 0], rows[:, 1], rows[:, 0] * rows[:, 1]], axis=1) * np.array(lengths)
    features = within * products(range(2, BITS), p)
    features[:, :3] += means
    return features, ((rows[:, 0] > 0) * 2 + (rows[:, 1] > 0)).astype(np.int64)


def nc1_on_axes(lengths: tuple[float, float, float], within: float) -> float:
    """NC1 of `classes_on_axes`."""
    return within**2 * sum(1 / length**2 for length in lengths) / 4


def cdnv_on_axes(lengths: tuple[float, float, float], within: float, p: int) -> float:
    """CDNV of `classes_on_axes`: two classes differ along two of the three axes, by twice their lengths there."""
    first, second, third = (length**2 for length in lengths)
    distances = (4 * (first + second), 4 * (first + third), 4 * (second + third))
    return sum(p * within**2 / distance for distance in distances) / 3


def relative(value: float, exact: float) -> float:
    """How far a value is from the exact one, as a share of it."""
    return abs(value / exact - 1)
