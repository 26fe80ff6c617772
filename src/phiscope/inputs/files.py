"""Arrays from files, left on the disk until their rows are read: .npy, folders of .npy, Zarr, Parquet."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError, first_line
from phiscope.inputs.columns import Wish
from phiscope.inputs.parquet import parquet_parts
from phiscope.inputs.rows import Rows, as_row_source, in_a_row

_NPY_MAGIC = b"\x93NUMPY"
_PARQUET_MAGIC = b"PAR1"
_ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


def open_rows(path: str | os.PathLike[str], *, name: str) -> Rows:
    """Open rows that lie in files, without reading them; `open_parts` with a single part.

    What a path can be:

    - a .npy file, which is memory-mapped;
    - a Zarr folder: an array, or a group with an array called like `name` or a single array;
    - a Parquet file, see `phiscope.inputs.parquet`;
    - a folder or a quoted pattern (``shards/f-*.npy``) of .npy or of Parquet files, one after the other in the order
      of their names, in which numbers count as numbers: part-2 comes before part-10. Parquet files may lie in folders
      ``key=value``; the key is a column for who asks for it.

    ``PATH:NAME`` names the array of a Zarr group, or the columns of Parquet files.

    Args:
        path: the file, folder or pattern.
        name: what the rows are, for messages and for the choice of a column: ``"features"``.

    Raises:
        InputError: there is nothing at the path, or nothing that can be read as rows of numbers.
        ShapeError: parts differ in width.
        UnknownNameError: the group has no such array, or the file no such column.
        MissingDependencyError: zarr or pyarrow is needed and not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part in (1, 2, 10):
        ...         np.save(f"{folder}/part-{part}.npy", np.full((2, 3), float(part)))
        ...     rows = open_rows(folder, name="features")
        ...     rows.shape, [float(block[0, 0]) for block in rows.blocks(2)]
        ((6, 3), [1.0, 2.0, 10.0])
    """
    return open_parts({name: path})[name]


def open_parts(paths: Mapping[str, str | os.PathLike[str]]) -> dict[str, Rows]:
    """Open what belongs together, without reading it; parts of one Parquet file are told apart by their columns.

    Args:
        paths: see `open_rows`, by what the rows are: ``"features"``, ``"outputs"``, ``"targets"``, ``"weights"``,
            ``"groups"``.

    Raises:
        InputError: see `open_rows`.
    """
    opened: dict[str, Rows] = {}
    wishes = []
    for name, path in paths.items():
        files, member = _files_at(os.fspath(path), name)
        if len(files) == 1 and files[0].is_dir():
            opened[name] = _zarr_rows(files[0], member, name)
        elif _starts_with(files[0], _PARQUET_MAGIC, name):
            wishes.append(Wish(name=name, files=tuple(files), asked=member))
        else:
            opened[name] = _npy_rows(files, member, name, place=os.fspath(path))
    places = {name: os.fspath(paths[name]).removesuffix(f":{wish.asked}") for wish in wishes for name in [wish.name]}
    opened |= parquet_parts(wishes, places)
    return {name: opened[name] for name in paths}


def _files_at(text: str, name: str) -> tuple[list[Path], str | None]:
    """The files meant, in order, and what was named inside them; a Zarr folder stands for itself."""
    typed, member = text, None
    found = _found(text)
    # Only now, and from the right, so that names with a colon in them keep working, those of files and of columns.
    while not found and ":" in text:
        text = text.rpartition(":")[0]
        found, member = _found(text), typed[len(text) + 1 :]
    if not found:
        text = typed.partition(":")[0] or typed
        kind = "match for the pattern" if glob.has_magic(text) else "file"
        raise InputError(
            f"{name}: there is no {kind} {text}, expected a .npy or Parquet file, a Zarr folder, or a folder or quoted "
            "pattern of .npy or Parquet files; check the path"
        )
    if len(found) == 1 and found[0].is_dir() and not _is_zarr(found[0]):
        folder = found[0]
        found = [file for file in folder.iterdir() if file.suffix in (".npy", ".parquet")]
        found += [file for part in folder.glob("*=*") for file in part.rglob("*.parquet") if _is_data(file, folder)]
        if not found:
            raise InputError(f"{name}: the folder {folder} is no Zarr array and holds no .npy and no .parquet files")
    for path in found:
        if len(found) > 1 and path.is_dir():
            raise InputError(f"{name}: {text} matches the folder {path}, expected files; name files or one folder")
    if len({file.suffix for file in found}) > 1:
        raise InputError(f"{name}: {text} holds files of different kinds; name one kind, as in {text}/*.npy")
    return sorted(found, key=_natural), member


def _is_data(file: Path, folder: Path) -> bool:
    """Whether it is no file in which a writer keeps notes of its own, such as ``_metadata``."""
    return not any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)


def _found(text: str) -> list[Path]:
    if Path(text).exists():
        return [Path(text)]
    return [Path(match) for match in glob.glob(text, recursive=True)] if glob.has_magic(text) else []


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _is_zarr(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _ZARR_MARKS)


def _npy_rows(files: list[Path], member: str | None, name: str, *, place: str) -> Rows:
    parts = [_file_rows(file, member, name) for file in files]
    return parts[0] if len(parts) == 1 else in_a_row(parts, place=f"{place} ({len(parts)} files)")


def _file_rows(file: Path, member: str | None, name: str) -> Rows:
    if member is not None:
        raise InputError(f"{name}: {file} is no Parquet file, so nothing inside it can be named {member!r}")
    array = open_array(file, name=name)
    rows = as_row_source(array, name=name, place=str(file))
    if not isinstance(array, np.memmap):
        return rows

    def pieces(n_rows: int) -> Iterator[NDArray[Any]]:
        # Opened anew: a mapping keeps its file open, and a folder may hold more files than may be open at once.
        yield from as_row_source(open_array(file, name=name), name=name).pieces(n_rows)

    return Rows(name=name, place=str(file), shape=array.shape, dtype=array.dtype, pieces=pieces)


def _zarr_rows(folder: Path, member: str | None, name: str) -> Rows:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("zarr", purpose="reading a Zarr folder", extra="zarr") from error
    try:
        opened = zarr.open(str(folder), mode="r")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{name}: {folder} cannot be opened as Zarr: {error}") from error
    place = str(folder)
    if isinstance(opened, zarr.Group):
        arrays = dict(opened.arrays())
        chosen = member if member is not None else name if name in arrays or len(arrays) != 1 else next(iter(arrays))
        if chosen not in arrays:
            raise UnknownNameError(f"array in the Zarr group {folder}", chosen, arrays)
        opened, place = arrays[chosen], f"{folder}:{chosen}"
    elif member is not None:
        raise InputError(f"{name}: {folder} is a Zarr array, so nothing inside it can be named {member!r}")
    return as_row_source(opened, name=name, place=place)


def open_array(path: str | os.PathLike[str], *, name: str) -> NDArray[Any]:
    """Open a .npy file as a memory-mapped array; no pickle is ever read.

    Args:
        path: the file.
        name: what the array is, for messages: ``"features"``.

    Returns:
        A read-only array of real numbers, in the file's own dtype and shape.

    Raises:
        InputError: there is no such file, it is no .npy file, it is cut short, or it does not hold numbers.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{name}: there is no file {file}, expected a .npy file; check the path")
    if not _starts_with(file, _NPY_MAGIC, name):
        raise InputError(f"{name}: {file} is not a .npy file; write one with numpy.save")
    dtype = _checked_head(file, name)
    if dtype.hasobject:
        raise InputError(f"{name}: {file} holds Python objects; save an array of numbers")
    if dtype.kind not in ("fiubUSmM" if name == "groups" else "fiub"):
        raise InputError(f"{name}: {file} has dtype {dtype}; expected float, integer or bool")
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OverflowError):
        # NumPy cannot map a file without rows, yet it reads one: what to say of it is the measurement's matter.
        array = _load_whole(file, name)
    return array


