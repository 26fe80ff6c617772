"""The file of lines: appended to line by line, and never cut where somebody else has written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phiscope.archive import PLAIN_FILES, writing
from phiscope.errors import RunError, RunLockedError
from phiscope.runs import layout
from phiscope.runs.lines import Lines


@dataclass(frozen=True)
class _Attempt:
    """A line on its way: where it begins, and what becomes true once it is on the disk."""

    start: int
    line: bytes
    done: Callable[[], None]


class Journal:
    """Appends lines to ``scalars.jsonl``; each is on the disk when ``append`` returns.

    What lies behind the last completed line is cut off only when it is known: torn when the run was opened, or left by
    an append of this writer that failed. Anything else was written by somebody else, and is left alone.

    Args:
        folder: the run's folder.
        lines: what was read from the file.
    """

    def __init__(self, folder: Path, lines: Lines) -> None:
        self._path = folder / layout.LINES
        self._size = lines.size
        self._last = lines.last
        self._torn = lines.torn
        self._attempt: _Attempt | None = None

    def append(self, text: str, done: Callable[[], None]) -> None:
        """Append a line.

        Args:
            text: one line of JSON.
            done: called once the line is on the disk; also later, by `settle`, when Ctrl-C came in between. A second
                call must change nothing.

        Raises:
            RunWriteError: the file cannot be written.
            RunLockedError: somebody else has written to it.
        """
        self.settle()
        with writing(self._path):
            file = self._opened()
            try:
                self._cut_known_tail(file)
                attempt = self._attempt = _Attempt(self._size, (text + "\n").encode(), done)
                _write_all(file, attempt.line, attempt.start)
                os.fsync(file)
            finally:
                os.close(file)
            if not attempt.start:
                layout.sync_folder(self._path.parent)
        self._accept(attempt)

    def settle(self) -> None:
        """Take an interrupted append for what it became: done when its whole line is there, else not begun.

        Raises:
            RunWriteError: the file cannot be read.
        """
        attempt = self._attempt
        if attempt is None:
            return
        with writing(self._path):
            file = self._opened()
            try:
                whole = _read_at(file, len(attempt.line) + 1, attempt.start) == attempt.line
            finally:
                os.close(file)
        if whole:
            self._accept(attempt)

    def _accept(self, attempt: _Attempt) -> None:
        self._last, self._torn, self._size = attempt.line, b"", attempt.start + len(attempt.line)
        attempt.done()
        self._attempt = None

    def _opened(self) -> int:
        made = 0 if self._size else os.O_CREAT
        file = os.open(self._path, os.O_RDWR | made | PLAIN_FILES, 0o666)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise RunError(f"{self._path} is no regular file; the run cannot be written")
        return file

    def _cut_known_tail(self, file: int) -> None:
        size = os.fstat(file).st_size
        last = _read_at(file, len(self._last), self._size - len(self._last))
        if size < self._size or last != self._last:
            raise RunLockedError(
                f"{self._path} is not as this writer left it (it has {size} bytes, expected {self._size} and the same "
                "last line): somebody deleted or replaced it, and nothing more is written; choose another folder"
            )
        if size == self._size:
            return
        tail = _read_at(file, size - self._size, self._size)
        own = self._attempt is not None and self._attempt.line.startswith(tail)
        if not own and tail != self._torn:
            raise RunLockedError(
                f"{self._path} has {len(tail)} bytes that this writer did not write: another process writes this run, "
                "and nothing of it was touched; let one of them end"
            )
        os.ftruncate(file, self._size)


def _read_at(file: int, count: int, start: int) -> bytes:
    # Not os.pread, which Windows has not.
    os.lseek(file, start, os.SEEK_SET)
    content = b""
    while len(content) < count and (part := os.read(file, count - len(content))):
        content += part
    return content


def _write_all(file: int, content: bytes, start: int) -> None:
    os.lseek(file, start, os.SEEK_SET)
    written = 0
    while written < len(content):
        written += os.write(file, content[written:])
