"""Features of a forward pass that somebody else runs: hooks on the head or layer and on the network, for one block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from phiscope.errors import HeadError, InputError
from phiscope.network.batch import Batch
from phiscope.network.feature_map import HeadFeatures
from phiscope.network.hooks import Ear
from phiscope.network.isolation import has_compiled_part
from phiscope.network.rows import FeatureMap, Rows, RowsOf


@dataclass(kw_only=True)
class Overheard:
    """What was heard inside one block.

    Attributes:
        batch: what the network runs on.
        rows_of: makes features of the pass; None until the block has ended.
        answers: outputs of the network, one for each time it ran.
        training: whether it ran in training mode.
    """

    batch: Batch
    rows_of: RowsOf | None = None
    answers: list[Any] = field(default_factory=list)
    training: bool = False

    def rows(self, *, index: int, checked: bool) -> Rows:
        """The features of the block's forward pass.

        Args:
            index: number of the block, named in errors.
            checked: whether to check that the head of the features is the output.

        Raises:
            HeadError: the network ran not once, or another way than before.
        """
        if len(self.answers) != 1:
            raise HeadError(
                f"the network ran {len(self.answers)} times inside block {index} of the passive observer, expected one "
                "forward pass; call the module itself (not its forward), once in each `with observer.batch(...)`"
            )
        if self.rows_of is None:
            raise ValueError("the block has not ended")
        return self.rows_of(self.answers[0], index, checked)


def check_can_overhear(feature_map: FeatureMap, wrapped: nn.Module) -> None:
    """Refuse networks whose features a hook does not see.

    Raises:
        InputError: a part is compiled, or the output is one position that only a second pass would find.
    """
    if has_compiled_part(wrapped):
        raise InputError(
            "a compiled network does not call hooks that come after its compilation; observe it with Observer, which "
            "runs the network that was compiled, or train it uncompiled"
        )
    if isinstance(feature_map, HeadFeatures) and feature_map.found.layout.arrangement == "picked":
        raise InputError(
            "the model answers at one position of each sample, which only a second forward pass can find; observe it "
            "with Observer"
        )


@contextmanager
def overhearing(feature_map: FeatureMap, batch: Batch) -> Iterator[Overheard]:
    """Note what goes through the head, or comes out of the chosen layers, while the block runs; the hooks go after it.

    Inside, the network runs as it would: training mode, gradients and autocast are the caller's.

    Args:
        feature_map: of the network; its head or layers are listened to.
        batch: what the network runs on.

    Yields:
        What was heard, complete when the block has ended.
    """
    heard = Overheard(batch=batch)

    def note(module: nn.Module, args: Any, output: Any) -> None:
        heard.answers.append(output)
        heard.training = module.training

    with feature_map.listened(batch) as rows_of:
        ear = Ear()
        try:
            ear.after(feature_map.model, note)
            yield heard
        finally:
            ear.on = False
            ear.close()
    heard.rows_of = rows_of
