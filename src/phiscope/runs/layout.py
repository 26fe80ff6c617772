"""Where the files of a run lie, and how text gets in and out of them without loss."""

from __future__ import annotations

import json
import math
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phiscope.archive import check_arrays, is_file, parsed, read_bytes, write_atomically, writing
from phiscope.errors import InputError, RunFormatError

FORMAT_VERSION = 2
"""Raised whenever an older phiscope could misread what this one writes."""

HEADER = "header.json"
LINES = "scalars.jsonl"
RECORDS = "records"
END = "end.json"

INITIAL = "initial.safetensors"

LARGEST_TEXT = 2**26
"""Largest header and end of a run that is read, in bytes."""

KEPT_EIGENVECTORS = 64
"""So many leading eigenvectors of each operator a run keeps unless told otherwise: all that a picture shows."""

SHOWN_WARNINGS = 20
"""So many records that cannot be read are named; the others are counted."""

MOST_SPLITS = 1000
"""So many splits a header may name."""

STATUSES = ("completed", "interrupted", "failed")
"""How a run may end: by itself, stopped by somebody, or by an error."""

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def record_file(folder: Path, index: int, split: str, kind: str = "") -> Path:
    """The file of one split of one record; ``kind`` is empty for the measurement, else ``".extras"``."""
    return folder / RECORDS / f"{index:06d}.{_file_name(split)}{kind}.safetensors"


def gallery_file(folder: Path, split: str) -> Path:
    """The file that keeps the gallery samples of one split."""
    return folder / f"gallery.{_file_name(split)}.safetensors"


def _file_name(split: str) -> str:
    # A split may have any name; the dot separates the parts of a file name, so it is quoted as well.
    return urllib.parse.quote(split, safe="").replace(".", "%2E")


def to_text(value: Mapping[str, Any], what: str, *, indent: int | None = None) -> str:
    """Strict JSON (no NaN literals) of text, numbers, lists and mappings.

    Raises:
        InputError: the value holds something JSON cannot carry.
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} can hold text, finite numbers, lists and mappings only: {error}") from error


def pack_numbers(numbers: Mapping[str, Any], what: str) -> dict[str, float | str]:
    """Floats as strict JSON: a loss that became NaN or Inf is kept as text.

    Raises:
        InputError: a value is not a number.
    """
    packed: dict[str, float | str] = {}
    for name, value in numbers.items():
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{what} {name!r} must be one number, got {type(value).__name__}") from error
        packed[str(name)] = number if math.isfinite(number) else str(number)
    return packed


def unpack_numbers(packed: Mapping[str, float | str]) -> dict[str, float]:
    """The inverse of ``pack_numbers``."""
    numbers = {}
    for name, value in packed.items():
        if isinstance(value, bool):
            raise TypeError(f"{name} is {value}, expected a number")
        numbers[name] = _NOT_FINITE[value] if isinstance(value, str) else float(value)
    return numbers


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        RunFormatError: the file cannot be read or is not a JSON object.
    """
    try:
        value = parsed(read_bytes(path, limit=LARGEST_TEXT))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFormatError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RunFormatError(f"{path} should hold a JSON object, found {type(value).__name__}")
    return value


def folder_exists(folder: Path) -> bool:
    """Whether anything is there; False also where the path itself is impossible."""
    try:
        return folder.exists()
    except (OSError, ValueError):
        return False


def _why_no_run(folder: Path) -> str:
    """What is there instead: a file, a folder of runs, or anything else."""
    if not folder.is_dir():
        return "it is no folder"
    try:
        inside = sorted(one for one in folder.iterdir() if is_file(one / HEADER))
    except OSError:  # no right to look inside
        inside = []
    named = f"; a run that is in it: {inside[0]}" if inside else ""
    return f"it has no {HEADER}{named}"


def read_header(folder: Path) -> dict[str, Any]:
    """The header of the run in ``folder``, checked for its format version.

    Raises:
        RunFormatError: there is no run here, or a newer phiscope wrote it.
    """
    if not folder_exists(folder):
        raise RunFormatError(f"there is no run at {folder}: the folder does not exist")
    if not is_file(folder / HEADER):
        raise RunFormatError(f"there is no run at {folder}: {_why_no_run(folder)}")
    header = read_object(folder / HEADER)
    version = header.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RunFormatError(f"{folder / HEADER} has no usable format_version (found {version!r})")
    if version > FORMAT_VERSION:
        raise RunFormatError(
            f"the run {folder} has format {version}, written by phiscope "
            f"{header.get('phiscope_version', '?')}; this phiscope reads formats up to "
            f"{FORMAT_VERSION}: upgrade phiscope to open it"
        )
    return header


def header_problems(header: dict[str, Any]) -> list[str]:
    """Take out of a header what cannot be used; return what it was, in sentences."""
    problems = []
    for key in ("splits", "class_names", "input_shape"):
        value = header.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(name, str | int) for name in value)):
            problems.append(f"{key} in {HEADER} is {value!r:.40}, expected a list of names; it is left out")
            header[key] = None
        elif key == "splits" and value is not None and len(value) > MOST_SPLITS:
            problems.append(f"{HEADER} names {len(value)} splits; only those that were measured are shown")
            header[key] = None
    return problems


_END = {"status": str, "reason": str, "results": dict}


def read_end(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """How a run ended, and what of it cannot be read; a run whose end is damaged still has its records."""
    path = folder / END
    try:
        end = read_object(path) if path.exists() or path.is_symlink() else {}
    except RunFormatError as error:
        return {}, [f"how the run ended is not known: {error}"]
    wrong = [key for key, kind in _END.items() if key in end and not isinstance(end[key], kind)]
    if end.get("status", STATUSES[0]) not in STATUSES:
        wrong.append("status")
    found = {key: value for key, value in end.items() if key not in wrong}
    return found, [f"{key} in {END} is damaged; it is left out" for key in dict.fromkeys(wrong)]


def damage_of(path: Path) -> str:
    """What is wrong with a file of arrays, by its beginning and its size; empty where nothing is."""
    try:
        check_arrays(path)
    except RunFormatError as error:
        return str(error)
    return ""


def in_short(sentences: list[str]) -> list[str]:
    """Sentences about files of one kind, which may be thousands; so many as a reader takes in, and how many more."""
    more = len(sentences) - SHOWN_WARNINGS
    return sentences if more <= 0 else [*sentences[:SHOWN_WARNINGS], f"{more} more records are left out like these"]


@contextmanager
def restorable() -> Iterator[None]:
    """Say of a file that cannot be read what is to be done.

    Raises:
        RunFormatError: that of the block, with it.
    """
    try:
        yield
    except RunFormatError as error:
        raise RunFormatError(
            f"{error}; copy this file of the run back from where it is whole, the others can be read without it"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file so that after a kill either the old or the new content is there, never a part.

    Raises:
        RunWriteError: the file cannot be written.
    """
    write_atomically(path, text.encode())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's list of names is on the disk: a file that was renamed into it now stays.

    Raises:
        RunWriteError: the folder is gone or cannot be synced.
    """
    if os.name == "nt":
        return  # Windows has no way to flush a folder; it journals renames itself
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that none of them is gone after a power cut.

    Raises:
        RunWriteError: it cannot be made.
    """
    with writing(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_folder(made.parent)
