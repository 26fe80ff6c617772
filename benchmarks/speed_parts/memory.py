"""How much memory one call takes beyond what was there before it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _status(key: str) -> int:
    """One line of /proc/self/status, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no line {key}")


def available() -> int | None:
    """Bytes that the machine can still give, None where it does not say (outside Linux)."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    lines = dict(line.split(":") for line in path.read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def resettable() -> bool:
    """Set the kernel's high-water mark back to what is resident now; False where that is not to be had."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


class Peak:
    """Highest resident memory since this was made, beyond what was resident at that moment.

    On Linux the process's own high-water mark (VmHWM) is set back first. Where the kernel refuses that, and outside
    Linux, a call that stays below an earlier peak of its process cannot be seen; `method` then says "at most" or
    "ru_maxrss". On Linux ru_maxrss is never read: a child is born with its parent's.
    """

    def __init__(self) -> None:
        if not _STATUS.exists():
            self.method = "ru_maxrss"
        else:
            self.method = "VmHWM" if resettable() else "VmHWM, at most"
        self._before = self._highest() if self.method == "ru_maxrss" else _status("VmRSS")

    def _highest(self) -> int:
        if self.method != "ru_maxrss":
            return _status("VmHWM")
        # The BSDs count kilobytes here, macOS bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def extra(self) -> int:
        """Bytes beyond the level at the start."""
        return max(0, self._highest() - self._before)


def limit(more: int) -> None:
    """Let this process take at most `more` bytes from now on, so that a contestant fails alone and not the machine."""
    if not _STATUS.exists():
        # macOS does not enforce limits on memory: there the timeout is the only guard.
        return
    data = _status("VmData") + more
    resource.setrlimit(resource.RLIMIT_DATA, (data, resource.getrlimit(resource.RLIMIT_DATA)[1]))
