"""Who may ask what, and what is answered: five addresses, reading only, for this machine only.

A page from elsewhere that a browser of this machine shows could ask a server on loopback, too. It cannot read the
answer, because nothing here allows it to (no CORS); by a name of its own that leads to 127.0.0.1 it is refused, because
only localhost and 127.0.0.1 are answered; and there is nothing to write.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from phiscope.errors import PhiscopeError, UnknownNameError
from phiscope.live.catalog import Catalog
from phiscope.live.feeds import Feeds, News, plain_event
from phiscope.live.pages import asset, list_page, message_page, row_text, unpacked

HOSTS = ("localhost", "127.0.0.1")
"""What a browser may call this server; the port may be any, because ssh -L gives it another."""

POLL = 0.15
"""Seconds between two looks at the files of a run whose page is open."""

LIST_POLL = 0.4
"""Seconds between two looks at the folder while its list is open."""

BREATH = 10.0
"""After so many quiet seconds something is sent, so that a closed connection is noticed."""

MOST_RUNS = 24
"""So many runs one page compares."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class ReadingOnly:
    """Lets GET and HEAD through, and says with every answer what a browser may do with it.

    Args:
        app: what is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]
                added += [] if b"cache-control" in there else [(b"cache-control", b"no-store")]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            refusal = PlainTextResponse(
                f"{scope['method']} is refused: this server only shows what is there\n", 405, {"allow": "GET, HEAD"}
            )
            return await refusal(scope, receive, send_with_headers)
        return await self._app(scope, receive, send_with_headers)


class Site:
    """Answers for one folder of runs.

    Args:
        catalog: of the folder.
        feeds: pages of its runs.
        stopping: set when the server is to end, so that no open page holds it up.
    """

    def __init__(self, catalog: Catalog, feeds: Feeds, stopping: threading.Event) -> None:
        self._catalog = catalog
        self._feeds = feeds
        self._stopping = stopping
        self._boot = secrets.token_hex(6)

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self._list),
            Route("/page", self._page),
            Route("/events", self._page_events),
            Route("/list-events", self._list_events),
            Route("/assets/{name}", self._asset),
        ]
        middleware = [
            Middleware(ReadingOnly),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
        ]
        return Starlette(routes=routes, middleware=middleware, exception_handlers={404: _not_found})

    async def _list(self, request: Request) -> Response:
        return await asyncio.to_thread(self._list_now)

    def _list_now(self) -> Response:
        version = self._catalog.refresh()
        return HTMLResponse(list_page(self._catalog, version, self._boot))

    async def _page(self, request: Request) -> Response:
        return await asyncio.to_thread(self._page_now, request.query_params.getlist("run"))

    def _page_now(self, names: list[str]) -> Response:
        if not names or len(names) > MOST_RUNS:
            return _message(400, "Which runs?", f"A page shows 1 to {MOST_RUNS} runs, {len(names)} were chosen.")
        try:
            return HTMLResponse(self._feeds.page(list(dict.fromkeys(names))))
        except UnknownNameError as error:
            return _message(404, "There is no such run", str(error))
        except PhiscopeError as error:
            return _message(422, "This cannot be shown", str(error))

    async def _asset(self, request: Request) -> Response:
        one = await asyncio.to_thread(asset, request.path_params["name"])
        if one is None:
            return _message(404, "There is nothing here", "No page asks for such a file.")
        headers = {"etag": one.tag, "cache-control": "no-cache", "vary": "accept-encoding", "content-type": one.kind}
        if request.headers.get("if-none-match") == one.tag:
            return Response(status_code=304, headers=headers)
        if one.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(one.content, headers={**headers, "content-encoding": "gzip"})
        return Response(unpacked(one), headers=headers)

    async def _page_events(self, request: Request) -> Response:
        names = list(dict.fromkeys(request.query_params.getlist("run")))[:MOST_RUNS]
        said: dict[str, str] = {"marks": _known(request), "trouble": ""}

        def look() -> str:
            try:
                news = self._feeds.news(names, said["marks"])
            except PhiscopeError as error:
                return _trouble(said, error)
            return _told(said, news)

        return _stream(request, look, POLL, self._stopping)

    async def _list_events(self, request: Request) -> Response:
        said: dict[str, str] = {"marks": _known(request)}
        return _stream(request, lambda: self._list_news(said), LIST_POLL, self._stopping)

    def _list_news(self, said: dict[str, str]) -> str:
        version = self._catalog.refresh()
        boot, _, known = said["marks"].rpartition("-")
        if boot != self._boot or not known.isdecimal():
            return plain_event("reload", "{}")
        if int(known) == version:
            return ""
        changed, gone = self._catalog.since(int(known))
        said["marks"] = f"{self._boot}-{version}"
        rows = {entry.name: row_text(entry) for entry in changed}
        return plain_event("rows", json.dumps({"rows": rows, "gone": gone}), said["marks"])


def _known(request: Request) -> str:
    # A browser that connects again by itself says where it was; the address says where the page began.
    return request.headers.get("last-event-id") or request.query_params.get("marks", "")


def _told(said: dict[str, str], news: News | None) -> str:
    if news is None:
        # What was wrong has passed without a change that would show it.
        passed, said["trouble"] = bool(said["trouble"]), ""
        return plain_event("fine", "{}") if passed else ""
    said |= {"marks": news.marks, "trouble": ""}
    return plain_event(news.kind, news.data, news.marks)


def _trouble(said: dict[str, str], error: PhiscopeError) -> str:
    """A run that is gone or unreadable for now: said once, and looked at again."""
    if said["trouble"] == str(error):
        return ""
    said["trouble"] = str(error)
    return plain_event("trouble", json.dumps({"sentence": str(error)}))


def _stream(request: Request, look: Callable[[], str], pause: float, stopping: threading.Event) -> Response:
    headers = {"x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers=headers)

    async def events() -> AsyncIterator[str]:
        # A browser that lost the server asks again so soon.
        yield "retry: 1000\n\n"
        spoke = time.monotonic()
        while not stopping.is_set():
            text = await asyncio.to_thread(look)
            if not text and time.monotonic() - spoke > BREATH:
                text = ": still here\n\n"
            if text:
                yield text
                spoke = time.monotonic()
            await asyncio.sleep(pause)

    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def _message(code: int, title: str, sentence: str) -> Response:
    return HTMLResponse(message_page(title, sentence), code)


async def _not_found(request: Request, error: Exception) -> Response:
    return _message(404, "There is nothing here", "This server shows a list of runs, and the pages that it leads to.")


def application(catalog: Catalog, feeds: Feeds, stopping: threading.Event) -> Starlette:
    """The application that answers for a folder of runs; see `Site`."""
    return Site(catalog, feeds, stopping).app()
