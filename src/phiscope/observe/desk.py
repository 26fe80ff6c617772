"""Where records are finished: diagonalized and written, at once or on a thread of its own, and what becomes of errors.

A job is known to the desk before it is handed over, and forgotten only when it is done: Ctrl-C between two lines, or in
the wait for a slow disk, loses none.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Literal, Protocol

from phiscope.errors import InputError, RunError
from phiscope.inputs.settings import is_word

OnError = Literal["raise", "warn"]
"""What happens when a record cannot be written."""


class Desk(Protocol):
    """Finishes records in the order they come."""

    def do(self, job: Callable[[], None]) -> None:
        """Finish a record, now or soon."""

    def now(self, job: Callable[[], None]) -> None:
        """Do something at once, with the same word on errors."""

    def wait(self) -> None:
        """Return when every record is finished; an error of one is raised here at the latest."""

    def close(self) -> None:
        """Wait, and leave no thread behind."""


class _Complaints:
    """Raises what went wrong, or says it and lets the training go on when it was the disk."""

    def __init__(self, on_error: OnError) -> None:
        if not is_word(on_error, ("raise", "warn")):
            raise InputError(f"on_error={on_error!r}; expected 'raise' or 'warn'")
        self._on_error = on_error

    def about(self, error: BaseException) -> None:
        if self._on_error == "raise" or not isinstance(error, RunError):
            raise error
        warnings.warn(f"{error}; this record is not stored", stacklevel=2)

    def watch(self, job: Callable[[], None]) -> None:
        try:
            job()
        except RunError as error:
            self.about(error)


class Inline:
    """Finishes each record before the training goes on.

    Args:
        on_error: what happens when a record cannot be written.
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        self._complaints = _Complaints(on_error)

    def do(self, job: Callable[[], None]) -> None:
        """Do it now."""
        self._complaints.watch(job)

    def now(self, job: Callable[[], None]) -> None:
        """Do it now."""
        self._complaints.watch(job)

    def wait(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is left to do."""


class _Job:
    """One record on its way; it is done once, however often it is handed over."""

    def __init__(self, task: Callable[[], None]) -> None:
        self._task = task
        self._done = False
        # Ctrl-C in the start of a thread can make the pool forget it, and start a second one.
        self._one_at_a_time = Lock()
        self.error: BaseException | None = None

    def __call__(self) -> None:
        with self._one_at_a_time:
            if self._done:
                return
            try:
                self._task()
            except BaseException as error:
                self.error = error  # raised by the desk, in the training's thread
            self._done = True


class Background:
    """Finishes records on one thread of its own, at most one behind: what waits keeps p x p arrays alive.

    Args:
        on_error: what happens when a record cannot be written.
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        self._complaints = _Complaints(on_error)
        self._thread: ThreadPoolExecutor | None = None
        self._jobs: deque[_Job] = deque()

    def do(self, job: Callable[[], None]) -> None:
        """Wait for the record before this one, then hand this one over; what went wrong before is raised after that."""
        failure = self._settled()
        self._jobs.append(_Job(job))
        self._pool().submit(self._jobs[-1])
        if failure is not None:
            self._complaints.about(failure)

    def now(self, job: Callable[[], None]) -> None:
        """Do it on the caller's thread."""
        self._complaints.watch(job)

    def wait(self) -> None:
        """Wait for the last record, and raise what went wrong with it."""
        failure = self._settled()
        if failure is not None:
            self._complaints.about(failure)

    def close(self) -> None:
        """Wait for the last record, and end the thread."""
        failure = self._settled()
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None
        if failure is not None:
            self._complaints.about(failure)

    def _pool(self) -> ThreadPoolExecutor:
        # A daemon would be cut off in the middle of a file; this thread is joined when the interpreter ends.
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="phiscope-observer")
        return self._thread

    def _settled(self) -> BaseException | None:
        failure = None
        while self._jobs:
            job = self._jobs[0]
            # Handed over again: Ctrl-C may have come before the first time. When this call of it is over, it is done.
            self._pool().submit(job).result()
            failure = failure or job.error
            self._jobs.popleft()
        return failure


def desk_for(background: bool, on_error: OnError = "raise") -> Desk:
    """The desk that an observer asks for.

    Raises:
        InputError: on_error is neither of its words.
    """
    return Background(on_error) if background else Inline(on_error)
