"""From a layer's output to features: which axis holds them, and what becomes of maps and tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phiscope.errors import InputError, ShapeError
from phiscope.split.module_calls import ChannelAxis, ModuleCall

Maps = Literal["pooled", "flattened", "positions"]
Tokens = Literal["pooled", "first", "last", "positions"]
Form = Literal["vectors", "tokens", "map", "answers"]
How = Literal["as it is", "pooled", "flattened", "first", "last", "positions"]

MAPS: tuple[Maps, ...] = ("pooled", "flattened", "positions")
TOKENS: tuple[Tokens, ...] = ("pooled", "first", "last", "positions")
CHANNELS: tuple[ChannelAxis, ...] = ("first", "last")


@dataclass(frozen=True, kw_only=True)
class ReadingChoice:
    """What the caller wants of maps and tokens.

    Attributes:
        maps: for convolutional maps; None = pooled, or positions where the network answers at each.
        tokens: for sequences; None in the same way.
        channels: which axis holds the features; None = found by the width of the last layer with weights.
        max_features: largest p.
    """

    maps: Maps | None = None
    tokens: Tokens | None = None
    channels: ChannelAxis | None = None
    max_features: int = 4096

    def __post_init__(self) -> None:
        for name, known in (("maps", MAPS), ("tokens", TOKENS), ("channels", CHANNELS)):
            if getattr(self, name) not in (None, *known):
                raise InputError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}, or None")
        if isinstance(self.max_features, bool) or self.max_features < 1:
            raise InputError(f"max_features is {self.max_features}; expected a positive integer")


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerReading:
    """How one call of a layer is read.

    Attributes:
        source: the call.
        form: vectors (n, p); tokens (n, T, p); map (n, C, H, W); answers = a row for each of the network's.
        channels: the axis that holds the features of tokens or a map.
        time_first: the output is (T, n, p).
        how: what becomes of the positions.
        aligned: the network answers at each of these positions.
        n_features: p.
    """

    source: ModuleCall
    form: Form
    channels: ChannelAxis = "last"
    time_first: bool = False
    how: How = "as it is"
    aligned: bool = False
    n_features: int

    def reduced(self, tensor: Tensor, mask: Tensor | None) -> Tensor:
        """A copy as features (n, p), or (n, ..., p) where positions stay; meant for the inside of a hook.

        Args:
            tensor: the layer's output.
            mask: (n, T), True where the attention mask keeps a token; used when it fits tokens.
        """
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
        kept = self.kept(flat.shape[:2], mask)
        if self.how == "pooled":
            return _mean(flat, kept)
        if kept is None:
            return flat[:, 0 if self.how == "first" else -1].clone()
        places = torch.arange(flat.shape[1], device=flat.device).expand(kept.shape)
        at = places.masked_fill(~kept, flat.shape[1]).amin(1) if self.how == "first" else (places * kept).amax(1)
        return flat[torch.arange(len(flat), device=flat.device), at]

    def kept(self, shape: tuple[int, ...], mask: Tensor | None) -> Tensor | None:
        """The mask when it is one of these tokens, else None."""
        return mask if self.form == "tokens" and mask is not None and tuple(mask.shape) == tuple(shape) else None

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
                told = told.transpose(0, 1) if _time_first(leading, size) else told
            if told.shape[:-1].numel() != total:
                raise ShapeError(
                    f"layer {self.source.key!r} has {tuple(told.shape[:-1])} positions where the network answers at "
                    f"{leading}; they fitted in the first batch"
                )
            return told.reshape(total, -1), torch.arange(total)
        if self.how != "positions":
            return told, torch.arange(len(told))
        owner = torch.arange(len(told))[:, None].expand(len(told), told.shape[1:-1].numel())
        kept = self.kept(tuple(owner.shape), mask)
        features = told.flatten(1, -2)
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
        left = " that the attention mask keeps" if self.form == "tokens" and not self.aligned else ""
        return f"{what}: {how[self.how]}{left}"


def plan_reading(
    one: ModuleCall, *, size: int, leading: tuple[int, ...], choice: ReadingChoice, other_text: bool = False
) -> LayerReading:
    """Decide on the first batch how a call is read.

    Args:
        one: the call.
        size: n, inputs in that batch.
        leading: leading shape of the network's answers.
        choice: what the caller wants.
        other_text: its positions are those of another sequence than the one the network answers at.

    Raises:
        InputError: its output cannot be read as features of these samples, or p is too large.
    """
    if one.shape is None:
        raise _unreadable(one, "its output holds no floating tensor")
    shape = one.shape
    answers = math.prod(leading)
    if len(leading) > 1 and len(shape) == 2 and shape[0] == answers:
        return _checked(LayerReading(source=one, form="answers", aligned=True, n_features=shape[1]), choice)
    time_first = len(shape) == 3 and (
        (shape[0] != size and shape[1] == size) or (shape[0] == shape[1] == size and _says_time_first(one))
    )
    if shape[0] != size and not time_first:
        raise _unreadable(one, f"its output has shape {shape}, whose first axis is not the {size} inputs of the batch")
    if len(shape) <= 2:
        if len(leading) > 1:
            raise _unreadable(one, f"it gives one vector for each input, the network answers at {leading} positions")
        width = shape[1] if len(shape) == 2 else 1
        return _checked(LayerReading(source=one, form="vectors", n_features=width), choice)
    channels = "last" if time_first else choice.channels or _channel_axis(one, shape)
    form: Form = "tokens" if len(shape) == 3 and channels == "last" else "map"
    wanted: How | None = choice.tokens if form == "tokens" else choice.maps
    inner = shape[1:-1] if channels == "last" else shape[2:]
    inner = shape[:1] if time_first else inner
    aligned = len(leading) > 1
    if aligned:
        _check_aligned(one, inner, (size, leading), wanted, other_text)
    how: How = wanted or ("positions" if aligned else "pooled")
    width = shape[-1] if channels == "last" else shape[1]
    return _checked(
        LayerReading(
            source=one,
            form=form,
            channels=channels,
            time_first=time_first,
            how=how,
            aligned=aligned,
            n_features=width * math.prod(inner) if how == "flattened" else width,
        ),
        choice,
    )


def _check_aligned(
    one: ModuleCall,
    inner: tuple[int, ...],
    answers: tuple[int, tuple[int, ...]],
    wanted: How | None,
    other_text: bool,
) -> None:
    size, leading = answers
    if wanted not in (None, "positions"):
        raise InputError(
            f"the network answers at {leading} positions (samples first), so each position of a layer is a sample; "
            f"{wanted!r} would leave one for each input: use 'positions', or None"
        )
    places = (leading[0], *leading[2:]) if _time_first(leading, size) else leading[1:]
    if math.prod(places) != math.prod(inner) or (len(places) == len(inner) and places != inner):
        raise _unreadable(one, f"it has {inner} positions where the network answers at {places}")
    if other_text:
        raise _unreadable(one, "its positions are those of the input text, the network answers at those of the output")


def _checked(reading: LayerReading, choice: ReadingChoice) -> LayerReading:
    p = reading.n_features
    if p > choice.max_features:
        raise TooWideError(
            f"layer {reading.source.key!r} {'flattened ' if reading.how == 'flattened' else ''}has p = {p} features, "
            f"more than max_features = {choice.max_features}: moments are p x p, here {8 * p * p / 2**30:.3g} GiB; "
            "pool its map, take positions as samples, name other layers, or raise max_features"
        )
    return reading


class TooWideError(InputError):
    """A layer has more features than `max_features`."""


def _unreadable(one: ModuleCall, reason: str) -> InputError:
    return InputError(f"layer {one.key!r} cannot be measured: {reason}")


def _channel_axis(one: ModuleCall, shape: tuple[int, ...]) -> ChannelAxis:
    width, kind = one.width or (0, None)
    if len(shape) > 3:
        # Only a linear layer or a norm over the last axis can have put features last in a map.
        return "last" if kind == "last" and shape[-1] == width and shape[1] != width else "first"
    if (shape[1] == width) != (shape[-1] == width):
        return "first" if shape[1] == width else "last"
    return kind or "last"


def _says_time_first(one: ModuleCall) -> bool:
    return any(getattr(part, "batch_first", None) is False for part in one.module.modules())


def _time_first(leading: tuple[int, ...], size: int) -> bool:
    return len(leading) > 1 and leading[0] != size and leading[1] == size


def _mean(flat: Tensor, kept: Tensor | None) -> Tensor:
    # Means of half-precision features in float32, as their sums would lose digits.
    dtype = torch.promote_types(flat.dtype, torch.float32)
    if kept is None:
        return flat.to(dtype).mean(1)
    counts = kept.sum(1, keepdim=True).clamp(min=1)
    # Not a product with the mask: padding may hold NaN.
    return torch.where(kept[..., None], flat, 0).to(dtype).sum(1) / counts
