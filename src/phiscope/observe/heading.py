"""What the header of a run says about the network and its probe data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from phiscope.split import FeatureMap
from phiscope.split.reading import Batch


def header_of(network: nn.Module, feature_map: FeatureMap, batch: Batch, splits: Iterable[str]) -> dict[str, Any]:
    """Describe a run.

    Args:
        network: unwrapped.
        feature_map: of the network.
        batch: the first of the probe data.
        splits: their names.
    """
    found, targets = feature_map.found, batch.targets
    first = next((value for value in (*batch.args, *batch.kwargs.values()) if isinstance(value, Tensor)), None)
    shape = None if first is None else list(first.shape[1:])
    task = None if targets is None else "regression" if targets.is_floating_point() else "classification"
    return {
        "task": task,
        "model": type(network).__name__,
        "head": f"{found.name or 'the model itself'} ({found.module}), {found.layout}",
        "splits": list(splits),
        "initial_parameters": sum(p.numel() for p in network.parameters()),
        "input_shape": shape,
        "image": shape is not None and len(shape) == 3 and shape[0] in (1, 3),
        "class_names": None,
    }
