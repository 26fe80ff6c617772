"""The list of settings, by key, in the order of the page."""

from __future__ import annotations

from typing import Any

from undisturbed_parts import frameworks, loops, ranks, switched

ALL: tuple[Any, ...] = (
    loops.Plain,
    loops.Dropout,
    loops.BatchNorm,
    loops.Workers,
    loops.Bf16,
    switched.Fp16Scaler,
    loops.Accumulation,
    loops.Checkpointing,
    switched.CompiledBefore,
    switched.CompiledAfter,
    switched.Ema,
    switched.Swa,
    ranks.Ddp,
    ranks.DdpAlone,
    ranks.Fsdp,
    frameworks.Lightning,
    frameworks.Trainer,
    frameworks.Accelerate,
    frameworks.Keras,
)
BY_KEY = {kind.key: kind for kind in ALL}
"""Every setting; on a machine with a card those whose `on_cards` is True."""
