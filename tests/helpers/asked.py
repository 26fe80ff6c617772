"""Questions to a server of runs, byte by byte as they are written here: no client corrects them."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(url: str, path: str = "/", method: str = "GET", *, body: bytes | None = None, **headers: str) -> Answer:
    """One question; underscores in the names of headers stand for hyphens."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
    try:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def ask_raw(url: str, content: bytes) -> bytes:
    """The beginning of what comes back for these bytes."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=10) as line:
        line.sendall(content)
        return line.recv(4096)


class Listening:
    """An open stream of events.

    Args:
        url: of the server.
        path: of the events.
        timeout: seconds to wait for the next one.
    """

    def __init__(self, url: str, path: str, timeout: float = 20.0, **headers: str) -> None:
        at = urlsplit(url)
        self._timeout = timeout
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=timeout)
        self._connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        self.answer = self._connection.getresponse()

    def next(self) -> tuple[str, Any, str]:
        """Kind, data and id of the next event; comments are passed over."""
        facts: dict[str, str] = {}
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            line = self.answer.readline()
            if not line:
                raise EOFError("the stream ended")
            text = line.decode().rstrip("\n")
            if text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                facts[name] = value
            elif not text and "event" in facts:
                return facts["event"], json.loads(facts["data"]), facts.get("id", "")
        raise TimeoutError("nothing but comments came")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
