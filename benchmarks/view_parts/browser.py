"""A browser that looks at a page: how long it opens, what a step of the slider takes, how often the plane moves."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STEPS = 60
"""So many steps of the slider are timed."""

REST = 3000
"""So many milliseconds a page that has opened has for what is out of sight."""

PLAYED = 3.0
"""So many seconds the picture plays while frames are counted."""

WATCH = """
() => {
  const root = document.documentElement;
  window.seen = [];
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => window.seen.push(Date.now()))))
    .observe(root, { attributes: true, attributeFilter: ["data-records"] });
}
"""
"""Notes when a new record has been painted."""

ONE_STEP = """
(place) => new Promise((done) => {
  const slider = document.getElementById("position");
  slider.value = String(place);
  const start = performance.now();
  slider.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})
"""
"""From moving the slider until the frame with what follows it has been painted."""

DRAWN = """
(() => {
  const chart = document.querySelector(".operator");
  return document.documentElement.dataset.ready === "yes" && Boolean(chart && chart.data && chart.data.length);
})()
"""
"""Whether the first picture is there."""

READY = "document.documentElement.dataset.ready === 'yes'"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser.

    Raises:
        SystemExit: there is no Chromium, or no Playwright.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("the browser is driven by playwright; pip install 'phiscope[dev]'") from None
    if found is None:
        raise SystemExit("there is no Chromium to look with; install chromium, or pass --no-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def until(page: Page, expression: str, patience: float = 120.0) -> None:
    """Wait until an expression is true."""
    end = time.monotonic() + patience
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise SystemExit(f"the page never came to {expression}")
        page.wait_for_timeout(15)


def opened(browser: Browser, address: str, sign: str = DRAWN) -> tuple[Page, float]:
    """The page, and the seconds until its first picture was drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    until(page, sign)
    return page, time.perf_counter() - start


def often_opened(browser: Browser, address: str, rounds: int, sign: str = DRAWN) -> list[float]:
    """Seconds of some openings."""
    spent = []
    for _ in range(rounds):
        page, seconds = opened(browser, address, sign)
        page.close()
        spent.append(seconds)
    return spent


def looked_at(browser: Browser, path: Path, rounds: int) -> dict[str, Any]:
    """Opening, sliding and playing of a page that stands alone."""
    spent = often_opened(browser, path.as_uri(), rounds)
    page, _ = opened(browser, path.as_uri())
    page.wait_for_timeout(REST)
    told = {"open_s": spent, **slid(page), **played(page)}
    page.close()
    return told


def told_of(browser: Browser, address: str, more: Callable[[], None], rounds: int) -> list[float]:
    """Seconds from a record on the disk until an open page has painted it."""
    page, _ = opened(browser, address)
    page.wait_for_timeout(REST)
    page.evaluate(WATCH)
    spent = []
    for number in range(rounds):
        more()
        written = time.time()
        until(page, f"window.seen.length > {number}")
        spent.append(page.evaluate("window.seen.at(-1)") / 1000 - written)
        page.wait_for_timeout(500)
    page.close()
    return spent


def shown(page: Page, selector: str) -> None:
    """Bring a picture into sight, also one in a section that is folded."""
    page.locator(selector).first.evaluate(
        "node => { for (let one = node; one; one = one.parentElement) if (one.tagName === 'DETAILS') one.open = true; }"
    )
    page.locator(selector).first.scroll_into_view_if_needed()


def slid(page: Page) -> dict[str, Any]:
    """Steps of the slider with the first picture in sight, then with map and plane."""
    count = int(page.evaluate("Number(document.getElementById('position').max)"))
    told = {}
    for name, selector in (("picture", ".operator"), ("map", ".map"), ("plane", ".plane")):
        shown(page, selector)
        page.wait_for_timeout(1500)
        spent = [page.evaluate(ONE_STEP, (count - 1 - step) % (count + 1)) for step in range(STEPS)]
        told[f"slide_{name}_ms"] = round(statistics.median(spent), 1)
        until(page, "document.documentElement.dataset.settled === 'yes'")
    return told


def played(page: Page) -> dict[str, Any]:
    """Frames of the plane in a second while the picture plays."""
    shown(page, ".plane")
    page.evaluate("document.getElementById('position').value = '0'")
    page.locator("#position").dispatch_event("input")
    page.wait_for_timeout(1500)
    page.evaluate("document.getElementById('play').click()")
    page.wait_for_timeout(300)
    before = page.evaluate("[document.querySelector('.plane').painted, performance.now()]")
    page.wait_for_timeout(int(1000 * PLAYED))
    after = page.evaluate("[document.querySelector('.plane').painted, performance.now()]")
    page.evaluate("document.getElementById('play').click()")
    dots = page.evaluate("document.querySelector('.plane').getAttribute('aria-label').match(/([0-9]+) samples/)[1]")
    return {"frames_a_second": 1000 * (after[0] - before[0]) / (after[1] - before[1]), "dots": int(dots)}
