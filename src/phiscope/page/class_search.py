"""Thousands of classes on a page: which of them the map shows, and the others packed, to be found by name."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.figures.classes import (
    SHOWN_CLASSES,
    class_label,
    class_order,
    columns_shown,
    has_many,
)
from phiscope.page.charts import finite, visible
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement
    from phiscope.runs import Run

CELLS = 120_000
"""So many cells of all splits and both operators are kept to be found, two bytes each before packing."""

STEPS = 32_767
"""A cell is one of so many steps on each side of zero: a rounding of less than 0.0001 of the largest cell."""

Frame = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSearch:
    """The classes of one split.

    Attributes:
        shown: those that the map shows at every record, the first differs most.
        frame: for the page: ``names`` of the classes that can be found, those on the map first; of ``classes`` so many
            ``occur``; ``shown`` and ``share``, how many the map shows and how much of the parts they hold along the
            functions ``asked``; ``record``, whose values these are; by operator ``columns``, ``limit``, ``cells``.
    """

    shown: IntArray
    frame: Frame


def class_search(run: Run, split: str) -> ClassSearch | None:
    """What the page needs of a split with many classes; None where the map has room for all, or nothing was stored."""
    last = next((record for record in reversed(run.records) if split in record.splits), None)
    measurement = None if last is None else last.measurement(split)
    if last is None or measurement is None or not has_many(measurement):
        return None
    order = class_order(measurement)
    if order is None or not order.columns:
        return None
    blocks = 2 * max(len(run.splits), 1)
    columns = max(1, min(order.columns, CELLS // (blocks * max(len(order.labels), 1))))
    kept = order.labels[: CELLS // (blocks * columns)]
    known, n_classes = run.class_names, measurement.n_classes or 0
    names = [visible(class_label(c, known, n_classes)) for c in kept.tolist()]
    frame: Frame = {
        "names": names,
        "occur": len(order.labels),
        "shown": min(SHOWN_CLASSES, len(order.labels)),
        "share": finite(order.share(SHOWN_CLASSES), 3),
        "asked": order.columns,
        "classes": n_classes,
        "record": run.records.index(last),
    }
    for mode, centered in (("raw", False), ("centered", True)):
        width = min(columns, columns_shown(measurement, centered=centered))
        frame[mode] = packed(_rows(measurement, kept, width, centered=centered))
    return ClassSearch(shown=order.labels[:SHOWN_CLASSES], frame=frame)


def _rows(measurement: Measurement, labels: IntArray, width: int, *, centered: bool) -> FloatArray:
    rows = measurement.occurring()
    profile = measurement.occurring_profile(width, centered=centered)
    return profile[:0] if rows is None else profile[np.searchsorted(rows.labels, labels)]


def packed(cells: FloatArray) -> Frame:
    """Cells as whole steps of two bytes, packed; the page unpacks them when somebody searches.

    Example:
        >>> packed(np.array([[1.0, -0.5]]))["limit"], packed(np.zeros((3, 2)))["columns"]
        (1.0, 2)
    """
    limit = float(np.abs(cells).max(initial=0.0)) or 1.0
    steps = np.round(cells / limit * STEPS).astype("<i2")
    # Columns after each other: neighbors are alike, which packs better.
    text = base64.b64encode(gzip.compress(np.ascontiguousarray(steps.T).tobytes(), 9, mtime=0)).decode("ascii")
    return {"columns": cells.shape[1], "limit": finite(limit, 9), "steps": STEPS, "cells": text}