def _starts_with(file: Path, magic: bytes, name: str) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise InputError(f"{name}: {file} cannot be read: {error.strerror}") from error


_HEAD_ERRORS = (ValueError, EOFError, TypeError, KeyError, ArithmeticError, SyntaxError, TokenError, RecursionError)
"""What NumPy's reader of heads raises: it parses Python literals, and builds a dtype of whatever they say."""


def _checked_head(file: Path, name: str) -> np.dtype[Any]:
    """The dtype that the head announces, once head and length fit: NumPy would read all that came, whatever its size.

    Raises:
        InputError: the head is none that NumPy writes, or the file is shorter than its head says.
    """
    with file.open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(opened)
        except (*_HEAD_ERRORS, MemoryError) as error:
            reason = first_line(error)
            raise InputError(f"{name}: {file} is damaged or was cut short: {reason}; save it again") from error
        came = file.stat().st_size - opened.tell()
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise InputError(f"{name}: {file} is damaged: its head announces the shape {shape}; save it again")
    expected = math.prod(shape) * dtype.itemsize
    if came < expected:
        raise InputError(
            f"{name}: {file} was cut short: its head announces {shape} numbers of {dtype} in {expected} bytes, and "
            f"{came} follow; save it again"
        )
    return dtype


def _load_whole(file: Path, name: str) -> NDArray[Any]:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except _HEAD_ERRORS as error:
        raise InputError(f"{name}: {file} is damaged or was cut short: {error}; save it again") from error
