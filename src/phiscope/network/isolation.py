"""Run somebody else's network and leave no trace: modes, buffers and random states come back.

A measurement in the middle of a training must not change the training. Everything a forward pass can
change without being asked is put back here, also after an exception or Ctrl-C.
"""

from __future__ import annotations

import random
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from phiscope.errors import InputError, named_kind
from phiscope.network.state import KeptParameters, PlainState, Undo, generator_undo, generators_of


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside compile and data-parallel wrappers.

    Hooks that are registered after the first compiled call do not fire (pytorch 117758), so measuring goes
    through the network that was compiled. FSDP's own wrapper stays: without it the weights are not gathered.

    Args:
        model: any module; wrappers may be nested.

    Raises:
        InputError: no module, or one of TorchScript, whose layers take no hooks.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> unwrapped(nn.DataParallel(net)) is net
        True
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is {named_kind(model)}; expected a torch.nn.Module")
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
            break
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError(
            "the model is a TorchScript module, whose layers take no hooks; measure the module that was scripted, or "
            "take its features yourself and use phiscope.diagonalize(features, outputs)"
        )
    return model


@contextmanager
def isolated(model: nn.Module, *, data: object = None, device: torch.device | None = None) -> Iterator[None]:
    """Evaluate a network inside this block; afterwards it and every random state are as before.

    Inside: eval mode, no gradients, autocast off, compiled parts run eagerly. Afterwards, whatever happened:
    the train/eval flag of each submodule, parameters and where they are, buffers, plain attributes of modules, and
    the random states of Python, NumPy, torch (CPU, CUDA, MPS) and of the generators that a DataLoader,
    its samplers, its data set and that data set's transforms carry. An attribute that cannot be put back is named in a
    warning, once.

    Args:
        model: the network, already unwrapped.
        data: a DataLoader, whose own generators are kept as well; anything else is ignored.
        device: where the pass runs; None when that is where the parameters are.
    """
    undo: list[Undo] = []
    _open.setdefault(model, []).append(undo)
    try:
        devices = {parameter.device.type for parameter in model.parameters()} | {"cpu"}
        devices |= set() if device is None else {device.type}
        if "cuda" in devices and torch.cuda.is_available():
            # A seed given before CUDA starts is applied at its start: start it before the state is read.
            torch.cuda.init()  # type: ignore[no-untyped-call]
        _keep(undo, model, data)
        _enter(undo, model, devices)
        yield
    finally:
        _take_back(undo)
        _open[model] = [one for one in _open.get(model, ()) if one]


