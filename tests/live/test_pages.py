"""The list and other pages as text: everything a run says is escaped, and a page that stands alone needs nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from phiscope.live.catalog import Catalog, Entry
from phiscope.live.pages import asset, framed, list_page, message_page, row_text, size_words, text_of
from phiscope.live.rows import Row

EVIL = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def entry(**facts: object) -> Entry:
    row = Row(**{"name": EVIL, "title": EVIL, "problem": "", "status": "completed", **facts})  # type: ignore[arg-type]
    return Entry(name=EVIL, folder=Path("x"), row=row, bytes=1234, version=1, stamp=(), glance=None)


@pytest.mark.parametrize("facts", [{}, {"problem": EVIL}, {"accuracy_name": EVIL, "accuracy": 0.5}, {"moment": EVIL}])
def test_nothing_a_run_says_becomes_a_tag(facts: dict[str, object]) -> None:
    tags = Tags(row_text(entry(**facts))).found
    assert {tag for tag, _ in tags} <= {"tr", "td", "input", "a", "b", "span", "i", "time", "sub"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert next(a for tag, a in tags if tag == "tr")["data-name"] == EVIL
    assert ("a" in {tag for tag, _ in tags}) == ("problem" not in facts)


def test_a_list_that_stands_alone_has_no_address_in_it(root: Path) -> None:
    catalog = Catalog(root)
    text = list_page(catalog, catalog.refresh(), "", alone=True)
    tags = Tags(text).found
    assert not [a for _, a in tags if {"src", "href"} & set(a) and not str(a.get("href")).startswith("#")]
    assert "input" not in {tag for tag, a in tags if a.get("name") == "run"}
    assert "Content-Security-Policy" in text
    assert text.count("<tr ") == 5


def test_the_list_says_what_it_left_out_and_what_to_do_without_runs(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    text = list_page(catalog, catalog.refresh(), "boot")
    assert re.search(r'<p id="hint" class="quiet" *>', text)
    assert re.search(r'<table id="runs" hidden>', text)
    assert 'data-marks="boot-' in text


def test_assets_change_their_tag_with_their_content() -> None:
    names = ("plotly.js", "page.js", "list.js", "list.css")
    made = [asset(name) for name in names]
    assert len({one.tag for one in made if one}) == 4
    assert asset("list.html") is None
    assert asset("../pages.py") is None
    page = made[1]
    assert page is not None
    assert b"function grow(" in page.content
    assert b"EventSource" in page.content


def test_no_page_asks_another_place() -> None:
    for name in ("list.html", "row.html", "message.html", "list.css", "list.js", "follow.js"):
        assert not re.search(r"https?://|url\(", text_of(name)), name


def test_a_message_and_a_frame_are_escaped() -> None:
    assert "<script>window" not in message_page(EVIL, EVIL)
    (tag, attributes), *rest = Tags(framed([f'<p title="x">{EVIL}</p>'], [100])).found
    assert (tag, rest) == ("iframe", [])
    assert attributes["srcdoc"] == f'<p title="x">{EVIL}</p>'
    assert attributes["sandbox"] == "allow-scripts"


def test_sizes_in_words() -> None:
    assert [size_words(count) for count in (0, 999, 1000, 9_949, 10**9, 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "9.9 kB",
        "1.0 GB",
        "1000 TB",
    ]
