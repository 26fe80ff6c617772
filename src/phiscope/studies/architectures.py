"""The paper's networks by name: fully connected, small convolutional, VGG and ResNet in CIFAR form, transformer.

Every network is a ``StudyNetwork``, f(x) = W phi(x) + b, whose only linear layer after the features is the head.
Sources: VGG, Simonyan and Zisserman 2015 (configurations A, B, D, E); ResNet, He et al. 2016 (basic blocks). Their
CIFAR form, widely used and counted by its parameters: 3 x 3 convolutions from the first layer on, one linear head
behind the mean over positions. Transformer: the two decoder layers of width 128 with 4 heads of Power et al. 2022.
The fully connected and the small convolutional network are OURS, as no widths are published for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.datasets.pixels import is_whole
from phiscope.studies.networks import StudyNetwork, TransformerSettings

_VGG_STAGES = MappingProxyType({11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)})
_RESNET_STAGES = MappingProxyType({10: (1,) * 4, 18: (2,) * 4, 34: (3, 4, 6, 3)})
_HEADS = 4


def build_network(
    name: str,
    *,
    input_shape: Sequence[int],
    num_outputs: int,
    width: float = 1.0,
    depth: int | None = None,
    batch_norm: bool | None = None,
    init_scale: float = 1.0,
    seed: int = 0,
) -> StudyNetwork:
    """Build a network of the paper, on the CPU, with the published size unless told otherwise.

    ============= ======================================= ==================================== ==========
    name          published form                          ``depth`` counts                     batch norm
    ============= ======================================= ==================================== ==========
    fcn           3 hidden layers of 512, ReLU (OURS)     hidden layers                        no
    taper         hidden layers of 128 and 64 (OURS)      layers, each half as wide            no
    cnn           32, 64, 128, 128 channels (OURS)        convolutions: 32, 64, then 128 each  yes
    vgg16         configuration D, head 512 -> C          weight layers: 11, 13, 16, 19        yes
    resnet18      stages of 2 blocks, 64 to 512 channels  weight layers: 10, 18, 34            yes
    transformer   2 pre-norm decoder blocks, width 128    blocks                               layer norms
    ============= ======================================= ==================================== ==========

    Weights before a ReLU start from He's normal distribution of variance 2 / fan-in (He et al. 2015) with zero biases;
    the head and the transformer have torch's own initial weights. (Torch's own for the other layers would be
    ``init_scale=0.41`` in standard deviation.)

    Args:
        name: one of the above.
        input_shape: of one input: any shape for "fcn" and "taper"; (channels, height, width) for "cnn", "vgg16" and
            "resnet18"; (sequence length, vocabulary) for "transformer", whose inputs are rows of token indices.
        num_outputs: C, number of outputs, 1 or more.
        width: factor on every hidden width, above 0; a transformer's is rounded to a multiple of its 4 heads.
        depth: None is the published one.
        batch_norm: None is the published choice; False leaves out every normalization, the transformer's layer norms
            too; True is refused for a transformer.
        init_scale: factor on all initial weights, the head's and embeddings included; norms and biases stay.
        seed: decides the initial weights; no random state of the caller is touched.

    Returns:
        The network in training mode; ``features`` and ``head`` are its two parts.

    Raises:
        UnknownNameError: there is no such network.
        InputError: a shape, width, depth, scale or seed that cannot be; the message says which ones can.

    Example:
        >>> net = build_network("resnet18", input_shape=(3, 32, 32), num_outputs=10)
        >>> sum(parameter.numel() for parameter in net.parameters())
        11173962
    """
    if name not in _BUILDERS:
        raise UnknownNameError("network", name, _BUILDERS)
    _check_settings(input_shape, num_outputs, width, init_scale, seed)
    if depth is not None and not is_whole(depth, 1):
        raise InputError(f"a network's depth is 1 or more, or None for the published one, got depth={depth!r}")
    # The CPU's generator alone: torch.manual_seed would reseed every accelerator as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        network = _BUILDERS[name](tuple(input_shape), num_outputs, width, depth, batch_norm)
    _scale_weights(network, init_scale)
    return network


def _check_settings(shape: Sequence[int], num_outputs: int, width: float, init_scale: float, seed: int) -> None:
    if not shape or not all(is_whole(length, 1) for length in shape):
        raise InputError(f"input_shape has one positive whole number for each axis of an input, got {tuple(shape)}")
    if not is_whole(num_outputs, 1):
        raise InputError(f"a network has one output or more, got num_outputs={num_outputs!r}")
    for what, value in (("width", width), ("init_scale", init_scale)):
        factor: object = value
        if not (isinstance(factor, int | float) and value > 0 and math.isfinite(value)):
            raise InputError(f"{what} is a factor above 0 (1.0 is the published size), got {what}={value!r}")
    if not is_whole(seed, 0, 2**63 - 1):
        raise InputError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}")


@torch.no_grad()
def _scale_weights(network: nn.Module, factor: float) -> None:
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name != "bias" and not isinstance(module, norms):
                parameter.mul_(factor)


def _scaled(width: float, factor: float) -> int:
    return max(1, round(width * factor))


def _check_pictures(name: str, shape: Sequence[int], smallest: int) -> None:
    if len(shape) != 3 or min(shape[1:]) < smallest:
        raise InputError(
            f"{name} takes pictures of shape (channels, height, width), {smallest} pixels a side or more, "
            f"got input_shape={tuple(shape)}"
        )


def _stages_of(name: str, table: Mapping[int, tuple[int, ...]], depth: int) -> Sequence[int]:
    if depth not in table:
        raise InputError(f"{name} comes in the depths {', '.join(map(str, table))}, got depth={depth}")
    return table[depth]


def _he_weights(features: nn.Module) -> nn.Module:
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return features


def _norm(width: int, wanted: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(width)] if wanted else []


def _fully_connected(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    return _dense(shape, num_outputs, [_scaled(512, width)] * (depth or 3), batch_norm)


def _tapered(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    return _dense(shape, num_outputs, [_scaled(128 / 2**place, width) for place in range(depth or 2)], batch_norm)


def _dense(shape: Sequence[int], num_outputs: int, widths: Sequence[int], batch_norm: bool | None) -> StudyNetwork:
    layers: list[nn.Module] = [nn.Flatten()]
    fan_in = math.prod(shape)
    for hidden in widths:
        layers += [nn.Linear(fan_in, hidden), *([nn.BatchNorm1d(hidden)] if batch_norm else []), nn.ReLU()]
        fan_in = hidden
    return StudyNetwork(_he_weights(nn.Sequential(*layers)), nn.Linear(fan_in, num_outputs))


def _convolutional(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    widths = [_scaled(min(32 * 2**number, 128), width) for number in range(depth or 4)]
    _check_pictures("cnn", shape, 2 ** (len(widths) - 1))
    layers: list[nn.Module] = []
    channels = shape[0]
    for number, after in enumerate(widths):
        layers += [nn.MaxPool2d(2)] if number else []
        layers += [nn.Conv2d(channels, after, 3, padding=1), *_norm(after, batch_norm is not False), nn.ReLU()]
        channels = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return StudyNetwork(_he_weights(nn.Sequential(*layers)), nn.Linear(channels, num_outputs))


def _vgg(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    _check_pictures("vgg16", shape, 2)
    layers: list[nn.Module] = []
    channels = shape[0]
    for stage, count in enumerate(_stages_of("vgg16", _VGG_STAGES, depth or 16)):
        after = _scaled(min(64 * 2**stage, 512), width)
        for _ in range(count):
            layers += [nn.Conv2d(channels, after, 3, padding=1), *_norm(after, batch_norm is not False), nn.ReLU()]
            channels = after
        # Rounding up leaves a position to pool in pictures below 32 pixels; at 32 it changes nothing.
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return StudyNetwork(_he_weights(nn.Sequential(*layers)), nn.Linear(channels, num_outputs))


class _BasicBlock(nn.Module):
    """Two convolutions with a shortcut around them; a 1 x 1 convolution in the shortcut where shapes differ."""

    def __init__(self, channels: int, after: int, *, stride: int, batch_norm: bool) -> None:
        super().__init__()
        bias = not batch_norm  # batch norm would take a bias away again
        self.path = nn.Sequential(
            nn.Conv2d(channels, after, 3, stride=stride, padding=1, bias=bias),
            *_norm(after, batch_norm),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=bias),
            *_norm(after, batch_norm),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != after:
            self.shortcut.append(nn.Conv2d(channels, after, 1, stride=stride, bias=bias))
            self.shortcut.extend(_norm(after, batch_norm))
        self.relu = nn.ReLU()

    def forward(self, pictures: Tensor) -> Tensor:
        after: Tensor = self.relu(self.path(pictures) + self.shortcut(pictures))
        return after


def _resnet(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    _check_pictures("resnet18", shape, 2)
    normed = batch_norm is not False
    channels = _scaled(64, width)
    layers = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=not normed), *_norm(channels, normed), nn.ReLU()]
    for stage, count in enumerate(_stages_of("resnet18", _RESNET_STAGES, depth or 18)):
        after = _scaled(64 * 2**stage, width)
        for block in range(count):
            stride = 2 if stage and not block else 1
            layers.append(_BasicBlock(channels, after, stride=stride, batch_norm=normed))
            channels = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return StudyNetwork(_he_weights(nn.Sequential(*layers)), nn.Linear(channels, num_outputs))


def _transformer(
    shape: Sequence[int], num_outputs: int, width: float, depth: int | None, batch_norm: bool | None
) -> StudyNetwork:
    if len(shape) != 2:
        raise InputError(f"a transformer's input_shape is (sequence length, vocabulary), got {tuple(shape)}")
    if batch_norm:
        raise InputError("a transformer has layer norms (batch_norm=None) or no norms (False), got batch_norm=True")
    settings = TransformerSettings(
        vocabulary=shape[1],
        width=_HEADS * _scaled(128 // _HEADS, width),
        heads=_HEADS,
        layers=depth or 2,
        layer_norm=batch_norm is not False,
    )
    return settings.build(shape[:1], num_outputs)


_Builder = Callable[[Sequence[int], int, float, int | None, bool | None], StudyNetwork]
_BUILDERS: MappingProxyType[str, _Builder] = MappingProxyType(
    {
        "fcn": _fully_connected,
        "taper": _tapered,
        "cnn": _convolutional,
        "vgg16": _vgg,
        "resnet18": _resnet,
        "transformer": _transformer,
    }
)
