"""A run that is being written: what is new is read, and what was read before stays.

A reader that shows a run while it grows asks again and again. Opening it each time would read all records for each new
one; here a look costs three questions to the file system, and a new record the reading of its own line.
"""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from phiscope.runs import layout
from phiscope.runs.alerts import FOLDER as ALERTS
from phiscope.runs.lines import Lines, read_appended, read_lines
from phiscope.runs.reading import Record, Run, run_of

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class Look:
    """A run at one moment.

    Attributes:
        run: what it is.
        mark: names this moment; `FollowedRun.first_since` says what came after it.
    """

    run: Run
    mark: str


class FollowedRun:
    """Follows a run on disk; safe to ask from several threads.

    Args:
        folder: the run's folder.

    Example:
        ``followed = FollowedRun("runs/mine"); look = followed.look(); followed.first_since(look.mark)``
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._lines = Lines()
        self._stamps: tuple[Stamp, ...] = ()
        # What each change was: the first record that it made or changed, None where a page has to be made anew.
        self._changes: list[int | None] = []
        self._opening = ""
        self._names: set[tuple[str, ...]] = set()

    def look(self) -> Look:
        """The run as it is now.

        Raises:
            RunFormatError: it is gone, unreadable, or a newer phiscope wrote it.
        """
        with self._lock:
            stamps = self._look_at_files()
            # The files are read after they were looked at, so that what is written meanwhile is seen the next time.
            if self._run is None or stamps != self._stamps:
                self._run = self._read_on(stamps)
                self._stamps = stamps
            return Look(run=self._run, mark=f"{self._opening}-{len(self._changes)}")

    def first_since(self, mark: str) -> int | None:
        """Position of the first record that is new or has changed since a mark.

        Args:
            mark: from a `Look`, also of another process or an earlier opening.

        Returns:
            The position, at most the number of records; None when what was known then is worth nothing now: the run was
            replaced, or took another branch, or shows what it did not show before.
        """
        opening, _, count = mark.rpartition("-")
        with self._lock:
            known = self._run is not None and opening == self._opening
            if not known or not count.isdecimal() or int(count) > len(self._changes):
                return None
            changes = self._changes[int(count) :]
            return None if None in changes else min([len(self._records), *(one for one in changes if one is not None)])

    @property
    def _records(self) -> tuple[Record, ...]:
        return () if self._run is None else self._run.records

    def _look_at_files(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(self._folder / name) for name in (layout.HEADER, layout.LINES, layout.END, ALERTS))

    def _read_on(self, stamps: tuple[Stamp, ...]) -> Run:
        before = self._run
        # A header is written once: where it has changed, this is another run.
        if before is None or stamps[0] != self._stamps[0]:
            return self._open()
        lines = read_appended(self._folder, self._lines)
        if lines is None:
            return self._open()
        run = run_of(self._folder, before.header, lines, before.records)
        if run.shown != before.shown or (before.records and run.unit != before.unit):
            return self._open()
        self._lines = lines
        pairs = zip(run.records, before.records, strict=False)
        same = next(
            (i for i, (new, old) in enumerate(pairs) if new is not old), min(map(len, (run.records, self._records)))
        )
        shows_more = self._take_names(run.records[same:])
        # Records that are gone leave points behind on an open page that nothing new replaces.
        lost = len(run.records) < len(before.records) and same == len(run.records)
        self._changes.append(None if shows_more or lost else same)
        return run

    def _open(self) -> Run:
        self._run = None  # also where the following raises: a mark of the old run is worth nothing
        header = layout.read_header(self._folder)
        self._lines = read_lines(self._folder)
        self._opening, self._changes, self._names = secrets.token_hex(8), [], set()
        run = run_of(self._folder, header, self._lines)
        self._take_names(run.records)
        return run

    def _take_names(self, records: tuple[Record, ...]) -> bool:
        """Whether these records hold something that none did before."""
        count = len(self._names)
        for record in records:
            self._names.update(("scalar", name) for name in record.scalars)
            for split, numbers in record.line["numbers"].items():
                self._names.update([("split", split), *((split, name) for name in numbers)])
        return len(self._names) > count


def _stamp(path: Path) -> Stamp:
    """What tells a file from another or an earlier one; None where there is none."""
    try:
        facts = path.lstat()
    except (OSError, ValueError):
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
