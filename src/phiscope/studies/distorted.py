"""Convolutional networks that are trained with parts of their maps distorted: DropBlock, or feature-map distortion."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.networks import StudyNetwork
from phiscope.surgery import FeatureDistortion

Kind = Literal["dropblock", "distortion"]
"""What stands in the place of what is hit: zeros, or noise."""

PLACES = 2
"""Behind the ReLUs of so many last convolutions, as the paper distorts the last stage."""


class Distortions:
    """The distorting modules of one network under training.

    Attributes:
        modules: in forward order.
    """

    def __init__(self, modules: list[FeatureDistortion]) -> None:
        self.modules = modules
        self._hit = 0.0
        self._calls = 0

    def begin_step(self, progress: float) -> None:
        """Say how far the training is, 0..1: the share rises linearly, as the released code has it."""
        for module in self.modules:
            module.set_progress(progress)

    def end_step(self) -> None:
        """Note what share of the maps was hit in this step."""
        self._hit += sum(float(module.hit_share) for module in self.modules) / len(self.modules)
        self._calls += 1

    @property
    def realized(self) -> float:
        """Share of the maps that was hit, averaged over all steps."""
        return self._hit / max(self._calls, 1)


def distort(
    network: StudyNetwork, kind: Kind, *, probability: float, block: float, strength: float, seed: int = 0
) -> Distortions:
    """Put distorting modules behind the ReLUs of a network's last two convolutions.

    Args:
        network: its features are one `nn.Sequential`; changed in place.
        kind: "dropblock" or "distortion".
        probability: share of a map that is hit at the end of training, 0..1.
        block: side of a block as a share of the map's side, above 0 up to 1; at least one position.
        strength: of the noise; DropBlock has none.
        seed: of all random draws.

    Raises:
        UnknownNameError: there is no such kind.
        InputError: no sequence of convolutions, or a block that is no share.
    """
    if kind not in get_args(Kind):
        raise UnknownNameError("distortion", str(kind), get_args(Kind))
    if not 0 < block <= 1:
        raise InputError(f"block={block!r}; expected a share of the map's side above 0, up to 1")
    features = network.features
    layers = list(features.children()) if isinstance(features, nn.Sequential) else []
    convolutions = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    if len(convolutions) < PLACES:
        raise InputError(f"maps are distorted behind the last {PLACES} convolutions of a sequence, and this has fewer")
    modules: list[FeatureDistortion] = []
    generator = torch.Generator(device=network.head.weight.device).manual_seed(seed)
    for place in convolutions[-PLACES:]:
        after = next((at for at in range(place, len(layers)) if isinstance(layers[at], nn.ReLU)), None)
        if after is None:
            raise InputError("maps are distorted behind ReLUs, and the last convolutions have none behind them")
        later = [layers[at] for at in convolutions if at > after]
        module = _Scaled(
            probability,
            strength=0.0 if kind == "dropblock" else strength,
            consumer=later[0] if later else network.head,
            share=block,
            generator=generator,
        )
        layers[after] = nn.Sequential(layers[after], module)
        modules.append(module)
    network.features = nn.Sequential(*layers)
    return Distortions(modules)


class _Scaled(FeatureDistortion):
    """Blocks whose side is a share of the map's, so that one setting serves pictures of any size."""

    def __init__(
        self, probability: float, *, strength: float, consumer: nn.Module, share: float, generator: torch.Generator
    ) -> None:
        super().__init__(probability, strength=strength, consumer=consumer, generator=generator)
        self._share = share

    def forward(self, x: Tensor) -> Tensor:
        self.block = max(1, round(self._share * x.shape[-1]))
        return super().forward(x)
