"""Features whose centered eigenvalues are known, with classes mixed into the leading functions."""

from __future__ import annotations

import math

import numpy as np

import phiscope
from phiscope.measurement.record import Measurement

CLASSES = 4


def features_and_classes(strengths: list[float], n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Features whose centered eigenvalues are near these, with classes mixed into the leading ones."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % CLASSES
    values = rng.normal(size=(n, len(strengths)))
    values[:, :CLASSES] += 2.0 * np.linalg.qr(rng.normal(size=(CLASSES, CLASSES)))[0][y]
    whitened = np.linalg.qr(values - values.mean(axis=0))[0] * math.sqrt(n)
    return whitened * np.sqrt(strengths), y


def measured(strengths: list[float]) -> tuple[Measurement, np.ndarray]:
    features, y = features_and_classes(strengths)
    return phiscope.diagonalize(features, targets=y, num_classes=CLASSES), features


EQUAL = [
    9.0,
    *(4.0 - 0.05 * k for k in range(5)),
    *(2.0 * 0.7**k for k in range(3)),
    *(0.1 - 0.001 * k for k in range(9)),
]
