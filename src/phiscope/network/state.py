"""What a forward pass or a change of mode may move in a network without being asked, and how it comes back.

Numbers, arrays, containers and generators that a module holds as plain attributes are put back, also inside objects of
the network's own package. So are parameters: a `train()` that is overridden may merge an adapter into a weight,
exchange weights for their average, freeze parameters or put a fused layer in place of its branches, and a change
to evaluation calls it; a forward pass may normalize or clamp a weight. What cannot be put back is watched and named.
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
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Dataset

Undo = Callable[[], object]


COPIED_BYTES = 2**28
"""So much of tensors and arrays in plain attributes is copied before a pass, 256 MiB, and as much of parameters; the
rest is only watched."""


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
        self._strangers: set[int] = set()
        self._undo: list[Undo] = []
        self._watched: list[tuple[str, Callable[[], bool]]] = []
        self._model, self._n_hooks, self._additions_stay = model, _count_hooks(model), False
        # Sharded wrappers keep the state of their collectives in attributes: taking that back would break them.
        for name, module in () if any(map(_is_sharded, model.modules())) else model.named_modules():
            if not (isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()):  # type: ignore[misc]
                own = frozenset(kind.__module__.partition(".")[0] for kind in type(module).__mro__) - _EVERYBODYS
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
        self, space: MutableMapping[Any, Any], name: str, left_out: frozenset[str], own: frozenset[str], depth: int
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

    def _keep(self, value: Any, name: str, own: frozenset[str], depth: int) -> None:
        if depth >= DEPTH or id(value) in self._seen or isinstance(value, _UNTOUCHED):
            return
        if hasattr(value, "__dict__") and not isinstance(value, _KNOWN_KINDS):
            self._keep_object(value, name, own, depth)
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

    def _keep_object(self, value: Any, name: str, own: frozenset[str], depth: int) -> None:
        if type(value).__module__.partition(".")[0] in own:
            self._seen.add(id(value))
            self._keep_namespace(vars(value), name, frozenset(), own, depth + 1)
        elif id(value) not in self._strangers:
            # Another module may be of its package.
            self._strangers.add(id(value))
            before = dict(vars(value))
            self._watched.append((name, lambda: not _same_items(vars(value), before)))

    def _keep_items(self, value: Any, name: str, own: frozenset[str], depth: int) -> None:
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


_EVERYBODYS = frozenset({"torch", "builtins", "typing", "abc"})
"""Packages that every module comes from."""

_KNOWN_KINDS = (Tensor, np.ndarray, *_GENERATORS, dict, list, set, deque, tuple)


def _same_items(now: dict[str, Any], before: dict[str, Any]) -> bool:
    return len(now) == len(before) and all(key in before and before[key] is value for key, value in now.items())


class KeptParameters:
    """Parameters, whether they are learned, and where they are, as they are at construction.

    Values are copied of what is known to be rewritten, of all others as far as 256 MiB last; the rest is watched.

    Args:
        model: the network, unwrapped.
    """

    def __init__(self, model: nn.Module) -> None:
        self._undo: list[Undo] = []
        self._watched: list[tuple[str, Tensor, int]] = []
        # Sharded wrappers exchange parameters in every pass and put them back themselves.
        if any(map(_is_sharded, model.modules())):
            return
        switching = [module for module in model.modules() if _switches(module)]
        parts = {id(part) for module in switching for part in module.modules()}
        rewritten = {id(one) for module in switching for one in module.parameters()} | {
            # nn.Embedding(max_norm=...) rewrites its weight in every forward pass, in eval mode too.
            id(module._parameters.get("weight"))
            for module in model.modules()
            if getattr(module, "max_norm", None) is not None
        }
        named = [(name, one) for name, one in model.named_parameters() if not is_lazy(one)]
        named.sort(key=lambda entry: id(entry[1]) not in rewritten)
        room = COPIED_BYTES
        for name, parameter in named:
            self._undo.append(_learned_or_not(parameter))
            # Quantized weights and those of other libraries look after themselves.
            if type(parameter) is not nn.Parameter or parameter.is_meta or parameter.is_inference():
                continue
            fits = parameter.nbytes <= room
            if fits or id(parameter) in rewritten:
                room -= parameter.nbytes if fits else 0
                self._undo.append(
                    _value_of(parameter, copied=parameter.data.clone() if fits else parameter.data.to("cpu", copy=True))
                )
            else:
                self._undo.append(_value_of(parameter, copied=None))
                self._watched.append((name, parameter, parameter._version))
        self._undo += list(_places(model, parts))

    def put_back(self) -> None:
        """Put back everything that can be; a second call changes nothing."""
        for undo in reversed(self._undo):
            undo()

    def moved(self) -> list[str]:
        """Names of parameters that were written to and of which there is no copy."""
        return [name for name, parameter, version in self._watched if parameter._version != version]


def _switches(module: nn.Module) -> bool:
    """Whether a change of mode does more than set the flag."""
    return "train" in vars(module) or type(module).train is not nn.Module.train


def _learned_or_not(parameter: nn.Parameter) -> Undo:
    learned = parameter.requires_grad

    def undo() -> None:
        if parameter.requires_grad != learned:
            parameter.requires_grad_(learned)

    return undo


def _value_of(parameter: nn.Parameter, copied: Tensor | None) -> Undo:
    memory = parameter.data

    def undo() -> None:
        if parameter.data_ptr() != memory.data_ptr() or parameter.shape != memory.shape:
            parameter.data = memory
        # Compared first: writing, also of the same numbers, would spoil a backward pass that is under way.
        if copied is not None and not _same_bits(memory, copied.to(memory.device)):
            with torch.no_grad():
                parameter.copy_(copied)

    return undo


def _places(model: nn.Module, parts: set[int]) -> Iterator[Undo]:
    """Which parameters each module holds; of parts of what switches, also modules and buffers, and nothing new."""
    for module in model.modules():
        # TorchScript has fixed parts and no dictionaries of them; weights that are kept elsewhere between passes are
        # new objects after each.
        if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_hf_hook"):
            continue
        whole = id(module) in parts
        for space in (module._parameters, module._modules, module._buffers) if whole else (module._parameters,):
            yield _entries_of(space, whole)


def _entries_of(space: dict[str, Any], whole: bool) -> Undo:
    kept = dict(space)

    def undo() -> None:
        added = {} if whole else {key: value for key, value in space.items() if key not in kept}
        wanted = kept | added
        if list(space) != list(wanted) or any(space[key] is not value for key, value in wanted.items()):
            space.clear()
            space.update(wanted)

    return undo


_WHOLE_NUMBERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Equality that takes NaN for NaN."""
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    kind = _WHOLE_NUMBERS[one.element_size()]
    return torch.equal(one.view(kind), other.view(kind))


def _is_sharded(module: nn.Module) -> bool:
    """Whether a module is a wrapper that keeps its parameters in parts, on several devices."""
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
