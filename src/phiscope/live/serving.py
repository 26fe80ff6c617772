"""`view`: the server in a thread of its own, its address, and the page in a notebook."""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from phiscope.errors import InputError, MissingDependencyError
from phiscope.inputs.settings import path_of
from phiscope.live.catalog import Catalog
from phiscope.live.feeds import Feeds

ADDRESS = "127.0.0.1"
"""Nobody but this machine can connect."""

NEEDED = ("starlette", "uvicorn", "jinja2", "plotly", "PIL")
"""What a view needs beside phiscope's own dependencies."""

STARTED_WITHIN = 20.0
"""Seconds after which a server that has not started will not."""


def view(runs: str | os.PathLike[str], port: int | None = None) -> View:
    """Serve the runs in a folder to a browser on this machine, also while they grow.

    Args:
        runs: a folder with runs in it, or one run.
        port: where to listen, 1 to 65535; None takes a free one.

    Returns:
        The running view: ``url`` is its address, ``close()`` ends it, and ``with`` ends it by itself. At the end of a
        notebook's cell it shows the page itself, which needs no connection to this server.

    Raises:
        InputError: there is no such folder, or the port is taken or impossible.
        MissingDependencyError: starlette, uvicorn or what a report needs is not installed.

    Example:
        ``with phiscope.view("runs") as shown: print(shown.url); input()``
    """
    _need_libraries()
    root = path_of(runs, name="the runs' folder")
    if not root.is_dir():
        raise InputError(f"there is no folder {root} to view; name the folder in which your runs are, such as runs")
    return View(root, _listening(port))


class View:
    """A running server of one folder of runs; made by `view`.

    Attributes:
        url: its address.
        root: the folder.
    """

    def __init__(self, root: Path, listening: socket.socket) -> None:
        import uvicorn

        from phiscope.live.server import application

        self.root = root
        self.url = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
        self._catalog = Catalog(root)
        self._feeds = Feeds(self._catalog)
        self._stopping = threading.Event()
        self._socket = listening
        config = uvicorn.Config(
            application(self._catalog, self._feeds, self._stopping),
            http="h11",  # refuses a request with two hosts, of which one could be foreign
            loop="asyncio",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="phiscope view", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        self._wait_until_started()

    def close(self) -> None:
        """End the server; open pages keep what they show. A second call does nothing."""
        self._stopping.set()
        self._server.should_exit = True
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._socket.close()
        atexit.unregister(self.close)

    def wait(self) -> None:
        """Wait until the server ends, which Ctrl-C does to one on the command line."""
        while self._thread.is_alive():
            # A thread that is joined without an end cannot be interrupted everywhere.
            self._thread.join(0.5)

    def page(self, *names: str) -> Shown:
        """The page of some runs as they are now, to be shown in a notebook: it needs no connection to this server.

        Args:
            names: as the list shows them; without any, the run that was written last.

        Raises:
            UnknownNameError: there is no such run.
            RunFormatError: a run cannot be read.
        """
        self._catalog.refresh()
        entries = self._catalog.entries()
        chosen = list(names) or [entry.name for entry in entries if not entry.row.problem][:1]
        return Shown([self._feeds.page(chosen, alone=True)] if chosen else [])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._stopping.is_set() else self.url
        return f"phiscope.view({str(self.root)!r}): {state}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        """The list where there is more than one run, and the page of the run that was written last."""
        from phiscope.live.pages import framed, list_page

        version = self._catalog.refresh()
        entries = self._catalog.entries()
        pages = self.page().pages
        if len(entries) == 1 and pages:
            return framed(pages, [FRAME])
        table = list_page(self._catalog, version, "", alone=True)
        return framed([table, *pages], [min(LIST_FRAME, 230 + 58 * len(entries)), *[FRAME] * len(pages)])

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def _wait_until_started(self) -> None:
        end = time.monotonic() + STARTED_WITHIN
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.005)
        if not self._server.started:
            self.close()
            raise InputError(f"the server for {self.root} did not start; the lines above say why")


FRAME, LIST_FRAME = 860, 520
"""Heights in a notebook, in pixels."""


class Shown:
    """Pages as a notebook shows them.

    Args:
        pages: HTML, each a whole page.
    """

    def __init__(self, pages: list[str]) -> None:
        self.pages = pages

    def _repr_html_(self) -> str:
        from phiscope.live.pages import framed

        return framed(self.pages, [FRAME] * len(self.pages)) or "<p>There is no run to show yet.</p>"


def _need_libraries() -> None:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            package = "pillow" if name == "PIL" else name
            raise MissingDependencyError(package, purpose="phiscope.view()", extra="view") from error


def _listening(port: int | None) -> socket.socket:
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 2**16):
        raise InputError(f"port is {port!r}, expected a number from 1 to 65535; leave it out for a free one")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Else a port that was used a minute ago counts as taken; on Windows this would share it with a stranger.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port or 0))
        listening.listen()
    except OSError as error:
        listening.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise InputError(f"port {port} {why}; choose another with port=, or leave it out for a free one") from error
    return listening
