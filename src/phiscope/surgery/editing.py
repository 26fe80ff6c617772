"""A layer's output with its features changed: where they were read from vectors, positions or their mean, they go back.

The counterpart of `phiscope.network.layer_reading`: reading what is returned here gives the changed features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phiscope.errors import InputError, named_kind
from phiscope.network.layer_calls import Place
from phiscope.network.layer_reading import LayerReading
from phiscope.network.output_layout import tensor_at

Change = Callable[[Tensor], Tensor]
"""Rows of features (S, p) in, what is added to them out."""


@dataclass(frozen=True, kw_only=True)
class Editor:
    """Changes the output of a layer in one batch.

    Attributes:
        reading: how its features are read.
        mask: (n, T), True where the attention mask keeps a token, or None.
        owner: (N,) which graph each node is in, or None.
        change: what is added to the features.
    """

    reading: LayerReading
    mask: Tensor | None
    owner: Tensor | None
    change: Change

    def output(self, output: Any) -> Any:
        """What the layer returns in place of this.

        Raises:
            InputError: its tensor is in something that cannot be put together again.
        """
        place = self.reading.source.place
        tensor = tensor_at(output, place)
        if tensor is None:
            raise InputError(f"layer {self.reading.source.key!r} returns no tensor where the first batch had one")
        return _put(output, place, self.tensor(tensor), self.reading.source.key)

    def tensor(self, tensor: Tensor) -> Tensor:
        """The layer's tensor with changed features, same shape."""
        reading = self.reading
        if reading.form == "nodes":
            rows = reading.reduced(tensor, self.mask, self.owner)
            # Without an owner the reading has raised.
            owner = torch.arange(len(rows)) if self.owner is None else self.owner
            return tensor + self._added(rows, tensor)[owner.to(tensor.device)]
        if reading.form in ("vectors", "answers") or reading.how == "flattened":
            work = tensor.transpose(0, 1) if reading.time_first else tensor
            work = work + self._added(work.reshape(len(work), -1), tensor).reshape(work.shape)
            return work.transpose(0, 1) if reading.time_first else work
        work = tensor.transpose(0, 1) if reading.time_first else tensor
        work = work.movedim(1, -1) if reading.channels == "first" else work
        work = work + self._at_positions(work.flatten(1, -2), tensor).reshape(work.shape)
        work = work.movedim(-1, 1) if reading.channels == "first" else work
        return work.transpose(0, 1) if reading.time_first else work

    def _at_positions(self, flat: Tensor, tensor: Tensor) -> Tensor:
        """What is added at each position, (n, T, p): at each its own, or at those that were put together the same."""
        kept = torch.ones(flat.shape[:2], dtype=torch.bool, device=flat.device)
        if self.reading.masked and self.mask is not None:
            kept = self.mask.to(flat.device)
        added = torch.zeros_like(flat)
        if self.reading.how == "positions":
            added[kept] = self._added(flat[kept], flat)
            return added
        rows = self._added(self.reading.reduced(tensor, self.mask), flat)
        if self.reading.how == "pooled":
            return rows[:, None, :] * kept[..., None].to(flat.dtype)
        last = flat.shape[1] - 1 - kept.flip(1).int().argmax(1)
        at = kept.int().argmax(1) if self.reading.how == "first" else last
        added[torch.arange(len(flat), device=flat.device), at] = rows
        return added

    def _added(self, rows: Tensor, like: Tensor) -> Tensor:
        return self.change(rows).to(like)


def _put(output: Any, place: Place, tensor: Tensor, key: str) -> Any:
    """The output with another tensor in its place; the given one is untouched."""
    if not place:
        return tensor
    first, rest = place[0], place[1:]
    if type(output) in (tuple, list) and isinstance(first, int):
        parts = [*output[:first], _put(output[first], rest, tensor, key), *output[first + 1 :]]
        return type(output)(parts)
    if type(output) is dict:
        return {**output, first: _put(output[first], rest, tensor, key)}
    raise InputError(
        f"layer {key!r} returns {named_kind(output)}, which cannot be put together again with another tensor; "
        "name a layer inside it that returns a tensor"
    )
