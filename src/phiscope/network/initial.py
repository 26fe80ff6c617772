"""Features of a network as it was: at initialization, say, while the parameters have moved on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from phiscope.network.batch import Batch
from phiscope.network.hooks import Caller, own_tensors
from phiscope.network.rows import FeatureMap

REMEMBERED_BYTES = 2**28
"""Inputs and features that are kept, so that a fixed probe runs through the earlier network once; 256 MiB."""

Leaves = list[tuple[tuple[str, ...], Any]]


class InitialFeatures:
    """Gives features of batches under earlier parameters, and remembers them.

    A batch that comes again, bit by bit the same at the same place, is not run again.

    Args:
        feature_map: of the network as it is now; the same head is listened to.
        tensors: parameters and buffers by name that stand in for the present ones, in their precision and place.
    """

    def __init__(self, feature_map: FeatureMap, tensors: Mapping[str, Tensor]) -> None:
        self._feature_map = feature_map
        self._tensors = dict(tensors)
        self._built = _built(feature_map.model)
        self._now: dict[str, tuple[torch.device, torch.dtype]] | None = None
        self._call = Caller(feature_map.model, self._tensors)
        self._kept: dict[int, tuple[Leaves, Tensor]] = {}
        self._room = REMEMBERED_BYTES
        self.weight: Tensor | None = None
        """W_0 of the head, shape (C, p); None before the first batch."""

    def __call__(self, batch: Batch, index: int) -> Tensor | None:
        """Return features (R, p) of one batch; meant for the inside of `isolated`.

        Args:
            batch: inputs.
            index: its place in the pass.

        Returns:
            None where the network has been rebuilt since, so that the earlier tensors cannot stand in for its own.
        """
        leaves = list(_leaves((batch.args, batch.kwargs)))
        kept = self._kept.get(index)
        if kept is not None and _same(kept[0], leaves):
            return kept[1]
        if _built(self._feature_map.model) != self._built:
            return None
        rows = self._feature_map.rows(batch, call=self._as_now(), index=index)
        features, self.weight = rows.features, rows.weight
        size = features.nbytes + sum(leaf.nbytes for _, leaf in leaves if isinstance(leaf, Tensor))
        if kept is None and size <= self._room:
            self._room -= size
            # Copies of the inputs: somebody may write into the batch.
            copies = [(place, leaf.clone() if isinstance(leaf, Tensor) else leaf) for place, leaf in leaves]
            self._kept[index] = (copies, features)
        return features

    def _as_now(self) -> Caller:
        """The earlier network in the precision and place of the present one, which a training may have changed."""
        model, device = self._feature_map.model, self._feature_map.device
        now = {name: (device or one.device, one.dtype) for name, one in own_tensors(model).items()}
        if now != self._now:
            then = {name: one.to(*now[name]) if name in now else one for name, one in self._tensors.items()}
            self._now, self._call = now, Caller(model, then)
        return self._call


def _built(model: nn.Module) -> dict[str, torch.Size | None]:
    """Parameters by name with their shapes, and the buffers that are stored; a buffer may grow with what is read."""
    buffers = {
        f"{path}.{name}".lstrip("."): None
        for path, module in model.named_modules()
        for name in module._buffers.keys() - module._non_persistent_buffers_set
    }
    return {name: one.shape for name, one in model.named_parameters(remove_duplicate=False)} | buffers


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, (*place, str(key)))
    elif isinstance(value, (tuple, list)):
        for number, part in enumerate(value):
            yield from _leaves(part, (*place, str(number)))
    else:
        yield place, value


def _same(a: Leaves, b: Leaves) -> bool:
    return len(a) == len(b) and all(
        place == other and _equal(one, two) for (place, one), (other, two) in zip(a, b, strict=True)
    )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    # Other objects are the same only when they plainly are: one whose insides changed must not pass for it.
    return isinstance(a, (str, int, float, bool, type(None))) and type(a) is type(b) and a == b
