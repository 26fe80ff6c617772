"""What led to an alert, kept with the run: one small JSON file for each that fired."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phiscope.errors import RunFormatError
from phiscope.runs import layout

FOLDER = "alerts"
"""Folder of the files in a run's folder."""

MOST = 1000
"""So many of them a reader opens."""

_NAME = re.compile(r"\d{6,}\.\d+\.json")


def save_alert(folder: Path, index: int, number: int, evidence: Mapping[str, Any]) -> Path:
    """Keep what led to an alert.

    Args:
        folder: the run's folder.
        index: of the record at which it fired.
        number: of the alert among those of the observer.
        evidence: text, numbers, lists and mappings.

    Returns:
        The file, written as a whole or not at all.

    Raises:
        RunWriteError: it cannot be written.
    """
    path = folder / FOLDER / f"{index:06d}.{number}.json"
    text = layout.to_text(_strict(evidence), "the evidence of an alert", indent=2)
    layout.make_folder(path.parent)
    layout.write_text(path, text + "\n")
    return path


def read_alerts(folder: Path) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """Every alert of a run in the order of its records, and sentences about files that cannot be read.

    Args:
        folder: the run's folder.
    """
    place = folder / FOLDER
    if not place.is_dir() or place.is_symlink():
        return (), ()
    paths = sorted((path for path in place.iterdir() if _NAME.fullmatch(path.name)), key=_order)
    found: list[Mapping[str, Any]] = []
    problems = [f"{place} holds {len(paths)} alerts; the first {MOST} are read"] if len(paths) > MOST else []
    for path in paths[:MOST]:
        try:
            evidence = layout.read_object(path)
        except RunFormatError as error:
            problems.append(f"an alert cannot be read: {error}")
            continue
        if isinstance(evidence.get("sentence"), str):
            found.append(evidence)
        else:
            problems.append(f"{path} says no sentence; it is left out")
    return tuple(found), tuple(problems)


def _strict(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are kept as text, as a run keeps them."""
    if isinstance(value, Mapping):
        return {str(name): _strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _order(path: Path) -> tuple[int, int]:
    index, number, _ = path.name.split(".")
    return int(index), int(number)
