"""The gallery samples as one picture or as a few words each, and which of them are the ends of an eigenfunction."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import MissingDependencyError
from phiscope.figures import extreme_samples
from phiscope.page.charts import finite, visible

if TYPE_CHECKING:
    from phiscope.runs import Run

TILE = 48
"""Longest side of a sample in the picture, in pixels; larger samples are averaged down."""

PIXEL_BUDGET = 1_600_000
"""At most about so many values of all tiles together: of very many samples each gets a smaller one."""

FEW_SHADES = 500_000
"""Above so many values each is one of 32 shades, which is what so small a tile shows."""

LISTED = 12
"""Inputs with at most this many numbers are written out in words."""

LARGEST_VALUE = 1e150
"""No eigenfunction that was measured has such values."""

SHOWN_EXTREMES = 6
"""Samples on each side of an eigenfunction in the gallery."""


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """All gallery samples of one split in one PNG.

    Attributes:
        uri: the picture as a data URI.
        columns: samples in a row of the picture.
        rows: rows of samples.
        width: width of one sample in pixels.
        height: height of one sample in pixels.
    """

    uri: str
    columns: int
    rows: int
    width: int
    height: int


def sprite_of(images: NDArray[np.uint8]) -> Sprite:
    """Lay the samples out in one PNG and pack it into a data URI.

    Args:
        images: shape (g, height, width, 1 or 3), as from ``as_images``.

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", purpose="phiscope.report()", extra="report") from error
    # Averaging whole blocks keeps the picture free of a resampling filter's halos.
    side = max(1, min(TILE, int((PIXEL_BUDGET / (len(images) * images.shape[-1])) ** 0.5)))
    block = max(1, -(-max(images.shape[1:3]) // side))
    # A signal of one row is thinner than a block.
    rows_each, columns_each = min(block, images.shape[1]), min(block, images.shape[2])
    height, width = images.shape[1] // rows_each, images.shape[2] // columns_each
    cut = images[:, : height * rows_each, : width * columns_each].astype(np.float64)
    means = cut.reshape(len(images), height, rows_each, width, columns_each, -1).mean(axis=(2, 4))
    tiles = means.round().astype(np.uint8)
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, tiles.shape[-1]), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = tile
    if sheet.size > FEW_SHADES:
        sheet &= 0xF8
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(buffer, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return Sprite(uri=uri, columns=columns, rows=rows, width=width, height=height)


def input_names(run: Run) -> list[str]:
    """Names of the columns of a table, by the header's ``input_names``; empty without."""
    names = run.header.get("input_names")
    return [visible(str(name)) for name in names] if isinstance(names, list) else []


def input_words(inputs: NDArray[Any], names: Sequence[str] = ()) -> list[str]:
    """A few words for each sample that is no picture: its numbers when there are few of them, with their names.

    Example:
        >>> input_words(np.array([[1.5, 2.0]])), input_words(np.array([[1.5, 2.0]]), ["age", "height"])
        (['(1.5, 2)'], ['age 1.5, height 2'])
    """
    flat = inputs.reshape(len(inputs), -1)
    if flat.shape[1] > LISTED:
        return [f"sample {index}" for index in range(len(flat))]
    if len(names) == flat.shape[1]:
        rows = flat.astype(np.float64).tolist()
        return [", ".join(f"{name} {value:.2g}" for name, value in zip(names, row, strict=True)) for row in rows]
    return [f"({', '.join(f'{value:.2g}' for value in row)})" for row in flat.astype(np.float64)]


def target_words(targets: NDArray[Any] | None, class_names: tuple[str, ...] | None, count: int) -> list[str]:
    """The label under each sample: its class by name, or its value; empty without targets."""
    if targets is None:
        return [""] * count
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        names = class_names or ()
        return [visible(names[t]) if 0 <= t < len(names) else str(t) for t in targets.tolist()]
    rows = targets.reshape(len(targets), -1).astype(np.float64)
    if rows.shape[1] > 4:
        return [""] * count
    return [", ".join(f"{value:.3g}" for value in row) for row in rows]


def gallery_values(stored: NDArray[Any] | None) -> NDArray[np.float64] | None:
    """Stored values of eigenfunctions on the gallery samples, shape (g, k); None when there are none.

    What is infinite, or so large that its square is, becomes NaN: it can only come from a damaged file.
    """
    if stored is None or stored.ndim != 2 or not stored.size:
        return None
    values = np.asarray(stored, dtype=np.float64)
    return np.where(np.abs(values) < LARGEST_VALUE, values, np.nan)


def looks_frame(extras: Mapping[str, Any], count: int) -> dict[str, Any] | None:
    """Where eigenfunctions look: by function the samples, the largest gradient, and steps of it as base64 of int8.

    Args:
        extras: of a record.
        count: samples of the gallery.

    Returns:
        None where nothing was stored, or what was stored is damaged.
    """
    samples, scale, cells = (extras.get(f"look_{name}") for name in ("samples", "scale", "cells"))
    if samples is None or scale is None or cells is None:
        return None
    shapes = (
        samples.ndim == 2 and cells.ndim in (3, 4) and cells.shape[:2] == samples.shape and len(scale) == len(samples)
    )
    if not shapes or cells.dtype != np.int8 or not cells.size or not ((samples >= 0) & (samples < count)).all():
        return None
    return {
        "samples": samples.tolist(),
        "scale": [finite(value, 4) for value in np.ravel(scale).tolist()],
        "shape": list(cells.shape[2:]),
        "cells": base64.b64encode(cells.tobytes()).decode("ascii"),
    }


def restricted_frame(extras: Mapping[str, Any]) -> dict[str, Any] | None:
    """The network on its k leading eigenfunctions alone: ``k``, and ``accuracy``, or ``loss`` of a regression.

    Returns:
        None where nothing was stored, or what was stored is damaged.
    """
    k, loss, accuracy = (extras.get(f"restricted_{name}") for name in ("k", "loss", "accuracy"))
    values = loss if accuracy is None else accuracy
    if k is None or values is None or k.ndim != 1 or values.shape != k.shape or not len(k):
        return None
    name = "loss" if accuracy is None else "accuracy"
    return {"k": k.tolist(), name: [finite(value, 3) for value in values.tolist()]}


def gallery_frame(values: NDArray[np.float64] | None) -> list[list[Any]] | None:
    """For each eigenfunction the samples where it is largest and smallest, then its values there."""
    if values is None:
        return None
    return [
        [
            one.largest,
            one.smallest,
            [finite(value, 3) for value in one.largest_values],
            [finite(value, 3) for value in one.smallest_values],
        ]
        for one in extreme_samples(values, count=SHOWN_EXTREMES)
    ]
