"""Features whose numbers are known on paper: between them, nearly every number is once small and once large.

All are made of Walsh functions on 256 samples, which are orthogonal and have mean square 1, so that eigenvalues are
what is written here. Four classes are the four values of two bits; the three Walsh functions of these bits tell them
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

import phiscope

N, P, CLASSES = 256, 24, 4
TELLING = (1, 2, 3)
"""The Walsh functions that tell the classes apart."""

OTHERS = tuple(range(4, 4 + P))
"""Walsh functions that say nothing about the classes."""


def walsh(index: int) -> np.ndarray:
    """One Walsh function, shape (256,), values ±1; 0 is the constant."""
    samples = np.arange(N)
    return 1.0 - 2.0 * np.array([bin(one & index).count("1") % 2 for one in samples])


def functions(indices: tuple[int, ...], eigenvalues: object) -> np.ndarray:
    """Features (256, 24) whose eigenfunctions are these Walsh functions, in columns of their own; the rest are zero."""
    made = np.zeros((N, P))
    values = np.broadcast_to(np.asarray(eigenvalues, dtype=float), len(indices))
    for column, (index, value) in enumerate(zip(indices, values, strict=True)):
        made[:, column] = np.sqrt(value) * walsh(index)
    return made


CLASS = np.arange(N) % CLASSES
VALUES = np.column_stack([walsh(1), walsh(2)])


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Features, a head and targets.

    Attributes:
        words: what it is, as the caption of a picture.
        features: (256, 24).
        head: weights (C, 24).
        targets: classes (256,) or values (256, 2).
    """

    words: str
    features: np.ndarray
    head: np.ndarray
    targets: np.ndarray

    def measured(self) -> phiscope.Measurement:
        """What phiscope says of it."""
        return phiscope.diagonalize(self.features, head=(self.head, None), targets=self.targets)


def reading(columns: tuple[int, ...], targets: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The head whose outputs are what these columns of the features hold of the targets."""
    wanted = np.eye(CLASSES)[targets] if targets.ndim == 1 else targets
    weights = np.zeros((wanted.shape[1], P))
    for column in columns:
        own = features[:, column]
        weights[:, column] = (wanted - wanted.mean(axis=0)).T @ own / max(own @ own, 1e-300)
    return weights


def _random_head(columns: tuple[int, ...]) -> np.ndarray:
    weights = np.zeros((CLASSES, P))
    for row, column in enumerate(columns):
        weights[row % CLASSES, column] = 1.0
    return weights


def _collapsed() -> Scene:
    features = functions(TELLING, 1.0)
    return Scene(
        words="nothing but the classes: three equal eigenvalues, and the head reads them all",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _even() -> Scene:
    features = functions(TELLING + OTHERS[:21], 1.0)
    return Scene(
        words="24 equal eigenvalues, of which the head reads the three that tell the classes apart",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _even_all_read() -> Scene:
    features = functions(OTHERS, 1.0)
    return Scene(
        words="24 equal eigenvalues, none of which knows the classes, and a head that reads four of them",
        features=features, head=_random_head((0, 1, 2, 3)), targets=CLASS,
    )  # fmt: skip


def _decaying() -> Scene:
    features = functions(TELLING + OTHERS[:21], 1.0 / np.arange(1, 25) ** 2)
    return Scene(
        words="eigenvalues 1 / k², the classes on the first three, which the head reads",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _weak() -> Scene:
    features = functions(OTHERS[:21] + TELLING, 1.0 / np.arange(1, 25) ** 2)
    return Scene(
        words="eigenvalues 1 / k², the classes on the last three, which the head reads",
        features=features, head=reading((21, 22, 23), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _steep() -> Scene:
    features = functions(TELLING + OTHERS[:9], 4.0 ** -np.arange(12.0))
    return Scene(
        words="eigenvalues that fall by a factor of four from one to the next",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _offset() -> Scene:
    features = functions(TELLING + OTHERS[:20], 1.0)
    features[:, 23] = 100.0
    return Scene(
        words="23 equal eigenvalues and a mean a hundred times as large as the spread along any of them",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _against() -> Scene:
    features = functions(TELLING, 1.0)
    return Scene(
        words="nothing but the classes, and a head that reads each of them with the wrong sign",
        features=features, head=-reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _unequal() -> Scene:
    features = functions(TELLING, 1.0)
    features[:, 0] += 0.9 * np.sqrt(3) * (CLASS == 0)
    features[:, :3] *= np.array([3.0, 0.5, 0.2])
    return Scene(
        words="class means of unequal lengths, nearly on one line",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _noisy() -> Scene:
    features = functions(OTHERS[:21] + TELLING, [1.0] * 21 + [0.01] * 3)
    return Scene(
        words="class means that are, direction by direction, a tenth as far apart as samples of one class are",
        features=features, head=reading((21, 22, 23), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _mixed() -> Scene:
    features = functions(TELLING, 1.0)
    features[:, :3] += 2.0 * np.column_stack([walsh(index) for index in OTHERS[:3]])
    return Scene(
        words="four class means, and samples that scatter twice as far as these along the same directions",
        features=features, head=reading((0, 1, 2), CLASS, features), targets=CLASS,
    )  # fmt: skip


def _values_skewed() -> Scene:
    features = functions((1, 2), [1.0, 1.0])
    return Scene(
        words="a regression: nothing but the two targets, and a head whose rows point to the same side",
        features=features, head=np.eye(2, P)[[0, 0]] + 0.1 * np.eye(2, P), targets=VALUES,
    )  # fmt: skip


def _values_collapsed() -> Scene:
    features = functions((1, 2), 1.0)
    return Scene(
        words="a regression: nothing but the two targets", features=features,
        head=reading((0, 1), VALUES, features), targets=VALUES,
    )  # fmt: skip


def _values_spread() -> Scene:
    features = functions((*OTHERS[:22], 1, 2), [1.0] * 22 + [0.01] * 2)
    return Scene(
        words="a regression: 22 eigenfunctions that know nothing of the targets, before two weak ones that do",
        features=features, head=-reading((22, 23), VALUES, features), targets=VALUES,
    )  # fmt: skip


MADE: Mapping[str, Callable[[], Scene]] = {
    "collapsed": _collapsed,
    "even": _even,
    "blind": _even_all_read,
    "decaying": _decaying,
    "weak": _weak,
    "steep": _steep,
    "offset": _offset,
    "against": _against,
    "unequal": _unequal,
    "noisy": _noisy,
    "mixed": _mixed,
    "values-skewed": _values_skewed,
    "values-collapsed": _values_collapsed,
    "values-spread": _values_spread,
}
"""Every scene by its name."""


@cache
def scene(name: str) -> Scene:
    """One scene, made once, with features turned so that every unit varies, as in a network."""
    made = MADE[name]()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(P, P)))  # noqa: TID251 - no package of ours
    return replace(made, features=made.features @ turn, head=made.head @ turn)


@cache
def measured(name: str) -> phiscope.Measurement:
    """What phiscope says of one scene."""
    return scene(name).measured()
