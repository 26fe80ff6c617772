"""A module that distorts feature maps in training: a regularizer, and a way to ask what a network can do without."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from phiscope.errors import InputError, UnknownNameError, named_kind
from phiscope.inputs.arrays import brief
from phiscope.inputs.settings import check_flag, is_word, numbers_of
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.network.linear_layers import at_rest, is_conv1d

Mode = Literal["block", "element", "channel", "eigen"]
"""What is distorted together: blocks of a map, single numbers, whole channels, or eigenfeatures."""

UNKNOWN_STRENGTH = 0.01
"""Strength of every channel where no consumer is named."""

POINTWISE = 0.1
"""Strengths of consumers that read one position alone are multiplied by this, as in the released code."""


class FeatureDistortion(nn.Module):
    """Replaces parts of a feature map by noise, in training mode; in evaluation mode it is the identity.

    Every part is hit with probability q. Noise is ``strength`` times a strength of the channel, read from the weights
    of the layer that comes next, times the standard deviation of the whole input. What is left is scaled up so that
    the mean is kept.

    Args:
        probability: q, the share of the map that is distorted on average, 0..1. Blocks overlap; their seeds are drawn
            at the rate at which the expected coverage is q.
        block: side of a block, for "block".
        strength: a; 0 puts zeros in place, which is DropBlock.
        consumer: the layer that reads the map: its weights say how much each channel matters. A convolution, also a
            transposed or grouped one, or an nn.Linear that reads the map's channels, the flattened map, or what
            pooling leaves of it (channels first, as flatten gives them). It is read at every step, held weakly, and not
            registered here: a network that is copied or pickled takes it along, this module alone does not.
        mode: see `Mode`.
        measurement: of the features, for "eigen".
        k: which eigenfeatures, from 1, for "eigen"; None takes all that the measurement holds.
        project: for "eigen": project them out of the samples that are hit, instead of adding noise along them.
        generator: of all random draws; None takes torch's own.

    Attributes:
        hit_share: share of the last map that was hit, 0..1, a tensor; 0 before the first and where nothing was.

    Raises:
        UnknownNameError: there is no such mode.
        InputError: a probability outside 0..1, a block or strength below its least value, "eigen" without measurement,
            or what only "eigen" takes with another mode.

    Source: arXiv:2002.11022 v1 and its released code for "block"; the rate of seeds is solved for (the released one
    undershoots q, as blocks overlap), even blocks keep their size, and the other modes are phiscope's own.

    Example:
        >>> distort = FeatureDistortion(probability=0.25, block=2, strength=0.0).train()
        >>> distort(torch.ones(4, 3, 6, 6)).shape, distort.eval()(torch.ones(1, 1, 2, 2)).sum().item()
        (torch.Size([4, 3, 6, 6]), 4.0)
    """

    progress: Tensor

    def __init__(
        self,
        probability: float = 0.09,
        *,
        block: int = 6,
        strength: float = 5.0,
        consumer: nn.Module | None = None,
        mode: Mode = "block",
        measurement: Measurement | None = None,
        k: Sequence[int] | None = None,
        project: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_flag(project, name="project")
        if not is_word(mode, get_args(Mode)):
            raise UnknownNameError("mode", str(mode), get_args(Mode))
        if not _is_number(probability) or not 0 <= probability <= 1:
            raise InputError(f"probability={brief(probability)}; expected a share from 0 to 1")
        if not isinstance(block, int | np.integer) or isinstance(block, bool) or block < 1:
            raise InputError(f"block={brief(block)}; expected a side of 1 or more")
        if not _is_number(strength) or strength < 0:
            raise InputError(f"strength={brief(strength)}; expected a number from 0 up")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise InputError(f"generator is {named_kind(generator)}; expected a torch.Generator, or None")
        if mode != "eigen" and (measurement is not None or k is not None or project):
            raise InputError(f'mode={mode!r} takes no measurement=, k= or project=; pass mode="eigen" with them')
        self.probability, self.block, self.strength, self.mode = float(probability), int(block), float(strength), mode
        self.project = project
        self.generator = generator
        self.set_consumer(consumer)
        self.register_buffer("progress", torch.ones(()))
        self.hit_share = torch.zeros(())
        if mode == "eigen":
            self._keep_eigenfeatures(measurement, k)

    def _keep_eigenfeatures(self, measurement: Measurement | None, k: Sequence[int] | None) -> None:
        if measurement is None:
            raise InputError('mode="eigen" needs the measurement whose eigenfeatures are distorted; pass measurement=')
        spectrum = as_measurement(measurement).centered
        most = spectrum.eigenvectors.shape[1]
        places = range(1, most + 1) if k is None else numbers_of(k, name="k", of="numbers of eigenfeatures", most=most)
        index = [int(place) - 1 for place in places]
        if len(set(index)) < len(index):
            raise InputError(f"k={[place + 1 for place in index]} names an eigenfeature twice; expected each once")
        vectors = torch.from_numpy(spectrum.eigenvectors[:, index].copy())
        self.register_buffer("vectors", vectors.float())
        self.register_buffer("scales", torch.from_numpy(spectrum.eigenvalues[index].copy()).sqrt().float())
        self.register_buffer("mean", torch.from_numpy(measurement.feature_mean.copy()).float())

    def set_consumer(self, consumer: nn.Module | None) -> None:
        """Name the layer that reads the map, also after another one took its place; None for a constant strength.

        Raises:
            InputError: it is no nn.Linear and no convolution.
        """
        self._consumer = None if consumer is None else _Consumer(_checked(consumer))

    def set_progress(self, progress: float) -> None:
        """Say how far the training is, 0..1: q rises linearly to its value; without a call it is there from the start.

        Raises:
            InputError: outside 0..1.
        """
        if not _is_number(progress) or not 0 <= progress <= 1:
            raise InputError(f"progress={progress!r}; expected how far the training is, from 0 to 1")
        self.progress.fill_(progress)

    def forward(self, x: Tensor) -> Tensor:
        """Distort a map of shape (B, Ch), (B, Ch, L) or (B, Ch, H, W); features on the last axis for "eigen".

        Raises:
            InputError: another shape, or a block larger than the map.
        """
        q = self.probability * float(self.progress)
        if not self.training or q == 0:
            self.hit_share = torch.zeros(())
            return x
        if not isinstance(x, Tensor) or not x.is_floating_point():
            came = f"of {x.dtype}" if isinstance(x, Tensor) else named_kind(x)
            raise InputError(f"the map is {came}; expected a tensor of floating-point numbers")
        if self.mode == "eigen":
            return self._along_eigenfeatures(x, q)
        if x.ndim not in (2, 3, 4):
            raise InputError(f"the map has shape {tuple(x.shape)}; expected (B, Ch), (B, Ch, L) or (B, Ch, H, W)")
        hit = self._hit(x, q)
        keep = (~hit).to(x.dtype)
        kept_share = keep.float().mean()
        self.hit_share = 1 - kept_share.detach()
        scale = torch.where(kept_share > 0, kept_share, torch.ones_like(kept_share)).to(x.dtype)
        if self.strength == 0:
            return x * keep / scale
        return (x * keep + self._noise(x) * (1 - keep)) / scale

    def _hit(self, x: Tensor, q: float) -> Tensor:
        """True where the map is distorted, same shape as the map."""
        if self.mode == "channel":
            shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
            return (self._uniform(shape, x) < q).expand(x.shape)
        if self.mode == "element" or x.ndim == 2:
            return self._uniform(tuple(x.shape), x) < q
        as_map = x if x.ndim == 4 else x[..., None]
        height, width = as_map.shape[2:]
        sides = (self.block, self.block if x.ndim == 4 else 1)
        if sides[0] > height or sides[1] > width:
            raise InputError(f"block={self.block} is larger than the map, {height} x {width}; pass a smaller block")
        room = (height - sides[0] + 1, width - sides[1] + 1)
        seeds = (self._uniform((*as_map.shape[:2], *room), x) < seed_rate(q, (height, width), sides)).float()
        # A seed is the first corner of its block.
        padding = (sides[1] - 1, sides[1] - 1, sides[0] - 1, sides[0] - 1)
        blocks = nn.functional.max_pool2d(nn.functional.pad(seeds, padding), sides, stride=1) > 0
        return blocks.reshape(x.shape)

    def _noise(self, x: Tensor) -> Tensor:
        # Of the whole tensor, in float32 whatever the map comes in.
        # A single number has no spread, and not NaN.
        deviation = x.detach().float().std(correction=1 if x.numel() > 1 else 0)
        strength = self._channel_strength(x).reshape(1, -1, *(1 for _ in x.shape[2:]))
        noise = torch.empty_like(x, dtype=torch.float32).normal_(generator=self.generator)
        return (self.strength * strength * deviation * noise).to(x.dtype)

    def _channel_strength(self, x: Tensor) -> Tensor:
        """How much each channel matters to the consumer, with a random sign for each kernel position, shape (Ch,)."""
        if self._consumer is None:
            return torch.full((x.shape[1],), UNKNOWN_STRENGTH, device=x.device)
        most = _toward_channels(self._consumer.layer, x.shape)
        if len(most) != x.shape[1]:
            raise InputError(
                f"the consumer reads {len(most)} channels and the map has {x.shape[1]}; pass the layer that reads it"
            )
        signs = torch.empty_like(most).bernoulli_(0.5, generator=self.generator) * 2 - 1
        strength: Tensor = (most * signs).mean(dim=1)
        return strength * POINTWISE if most.shape[1] == 1 else strength

    def _along_eigenfeatures(self, x: Tensor, q: float) -> Tensor:
        vectors: Any = self.vectors
        scales: Any = self.scales
        mean: Any = self.mean
        if x.shape[-1] != len(vectors):
            raise InputError(f"the map has {x.shape[-1]} features on its last axis, and the measurement {len(vectors)}")
        hit = (self._uniform((*x.shape[:-1], 1), x) < q).to(x.dtype)
        self.hit_share = hit.detach().float().mean()
        if self.project:
            coefficients = -((x.float() - mean) @ vectors)
        else:
            drawn = torch.empty(*x.shape[:-1], len(scales), device=x.device).normal_(generator=self.generator)
            coefficients = self.strength * drawn * scales
        distorted: Tensor = x + hit * (coefficients @ vectors.T).to(x.dtype)
        return distorted

    def _uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.empty(shape, device=like.device).uniform_(generator=self.generator)

    def extra_repr(self) -> str:
        """The settings."""
        block = f", block={self.block}" if self.mode == "block" else ""
        return f"probability={self.probability:g}, mode={self.mode!r}{block}, strength={self.strength:g}"


def seed_rate(q: float, size: tuple[int, int], sides: tuple[int, int]) -> float:
    """The rate of seeds at which overlapping blocks cover a share q of a map on average.

    A place that m blocks can reach is covered with probability 1 - (1 - rate)^m.

    Args:
        q: wanted share, 0..1.
        size: height and width of the map.
        sides: of a block, not larger than the map.

    Example:
        >>> seed_rate(0.3, (5, 5), (5, 5)), round(seed_rate(0.09, (8, 8), (6, 6)), 4)
        (0.3, 0.0187)
    """
    reach = [
        torch.tensor([min(place, side - 1, length - 1 - place, length - side) + 1 for place in range(length)])
        for length, side in zip(size, sides, strict=True)
    ]
    counts = (reach[0][:, None] * reach[1][None, :]).double()
    if q >= 1:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        covered = float((1 - (1 - middle) ** counts).mean())
        low, high = (middle, high) if covered < q else (low, middle)
    # A block as large as the map is hit or not: the rate is q itself.
    return q if size == sides else (low + high) / 2


class _Consumer:
    """The layer that reads a map, held weakly; copied and pickled along with the network that holds both.

    Attributes:
        kind: its class, in words.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._held = weakref.ref(layer)
        self.kind = named_kind(layer)

    @property
    def layer(self) -> nn.Module:
        """The layer.

        Raises:
            InputError: it is gone.
        """
        found = self._held()
        if found is None:
            raise InputError(
                f"the consumer, {self.kind}, is gone: it was replaced or deleted, or this module was copied or loaded "
                "without it; name the layer that reads the map with set_consumer(layer)"
            )
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> _Consumer:
        # The copy of a network holds the copy of the layer, which the memo gives it; a copy of the module alone does
        # not, so that the layer's copy is gone at once, which is said when it is asked for.
        return self._of(copy.deepcopy(self._held(), memo))

    def __copy__(self) -> _Consumer:
        return self._of(self._held())

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle keeps one object for the layer, here and in the network.
        return _unpickled, (self._held(), self.kind)

    def _of(self, layer: nn.Module | None) -> _Consumer:
        return _unpickled(layer, self.kind)


