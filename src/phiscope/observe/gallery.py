"""The fixed samples on which leading eigenfunctions are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phiscope.measurement.record import Measurement
from phiscope.network import FeatureMap
from phiscope.network.batch import Batch, with_targets

LARGEST_SAMPLE = 65_536
MOST_EIGENFUNCTIONS = 24
_SHOWN_INPUTS = ("pixel_values", "input_values", "input_features", "input_ids", "inputs_embeds")


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """The first samples of a probe set, kept so that every record shows the same ones.

    Attributes:
        inputs: what is shown, shape (g, ...).
        targets: their targets, shape (g, ...), or None.
        batches: what the model is given for them.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None
    batches: tuple[Any, ...]

    def features(self, feature_map: FeatureMap) -> Tensor:
        """Run the kept samples through the network as it is now, (g, p); meant for the inside of `isolated`."""
        call, read = feature_map.caller(), feature_map.reader()
        inputs = [read.without_targets(raw) for raw in self.batches]
        features = torch.cat([feature_map.rows(batch, call=call).features for batch in inputs])
        return features[: len(self.inputs)]


def gallery_values(features: Tensor, measurement: Measurement) -> dict[str, NDArray[np.float32]]:
    """Evaluate the leading eigenfunctions on the features of a gallery.

    Returns:
        "gallery_raw" and "gallery_centered", each (g, k) with k = min(2 C, 24, kept eigenfunctions).
    """
    most = min(2 * (measurement.n_outputs or MOST_EIGENFUNCTIONS), MOST_EIGENFUNCTIONS)
    return {
        f"gallery_{'centered' if centered else 'raw'}": measurement.eigenfunctions(features, centered=centered)[
            :, :most
        ].astype(np.float32)
        for centered in (False, True)
    }


def kept_gallery(feature_map: FeatureMap, batches: Iterable[Any], size: int, targets: Any = None) -> Gallery | None:
    """Keep the first samples of a probe set; meant for the inside of `isolated`.

    Args:
        feature_map: decides what of a batch is input.
        batches: raw batches.
        size: number of samples; 0 keeps none.
        targets: see `phiscope.measure`.

    Returns:
        None where single samples cannot be shown: no array among the inputs, more than 65,536 numbers in
        one, or a head that answers at every position.
    """
    inputs: list[NDArray[Any]] = []
    goals: list[Any] = []
    kept: list[Any] = []
    count = 0
    for batch in with_targets(iter(batches), feature_map.reader(), targets) if size else ():
        shown = _shown(batch)
        if shown is None or shown[:1].numel() > LARGEST_SAMPLE:
            return None
        if not kept and feature_map.rows(batch).leading != (batch.size,):
            return None
        inputs.append(_as_numpy(shown))
        goals.append(None if batch.targets is None else _as_numpy(batch.targets))
        kept.append(batch.raw)
        count += batch.size
        if count >= size:
            break
    if not kept or len({part.shape[1:] for part in inputs}) > 1:
        return None
    whole = all(target is not None and len(target) == len(part) for target, part in zip(goals, inputs, strict=True))
    return Gallery(
        inputs=np.concatenate(inputs)[:size],
        targets=np.concatenate(goals)[:size] if whole else None,
        batches=tuple(kept),
    )


def _shown(batch: Batch) -> Tensor | None:
    named = [batch.kwargs[name] for name in _SHOWN_INPUTS if name in batch.kwargs]
    for value in (*batch.args, *named, *batch.kwargs.values()):
        if isinstance(value, Tensor) and value.ndim > 0 and len(value) == batch.size:
            return value
    return None


def _as_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16, and pictures need no float64.
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)
