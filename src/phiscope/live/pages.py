"""The list of runs and what is said instead of a page, as HTML; everything that a run says is escaped."""

from __future__ import annotations

import functools
import gzip
import hashlib
import html
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from phiscope.live.catalog import Catalog, Entry
from phiscope.live.feeds import page_address
from phiscope.page.build import SCRIPTS, environment, packed_plotly
from phiscope.version import __version__

STATUS_WORDS = {
    "completed": "completed",
    "interrupted": "interrupted",
    "failed": "failed",
    "unfinished": "running",
    "unreadable": "cannot be read",
}
"""What the list says of each status; its script knows when one that runs has long been quiet and may be dead."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file that pages ask for.

    Attributes:
        content: its bytes.
        kind: its media type.
        tag: changes with the content.
        packed: whether the content is packed by gzip.
    """

    content: bytes
    kind: str
    tag: str
    packed: bool = False


def list_page(catalog: Catalog, version: int, boot: str, *, alone: bool = False) -> str:
    """The list of runs.

    Args:
        catalog: of the runs, refreshed.
        version: of the catalog.
        boot: names this server, so that a page of another one is made anew.
        alone: make a page that needs no server: without links, and it stays as it is.
    """
    return (
        environment("phiscope.live")
        .get_template("list.html")
        .render(
            alone=alone,
            root=catalog.root.name or str(catalog.root),
            rows=[row_text(entry, alone=alone) for entry in catalog.entries()],
            links=catalog.links,
            version=f"{boot}-{version}",
            made_by=__version__,
            css=text_of("list.css") if alone else "",
            script=text_of("list.js") if alone else "",
            theme=_page_text("theme.js") if alone else "",
        )
    )


def row_text(entry: Entry, *, alone: bool = False) -> str:
    """One line of the list as a table row."""
    return (
        environment("phiscope.live")
        .get_template("row.html")
        .render(
            row=entry.row,
            bytes=entry.bytes,
            size=size_words(entry.bytes),
            address="" if alone else page_address([entry.name]),
            status=STATUS_WORDS[entry.row.status],
            alone=alone,
        )
    )


def message_page(title: str, sentence: str) -> str:
    """A page that says why there is no other."""
    return environment("phiscope.live").get_template("message.html").render(title=title, sentence=sentence)


def size_words(count: int | None) -> str:
    """A number of bytes as a reader wants it.

    Example:
        >>> size_words(None), size_words(312), size_words(84_200), size_words(12_345_678)
        ('', '312 B', '84 kB', '12 MB')
    """
    if count is None:
        return ""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


@functools.cache
def asset(name: str) -> Asset | None:
    """A file for pages, None where there is none of this name.

    Raises:
        MissingDependencyError: plotly is not installed.
    """
    if name == "plotly.js":
        return _asset(b64decode(packed_plotly()), "text/javascript; charset=utf-8", packed=True)
    if name == "page.js":
        parts = [_page_text(part) for part in (*SCRIPTS, "grow.js")] + [text_of("follow.js")]
        whole = '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"
        return _asset(whole.encode(), "text/javascript; charset=utf-8")
    if name == "theme.js":
        return _asset(_page_text(name).encode(), "text/javascript; charset=utf-8")
    if name == "list.js":
        return _asset(text_of(name).encode(), "text/javascript; charset=utf-8")
    if name == "list.css":
        return _asset(text_of(name).encode(), "text/css; charset=utf-8")
    return None


def unpacked(one: Asset) -> bytes:
    """The content for a reader that cannot unpack."""
    return gzip.decompress(one.content) if one.packed else one.content


def framed(pages: Sequence[str], heights: Sequence[int]) -> str:
    """Pages in frames that hold them, so that a notebook shows them without asking any server."""
    frame = (
        '<iframe srcdoc="{}" sandbox="allow-scripts" title="phiscope" '
        'style="width:100%;height:{}px;border:1px solid #d9dde2;border-radius:6px;background:#fff"></iframe>'
    )
    both = zip(pages, heights, strict=True)
    return "".join(frame.format(html.escape(page, quote=True), height) for page, height in both)


def _asset(content: bytes, kind: str, *, packed: bool = False) -> Asset:
    return Asset(content=content, kind=kind, tag=f'"{hashlib.sha256(content).hexdigest()[:24]}"', packed=packed)


def text_of(name: str, package: str = "phiscope.live") -> str:
    """A file of a package's ``assets``."""
    return (files(package) / "assets" / name).read_text(encoding="utf-8")


def _page_text(name: str) -> str:
    return text_of(name, "phiscope.page")
