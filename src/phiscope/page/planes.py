"""Eigenfunctions on single samples for the page's plane and flow: quantised, so that hundreds of records fit."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.figures.palette import OKABE_ITO
from phiscope.page.charts import finite, visible
from phiscope.page.room import MOST_DOTS

STEPS = 127
"""A value is kept as one of -127..127 times the function's largest absolute value at this record."""

MISSING = -128
"""What stands for NaN."""

SYMBOLS = ("circle", "square", "triangle", "diamond", "cross")
"""Markers of the first seven classes, of the next seven and so on."""

Values = NDArray[np.float64]
Frame = dict[str, Any]


def plane_frame(values: Values | None, clusters: Sequence[tuple[int, int]] = ()) -> Frame | None:
    """One record's eigenfunctions on the gallery samples.

    Args:
        values: shape (g, k); None where nothing was stored.
        clusters: half-open ranges of places, from 0, whose eigenvalues are nearly equal.

    Returns:
        ``n`` samples, ``scale`` (the largest absolute value of each function), ``cells`` (base64 of int8, function by
        function, in steps of scale / 127) and ``clusters`` (half-open, from 0, inside the stored functions).

    Example:
        >>> frame = plane_frame(np.array([[1.0, -4.0], [-0.5, 2.0]]))
        >>> frame["scale"], np.frombuffer(base64.b64decode(frame["cells"]), np.int8).tolist()
        ([1.0, 4.0], [127, -64, -127, 64])
    """
    if values is None:
        return None
    shown = values[:MOST_DOTS].T
    scale = np.nanmax(np.abs(np.where(np.isfinite(shown), shown, 0.0)), axis=1, initial=0.0)
    steps = np.round(shown / np.where(scale > 0, scale, 1.0)[:, None] * STEPS)
    cells = np.where(np.isfinite(steps), steps, MISSING).astype(np.int8)
    inside = [(start, min(stop, len(scale))) for start, stop in clusters if start < len(scale) - 1]
    return {
        "n": shown.shape[1],
        "scale": [finite(value, 4) for value in scale.tolist()],
        "cells": base64.b64encode(cells.tobytes()).decode("ascii"),
        "clusters": [[start, stop] for start, stop in inside],
    }


def group_data(targets: NDArray[Any] | None, class_names: tuple[str, ...] | None) -> Frame | None:
    """How dots are told apart: by class, or by the value of a single target; None without such targets.

    Returns:
        ``of``: for each sample the place of its class among those that occur, ``names``, ``colors`` and ``symbols`` of
        these; or ``levels``: for each sample its target's rank from 0 to 1, with ``low`` and ``high``.
    """
    if targets is None:
        return None
    targets = targets[:MOST_DOTS]
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        labels, of = np.unique(targets, return_inverse=True)
        names = class_names or ()
        return {
            "of": of.tolist(),
            "names": [visible(names[c]) if 0 <= c < len(names) else str(c) for c in labels.tolist()],
            "colors": [OKABE_ITO[place % len(OKABE_ITO)] for place in range(len(labels))],
            "symbols": [SYMBOLS[place // len(OKABE_ITO) % len(SYMBOLS)] for place in range(len(labels))],
        }
    values = targets.reshape(len(targets), -1).astype(np.float64)
    if values.shape[1] != 1 or not np.isfinite(values).all() or not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    width = high - low
    if not math.isfinite(width) or width <= 0:
        return None
    return {
        "levels": [round(float(value), 2) for value in (values[:, 0] - low) / width],
        "low": finite(low, 3),
        "high": finite(high, 3),
    }
