"""Pages of runs and what is new for them, without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from phiscope.errors import RunFormatError, UnknownNameError
from phiscope.live import feeds as module
from phiscope.live.catalog import Catalog
from phiscope.live.feeds import Feeds, page_address
from phiscope.runs import RunWriter
from small_runs import measured


@pytest.fixture
def feeds(root: Path) -> Feeds:
    return Feeds(Catalog(root))


@pytest.fixture
def growing(root: Path) -> RunWriter:
    writer = RunWriter.create(root / "growing", {"name": "growing", "splits": ["train"]})
    for epoch in range(3):
        writer.append(epoch, 10 * epoch, {"test_accuracy": 0.5}, {"train": measured(epoch)})
    return writer


def marks(page: str) -> str:
    found = re.search(r'data-marks="([^"]*)"', page)
    assert found
    return found[1]


def test_a_page_without_news_is_told_nothing(feeds: Feeds) -> None:
    page = feeds.page(["alpha", "beta"])
    assert feeds.news(["alpha", "beta"], marks(page)) is None


def test_a_page_that_stands_alone_asks_no_server(feeds: Feeds) -> None:
    page = feeds.page(["alpha"], alone=True)
    assert "data-marks" not in page
    assert "/assets/" not in page
    assert "DecompressionStream" in page
    # The drawing library is inside.
    assert len(page) > 1_000_000 + len(feeds.page(["alpha"]))


def test_an_update_reads_no_old_measurement_but_the_last(
    feeds: Feeds, growing: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = marks(feeds.page(["growing"]))
    for epoch in range(3, 9):
        growing.append(epoch, 10 * epoch, {"test_accuracy": 0.5}, {"train": measured(epoch)})
        news = feeds.news(["growing"], mark)
        assert news is not None
        mark = news.marks
    framed: list[int] = []
    real = module.page_update
    monkeypatch.setattr(
        module, "page_update", lambda runs, firsts, known: framed.extend(firsts) or real(runs, firsts, known)
    )
    growing.append(9, 90, {"test_accuracy": 0.5}, {"train": measured(9)})
    news = feeds.news(["growing"], mark)
    assert news is not None
    assert framed == [9]
    assert json.loads(news.data)["update"]["runs"][0]["epochs"] == [9]


def test_axes_reach_as_far_as_the_widest_record_ever_told(feeds: Feeds, growing: RunWriter) -> None:
    mark = marks(feeds.page(["growing"]))
    growing.append(3, 30, {"test_accuracy": 0.5}, {"train": measured(3, p=20)})
    wide = feeds.news(["growing"], mark)
    growing.append(4, 40, {"test_accuracy": 0.5}, {"train": measured(4)})
    narrow = feeds.news(["growing"], wide.marks if wide else "")
    reach = [json.loads(one.data)["update"]["runs"][0]["extremes"]["widest"] for one in (wide, narrow) if one]
    assert reach == [20, 20]


def test_marks_of_other_runs_make_a_page_anew(feeds: Feeds) -> None:
    one, both = marks(feeds.page(["alpha"])), marks(feeds.page(["alpha", "beta"]))
    for names, mark in ((["alpha", "beta"], one), (["alpha"], both), (["beta", "alpha"], both)):
        news = feeds.news(names, mark)
        assert news is not None
        assert news.kind == "reload"


def test_few_runs_are_kept_open(feeds: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    mark = marks(feeds.page(["alpha"]))
    feeds.page(["beta"])
    news = feeds.news(["alpha"], mark)
    assert news is not None
    assert news.kind == "reload"


def test_what_cannot_be_shown(feeds: Feeds, root: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no run named '\.\./runs/alpha'"):
        feeds.page(["../runs/alpha"])
    with pytest.raises(RunFormatError, match="cannot be read"):
        feeds.page(["broken"])
    (root / "beta" / "header.json").rename(root / "header")
    (root / "beta" / "header.json").symlink_to(root / "header")
    with pytest.raises(RunFormatError, match="is a link"):
        feeds.page(["beta"])


def test_an_address_holds_any_name() -> None:
    assert page_address(["a&b=c", "ü/x y"]) == "/page?run=a%26b%3Dc&run=%C3%BC%2Fx+y"


def test_runs_side_by_side_are_told_how_they_differ_now(feeds: Feeds, growing: RunWriter) -> None:
    mark = marks(feeds.page(["growing", "alpha"]))
    growing.append(3, 30, {"test_accuracy": 0.875}, {"train": measured(3)})
    news = feeds.news(["growing", "alpha"], mark)
    assert news is not None
    assert "<td>0.875</td>" in json.loads(news.data)["texts"]["differences"]
    # One run is compared with nothing.
    mark = marks(feeds.page(["growing"]))
    growing.append(4, 40, {"test_accuracy": 0.9}, {"train": measured(4)})
    alone = feeds.news(["growing"], mark)
    assert alone is not None
    assert "differences" not in json.loads(alone.data)["texts"]
