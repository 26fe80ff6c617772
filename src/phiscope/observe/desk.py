"""Where records are finished: diagonalized and written, at once or on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol


class Desk(Protocol):
    """Finishes records in the order they come."""

    def do(self, job: Callable[[], None]) -> None:
        """Finish a record, now or soon."""

    def wait(self) -> None:
        """Return when every record is finished; an error of one is raised here at the latest."""


class Inline:
    """Finishes each record before the training goes on."""

    def do(self, job: Callable[[], None]) -> None:
        """Do it now."""
        job()

    def wait(self) -> None:
        """Nothing is left to do."""


class Background:
    """Finishes records on one thread of its own, at most one behind: what waits keeps p x p arrays alive."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def do(self, job: Callable[[], None]) -> None:
        """Wait for the record before this one, then hand this one over."""
        self.wait()
        # A daemon would be cut off in the middle of a file; this thread is joined when the interpreter ends.
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="phiscope-observer")
        self._last = self._thread.submit(job)

    def wait(self) -> None:
        """Wait for the last record, and raise what went wrong with it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


def desk_for(background: bool) -> Desk:
    """The desk that an observer asks for."""
    return Background() if background else Inline()
