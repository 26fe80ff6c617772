"""What lies in a checkpoint, and how it fits a network: files of torch, safetensors, Lightning and the Trainer.

Nothing is unpickled but tensors and plain values (``weights_only=True``).
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from phiscope.errors import InputError, named_kind
from phiscope.inputs.arrays import brief

NESTS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Under these names a training's own file keeps the network's weights."""

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a folder of the Trainer keeps the weights in, in the order they are looked for."""

_WRAPPERS = ("module", "model")
_COMPILED = "_orig_mod."
_STEPS = ("global_step", "step", "iteration")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a checkpoint says of itself.

    Attributes:
        epoch: epochs trained so far, or None.
        step: optimizer steps so far, or None; as they stand there, whole or not.
    """

    epoch: float | None = None
    step: float | None = None


def facts_of(path: Path) -> Facts:
    """Epoch and step as a checkpoint says them; the weights are not read.

    Raises:
        InputError: the file cannot be read.
    """
    if path.is_dir():
        state = path / "trainer_state.json"
        with _reading(state):
            found = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
        return _facts(found if isinstance(found, dict) else {})
    if path.suffix == ".safetensors":
        with _reading(path), safe_open(path, framework="pt") as file:
            return _facts({name: _number(value) for name, value in (file.metadata() or {}).items()})
    content = _torch_content(path)
    return _lightning_facts(content) if "pytorch-lightning_version" in content else _facts(content)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _facts(content: Mapping[str, Any]) -> Facts:
    def plain(name: str) -> float | None:
        value = content.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    step = next((plain(name) for name in _STEPS if plain(name) is not None), None)
    return Facts(epoch=plain("epoch"), step=step)


def _lightning_facts(content: Mapping[str, Any]) -> Facts:
    """Lightning counts epochs from 0, and says apart how many it has walked through."""
    said = _facts(content)
    progress: Any = content
    for name in ("loops", "fit_loop", "epoch_progress", "current", "processed"):
        progress = progress.get(name) if isinstance(progress, Mapping) else None
    trained = progress if isinstance(progress, int | float) else None
    if trained is None and said.epoch is not None:
        trained = said.epoch + 1
    return Facts(epoch=None if trained is None else float(trained), step=said.step)


def weights_in(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Parameters and buffers by the names they were saved under, in the processor's memory.

    Args:
        path: a file of torch or safetensors, or a folder of the Trainer.
        key: where in a file of torch they lie, such as "ema"; None looks under the usual names.

    Raises:
        InputError: there are none, or several, or the file cannot be read.
    """
    if path.is_dir():
        return _folder_weights(path)
    if path.suffix == ".safetensors":
        with _reading(path):
            return load_file(path)
    content = _torch_content(path)
    if key is not None:
        if not isinstance(key, str) or not _is_state(content.get(key)):
            raise InputError(f"{path} has no weights under {brief(key)}; it has {_names(content)}")
        return dict(content[key])
    if _is_state(content):
        return dict(content)
    found = [name for name in NESTS if _is_state(content.get(name))]
    if len(found) != 1:
        which = (
            f"weights under {', '.join(found)}" if found else f"no weights under a usual name; it has {_names(content)}"
        )
        raise InputError(f"{path} has {which}: say which are the network's with key=")
    return dict(content[found[0]])


def _folder_weights(folder: Path) -> dict[str, Tensor]:
    there = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if there is None:
        raise InputError(f"the folder {folder} holds none of {', '.join(FOLDER_FILES)}; give files, or its checkpoints")
    if there.suffix != ".json":
        return weights_in(there)
    with _reading(there):
        names = json.loads(there.read_text(encoding="utf-8"))["weight_map"].values()
    parts = sorted(dict.fromkeys(str(name) for name in names))
    if any(Path(name).name != name for name in parts):
        raise InputError(f"{there} leads out of its folder; it is no checkpoint of the Trainer")
    return {name: tensor for part in parts for name, tensor in weights_in(folder / part).items()}


def _torch_content(path: Path) -> Mapping[str, Any]:
    with _reading(path):
        # Mapped: only what is looked at is read. Files older than torch 1.6 cannot be.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds {named_kind(content)}, not weights by name; save model.state_dict()")
    return content


_DAMAGES = (
    OSError,
    RuntimeError,
    SafetensorError,
    ValueError,
    LookupError,
    EOFError,
    AttributeError,
    AssertionError,
    TypeError,
    UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)
"""What reading a damaged or foreign file ends in."""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGES as error:
        refused = re.search(r"Unsupported (?:global|class): GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", str(error))
        if isinstance(error, UnpicklingError) and (refused or _is_pickled(path)):
            what = f" ({next(name for name in refused.groups() if name)})" if refused else ""
            raise InputError(
                f"{path} holds more than tensors and plain values{what}, which is not loaded because it could run "
                "code; save model.state_dict() alone, or allow the class with torch.serialization.add_safe_globals"
            ) from error
        raise InputError(f"the checkpoint {path} cannot be read: {_why(path, error)}") from error


def _is_pickled(path: Path) -> bool:
    """Whether a file begins as torch and pickle write them, so that only its content is refused."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(path)


def _why(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty; save it again"
    said = str(error).partition("\n")[0][:200]
    # What these say is about bytes, such as "101" for a key of that number.
    if not said or isinstance(error, (LookupError, UnpicklingError, TypeError, AssertionError, struct.error)):
        kind = f"{type(error).__name__}{': ' * bool(said)}{said}"
        return f"what it holds is no checkpoint ({kind}); expected a file of torch, Lightning or safetensors"
    return said


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(one, Tensor) or str(name).endswith("_extra_state") for name, one in value.items())
    )


