"""A layer's output as features: what becomes of maps, tokens and padding.

Features are made inside the hook, while the network runs, so that no activation is kept; the hooks go when the pass is
over, however it ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phiscope.errors import InputError, ShapeError
from phiscope.network.batch import Batch
from phiscope.network.hooks import Ear, cut_off
from phiscope.network.layer_calls import ChannelAxis, ModuleCall
from phiscope.network.output_layout import tensor_at

Maps = Literal["pooled", "flattened", "positions"]
Tokens = Literal["pooled", "first", "last", "positions"]
Form = Literal["vectors", "tokens", "map", "answers", "nodes"]
How = Literal["as it is", "pooled", "flattened", "first", "last", "positions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerReading:
    """How one call of a layer is read.

    Attributes:
        source: the call.
        form: vectors (n, p); tokens (n, T, p); map (n, C, H, W); answers = a row for each of the network's; nodes = a
            row for each node of graphs that the network answers for.
        channels: the axis that holds the features of tokens or a map.
        time_first: the output is (T, n, p).
        how: what becomes of the positions.
        aligned: the network answers at each of these positions.
        masked: the batch's attention mask has these positions.
        n_features: p.
    """

    source: ModuleCall
    form: Form
    channels: ChannelAxis = "last"
    time_first: bool = False
    how: How = "as it is"
    aligned: bool = False
    masked: bool = False
    n_features: int

    @property
    def ignores_mask(self) -> bool:
        """Whether tokens are put together without looking at an attention mask."""
        return self.form == "tokens" and not self.aligned and not self.masked

    def reduced(self, tensor: Tensor, mask: Tensor | None, owner: Tensor | None = None) -> Tensor:
        """A copy as features (n, p), or (n, ..., p) where positions stay; meant for the inside of a hook.

        Args:
            tensor: the layer's output.
            mask: (n, T), True where the attention mask keeps a token; used when it fits tokens.
            owner: (N,) which graph each node is in; used where the network answers for graphs.

        Raises:
            InputError: the mask keeps no token of a sample.
            ShapeError: the mask fitted the tokens of the first batch and does not fit these.
        """
        if self.form == "nodes":
            return _mean_of_graphs(tensor, owner, self.source.key)
        if self.form in ("vectors", "answers"):
            return tensor.reshape(len(tensor), -1).clone()
        if self.time_first:
            tensor = tensor.transpose(0, 1)
        if self.how == "flattened":
            return tensor.flatten(1).clone()
        rows = tensor.movedim(1, -1) if self.channels == "first" else tensor
        if self.how == "positions":
            return rows.clone()
        flat = rows.flatten(1, -2)
        kept = self._kept(flat, mask)
        if kept is not None and not bool(kept.any(1).all()):
            raise InputError(
                f"the attention mask keeps no token of sample {int((~kept.any(1)).nonzero()[0])} of a batch, so layer "
                f"{self.source.key!r} has nothing to read there; leave such samples out"
            )
        if self.how == "pooled":
            return _mean(flat, kept)
        if kept is None:
            return flat[:, 0 if self.how == "first" else -1].clone()
        places = torch.arange(flat.shape[1], device=flat.device).expand(kept.shape)
        at = places.masked_fill(~kept, flat.shape[1]).amin(1) if self.how == "first" else (places * kept).amax(1)
        return flat[torch.arange(len(flat), device=flat.device), at]

    def _kept(self, flat: Tensor, mask: Tensor | None) -> Tensor | None:
        if not self.masked or mask is None:
            return None
        if mask.shape != flat.shape[:2]:
            raise ShapeError(
                f"the attention mask has shape {tuple(mask.shape)} and layer {self.source.key!r} has tokens "
                f"{tuple(flat.shape[:2])}; they fitted in the first batch"
            )
        return mask.to(flat.device)

    def rows(self, told: Tensor, leading: tuple[int, ...], size: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features (S, p) and for each the index of the network's answer it belongs to (S,).

        Args:
            told: from `reduced`.
            leading: leading shape of the network's answers, (n,) or (n, T) or (T, n).
            size: n.
            mask: see `reduced`.

        Raises:
            ShapeError: the positions are not those of the answers in this batch.
        """
        if self.aligned:
            total = math.prod(leading)
            if self.form != "answers":
                told = told.transpose(0, 1) if time_first_answers(leading, size) else told
            if told.shape[:-1].numel() != total:
                raise ShapeError(
                    f"layer {self.source.key!r} has {tuple(told.shape[:-1])} positions where the network answers at "
                    f"{leading}; they fitted in the first batch"
                )
            return told.reshape(total, -1), torch.arange(total)
        if self.how != "positions":
            return told, torch.arange(len(told))
        features = told.flatten(1, -2)
        owner = torch.arange(len(told))[:, None].expand(features.shape[:2])
        kept = self._kept(features, mask)
        if kept is None:
            return features.flatten(0, 1), owner.reshape(-1)
        return features[kept], owner[kept.to(owner.device)]

    def __str__(self) -> str:
        one = self.source
        told = f"{one.name} ({type(one.module).__name__}), output"
        told += f", call {one.call} of {one.calls}" if one.calls > 1 else ""
        told += f", first tensor at {''.join(f'[{part!r}]' for part in one.place)}" if one.place else ""
        return told

    def in_words(self) -> str:
        """How positions became samples or features."""
        if self.form == "nodes":
            return "nodes of graphs (N, p): mean over the nodes of each graph"
        if self.form in ("vectors", "answers"):
            return "vectors, one for each answer of the network"
        what = "tokens (T, n, p)" if self.time_first else "tokens (n, T, p)"
        if self.form == "map":
            what = f"map with features on the {'second' if self.channels == 'first' else 'last'} axis"
        how = {
            "pooled": "mean over positions",
            "flattened": "all positions and channels are features",
            "first": "the first position",
            "last": "the last position",
            "positions": "each position is a sample"
            + (", with the network's answer at it" if self.aligned else ", with the answer for its whole input"),
        }
        left = ", of those that the attention mask keeps" if self.masked and not self.aligned else ""
        return f"{what}: {how[self.how]}{left}"