def _unpickled(layer: nn.Module | None, kind: str) -> _Consumer:
    # Without its layer it is what is left when the layer has gone.
    made = _Consumer(nn.Identity() if layer is None else layer)
    made.kind = kind
    return made


def _toward_channels(consumer: nn.Module, shape: torch.Size) -> Tensor:
    """The largest weight, with its sign, that reads each channel at each kernel position, shape (Ch, positions)."""
    layer: Any = consumer
    if is_lazy(layer._parameters.get("weight")):
        raise InputError(
            f"the consumer, {named_kind(consumer)}, is lazy and has no weights yet; run the network once in evaluation "
            "mode before training"
        )
    weight = at_rest(layer, "weight").float()
    if isinstance(consumer, nn.modules.conv._ConvTransposeNd):
        # (in, out / groups, ...): whatever the groups are, a row holds all that reads a channel.
        return torch.as_tensor(weight.amax(dim=1).flatten(1))
    if isinstance(consumer, nn.modules.conv._ConvNd):
        # (out, in / groups, ...): a channel is read by the outputs of its own group.
        grouped = weight.reshape(consumer.groups, -1, *weight.shape[1:]).amax(dim=1)
        return torch.as_tensor(grouped.reshape(consumer.in_channels, -1))
    most = weight.amax(dim=1 if is_conv1d(consumer) else 0)[:, None]
    channels, positions = shape[1], math.prod(shape[2:])
    each, rest = divmod(len(most), channels)
    # On the last axis of (B, Ch, L) a layer of width L reads positions, not the flattened map.
    along = len(shape) == 3 and len(most) == shape[2]
    if len(shape) > 2 and 1 < each <= positions and not rest and not along:
        return torch.as_tensor(most.reshape(channels, each))
    return torch.as_tensor(most)


def _checked(consumer: nn.Module) -> nn.Module:
    if not isinstance(consumer, nn.Linear | nn.modules.conv._ConvNd) and not is_conv1d(consumer):
        raise InputError(
            f"consumer is {named_kind(consumer)}; expected the nn.Linear or convolution that reads the map"
        )
    return consumer


def _is_number(value: object) -> bool:
    numbers = int | float | np.integer | np.floating
    return isinstance(value, numbers) and not isinstance(value, bool) and math.isfinite(value)
