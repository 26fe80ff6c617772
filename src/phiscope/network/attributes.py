"""State outside of parameters and buffers: counters, running means and generators that a forward pass may move.

Numbers, arrays, containers and generators that a module holds as plain attributes are put back, also inside objects of
the network's own package. What cannot be put back is watched and named.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils.data import DataLoader, Dataset

Undo = Callable[[], object]


COPIED_BYTES = 2**28
"""So much of tensors and arrays in plain attributes is copied before a pass, 256 MiB; the rest is only watched."""


DEPTH = 4
"""So deep in containers and objects state is looked for."""


_TORCH_OWN = frozenset(nn.Module().__dict__)


_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


class PlainState:
    """The plain attributes of all modules of a network, as they are at construction.

    Args:
        model: the network, unwrapped.
    """

    def __init__(self, model: nn.Module) -> None:
        self._room = COPIED_BYTES
        self._seen: set[int] = set()
        self._undo: list[Undo] = []
        self._watched: list[tuple[str, Callable[[], bool]]] = []
        self._model, self._n_hooks, self._additions_stay = model, _count_hooks(model), False
        # Sharded wrappers keep the state of their collectives in attributes: taking that back would break them.
        for name, module in () if any(map(_is_sharded, model.modules())) else model.named_modules():
            if not (isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()):  # type: ignore[misc]
                own = type(module).__module__.partition(".")[0]
                self._keep_namespace(vars(module), name, _TORCH_OWN, own, 0)

    def put_back(self) -> None:
        """Put back everything that can be; a second call changes nothing.

        A network that has put hooks of its own into itself in its first pass remembers that it did: without what it
        added to remember by, it would put them in again, and twice.
        """
        self._additions_stay = _count_hooks(self._model) != self._n_hooks
        for undo in self._undo:
            undo()

    def moved(self) -> list[str]:
        """Names of what has changed and could not be put back."""
        return [name for name, changed in self._watched if changed()]

    def _keep_namespace(
        self, space: MutableMapping[Any, Any], name: str, left_out: frozenset[str], own: str, depth: int
    ) -> None:
        kept = {key: value for key, value in space.items() if key not in left_out}

        def undo() -> None:
            added = [] if self._additions_stay else [key for key in space if key not in kept and key not in left_out]
            for key in added:
                del space[key]
            for key, value in kept.items():
                # Not update(): a Counter would add.
                if key not in space or space[key] is not value:
                    space[key] = value

        self._undo.append(undo)
        for key, value in kept.items():
            self._keep(value, f"{name}.{key}" if name else str(key), own, depth)

    def _keep(self, value: Any, name: str, own: str, depth: int) -> None:
        if depth >= DEPTH or id(value) in self._seen or isinstance(value, _UNTOUCHED):
            return
        self._seen.add(id(value))
        if isinstance(value, Tensor):
            self._keep_tensor(value, name)
        elif isinstance(value, np.ndarray):
            self._keep_array(value)
        elif isinstance(value, _GENERATORS):
            self._undo.append(generator_undo(value))
        elif isinstance(value, dict):
            self._keep_namespace(value, name, frozenset(), own, depth + 1)
        elif isinstance(value, list | set | deque | tuple):
            self._keep_items(value, name, own, depth)
        elif hasattr(value, "__dict__"):
            if type(value).__module__.partition(".")[0] == own:
                self._keep_namespace(vars(value), name, frozenset(), own, depth + 1)
            else:
                before = dict(vars(value))
                self._watched.append((name, lambda: not _same_items(vars(value), before)))

    def _keep_items(self, value: Any, name: str, own: str, depth: int) -> None:
        items = list(value)

        def undo() -> None:
            if len(value) != len(items) or any(a is not b for a, b in zip(value, items, strict=True)):
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(items)

        if not isinstance(value, tuple):
            self._undo.append(undo)
        for index, item in enumerate(items):
            self._keep(item, f"{name}[{index}]", own, depth + 1)

    def _keep_tensor(self, tensor: Tensor, name: str) -> None:
        if isinstance(tensor, nn.Parameter) or tensor.is_inference() or type(tensor) is not Tensor:
            return
        version = tensor._version
        if tensor.nbytes > self._room:
            self._watched.append((name, lambda: tensor._version != version))
            return
        self._room -= tensor.nbytes
        copy = tensor.detach().clone()

        def undo() -> None:
            nonlocal version
            if tensor._version != version:
                with torch.no_grad():
                    tensor.copy_(copy)
                version = tensor._version

        self._undo.append(undo)

    def _keep_array(self, array: NDArray[Any]) -> None:
        if array.nbytes <= self._room and array.flags.writeable and not array.dtype.hasobject:
            self._room -= array.nbytes
            copy = array.copy()
            self._undo.append(lambda: np.copyto(array, copy))


_UNTOUCHED = (
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type,
    torch.dtype,
    torch.device,
    nn.Module,
    Dataset,
    DataLoader,
)


def _same_items(now: dict[str, Any], before: dict[str, Any]) -> bool:
    return len(now) == len(before) and all(key in before and before[key] is value for key, value in now.items())


def _is_sharded(module: nn.Module) -> bool:
    return any(kind.__module__.startswith("torch.distributed") for kind in type(module).__mro__)


def generator_undo(generator: Any) -> Undo:
    """What puts a generator of random numbers back to where it is now.

    Args:
        generator: of torch, NumPy (new or old) or Python.
    """
    if isinstance(generator, torch.Generator):
        torch_state = generator.get_state()
        return lambda: generator.set_state(torch_state)
    if isinstance(generator, np.random.RandomState):
        old_state = generator.get_state()
        return lambda: generator.set_state(old_state)
    if isinstance(generator, np.random.Generator):
        bits, state = generator.bit_generator, generator.bit_generator.state
        return lambda: setattr(bits, "state", state)
    python_state = generator.getstate()
    return lambda: generator.setstate(python_state)


def generators_of(data: Any) -> list[Any]:
    """Generators that a loader, its samplers, its data set and that data set's transforms hold as attributes.

    Args:
        data: a DataLoader, a data set, or anything else.

    Returns:
        Each once; those in closures or in global variables cannot be found.
    """
    found: dict[int, Any] = {}
    for owner in _owners(data, 0):
        values = [owner, *vars(owner).values()] if hasattr(owner, "__dict__") else [owner]
        found |= {id(value): value for value in values if isinstance(value, _GENERATORS)}
    return list(found.values())


_PARTS = ("sampler", "batch_sampler", "dataset", "datasets", "transform", "transforms", "target_transform")


def _owners(data: Any, depth: int) -> Iterator[Any]:
    if data is None or depth > DEPTH or isinstance(data, Tensor | np.ndarray | str):
        return
    if isinstance(data, list | tuple):
        # Transforms and joined data sets are few; a list of a thousand batches is no owner.
        for part in data[:16]:
            yield from _owners(part, depth + 1)
        return
    yield data
    for name in _PARTS:
        # Not getattr: a property may do anything, such as opening a file.
        yield from _owners(getattr(data, "__dict__", {}).get(name), depth + 1)


def _count_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
