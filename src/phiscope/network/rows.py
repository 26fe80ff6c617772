"""A feature map: what gives the features of a batch, wherever in the network they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phiscope.errors import NonFiniteError
from phiscope.network.batch import Batch, BatchReader
from phiscope.network.hooks import Caller, stand_ins
from phiscope.network.isolation import isolated, placement


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Features of one batch.

    Attributes:
        features: (R, p), a row for each sample, or for each position where the model answers at each.
        leading: shape whose product is R: (n,), (n, T), (n, H, W).
        weight: W (C, p) in that pass; None where no head belongs to the features.
        bias: b (C,) or None.
        precision: dtype in which the head answered.
        outputs: (R, C) where outputs are measured rather than made by a head; else None.
        repeated: each input's target counts for all its positions.
        channels: axis of the outputs in what the model returns, where it answers at positions.
    """

    features: Tensor
    leading: tuple[int, ...]
    weight: Tensor | None
    bias: Tensor | None
    precision: torch.dtype
    outputs: Tensor | None = None
    repeated: bool = False
    channels: Literal["first", "last"] = "last"

    @property
    def n_outputs(self) -> int | None:
        """C; None where there are no outputs."""
        known = self.weight if self.weight is not None else self.outputs
        return None if known is None else known.shape[0 if known is self.weight else 1]


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """Whether labels at positions are those of the next token.

    Attributes:
        next_token: True = the target at position t is the label at t + 1; False = labels are taken as they are; None =
            nobody could say, so that the model's class name has to.
        given: the caller said so, whatever the labels look like.
        why: who said so, for the provenance.
    """

    next_token: bool | None = None
    given: bool = False
    why: str = "by the model's class name"


RowsOf = Callable[[Any, "int | None", bool], Rows]
"""From the model's answer, the number of the batch and whether to check, to rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMap(ABC):
    """A feature map phi: everything before the head, or up to a layer, as the model runs in eval mode.

    Calling it leaves the model and every random state as they were.

    Attributes:
        model: the network inside its wrappers.
        device: where the pass runs; None = where the parameters are.
        padding: positions that an attention mask leaves out count as samples, too.
        labels: whether labels at positions are those of the next token.
    """

    model: nn.Module
    device: torch.device | None = None
    padding: bool = False
    labels: LabelRule = LabelRule()

    def __call__(self, x: Any) -> Tensor:
        """Return features (n, p) of inputs x: a tensor, a tuple of positional, a mapping of keyword inputs.

        Where the model answers at every position, rows are positions: (n * T, p).

        Raises:
            NonFiniteError: a feature is NaN or Inf.
            HeadError: the head of these features is not the model's output.
        """
        with isolated(self.model, device=self.device):
            return self.rows(self.reader().inputs(x)).features

    @property
    @abstractmethod
    def name(self) -> str:
        """Where the features are: the head that reads them, or the layer that gives them."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The module of that name."""

    @property
    def pools_padding(self) -> bool:
        """Whether tokens are put together without looking at an attention mask, which has not their positions."""
        return False

    @abstractmethod
    def described(self) -> dict[str, str]:
        """What is measured, by name, for people."""

    @abstractmethod
    def listened(self, batch: Batch) -> AbstractContextManager[RowsOf]:
        """Listen to a forward pass that somebody else runs inside the block.

        Args:
            batch: what it runs on.

        Returns:
            A block that yields what makes rows of the pass once it is over, from the model's answer.
        """

    def reader(self) -> BatchReader:
        """Return what reads batches for this model."""
        device, dtype = placement(self.model)
        return BatchReader(self.model, self.device or device, dtype)

    def caller(self) -> Caller:
        """Return what calls the model; on another device, with copies of its tensors."""
        return Caller(self.model, stand_ins(self.model, self.device))

    @abstractmethod
    def rows(self, batch: Batch, *, call: Caller | None = None, index: int | None = None) -> Rows:
        """Run one batch; meant for the inside of `isolated`.

        Args:
            batch: inputs.
            call: how the model is called; None = `caller()`.
            index: number of the batch, named in errors.

        Raises:
            NonFiniteError: a feature is NaN or Inf.
            HeadError: the head of these features is not the model's output.
        """


def check_finite(features: Tensor, index: int | None) -> None:
    """Refuse features of a network that has diverged, with a NonFiniteError."""
    if not bool(torch.isfinite(features).all()):
        first = int(torch.isfinite(features.flatten(1)).all(dim=1).int().argmin())
        raise NonFiniteError(
            f"features {at_batch(index)} hold NaN or Inf (first in sample {first}), expected finite numbers; drop rows "
            "that hold NaN if the inputs do, else the training probably diverged",
            where="features",
            batch=index,
        )


def at_batch(index: int | None) -> str:
    """Which batch, in words."""
    return "of this batch" if index is None else f"of batch {index}"
