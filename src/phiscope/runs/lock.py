"""One writer for each run: a lock that a kill releases, and that no forked worker keeps alive."""

from __future__ import annotations

import errno
import importlib
import json
import os
import socket
import stat
import weakref
from pathlib import Path
from typing import Any

from phiscope.archive import PLAIN_FILES, read_bytes, writing
from phiscope.errors import RunFormatError, RunLockedError

fcntl: Any = None
"""None on Windows: there, writers only compare before they cut anything off."""
if os.name != "nt":
    fcntl = importlib.import_module("fcntl")


LOCK = "writer.lock"
"""The file in a run on which its writer holds the lock; it stays when the writer goes."""


_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTSUP}
"""What some network file systems answer; a writer there goes on without, and compares before it cuts anything off."""


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


class WriterLock:
    """The right to write one run, for as long as this object lives and is not released.

    Args:
        folder: the run's folder.

    Raises:
        RunLockedError: another writer holds it; the message says which process.
        RunWriteError: the lock file cannot be made.

    Example:
        >>> import tempfile
        >>> lock = WriterLock(Path(tempfile.mkdtemp()))
        >>> lock.held
        True
        >>> lock.release()
        >>> lock.held
        False
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        with writing(self.path):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | PLAIN_FILES, 0o666)
        self._close = weakref.finalize(self, os.close, self._file)
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise RunFormatError(f"{self.path} is no regular file; delete it to write this run")
            self._take(folder)
            self._sign()
        except BaseException:
            self._close()
            raise
        _held.add(self)

    @property
    def held(self) -> bool:
        """Whether the lock has not been released."""
        return self._close.alive

    @property
    def is_in_place(self) -> bool:
        """Whether the lock file is still the one in the folder, which somebody may have deleted or made anew."""
        try:
            there, ours = os.stat(self.path, follow_symlinks=False), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Let another writer have the run; a second call does nothing."""
        self._close()

    def _take(self, folder: Path) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return
            raise RunLockedError(
                f"the run {folder} is being written by {self._holder()}; let it end or close its observer, or choose "
                "another folder"
            ) from error

    def _sign(self) -> None:
        text = json.dumps({"process": os.getpid(), "host": socket.gethostname()})
        with writing(self.path):
            os.ftruncate(self._file, 0)
            os.write(self._file, text.encode())

    def _holder(self) -> str:
        try:
            facts = json.loads(read_bytes(self.path, limit=4096))
            process, host = int(facts["process"]), str(facts["host"])[:80]
        except (RunFormatError, OSError, ValueError, LookupError, TypeError, RecursionError):
            return "another process"  # its signature is not there yet
        if (process, host) == (os.getpid(), socket.gethostname()):
            return "this process already"
        return f"process {process} on {host}"


def _close_in_child() -> None:
    # A worker forked by a DataLoader has a copy of the open file: the lock would outlive its owner with it.
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
