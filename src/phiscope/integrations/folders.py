"""Which folder a training's run gets: one for each trial and each fit, and the old one for a training that goes on."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phiscope.archive import is_file
from phiscope.errors import InputError, RunError
from phiscope.runs.layout import HEADER, read_header

TRIAL = "{trial}"
"""Where in the folder's name the trial of a sweep stands."""


def free_folder(run: str | os.PathLike[str], trial: str | None = None) -> Path:
    """The first folder of a name that holds no run: ``mine``, then ``mine-2``, ``mine-3``, ...

    Args:
        run: the name; ``{trial}`` in it becomes the trial.
        trial: name of the trial in a sweep; with none, ``{trial}`` becomes 0.

    Raises:
        InputError: the name has other braces.

    Example:
        >>> free_folder("runs/none/{trial}", "lr=0.1").name
        'lr-0.1'
    """
    return next(folder for folder in _folders(run, trial) if not is_file(folder / HEADER))


def folder_of(run: str | os.PathLike[str], trial: str | None, run_id: object) -> Path | None:
    """The folder that holds the run of a checkpoint, by its id; None where it is not there."""
    for folder in _folders(run, trial):
        if not is_file(folder / HEADER):
            return None
        try:
            found = read_header(folder).get("id")
        except RunError:
            # Somebody's damaged run is passed over here; whoever opens it is told.
            continue
        if found == run_id:
            return folder
    return None


def last_folder(run: str | os.PathLike[str], trial: str | None = None) -> Path:
    """The last folder of a name that holds a run, else the name itself: where resume=True goes on."""
    last = None
    for folder in _folders(run, trial):
        if not is_file(folder / HEADER):
            return folder if last is None else last
        last = folder
    raise AssertionError  # the numbers do not end


def key_of(run: str | os.PathLike[str]) -> str:
    """A name by which checkpoints tell the runs of several observers apart.

    The path itself is not in it: people publish checkpoints.

    Example:
        >>> key_of("/home/me/runs/mine"), key_of("runs/mine") == key_of("runs/./mine")
        ('mine-12412ab3', True)
    """
    place = os.path.normpath(os.fspath(run))
    return f"{os.path.basename(place)}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def state_under(key: str, old: str, states: Mapping[Any, Any]) -> Any:
    """The state of one observer in a checkpoint, None where there is none that must be its own.

    Args:
        key: of this observer, ``old`` with a colon and its run's key behind it.
        old: the key of earlier versions, which knew one observer.
        states: by key, of all callbacks.

    Example:
        >>> state_under("x:a", "x", {"x:a": 1, "x:b": 2}), state_under("x:a", "x", {"x": 3})
        (1, 3)
        >>> state_under("x:a", "x", {"x:moved": 4, "other": 5}), state_under("x:a", "x", {"x:b": 2, "x:c": 3})
        (4, None)
    """
    for known in (key, old):
        if known in states:
            return states[known]
    # A run that was moved has another key; of one alone it is sure whose state it is, and the run's id says the rest.
    others = [name for name in states if isinstance(name, str) and name.startswith(f"{old}:")]
    return states[others[0]] if len(others) == 1 else None


def _folders(run: str | os.PathLike[str], trial: str | None) -> Iterator[Path]:
    named = os.fspath(run)
    if TRIAL in named:
        named = named.replace(TRIAL, re.sub(r"[^\w.-]+", "-", trial or "0").strip("-.") or "0")
    elif trial is not None:
        # Trials of a sweep would otherwise be told apart by their order alone.
        named = f"{named}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', trial).strip('-.')}"
    if re.search(r"\{\w*\}", named):
        raise InputError(f"run={run!r} has a name in braces that is not known; only {TRIAL} is")
    yield Path(named)
    for number in itertools.count(2):
        yield Path(f"{named}-{number}")
