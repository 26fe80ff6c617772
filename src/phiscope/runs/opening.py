"""A run's folder before anything is recorded: begun, or taken up again."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import uuid
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from phiscope.archive import writing
from phiscope.errors import InputError, RunExistsError, RunFormatError, named_kind
from phiscope.runs import alerts, layout
from phiscope.runs.lines import Lines, read_lines
from phiscope.version import __version__


def folder_of(path: str | os.PathLike[str]) -> Path:
    """The folder that a path names; a path that names none is refused."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"run={path!r:.60} names no folder; give the run a folder of its own, such as 'runs/mine'")
    return Path(text)


OWNED = frozenset(
    {"format_version", "id", "phiscope_version", "torch_version", "python_version", "platform", "created", "axis"}
    | {"splits", "initial_parameters", "input_shape", "image", "passive"}
)
"""What phiscope itself says in a header, and reads there again."""


def check_header(header: Any, owned: frozenset[str] = OWNED) -> None:
    """Refuse what cannot be told about a run, before anything is measured.

    Args:
        header: as a user gave it; None tells nothing.
        owned: names that it may not have.

    Raises:
        InputError: it is no mapping, or says what phiscope finds by itself.
    """
    if header is not None and not isinstance(header, Mapping):
        raise InputError(f"header is {named_kind(header)}, expected a mapping such as {{'title': 'my training'}}")
    taken = sorted(owned & {str(name) for name in header or ()})
    if taken:
        raise InputError(
            f"header has {', '.join(map(repr, taken))}, which phiscope writes itself and reads again; leave it out, or "
            "give it another name"
        )


def check_class_names(names: Any, n_outputs: int | None) -> None:
    """Warn of names that cannot be those of the classes: they are shown in order, so that all may be wrong.

    Args:
        names: as a list, or None.
        n_outputs: C; None where there are no outputs.

    Raises:
        InputError: they are no list.
    """
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise InputError(f"class_names is {named_kind(names)}; expected a list of names in the order of the classes")
    # One output stands for two classes.
    wrong = n_outputs is not None and len(names) not in (n_outputs, 2 if n_outputs == 1 else -1)
    if wrong:
        warnings.warn(
            f"class_names has {len(names)} names and the model {n_outputs} outputs; names are taken in the order of "
            "the classes, and others stand without one: pass one name for each",
            stacklevel=2,
        )


def refuse_existing(folder: Path, resume: bool) -> bool:
    """Whether a run is there; refused where it must not be."""
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise RunExistsError(f"{folder} is a file, not the folder of a run; choose another path")
        there = (folder / layout.HEADER).exists()
    if there and not resume:
        raise RunExistsError(f"{folder} already holds a run; choose another folder or resume it")
    return there


def begun(folder: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Make the folder of a new run with its header, and return the header."""
    _remove_partials(folder)
    whole = _with_facts(header, folder)
    layout.make_folder(folder / layout.RECORDS)
    layout.write_text(folder / layout.HEADER, layout.to_text(whole, "the header of a run", indent=2) + "\n")
    return whole


def reopened(folder: Path) -> dict[str, Any]:
    """Make a run ready to go on, and return its header; what cannot be read is left as it is."""
    for name in (layout.HEADER, layout.LINES, layout.RECORDS, layout.INITIAL, alerts.FOLDER):
        if (folder / name).is_symlink():
            raise RunFormatError(
                f"{folder / name} is a link, and going on with the run would change what it leads to; copy the run "
                "into a folder of its own"
            )
    header = layout.read_header(folder)
    read_lines(folder)  # what cannot be read is refused before anything is changed
    layout.make_folder(folder / layout.RECORDS)
    _remove_partials(folder)
    if header["format_version"] < layout.FORMAT_VERSION:
        # An older phiscope would take notes and branches for damage.
        header["format_version"] = layout.FORMAT_VERSION
        layout.write_text(folder / layout.HEADER, layout.to_text(header, "the header of a run", indent=2) + "\n")
    with writing(folder / layout.END):
        (folder / layout.END).unlink(missing_ok=True)
    return header


def _remove_partials(folder: Path) -> None:
    """Remove what a kill left half written."""
    for part in (folder, folder / layout.RECORDS):
        with writing(part):
            for left in part.glob(".*.partial"):
                left.unlink()


def free_index(folder: Path, lines: Lines) -> int:
    """A number for the next record; files of a record whose line is damaged are not written over."""
    if not lines.damaged:
        return lines.next_index
    names = [path.name.partition(".")[0] for path in (folder / layout.RECORDS).glob("*.safetensors")]
    return max([lines.next_index, *(int(name) + 1 for name in names if name.isdecimal())])


def _with_facts(header: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "format_version": layout.FORMAT_VERSION,
        "id": uuid.uuid4().hex,
        "phiscope_version": __version__,
        "torch_version": importlib.metadata.version("torch"),
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "created": now(),
        "name": folder.name,
        **{k: v for k, v in header.items() if k not in ("format_version", "id")},
    }


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
