"""Everything that a training left, as text by heading and name, so that two trainings can be compared bit by bit."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import random
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

Trace = dict[str, dict[str, str]]
"""By heading ("weights", "random states", ...) and name: digests, counts, words."""

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
GLOBAL_TABLES = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
OPTIMIZER_TABLES = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


@dataclass(kw_only=True, eq=False)
class Left:
    """What a training hands over when it is done.

    Attributes:
        network: the trained one, inside its wrappers.
        modules: further modules whose weights and modes are compared, by name: an average, a wrapper.
        optimizers: of torch.
        states: further objects with a `state_dict`, or plain values, by name: a schedule, a scaler.
    """

    network: nn.Module
    modules: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: list[Any] = field(default_factory=list)
    states: dict[str, Any] = field(default_factory=dict)


def digest(value: Any) -> str:
    """A name for a value: equal bits, equal names. Tensors, arrays, numbers, text, and what holds them."""
    told = hashlib.sha256()
    for part in _bytes_of(value):
        told.update(part)
    return told.hexdigest()[:16]


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        own = value.to_local() if hasattr(value, "to_local") else value
        yield f"{own.dtype}{tuple(own.shape)}".encode()
        yield own.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode() + value.tobytes()
    elif isinstance(value, Mapping):
        for key in value:
            yield f"{key}:".encode()
            yield from _bytes_of(value[key])
    elif isinstance(value, list | tuple | set):
        yield f"{len(value)}[".encode()
        for one in value:
            yield from _bytes_of(one)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
        yield repr(value).encode()
    elif callable(getattr(value, "state_dict", None)):
        yield from _bytes_of(value.state_dict())
    else:
        yield type(value).__name__.encode()


def modules_of(root: nn.Module) -> dict[str, nn.Module]:
    """Every module by name; Keras keeps its layers where torch does not list them."""
    told = dict(root.named_modules())
    flatten = getattr(root, "_flatten_layers", None)
    for layer in () if flatten is None else flatten(include_self=False):
        told.setdefault(layer.name, layer)
    return told


def random_states(generators: Mapping[str, Any]) -> dict[str, str]:
    """Digests of all random states by name.

    Args:
        generators: further ones of torch, by name; None is left out.
    """
    told = {
        "random: Python": digest(random.getstate()),
        "random: NumPy": digest(np.random.get_state(legacy=True)),
        "random: torch": digest(torch.get_rng_state()),
    }
    if torch.cuda.is_available():
        told["random: CUDA"] = digest(torch.cuda.get_rng_state_all())
    named = {name: one for name, one in generators.items() if one is not None}
    return told | {f"random: {name}": digest(one.get_state()) for name, one in named.items()}


def modes_of(network: nn.Module) -> dict[str, str]:
    """Training or eval mode of every module, by name."""
    return {f"mode: {name or 'network'}": str(module.training) for name, module in modules_of(network).items()}


def switches() -> dict[str, str]:
    """What is switched on for the whole process."""
    told: dict[str, object] = {
        "gradients": torch.is_grad_enabled(),
        "autocast": [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
        "threads of torch": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "precision of products": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "errors of NumPy": sorted(np.geterr().items()),
        "Ctrl-C": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is not None:
        told["stance of torch.compile"] = dynamo._stance.stance
    return {name: str(value) for name, value in told.items()}


@dataclass(kw_only=True, eq=False)
class World:
    """What was there before a training."""

    threads: frozenset[int]
    children: frozenset[int | None]
    tensors: frozenset[int]
    cuda_bytes: int

    @classmethod
    def now(cls) -> World:
        """As it is."""
        gc.collect()
        return cls(
            threads=frozenset(id(thread) for thread in threading.enumerate()),
            children=frozenset(child.pid for child in multiprocessing.active_children()),
            tensors=frozenset(map(id, _tensors())),
            cuda_bytes=torch.cuda.memory_allocated() if torch.cuda.is_available() else 0,
        )

    def threads_since(self) -> dict[str, str]:
        """Threads and processes that were not there: how many of each name."""
        there = [thread for thread in threading.enumerate() if not _is_compilers(thread)]
        new = [thread.name for thread in there if id(thread) not in self.threads]
        children = [child for child in multiprocessing.active_children() if child.pid not in self.children]
        return {"threads": " ".join(sorted(new)), "processes": str(len(children))}

    def memory_since(self) -> dict[str, str]:
        """Tensors, and bytes on the card, that were not there."""
        gc.collect()
        new = sum(id(tensor) not in self.tensors for tensor in _tensors())
        grown = (torch.cuda.memory_allocated() if torch.cuda.is_available() else 0) - self.cuda_bytes
        return {"tensors": str(new), "bytes on the card": str(grown)}


def _is_compilers(thread: threading.Thread) -> bool:
    """Whether torch's compiler began it: its timer of idle workers comes and goes by the clock."""
    work = getattr(thread, "_target", None)
    return str(getattr(work, "__module__", "")).startswith("torch._inductor.")


