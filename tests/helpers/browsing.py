"""A headless Chromium, and what goes wrong on the pages that it opens."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A browser that is closed at the end."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()


_IDLE: WeakKeyDictionary[Browser, dict[str, list[Page]]] = WeakKeyDictionary()


class Watched:
    """One page with everything that went wrong on it, and everything it asked for.

    A tab that was closed is used again, emptied: in a new one the drawing library is compiled anew, for a second.

    Attributes:
        page: the page.
        faults: errors and warnings of the console, and exceptions.
        requests: addresses.
    """

    def __init__(
        self, browser: Browser, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light"
    ) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._idle = _IDLE.setdefault(browser, {}).setdefault(address.partition(":")[0], [])
        self.page: Page = self._idle.pop() if self._idle else browser.new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme, media="screen")  # type: ignore[arg-type]
        self._heard: dict[str, Callable[[Any], None]] = {
            "console": lambda message: self._note(message.type, message.text),
            "pageerror": lambda error: self.faults.append(str(error)),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, heard in self._heard.items():
            self.page.on(event, heard)  # type: ignore[call-overload]
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready=yes]")

    def close(self) -> None:
        """Leave the page; nothing that it stored stays."""
        for event, heard in self._heard.items():
            self.page.remove_listener(event, heard)
        self.page.evaluate("localStorage.clear(), sessionStorage.clear()")
        self.page.goto("about:blank")
        self._idle.append(self.page)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(text)

    def until(self, expression: str, timeout: float = 20.0) -> None:
        """Wait until an expression is true on the page; Playwright's own wait is refused where a page forbids eval."""
        end = time.monotonic() + timeout
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            self.page.wait_for_timeout(30)

    def drawn(self) -> None:
        """Wait until all pictures in open sections are drawn."""
        left = (
            "[...document.querySelectorAll('.chart, .gallery-run')].some(node => !node.closest('details:not([open])')"
        )
        self.until(f"!{left} && node.dataset.stale !== 'no')")

    def unfold(self) -> None:
        """Open every section, and wait until its pictures are drawn."""
        self.page.evaluate("document.querySelectorAll('details').forEach(node => (node.open = true))")
        self.drawn()

    def see(self, selector: str) -> None:
        """Bring a picture to where it is drawn anew, and wait for it."""
        self.page.evaluate(f"document.querySelector('{selector}').scrollIntoView({{behavior: 'instant'}})")
        self.until(f"document.querySelector('{selector}').dataset.stale === 'no'")

    def settle(self) -> None:
        """Wait until the page shows what was chosen last: on a busy machine no fixed time is long enough."""
        self.page.wait_for_selector("html[data-settled=yes]")

    def violations(self) -> list[str]:
        """What axe finds wrong for people who cannot see colors or the page, or have no mouse."""
        pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
        self.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        # The inside of a chart is one picture with words; its hundreds of marks would take axe seconds.
        charts = "{exclude: [['.svg-container']]}"
        found = self.page.evaluate(f"axe.run({charts}, {{resultTypes: ['violations']}})")["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wide

    def outside(self, server: str) -> list[str]:
        """Requests that went neither to the server nor to data in the page."""
        return [url for url in self.requests if not url.startswith((server, "data:", "blob:"))]