@contextmanager
def same_draws(data: object) -> Iterator[None]:
    """Put every random state back after this block: data that are shuffled come in the same order in the next one.

    Args:
        data: what is walked through inside; generators of a DataLoader are put back, too.

    Example:
        >>> with same_draws(None):
        ...     first = torch.rand(3)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    undo = _random_states(data)
    try:
        yield
    finally:
        _take_back(undo)


_open: weakref.WeakKeyDictionary[nn.Module, list[list[Undo]]] = weakref.WeakKeyDictionary()


def put_back(model: nn.Module) -> None:
    """Undo what a block of `isolated` left, when Ctrl-C came just between its end and its cleanup.

    Args:
        model: the network, unwrapped; no block of it may be open in the caller.
    """
    for undo in reversed(_open.pop(model, [])):
        _take_back(undo)


def _take_back(undo: list[Undo]) -> None:
    """Undo everything, the last first; Ctrl-C and errors are raised when all is as it was."""
    failure: BaseException | None = None
    while undo:
        try:
            undo[-1]()
            undo.pop()
        except KeyboardInterrupt as error:
            failure = error  # every step can be done twice, so it is done again
        except Exception as error:
            failure = failure or error
            undo.pop()
    if failure is not None:
        raise failure


def _keep(undo: list[Undo], model: nn.Module, data: object) -> None:
    """Note what a pass may move, before anything is moved."""
    undo.extend(_random_states(data))
    modes = [(module, module.training) for module in model.modules()]

    def modes_back() -> None:
        for module, training in modes:
            # Not module.train(training): that would also switch the children, and may be overridden.
            module.training = training

    undo.append(modes_back)
    plain = PlainState(model)

    def plain_back() -> None:
        plain.put_back()
        _name_moved(model, plain.moved())

    undo.append(plain_back)
    undo.append(_buffers_back(model))
    parameters = KeptParameters(model)

    def parameters_back() -> None:
        parameters.put_back()
        _name_moved(model, parameters.moved())

    undo.append(parameters_back)


def _enter(undo: list[Undo], model: nn.Module, devices: set[str]) -> None:
    """Eval mode, no gradients, no autocast, nothing compiled."""
    if has_compiled_part(model):
        _enter_block(undo, torch.compiler.set_stance("force_eager"), lambda: None)
    graded = torch.is_grad_enabled()
    undo.append(lambda: torch._C._set_grad_enabled(graded))
    torch._C._set_grad_enabled(False)
    for kind in sorted(devices - {"meta"}):
        # Inside autocast even `z.float() @ w.float()` comes back as bfloat16.
        on = torch.is_autocast_enabled(kind)
        _enter_block(undo, torch.autocast(kind, enabled=False), partial(torch.set_autocast_enabled, kind, on))
    _enter_plain_forwards(undo, model)
    try:
        model.eval()
    except RuntimeError as error:
        raise InputError(
            f"this {type(model).__name__} has no eval mode (torch.export fixes the mode); measure the module that was "
            "exported"
        ) from error


def _enter_plain_forwards(undo: list[Undo], model: nn.Module) -> None:
    """Call the forward that a class has where accelerate has put one with autocast into the instance."""
    for module in model.modules():
        own = vars(module)
        plain, with_autocast = own.get("_original_forward"), own.get("forward")
        if callable(plain) and with_autocast is not None:
            undo.append(partial(own.__setitem__, "forward", with_autocast))
            own["forward"] = plain


def _enter_block(undo: list[Undo], block: AbstractContextManager[Any], again: Undo) -> None:
    """Enter a block; leaving it happens once, and then what can be done twice."""
    entered: list[AbstractContextManager[Any]] = []

    def leave() -> None:
        while entered:
            entered.pop().__exit__(None, None, None)
        again()

    undo.append(leave)
    block.__enter__()
    entered.append(block)


_named: weakref.WeakKeyDictionary[nn.Module, set[str]] = weakref.WeakKeyDictionary()


def _name_moved(model: nn.Module, names: list[str]) -> None:
    """Say once what a forward pass moves that cannot be put back."""
    known = _named.setdefault(model, set())
    new = [name for name in names if name not in known]
    known.update(new)
    if new:
        warnings.warn(
            f"a forward pass of {type(model).__name__} changes {', '.join(new)}, which phiscope cannot put back: a "
            "training that reads it goes another way when it is observed; keep such state in a buffer",
            stacklevel=2,
        )


def has_compiled_part(model: nn.Module) -> bool:
    """Whether the model or a part of it goes through torch.compile."""
    # Asked first because set_stance imports the whole of torch._dynamo, which takes seconds.
    return any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())


def _buffers_back(model: nn.Module) -> Undo:
    kept = [
        (module._buffers, name, buffer, buffer.detach().clone(), [buffer._version])
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]

    def undo() -> None:
        for owner, name, buffer, copy, version in kept:
            owner[name] = buffer
            if buffer._version != version[0]:
                with torch.no_grad():
                    buffer.copy_(copy)
                version[0] = buffer._version

    return undo


def _random_states(data: object) -> list[Undo]:
    """What puts the random states back: of Python, NumPy, torch, and of generators that the data hold."""
    undo: list[Undo] = [
        partial(random.setstate, random.getstate()),
        partial(np.random.set_state, np.random.get_state()),
        partial(torch.set_rng_state, torch.get_rng_state()),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        undo.append(partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    if torch.backends.mps.is_available():
        undo.append(partial(torch.mps.set_rng_state, torch.mps.get_rng_state()))
    return [*undo, *map(generator_undo, generators_of(data))]


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device of the first parameter and the dtype of most of the floating ones.

    Falls to buffers, then to the CPU and torch's default dtype, for a model without parameters.
    """
    parameters, buffers = list(model.parameters()), list(model.buffers())
    device = next((tensor.device for tensor in (*parameters, *buffers)), torch.device("cpu"))
    for tensors in (parameters, buffers):
        # One temperature in double precision says nothing about what the layers take.
        sizes = Counter[torch.dtype]()
        for tensor in tensors:
            if tensor.is_floating_point() and not is_lazy(tensor):
                sizes[tensor.dtype] += tensor.numel()
        if sizes:
            return device, sizes.most_common(1)[0][0]
    return device, torch.get_default_dtype()