def _tensors() -> list[Tensor]:
    # type() and not isinstance: lazy objects of other libraries would be loaded by the question.
    found = [one for one in gc.get_objects() if issubclass(type(one), Tensor)]
    # What torch.compile traced with has shapes and no memory, and is kept for as long as torch likes.
    return [one for one in found if not isinstance(one, FakeTensor) and one.numel()]


def trace_of(left: Left, moments: Iterable[Mapping[str, str]], batches: list[str], losses: list[str]) -> Trace:
    """What a training left, apart from threads and memory, which show when it is gone.

    Args:
        left: by the training.
        moments: random states and modes at every moment at which an observer would record.
        batches: digests, in the order the network saw them.
        losses: digests, one a step.
    """
    modules = {"": left.network, **{f"{name}: ": module for name, module in left.modules.items()}}
    trace: Trace = {name: {} for name in ("weights", "gradients", "modes", "hooks", "attributes")}
    for prefix, root in modules.items():
        _tensors_into(trace, prefix, root)
        for name, module in modules_of(root).items():
            trace["modes"][f"{prefix}{name or 'network'} at the end"] = str(module.training)
            trace["hooks"] |= _counts(f"{prefix}{name or 'network'}", module, HOOK_TABLES)
            trace["attributes"][f"{prefix}{name or 'network'}"] = " ".join(sorted(map(str, vars(module))))
    trace["hooks"] |= _counts("all modules", nn.modules.module, GLOBAL_TABLES)
    for index, optimizer in enumerate(left.optimizers):
        trace["hooks"] |= _counts(f"optimizer {index}", optimizer, OPTIMIZER_TABLES)
    trace["optimizer"] = {str(index): digest(one.state_dict()) for index, one in enumerate(left.optimizers)}
    trace["other states"] = {name: digest(one) for name, one in left.states.items()}
    trace["batches"] = {"order": digest(batches), "number": str(len(batches))}
    trace["losses"] = {f"step {index}": loss for index, loss in enumerate(losses)}
    trace["random states"] = dict(random_states({}))
    trace["switches"] = switches()
    for index, moment in enumerate(moments):
        for name, value in moment.items():
            heading = "random states" if name.startswith("random: ") else "modes"
            trace[heading][f"{name.partition(': ')[2]} at moment {index}"] = value
    return trace


def _tensors_into(trace: Trace, prefix: str, root: nn.Module) -> None:
    for name, tensor in [*root.named_parameters(), *root.named_buffers()]:
        trace["weights"][f"{prefix}{name}"] = digest(tensor)
        grad = "none" if tensor.grad is None else digest(tensor.grad)
        trace["gradients"][f"{prefix}{name}"] = f"{grad}, requires_grad {tensor.requires_grad}"
        hooks = len(tensor._backward_hooks or ()) + len(getattr(tensor, "_post_accumulate_grad_hooks", None) or ())
        trace["hooks"][f"{prefix}{name}"] = str(hooks)


def _counts(name: str, owner: Any, tables: Iterable[str]) -> dict[str, str]:
    return {name: " ".join(str(len(getattr(owner, table, ()))) for table in tables)}


def differences(trace: Trace, reference: Trace) -> dict[str, list[str]]:
    """Names of what differs, by heading; empty for trainings that are the same.

    Memory counts when it is more than the reference left, threads when they are others.
    """
    told: dict[str, list[str]] = {}
    for heading in sorted({*trace, *reference}):
        one, other = trace.get(heading, {}), reference.get(heading, {})
        differing = sorted(
            name for name in {*one, *other} if _differs(heading, one.get(name, "missing"), other.get(name, "missing"))
        )
        if differing:
            told[heading] = differing
    return told


def _differs(heading: str, value: str, reference: str) -> bool:
    if heading == "memory" and value.isdigit() and reference.isdigit():
        return int(value) > int(reference)
    if heading == "threads":
        return bool(set(value.split()) - set(reference.split()))
    return value != reference


def said(found: Mapping[str, list[str]]) -> str:
    """Differences in one line.

    Example:
        >>> said({"weights": ["head.bias", "head.weight"]})
        'weights (head.bias, head.weight)'
    """
    parts = []
    for heading, names in found.items():
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        parts.append(f"{heading} ({', '.join(names[:2])}{more})")
    return "; ".join(parts)
