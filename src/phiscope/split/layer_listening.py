"""Hooks on any layers, and their removal: features are made inside the hook, no activation is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from phiscope.errors import InputError
from phiscope.split.layer_reading import LayerReading
from phiscope.split.layout import tensor_at


@dataclass
class Heard:
    """What the layers told in one pass.

    Attributes:
        features: of each layer by key, from `LayerReading.reduced`.
        calls: how often each module ran, by name.
        passes: forward passes of the network; only the first is listened to.
    """

    features: dict[str, Tensor] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    passes: int = 0

    def told(self, reading: LayerReading, index: int) -> Tensor:
        """Features of one layer.

        Raises:
            InputError: the layer ran another number of times than in the first batch.
        """
        one = reading.source
        if self.calls[one.name] != one.calls or reading.source.key not in self.features:
            raise InputError(
                f"layer {one.name!r} ran {self.calls[one.name]} times in batch {index} and {one.calls} times in the "
                "first batch, so its features are not one map; choose layers that run in every batch"
            )
        return self.features[one.key]


@contextmanager
def layers_listened(model: nn.Module, readings: Sequence[LayerReading], mask: Tensor | None) -> Iterator[Heard]:
    """Read some layers while the block runs; the hooks go when it ends, however it ends.

    Args:
        model: the network.
        readings: calls of its layers.
        mask: (n, T), True where the attention mask keeps a token, or None.

    Yields:
        What was heard, filled during the network's first forward pass inside the block.
    """
    heard = Heard()
    by_module: dict[str, dict[int, LayerReading]] = {}
    for reading in readings:
        by_module.setdefault(reading.source.name, {})[reading.source.call] = reading

    def starts(*_: Any) -> None:
        heard.passes += 1

    with ExitStack() as stack:
        # Finding the position a model picks may take a second pass, with another head output.
        stack.callback(model.register_forward_pre_hook(starts).remove)
        for name, by_call in by_module.items():
            module = next(iter(by_call.values())).source.module
            stack.callback(module.register_forward_hook(_hook(heard, name, by_call, mask)).remove)
        yield heard


def _hook(heard: Heard, name: str, by_call: dict[int, LayerReading], mask: Tensor | None) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if heard.passes > 1:
            return
        heard.calls[name] += 1
        reading = by_call.get(heard.calls[name])
        tensor = None if reading is None else tensor_at(output, reading.source.place)
        if reading is not None and tensor is not None:
            heard.features[reading.source.key] = reading.reduced(tensor.detach(), mask)

    return hook
