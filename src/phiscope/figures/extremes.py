"""The samples on which an eigenfunction is largest and smallest, and samples as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phiscope.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """The ends of one eigenfunction on the gallery samples.

    Attributes:
        largest: indices of the samples with the largest values, the largest first.
        smallest: indices of the samples with the smallest values, the smallest first.
        largest_values: e_k there.
        smallest_values: e_k there.
    """

    largest: tuple[int, ...]
    smallest: tuple[int, ...]
    largest_values: tuple[float, ...]
    smallest_values: tuple[float, ...]


def extreme_samples(values: ArrayLike, *, count: int = 6) -> tuple[Extremes, ...]:
    """The ``count`` largest and smallest samples of every eigenfunction.

    With fewer than ``2 count`` samples each side gets half of them, so that no sample is on both sides.
    Samples with a NaN value are left out.

    Args:
        values: e_k on the gallery samples, shape (g, k).
        count: how many samples on each side.

    Returns:
        One entry for each of the k eigenfunctions.

    Raises:
        ShapeError: ``values`` is not a matrix.

    Example:
        >>> extreme_samples([[0.0], [3.0], [-1.0], [1.0]], count=1)[0].largest
        (1,)
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ShapeError(f"eigenfunction values must have shape (g, k), got {table.shape}")
    found = []
    for column in table.T:
        order = np.argsort(column, kind="stable")
        order = order[np.isfinite(column[order])]
        side = min(count, order.size // 2)
        largest, smallest = order[::-1][:side], order[:side]
        found.append(
            Extremes(
                largest=tuple(largest.tolist()),
                smallest=tuple(smallest.tolist()),
                largest_values=tuple(column[largest].tolist()),
                smallest_values=tuple(column[smallest].tolist()),
            )
        )
    return tuple(found)


def as_images(inputs: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Samples as gray or color pictures of shape (g, height, width, 1 or 3), or None when they are not.

    Accepted are (g, h, w), (g, 1 or 3, h, w) and (g, h, w, 1 or 3). Values are stretched to 0..255 by the
    smallest and the largest finite value of all samples together, so that samples stay comparable.
    """
    if inputs.ndim == 3:
        images = inputs[..., None]
    elif inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        images = np.moveaxis(inputs, 1, -1)
    elif inputs.ndim == 4 and inputs.shape[-1] in (1, 3):
        images = inputs
    else:
        return None
    if min(images.shape) == 0:
        return None
    values = np.nan_to_num(np.asarray(images, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * (255 / (high - low) if high > low else 0.0), dtype=np.uint8)
