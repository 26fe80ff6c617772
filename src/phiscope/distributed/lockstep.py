"""Forward passes of a sharded model: every rank enters each of them, because each gathers weights from all ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from phiscope.distributed.exchange import Exchange, stacked
from phiscope.network.hooks import Ear
from phiscope.network.isolation import placement


def is_sharded(model: nn.Module) -> bool:
    """Say whether FSDP (`fully_shard` or the older wrapper) holds the weights of a model in parts."""
    if not dist.is_available() or not dist.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return any(isinstance(module, (FSDPModule, FullyShardedDataParallel)) for module in model.modules())


class Lockstep:
    """Lets ranks run a sharded model different numbers of times.

    Before each forward pass a rank announces it. Ranks that are done, or have no batch, or have failed, answer with a
    pass over inputs they already had, and throw its result away.
    """

    def __init__(self, exchange: Exchange, model: nn.Module) -> None:
        self._exchange = exchange
        self._model = model
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._answering = False

    def announce(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the whole model."""
        if self._answering:
            return
        self._inputs = (args, kwargs)
        self._agree(calls=True)

    def answer(self) -> None:
        """Join the passes of the other ranks until none has one left."""
        self._answering = True
        while self._agree(calls=False):
            args, kwargs = self._inputs or ((), {})
            self._model(*args, **kwargs)

    def _agree(self, *, calls: bool) -> bool:
        """Say whether this rank runs the model next; True when any does."""
        told = stacked(self._exchange, np.array([calls, self._inputs is None], dtype=np.int64)).astype(bool)
        if not told[:, 0].any():
            return False
        if told[:, 1].any():
            # Some rank has no batch at all: it borrows one.
            lent = self._exchange.lent(_moved(self._inputs, torch.device("cpu")), int(np.argmax(told[:, 0])))
            if self._inputs is None:
                self._inputs = _moved(lent, placement(self._model)[0])
        return True


@contextmanager
def in_step(exchange: Exchange, model: nn.Module) -> Iterator[None]:
    """Run a sharded model inside the block as often as this rank needs to; all ranks leave it together.

    An exception inside leaves only after the other ranks are done. Meant for the inside of `isolated`.
    """
    steps = Lockstep(exchange, model)
    ear = Ear()
    try:
        # First of all hooks: FSDP's own gathers the weights.
        ear.before(model, steps.announce, first=True)
        yield
    finally:
        try:
            steps.answer()
        finally:
            ear.on = False
            ear.close()
            _reshard(model)


def _reshard(model: nn.Module) -> None:
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    # The outermost part stays gathered after a pass without gradients. An optimizer step that came next would
    # change the parts, and the training would go on with the whole from before.
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
        elif isinstance(module, FullyShardedDataParallel):
            handle = module._handle
            # The older wrapper has no public way to do this.
            if handle is not None and handle.uses_sharded_strategy and not handle.needs_unshard():
                handle.reshard(free_unsharded_flat_param=True)
                handle.post_reshard()  # type: ignore[no-untyped-call]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to(device)
    if isinstance(value, Mapping):
        return {key: _moved(part, device) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [_moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