def _names(content: Mapping[str, Any]) -> str:
    return ", ".join(str(name) for name in list(content)[:12]) or "nothing"


def fitted(weights: Mapping[str, Tensor], network: nn.Module, path: Path) -> dict[str, Any]:
    """Weights under the names of a network.

    What wrappers put before every name ("module.", "model.", "_orig_mod.", or an attribute of a larger module) is taken
    off; what was saved beside it, such as a loss with weights of its own, is left aside. All else has to match.

    Args:
        weights: by the names they were saved under.
        network: unwrapped.
        path: where they come from, for messages.

    Raises:
        InputError: a name or a shape does not match.
    """
    own = network.state_dict()
    wanted = {name.replace(_COMPILED, ""): name for name in own}
    given = {str(name).replace(_COMPILED, ""): tensor for name, tensor in weights.items()}
    prefix = _prefix(wanted, given, path)
    inside = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
    # Tied weights are saved once: what shares memory with something that is there is there.
    here = {_memory(own[wanted[name]]) for name in wanted if name in inside}
    missing = [name for name in wanted if name not in inside and _memory(own[wanted[name]]) not in here]
    unexpected = [name for name in inside if name not in wanted]
    if missing or unexpected:
        parts = [_listed("missing", missing), _listed("unexpected", unexpected)]
        raise InputError(f"{path} does not fit the network: {'; '.join(part for part in parts if part)}")
    for name, tensor in inside.items():
        there = own[wanted[name]]
        if isinstance(there, Tensor) and _is_of_another_kind(tensor, there):
            raise InputError(
                f"{path} does not fit the network: {name} holds {tensor.dtype}, the network's is {there.dtype}; whole "
                "numbers are quantized weights without their scale, so save them as floating numbers"
            )
        if isinstance(there, Tensor) and there.shape != tensor.shape:
            raise InputError(
                f"{path} does not fit the network: {name} has shape {tuple(tensor.shape)}, the network's has "
                f"{tuple(there.shape)}"
            )
    return {wanted[name]: tensor for name, tensor in inside.items()}


def _is_of_another_kind(given: Any, own: Tensor) -> bool:
    """Whether a cast would change what numbers mean, and not only their precision."""
    if not isinstance(given, Tensor):
        return False
    return (own.is_floating_point() and not given.is_floating_point()) or (given.is_complex() and not own.is_complex())


def _prefix(wanted: Mapping[str, str], given: Mapping[str, Any], path: Path) -> str:
    """What stands before every name of the network in a checkpoint."""
    usual = ["", *(".".join(words) + "." for n in (1, 2, 3) for words in product(_WRAPPERS, repeat=n))]
    some = list(wanted)[:1]
    others = sorted({name.removesuffix(one) for one in some for name in given if name.endswith(f".{one}")} - set(usual))
    present = {prefix: sum(prefix + name in given for name in wanted) for prefix in (*usual, *others)}
    full = [prefix for prefix, count in present.items() if count == len(wanted)]
    named = [prefix for prefix in full if prefix in usual]
    if not named and len(full) > 1:
        raise InputError(
            f"{path} holds this network {len(full)} times, under {', '.join(full)}; save one of them alone"
        )
    return (named or full or [max(present, key=lambda prefix: present[prefix])])[0]


def _memory(tensor: Any) -> Any:
    return (tensor.data_ptr(), tensor.shape) if isinstance(tensor, Tensor) and tensor.numel() else id(tensor)


def _listed(word: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{word} {', '.join(names[:_SHOWN])}{more}" if names else ""


@contextmanager
def borrowed(network: nn.Module) -> Iterator[None]:
    """Let a block load other weights into a network; afterwards it has its own again, in the same tensors."""
    state = network.state_dict()
    kept = {name: one.clone() if isinstance(one, Tensor) else deepcopy(one) for name, one in state.items()}
    try:
        yield
    finally:
        network.load_state_dict(kept)
