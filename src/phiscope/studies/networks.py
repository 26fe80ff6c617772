"""The studies' networks: convolutional, fully connected, and a small decoder transformer.

Each is a ``StudyNetwork``: a feature map and a linear head, f(x) = W phi(x) + b, so that freezing the feature
map is freezing one submodule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from phiscope.errors import InputError


class StudyNetwork(nn.Module):
    """A feature map followed by a linear head.

    Args:
        features: inputs (n, ...) to features (n, p).
        head: features to outputs (n, C).
    """

    def __init__(self, features: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.is_frozen = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs f(x), shape (n, C), before any softmax."""
        outputs: Tensor = self.head(self.features(inputs))
        return outputs

    def freeze_features(self) -> None:
        """Leave only the head to train.

        The feature map's parameters need no gradient any more, and it stays in eval mode whatever ``train`` is
        called with: in training mode batch norm would normalize by the batch at hand and move its running
        statistics, and the feature map would change although no parameter of it does.
        """
        self.features.requires_grad_(False)
        self.is_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> StudyNetwork:
        """Set the training mode; a frozen feature map stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.features.eval()
        return self


class NetworkSettings(Protocol):
    """Settings from which a network is built; its initial weights come from torch's global generator."""

    def build(self, input_shape: Sequence[int], n_outputs: int) -> StudyNetwork:
        """Build the network for inputs of this shape (without the sample axis)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ConvNetSettings:
    """Convolutions 3 x 3 with batch norm and ReLU, max pooling between stages, the mean over positions last.

    Weights start from He's normal distribution (He et al. 2015), biases at zero; p is the last width.

    Attributes:
        stages: widths of the convolutions in each stage; between two stages the picture is halved.

    Example:
        >>> net = ConvNetSettings(stages=((4,), (8,))).build((1, 8, 8), 10)
        >>> net.features(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 8])
    """

    stages: tuple[tuple[int, ...], ...] = ((32,), (64,), (64,))

    def build(self, input_shape: Sequence[int], n_outputs: int) -> StudyNetwork:
        """Build the network for pictures of shape (channels, height, width).

        Raises:
            InputError: the inputs are not pictures, or too small for this many stages.
        """
        _check_widths(*[width for stage in self.stages for width in stage])
        if len(input_shape) != 3 or min(input_shape[1:]) < 2 ** (len(self.stages) - 1):
            raise InputError(
                f"{len(self.stages)} stages need pictures (channels, height, width) of at least "
                f"{2 ** (len(self.stages) - 1)} pixels a side, got inputs of shape {tuple(input_shape)}"
            )
        layers: list[nn.Module] = []
        channels = input_shape[0]
        for number, stage in enumerate(self.stages):
            if number:
                layers.append(nn.MaxPool2d(2))
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return StudyNetwork(features, nn.Linear(channels, n_outputs))


@dataclass(frozen=True, kw_only=True)
class FullyConnectedSettings:
    """Linear layers with ReLU, torch's own initial weights; p is the last width.

    Attributes:
        widths: of the hidden layers, first to last.
    """

    widths: tuple[int, ...] = (256, 256, 256)

    def build(self, input_shape: Sequence[int], n_outputs: int) -> StudyNetwork:
        """Build the network for inputs of any shape; they are flattened."""
        _check_widths(*self.widths)
        layers: list[nn.Module] = [nn.Flatten()]
        fan_in = int(torch.Size(input_shape).numel())
        for width in self.widths:
            layers += [nn.Linear(fan_in, width), nn.ReLU()]
            fan_in = width
        return StudyNetwork(nn.Sequential(*layers), nn.Linear(fan_in, n_outputs))


@dataclass(frozen=True, kw_only=True)
class TransformerSettings:
    """A decoder transformer with pre-norm blocks, learned positions and GELU; torch's own initial weights.

    The feature map is the final norm's output at the last position, so p is the width.

    Attributes:
        vocabulary: number of tokens.
        width: of the residual stream; a multiple of ``heads``.
        heads: attention heads of a block.
        layers: number of blocks; each has a hidden layer four times as wide.
        layer_norm: False leaves the norms out, the final one too.
    """

    vocabulary: int = 98
    width: int = 128
    heads: int = 4
    layers: int = 2
    layer_norm: bool = True

    def build(self, input_shape: Sequence[int], n_outputs: int) -> StudyNetwork:
        """Build the network for token rows of shape (length,).

        Raises:
            InputError: the inputs are not rows of tokens, or the heads do not divide the width.
        """
        _check_widths(self.vocabulary, self.width, self.heads, self.layers)
        if len(input_shape) != 1 or self.width % self.heads:
            raise InputError(
                f"a transformer needs rows of tokens and a width that its heads divide, got inputs of shape "
                f"{tuple(input_shape)}, width={self.width} and heads={self.heads}"
            )
        return StudyNetwork(
            _LastPosition(self, length=input_shape[0]),
            nn.Linear(self.width, n_outputs, bias=False),
        )


class _LastPosition(nn.Module):
    def __init__(self, settings: TransformerSettings, *, length: int) -> None:
        super().__init__()
        width = settings.width
        self.tokens = nn.Embedding(settings.vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(_Block(settings) for _ in range(settings.layers)))
        self.norm = _layer_norm(settings)

    def forward(self, tokens: Tensor) -> Tensor:
        stream = self.blocks(self.tokens(tokens) + self.positions)
        features: Tensor = self.norm(stream[:, -1])
        return features


class _Block(nn.Module):
    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.before_attention = _layer_norm(settings)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.hidden = nn.Sequential(
            _layer_norm(settings), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, stream: Tensor) -> Tensor:
        n, length, width = stream.shape
        mixed = self.queries_keys_values(self.before_attention(stream))
        # (n, length, 3 width) -> queries, keys and values of shape (n, heads, length, width / heads)
        query, key, value = mixed.view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        stream = stream + self.attended(seen.transpose(1, 2).reshape(n, length, width))
        return stream + self.hidden(stream)  # type: ignore[no-any-return]


def _layer_norm(settings: TransformerSettings) -> nn.Module:
    return nn.LayerNorm(settings.width) if settings.layer_norm else nn.Identity()


def _check_widths(*widths: int) -> None:
    if not widths or min(widths) < 1:
        raise InputError(f"a network needs positive widths, got {', '.join(map(str, widths)) or 'none'}")
