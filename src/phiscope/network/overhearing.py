"""Features of a forward pass that somebody else runs: one hook on the head, one on the network, for one block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from phiscope.errors import HeadError, InputError
from phiscope.network.feature_map import FeatureMap, Rows
from phiscope.network.hooks import Ear, LayerCall, listening
from phiscope.network.isolation import has_compiled_part


@dataclass(kw_only=True)
class Overheard:
    """What was heard inside one block.

    Attributes:
        feature_map: of the network.
        calls: of the head, in order.
        answers: outputs of the network, one for each time it ran.
        training: whether it ran in training mode.
    """

    feature_map: FeatureMap
    calls: list[LayerCall] = field(default_factory=list)
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
        return self.feature_map.rows_of(self.calls, self.answers[0], index=index, checked=checked)


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
    if feature_map.found.layout.arrangement == "picked":
        raise InputError(
            "the model answers at one position of each sample, which only a second forward pass can find; observe it "
            "with Observer"
        )


@contextmanager
def overhearing(feature_map: FeatureMap) -> Iterator[Overheard]:
    """Note what goes through the head while the block runs; the hooks go when it ends, however it ends.

    Inside, the network runs as it would: training mode, gradients and autocast are the caller's.

    Args:
        feature_map: of the network; its head is listened to.

    Yields:
        What was heard, complete when the block has ended.
    """
    model, found = feature_map.model, feature_map.found
    heard = Overheard(feature_map=feature_map)

    def note(module: nn.Module, args: Any, output: Any) -> None:
        heard.answers.append(output)
        heard.training = module.training

    with listening({found.name: found.module}, keep_features=True) as calls:
        ear = Ear()
        try:
            ear.after(model, note)
            yield heard
        finally:
            ear.on = False
            ear.close()
    heard.calls = calls.get(found.name, [])
