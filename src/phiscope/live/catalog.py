"""Which runs a folder has: looked at again and again, read only where something has changed.

Names come from the disk and never from a request: what is asked for is looked up here, so that no request can name a
path. Links are not followed, whether to folders or to a run's files.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from phiscope.errors import PhiscopeError
from phiscope.live.rows import Row, folder_bytes, row_of
from phiscope.runs import layout
from phiscope.runs.glance import Glance, glance

DEPTH = 4
"""Runs may lie so many folders deep."""

MOST_FOLDERS = 20_000
"""So many folders are looked into."""

SIZING = 0.05
"""Seconds that one look spends on the sizes of runs; the others get theirs the next time."""

_READ = (layout.HEADER, layout.LINES, layout.END)

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of the folder.

    Attributes:
        name: under which it is asked for: its path below the folder.
        folder: where it lies.
        row: its line of the list.
        bytes: its size on disk, None when not known yet.
        version: the version of the catalog in which it last changed.
    """

    name: str
    folder: Path
    row: Row
    bytes: int | None
    version: int
    stamp: Stamp
    glance: Glance | None


class Catalog:
    """The runs of a folder, by name; safe to ask from several threads.

    Args:
        root: a folder with runs in it, or one run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, int] = {}
        self._version = 0
        self.links = 0

    def refresh(self) -> int:
        """Look at the folder; the catalog's version, which rises with every change."""
        with self._lock:
            found = self._walk()
            version = self._version + 1
            changed = False
            for name in [name for name in self._entries if name not in found]:
                del self._entries[name]
                self._gone[name] = version
                changed = True
            for name, folder in found.items():
                stamp = _stamp(folder)
                known = self._entries.get(name)
                if known is None or known.stamp != stamp:
                    self._entries[name] = _read(name, folder, stamp, known, version)
                    self._gone.pop(name, None)
                    changed = True
            changed |= self._weigh(version)
            self._version += changed
            return self._version

    def entries(self) -> list[Entry]:
        """All runs as they were at the last `refresh`, the most recently written first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: (-entry.row.changed, entry.name))

    def folder(self, name: str) -> Path | None:
        """Where a run lies, None where there is none of this name."""
        with self._lock:
            entry = self._entries.get(name)
            return None if entry is None else entry.folder

    def since(self, version: int) -> tuple[list[Entry], list[str]]:
        """Runs that came or changed after a version, and names of those that went."""
        with self._lock:
            changed = [entry for entry in self._entries.values() if entry.version > version]
            return changed, [name for name, at in self._gone.items() if at > version]

    def _walk(self) -> dict[str, Path]:
        """Every run below the root; a run is a folder with a header, and holds no others."""
        found: dict[str, Path] = {}
        self.links = 0
        waiting = [(self.root, 0)]
        for _ in range(MOST_FOLDERS):
            if not waiting:
                break
            folder, depth = waiting.pop()
            if os.path.lexists(folder / layout.HEADER):
                found[_name(folder, self.root)] = folder
            elif depth < DEPTH:
                waiting += [(path, depth + 1) for path in self._folders_in(folder)]
        return found

    def _folders_in(self, folder: Path) -> list[Path]:
        try:
            with os.scandir(folder) as entries:
                listed = [entry for entry in entries if not entry.name.startswith(".")]
                self.links += sum(entry.is_symlink() and entry.is_dir() for entry in listed)
                return [Path(entry.path) for entry in listed if entry.is_dir(follow_symlinks=False)]
        except OSError:  # deleted while it was looked at, or not for this user to see
            return []

    def _weigh(self, version: int) -> bool:
        """Add the sizes of some runs that have none; whether any was added."""
        end = time.monotonic() + SIZING
        changed = False
        for name, entry in self._entries.items():
            # A run that has just been read is listed first, and weighed at the next look.
            if entry.bytes is None and entry.version < version and time.monotonic() < end:
                self._entries[name] = replace(entry, bytes=folder_bytes(entry.folder), version=version)
                changed = True
        return changed


def has_link(folder: Path) -> bool:
    """Whether a file of a run is a link, which may lead out of the folder."""
    return any(_holds_link(place) for place in (folder, folder / layout.RECORDS, folder / "alerts"))


def _holds_link(place: Path) -> bool:
    try:
        with os.scandir(place) as entries:
            return any(entry.is_symlink() for entry in entries)
    except OSError:  # not there, or not for this user to see, which whoever reads it will say
        return False


def _name(folder: Path, root: Path) -> str:
    # Names of other encodings stay apart, and can be written into a page.
    return os.fsencode(folder.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _stamp(folder: Path) -> Stamp:
    facts: list[tuple[int, int, int] | None] = []
    for name in _READ:
        try:
            one = (folder / name).lstat()
            facts.append((one.st_ino, one.st_size, one.st_mtime_ns))
        except OSError:
            facts.append(None)
    return tuple(facts)


def _read(name: str, folder: Path, stamp: Stamp, known: Entry | None, version: int) -> Entry:
    changed = max((one[2] for one in stamp[1:2] if one is not None), default=0) / 1e9
    title = name if name != "." else folder.name
    seen = None
    try:
        if any((folder / file).is_symlink() for file in _READ):
            raise PhiscopeError("a file of this run is a link, which may lead out of the folder; put the file there")
        seen = glance(folder, None if known is None else known.glance)
        row = row_of(name, seen.run, changed)
    except PhiscopeError as error:
        row = Row(name=name, title=title, changed=changed, problem=str(error))
    # What has ended is not read on: its lines need not stay in memory.
    kept = seen if seen is not None and seen.lines is not None else None
    # Many runs at once are listed first and weighed later; one that grew is weighed at once.
    size = None if known is None or known.bytes is None else folder_bytes(folder)
    return Entry(name=name, folder=folder, row=row, bytes=size, version=version, stamp=stamp, glance=kept)
