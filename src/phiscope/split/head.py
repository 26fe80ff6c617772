"""The linear head of a network, as a copy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phiscope.split.linear_layers import LinearKind


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """The last linear layer: outputs = features W^T + b.

    Attributes:
        name: dotted name in the model, inside compile and data-parallel wrappers.
        weight: W, shape (C, p), a copy.
        bias: b, shape (C,), a copy; None for a head without bias.
        kind: "linear", or "conv1x1" for a convolution with kernel 1.
        layout: how its output becomes the model's: which tensor, which positions, which last function.
        candidates: names of all linear layers that were considered.

    Example:
        >>> Head(name="fc", weight=torch.eye(2), bias=None, kind="linear")(torch.tensor([[3.0, 4.0]]))
        tensor([[3., 4.]])
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    kind: LinearKind
    layout: str = "the output: as it is"
    candidates: tuple[str, ...] = ()

    def __call__(self, features: Tensor) -> Tensor:
        """Return outputs (n, C) of features (n, p)."""
        return torch.nn.functional.linear(features, self.weight, self.bias)
