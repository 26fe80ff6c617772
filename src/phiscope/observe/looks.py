"""What a record keeps of a gallery on request: where eigenfunctions look, and the network on the leading ones alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from phiscope.analysis.gradients import gradients_in
from phiscope.analysis.restriction import restrict
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureMap

if TYPE_CHECKING:
    from phiscope.observe.gallery import Gallery

MOST_KEPT = 64
"""The restricted network is stored for every k up to this one, and for all."""

ENDS = 6
"""Gradients are of so many samples on each side of an eigenfunction."""

LOOK_SIDE = 32
"""Gradients by an image are averaged down to at most so many rows and columns."""

LARGEST_ROW = 4096
"""Of samples that are no images, so many numbers are shown."""

NO_LOOKS = "they are neither images nor texts or rows of at most 4,096 numbers that are shown as a whole"
"""Why gradients have nothing to lie beside."""


def can_look(gallery: Gallery) -> bool:
    """Whether gradients by these samples can be shown: images, texts that are shown as a whole, or rows of a table."""
    shape = gallery.inputs.shape[1:]
    small = int(np.prod(shape, dtype=np.int64)) <= LARGEST_ROW
    colors = len(shape) == 3 and bool({1, 3} & {shape[0], shape[-1]})
    return gallery.rows is None and (small or len(shape) == 2 or colors)


def gallery_looks(
    gallery: Gallery, feature_map: FeatureMap, measurement: Measurement, values: NDArray[np.float32], count: int
) -> dict[str, NDArray[Any]]:
    """Gradients of leading centered eigenfunctions where they are largest and smallest; for the inside of `isolated`.

    Args:
        gallery: with samples that `can_look` is true of.
        feature_map: of the network as it is now.
        measurement: of this moment.
        values: of the centered eigenfunctions on the samples, shape (g, k).
        count: of so many functions.

    Returns:
        "look_samples", shape (K, 2 m): the m samples where the function is largest, then the m where it is smallest;
        "look_cells", int8 of shape (K, 2 m, ...) in steps of "look_scale" / 127, shape (K,). Of an image the further
        axes are rows and columns, at most 32 of each, summed over colors; of a text its positions (length of the
        gradient by the embedding); of a row of a table its columns.
    """
    count = min(count, values.shape[1])
    order = np.argsort(values[:, :count], axis=0, kind="stable").T
    side = min(ENDS, len(values) // 2)
    chosen = np.concatenate([order[:, ::-1][:, :side], order[:, :side]], axis=1)
    read = feature_map.reader()
    shown = len(gallery.inputs.shape) - 1
    parts = [
        gradients_in(
            feature_map,
            read.without_targets(raw),
            measurement,
            range(1, count + 1),
            smaller=lambda gradients: smaller_gradients(gradients, texts=gradients.ndim > shown + 1),
        ).gradients
        for raw in gallery.batches
    ]
    every = np.concatenate(parts, axis=1)
    taken = np.stack([every[k, chosen[k]] for k in range(count)])
    scale = np.abs(taken).reshape(count, -1).max(axis=1, initial=0.0)
    steps = taken / np.where(scale > 0, scale, 1.0).reshape(-1, *[1] * (taken.ndim - 1)) * 127
    return {
        "look_samples": chosen.astype(np.int32),
        "look_scale": scale.astype(np.float32),
        "look_cells": np.round(steps).astype(np.int8),
    }


def smaller_gradients(gradients: NDArray[np.float64], *, texts: bool) -> NDArray[np.float64]:
    """What a gallery shows of gradients (n, ...): see `gallery_looks`.

    Example:
        >>> smaller_gradients(np.ones((2, 3, 64, 64)), texts=False).shape
        (2, 32, 32)
        >>> smaller_gradients(np.full((1, 5, 4), 0.5), texts=True).tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    if texts:
        return np.asarray(np.sqrt((gradients**2).sum(axis=-1)))
    if gradients.ndim == 4 and {1, 3} & {gradients.shape[1], gradients.shape[3]}:
        gradients = gradients.sum(axis=1 if gradients.shape[1] in (1, 3) else 3)
    if gradients.ndim != 3:
        return gradients.reshape(len(gradients), -1)
    height, width = (max(1, -(-size // LOOK_SIDE)) for size in gradients.shape[1:])
    rows, columns = gradients.shape[1] // height, gradients.shape[2] // width
    cut = gradients[:, : rows * height, : columns * width]
    return np.asarray(cut.reshape(len(cut), rows, height, columns, width).mean(axis=(2, 4)))


def restricted_values(
    measurement: Measurement, features: Tensor, targets: NDArray[Any], head: tuple[Tensor, Tensor | None]
) -> dict[str, NDArray[Any]]:
    """The network on its k leading centered eigenfunctions alone, on the gallery's samples; see `phiscope.restrict`.

    Returns:
        "restricted_k" (0 to 64, and all), "restricted_loss" and, of classes, "restricted_accuracy", each (k,).
    """
    rows = features.detach().cpu().double().numpy()
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        # What a loss leaves out is no answer to be right about.
        rows, targets = rows[targets >= 0], targets[targets >= 0]
    found = restrict(measurement, (rows, targets), head)
    last = len(found.loss) - 1
    k = np.unique([*range(min(last, MOST_KEPT) + 1), last])
    accuracy = {} if found.accuracy is None else {"restricted_accuracy": found.accuracy[k]}
    return {"restricted_k": k.astype(np.int32), "restricted_loss": found.loss[k], **accuracy}
