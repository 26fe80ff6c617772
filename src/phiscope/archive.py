"""One file on disk that is either whole or not there: arrays as safetensors, text as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from phiscope.errors import RunFormatError

_KEY = "phiscope"


def write_atomically(path: str | PathLike[str], content: bytes) -> None:
    """Write, flush to the disk, then rename: a kill at any moment leaves the old file or the new one."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write named arrays and JSON facts as one file.

    Args:
        path: the file to write.
        arrays: numeric arrays by name.
        facts: anything JSON can hold.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, to_bytes(tensors, metadata={_KEY: json.dumps(facts, allow_nan=False)}))


def read_arrays(path: str | PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read back what `write_arrays` wrote.

    Raises:
        RunFormatError: there is no such file, it is damaged, or it is not from phiscope.
    """
    if not Path(path).is_file():
        raise RunFormatError(f"{path} does not exist, expected a file written by phiscope; check the path")
    try:
        with safe_open(str(path), framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            if not isinstance(facts, dict):
                raise RunFormatError(f"{path} has no facts in its header; it comes from another program")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (no mapping)
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise RunFormatError(
            f"{path} cannot be read as a phiscope file ({error}); it is damaged or comes from another program"
        ) from error


def read_record(
    path: str | PathLike[str], *, kind: str, newest: int, needed: Iterable[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file of one kind and check that it is whole.

    Args:
        path: the file to read.
        kind: what its facts have to call it.
        newest: the latest format that can be read.
        needed: facts that have to be there.

    Raises:
        RunFormatError: it is unreadable, of another kind, from a newer phiscope, or lacks facts.
    """
    arrays, facts = read_arrays(path)
    if facts.get("kind") != kind:
        raise RunFormatError(f"{path} holds no {kind}, expected a file written by phiscope as one")
    version = facts.get("format")
    if not isinstance(version, int):
        raise RunFormatError(f"{path} does not say its {kind} format; it is damaged")
    if version > newest:
        raise RunFormatError(f"{path} has {kind} format {version}, this phiscope reads up to {newest}; update phiscope")
    missing = [name for name in needed if name not in facts]
    if missing:
        raise RunFormatError(f"{path} lacks {', '.join(missing)}; it is damaged")
    return arrays, facts
