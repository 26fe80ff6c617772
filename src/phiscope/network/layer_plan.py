"""Deciding on the first batch how a layer is read: which axis holds its features, which positions it has."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from phiscope.errors import InputError
from phiscope.inputs.arrays import as_count
from phiscope.inputs.settings import is_word
from phiscope.network.layer_calls import ChannelAxis, ModuleCall
from phiscope.network.layer_reading import Form, How, LayerReading, Maps, Tokens, time_first_answers

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
            if getattr(self, name) is not None and not is_word(getattr(self, name), known):
                raise InputError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}, or None")
        as_count(self.max_features, name="max_features")


def plan_reading(
    one: ModuleCall,
    *,
    size: int,
    leading: tuple[int, ...],
    choice: ReadingChoice,
    mask: Tensor | None = None,
    owner: Tensor | None = None,
    other_text: bool = False,
) -> LayerReading:
    """Decide on the first batch how a call is read.

    Args:
        one: the call.
        size: n, inputs in that batch.
        leading: leading shape of the network's answers.
        choice: what the caller wants.
        mask: from `mask_of`.
        owner: which graph each node is in, where the network answers for graphs.
        other_text: its positions are those of another sequence than the one the network answers at.

    Raises:
        InputError: its output cannot be read as features of these samples.
    """
    if one.shape is None:
        raise _unreadable(one, "its output holds no floating tensor with rows (nested and sparse tensors have none)")
    shape = one.shape
    answers = math.prod(leading)
    if len(leading) > 1 and len(shape) == 2 and shape[0] == answers:
        return LayerReading(source=one, form="answers", aligned=True, n_features=shape[1])
    time_first = len(shape) == 3 and (
        (shape[0] != size and shape[1] == size) or (shape[0] == shape[1] == size and _says_time_first(one))
    )
    if owner is not None and shape[0] == len(owner) != size and len(shape) == 2:
        return LayerReading(source=one, form="nodes", how="pooled", n_features=shape[1])
    if shape[0] != size and not time_first:
        raise _unreadable(one, f"its output has shape {shape}, whose first axis is not the {size} inputs of the batch")
    if len(shape) <= 2:
        if len(leading) > 1:
            raise _unreadable(one, f"it gives one vector for each input, the network answers at {leading} positions")
        width = shape[1] if len(shape) == 2 else 1
        return LayerReading(source=one, form="vectors", n_features=width)
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
    return LayerReading(
        source=one,
        form=form,
        channels=channels,
        time_first=time_first,
        how=how,
        aligned=aligned,
        masked=form == "tokens" and mask is not None and mask.shape == (size, *inner),
        n_features=width * math.prod(inner) if how == "flattened" else width,
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
    places = (leading[0], *leading[2:]) if time_first_answers(leading, size) else leading[1:]
    if math.prod(places) != math.prod(inner) or (len(places) == len(inner) and places != inner):
        raise _unreadable(one, f"it has {inner} positions where the network answers at {places}")
    if other_text:
        raise _unreadable(one, "its positions are those of the input text, the network answers at those of the output")


def check_width(key: str, n_features: int, max_features: int, *, flattened: bool = False) -> None:
    """Refuse a layer whose moments would be too large.

    Raises:
        InputError: p is above max_features.
    """
    if n_features > max_features:
        raise InputError(
            f"layer {key!r} {'flattened ' if flattened else ''}has p = {n_features} features, more than max_features = "
            f"{max_features}: its moments are p x p, here {8 * n_features**2 / 2**30:.3g} GiB; pool its map, take "
            "positions as samples, name other layers, or raise max_features"
        )


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
