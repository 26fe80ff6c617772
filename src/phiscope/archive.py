"""One file on disk that is either whole or not there: arrays as safetensors, text as JSON in its header.

What is read may come from anywhere: a file is opened only when it is a regular one, and its size is known before it is
read. What cannot be written is one sentence with the file and the system's reason.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from phiscope.errors import RunFormatError, RunWriteError

_KEY = "phiscope"


PLAIN_FILES = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""Flags with which a file is opened: no link is followed, no pipe is waited for, no byte is translated."""


_SPARSE_FROM = 2**30
"""From this size on, a file that holds next to nothing on the disk is refused: reading it would fill the memory."""


_DAMAGE = (
    SafetensorError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    OSError,
)
"""Whatever the readers below raise on a file that somebody damaged or made up."""


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """Turn what the system says about a file that cannot be written into one sentence.

    Args:
        path: the file or folder that is written inside the block.

    Raises:
        RunWriteError: the disk is full, the folder is gone or read-only, or anything else of the kind.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunWriteError(
            f"{error.filename or path} cannot be written ({reason}); what was stored before is untouched, and so is "
            "the training",
            path=str(path),
            reason=reason,
        ) from error


def write_atomically(path: str | PathLike[str], content: bytes) -> None:
    """Write, flush to the disk, then rename: a kill at any moment leaves the old file or the new one.

    Raises:
        RunWriteError: the file cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with writing(target):
        try:
            # A link that somebody put there would send the content elsewhere.
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | PLAIN_FILES, 0o666), "wb") as file:
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

    Raises:
        RunWriteError: the file cannot be written.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, to_bytes(tensors, metadata={_KEY: json.dumps(facts, allow_nan=False)}))


def is_file(path: str | PathLike[str]) -> bool:
    """Whether a regular file is there; False also where the name itself is impossible."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name of 5,000 letters, or with a NUL
        return False


def read_bytes(path: str | PathLike[str], *, limit: int, start: int = 0) -> bytes:
    """The content of a regular file.

    Args:
        path: the file; a pipe, a device or a folder is refused without waiting for it.
        limit: largest size in bytes.
        start: so many bytes at the beginning are passed over.

    Raises:
        FileNotFoundError: there is none.
        RunFormatError: it is no regular file, larger than the limit, or cannot be read.
    """
    try:
        # A pipe without a writer would let a plain open wait for ever.
        with open(os.open(path, os.O_RDONLY | PLAIN_FILES & ~getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise RunFormatError(f"{path} is no regular file, expected one written by phiscope")
            if facts.st_size > limit:
                raise RunFormatError(f"{path} has {facts.st_size} bytes, expected at most {limit}; it is damaged")
            file.seek(start)
            return file.read(limit)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise RunFormatError(f"{path} cannot be read: {error}") from error


def parsed(content: bytes) -> Any:
    """JSON from UTF-8, text that no file could hold refused.

    Raises:
        ValueError: it is no JSON, no UTF-8, or has half a character in a text.
        RecursionError: it nests too deep.
    """
    value = json.loads(content.decode("utf-8"))
    if b"\\ud" in content.lower():
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def read_arrays(path: str | PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read back what `write_arrays` wrote.

    Raises:
        RunFormatError: there is no such file, it is damaged, or it is not from phiscope.
    """
    with _opened(path) as (file, facts):
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (no mapping)


def check_arrays(path: str | PathLike[str]) -> None:
    """Refuse a file that `read_arrays` could not read, by its beginning and its size; no array is read.

    Raises:
        RunFormatError: there is no such file, it is cut off or overwritten, or it is not from phiscope.
    """
    with _opened(path):
        pass


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file, whose header fits its size, and the facts in it."""
    if not is_file(path):
        raise RunFormatError(f"{path} does not exist, expected a file written by phiscope; check the path")
    try:
        _refuse_hollow(Path(path))
        with safe_open(str(path), framework="numpy") as file:
            facts = parsed((file.metadata() or {})[_KEY].encode())
            if not isinstance(facts, dict):
                raise RunFormatError(f"{path} has no facts in its header; it comes from another program")
            yield file, facts
    except MemoryError as error:
        raise RunFormatError(f"{path} does not fit into memory") from error
    except _DAMAGE as error:
        raise RunFormatError(
            f"{path} cannot be read as a phiscope file ({error}); it is damaged or comes from another program"
        ) from error


def _refuse_hollow(path: Path) -> None:
    """Refuse a file that claims gigabytes and holds none of them."""
    facts = path.stat()
    stored = getattr(facts, "st_blocks", facts.st_size) * 512
    if facts.st_size >= _SPARSE_FROM and stored < facts.st_size / 1000:
        raise RunFormatError(f"{path} claims {facts.st_size} bytes and holds {stored} of them; it is damaged")


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
