"""Features that are orthogonal class indicators, exactly or nearly."""

from __future__ import annotations

import numpy as np

import phiscope
from phiscope.measurement.record import Measurement

CLASSES = 4


def collapsed(classes: int = CLASSES, each: int = 10, p: int = 8) -> Measurement:
    """Features that are nothing but orthogonal class indicators."""
    y = np.repeat(np.arange(classes), each)
    features = np.eye(classes, p)[y]
    return phiscope.diagonalize(features, features[:, :classes], targets=y, num_classes=classes)


def nearly_collapsed(noise=0.0, n=240, C=4, p=8, seed=0):
    g = np.random.default_rng(seed)
    y = np.arange(n) % C
    basis = np.linalg.qr(g.normal(size=(p, p)))[0][:C]
    return basis[y] + noise * g.normal(size=(n, p)), y
