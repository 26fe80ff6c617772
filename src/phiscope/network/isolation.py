"""Run somebody else's network and leave no trace: modes, buffers and random states come back.

A measurement in the middle of a training must not change the training. Everything a forward pass can
change without being asked is put back here, also after an exception or Ctrl-C.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside compile and data-parallel wrappers.

    Hooks that are registered after the first compiled call do not fire (pytorch 117758), so measuring goes
    through the network that was compiled. FSDP's own wrapper stays: without it the weights are not gathered.

    Args:
        model: any module; wrappers may be nested.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> unwrapped(nn.DataParallel(net)) is net
        True
    """
    wrappers = (
        nn.DataParallel,
        nn.parallel.DistributedDataParallel,
        torch.optim.swa_utils.AveragedModel,
    )
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, wrappers):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


@contextmanager
def isolated(model: nn.Module, *, data: object = None, device: torch.device | None = None) -> Iterator[None]:
    """Evaluate a network inside this block; afterwards it and every random state are as before.

    Inside: eval mode, no gradients, autocast off, compiled parts run eagerly. Afterwards, whatever happened:
    the train/eval flag of each submodule, buffers, embeddings that renormalize themselves, and the random
    states of Python, NumPy, torch (CPU, CUDA, MPS) and of the generators a DataLoader carries.

    Args:
        model: the network, already unwrapped.
        data: a DataLoader, whose own generators are kept as well; anything else is ignored.
        device: where the pass runs; None when that is where the parameters are.
    """
    devices = {parameter.device.type for parameter in model.parameters()} | {"cpu"}
    devices |= set() if device is None else {device.type}
    if "cuda" in devices and torch.cuda.is_available():
        # A seed given before CUDA starts is applied at its start: start it before the state is read.
        torch.cuda.init()  # type: ignore[no-untyped-call]
    with ExitStack() as stack:
        stack.enter_context(_random_states_kept(data))
        stack.enter_context(_modes_kept(model))
        stack.enter_context(_tensors_kept(model))
        if has_compiled_part(model):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.no_grad())
        for kind in sorted(devices - {"meta"}):
            # Inside autocast even `z.float() @ w.float()` comes back as bfloat16.
            stack.enter_context(torch.autocast(kind, enabled=False))
        model.eval()
        yield


def has_compiled_part(model: nn.Module) -> bool:
    """Whether the model or a part of it goes through torch.compile."""
    # Asked first because set_stance imports the whole of torch._dynamo, which takes seconds.
    return any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())


@contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            # Not module.train(training): that would also switch the children, and may be overridden.
            module.training = training


@contextmanager
def _tensors_kept(model: nn.Module) -> Iterator[None]:
    kept = [
        (module._buffers, name, buffer, buffer.detach().clone(), buffer._version)
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]
    # nn.Embedding(max_norm=...) rewrites its weight in every forward pass, in eval mode too.
    renormalizing = [
        (weight, weight.detach().clone())
        for module in model.modules()
        if getattr(module, "max_norm", None) is not None
        and isinstance(weight := getattr(module, "weight", None), nn.Parameter)
    ]
    try:
        yield
    finally:
        for owner, name, buffer, copy, version in kept:
            owner[name] = buffer
            if buffer._version != version:
                _rewrite(buffer, copy)
        for weight, copy in renormalizing:
            _rewrite(weight, copy)


@torch.no_grad()
def _rewrite(tensor: Tensor, copy: Tensor) -> None:
    tensor.copy_(copy)


@contextmanager
def _random_states_kept(data: object) -> Iterator[None]:
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if on_cuda else None
    mps_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    own = [(generator, generator.get_state()) for generator in _generators_of(data)]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)
        for generator, state in own:
            generator.set_state(state)


def _generators_of(data: Any) -> list[torch.Generator]:
    batch_sampler = getattr(data, "batch_sampler", None)
    owners = (data, getattr(data, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    found = {id(g): g for o in owners if isinstance(g := getattr(o, "generator", None), torch.Generator)}
    return list(found.values())


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device of the first parameter and the dtype of the first floating one.

    Falls to buffers, then to the CPU and torch's default dtype, for a model without parameters.
    """
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    dtypes = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return device, next(dtypes, torch.get_default_dtype())