def time_first_answers(leading: tuple[int, ...], size: int) -> bool:
    """Say whether the network's answers are (T, n) rather than (n, T)."""
    return len(leading) > 1 and leading[0] != size and leading[1] == size


def _mean_of_graphs(nodes: Tensor, owner: Tensor | None, key: str) -> Tensor:
    if owner is None or len(owner) != len(nodes):
        raise ShapeError(
            f"layer {key!r} gives {len(nodes)} rows, and the batch says of {0 if owner is None else len(owner)} nodes "
            "in which graph they are; expected as many"
        )
    dtype = torch.promote_types(nodes.dtype, torch.float32)
    places = owner.to(nodes.device)
    counts = torch.bincount(places).clamp(min=1)
    sums = torch.zeros(len(counts), nodes.shape[1], dtype=dtype, device=nodes.device)
    return sums.index_add_(0, places, nodes.to(dtype)) / counts[:, None]


def _mean(flat: Tensor, kept: Tensor | None) -> Tensor:
    # Means of half-precision features in float32, as their sums would lose digits.
    dtype = torch.promote_types(flat.dtype, torch.float32)
    if kept is None:
        return flat.to(dtype).mean(1)
    counts = kept.sum(1, keepdim=True).clamp(min=1)
    # Not a product with the mask: padding may hold NaN.
    return torch.where(kept[..., None], flat, 0).to(dtype).sum(1) / counts


@dataclass
class Heard:
    """What the layers told in one pass.

    Attributes:
        features: of each layer by key, from `LayerReading.reduced`.
        calls: how often each module ran, by name.
        passes: forward passes of the network; only the first is listened to.
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    passes: int = 0

    def told(self, reading: LayerReading, index: int) -> Tensor:
        """Features of one layer.

        Raises:
            InputError: the layer ran another number of times than in the first batch.
        """
        one = reading.source
        if self.calls[one.name] != one.calls or reading.source.key not in self.features:
            raise InputError(
                f"layer {one.name!r} ran {self.calls[one.name]} times in batch {index} and {one.calls} times in the "
                "first batch, so its features are not one map; choose layers that run in every batch"
            )
        return self.features[one.key]


@contextmanager
def layers_listened(
    model: nn.Module, readings: Sequence[LayerReading], mask: Tensor | None, owner: Tensor | None = None
) -> Iterator[Heard]:
    """Read some layers while the block runs; the hooks go when it ends, however it ends.

    Args:
        model: the network.
        readings: calls of its layers.
        mask: (n, T), True where the attention mask keeps a token, or None.
        owner: (N,) which graph each node is in, or None.

    Yields:
        What was heard, filled during the network's first forward pass inside the block.
    """
    heard = Heard()
    by_module: dict[str, dict[int, LayerReading]] = {}
    for reading in readings:
        by_module.setdefault(reading.source.name, {})[reading.source.call] = reading

    def starts(*_: Any) -> None:
        heard.passes += 1

    ear = Ear()
    try:
        # Finding the position a model picks may take a second pass, with another head output.
        ear.before(model, starts)
        for name, by_call in by_module.items():
            ear.after(next(iter(by_call.values())).source.module, _hook(heard, name, by_call, mask, owner))
        yield heard
    finally:
        ear.on = False
        ear.close()


def _hook(
    heard: Heard, name: str, by_call: dict[int, LayerReading], mask: Tensor | None, owner: Tensor | None
) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if heard.passes > 1:
            return
        heard.calls[name] += 1
        reading = by_call.get(heard.calls[name])
        tensor = None if reading is None else tensor_at(output, reading.source.place)
        if reading is not None and tensor is not None:
            heard.features[reading.source.key] = reading.reduced(cut_off(tensor), mask, owner)

    return hook


def mask_of(batch: Batch) -> Tensor | None:
    """The attention mask of a batch as (n, T), True where a token counts; None when there is none of that shape."""
    mask = batch.kwargs.get("attention_mask")
    return mask.detach() != 0 if isinstance(mask, Tensor) and mask.ndim == 2 else None
