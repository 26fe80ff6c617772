"""Follows every link of the built site: to a file that is there, to a place that the file has, and to no other host."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data")}
"""Attributes whose address a browser asks for by itself; those may only lie in the site."""

GENERATED = ("genindex.html", "search.html", "py-modindex.html")
"""Pages that Sphinx makes; their links come from pages that are checked, in thousands."""


class _Page(HTMLParser):
    """Links and anchors of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, bool]] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep ids, and addresses with whether they are loaded unasked."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if value and (name == "href" or (tag, name) in LOADED):
                self.links.append((value, (tag, name) in LOADED))


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken_links(site: Path) -> list[str]:
    """One sentence for each link inside the site that leads nowhere, and for each thing loaded from elsewhere.

    Args:
        site: the folder.
    """
    _read.cache_clear()
    broken = []
    for path in sorted(site.rglob("*.html")):
        if path.name in GENERATED:
            continue
        for link, loaded in _read(path).links:
            reason = _what_is_wrong(path, link, loaded)
            if reason:
                broken.append(f"{path.relative_to(site)}: {link} {reason}")
    return broken


def _what_is_wrong(page: Path, link: str, loaded: bool) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        outside = loaded and parts.scheme != "data"
        return "is loaded from outside the site" if outside else ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return "leads to no file"
    missing = parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _read(target).anchors
    return "leads to no place on that page" if missing else ""
