"""The list of runs and an update of an open page without a browser, beside the least that they can take."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from phiscope.live.catalog import Catalog
from phiscope.live.feeds import Feeds
from phiscope.live.pages import list_page
from phiscope.page.payload import page_data
from phiscope.runs import open_run

ROUNDS = 5


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The least time of some rounds."""
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def floor(root: Path) -> None:
    """Read the three files of each run."""
    for folder in root.iterdir():
        for name in ("header.json", "scalars.jsonl", "end.json"):
            (folder / name).read_bytes()


def parsing(root: Path) -> None:
    """Read every line as JSON."""
    for folder in root.iterdir():
        for line in (folder / "scalars.jsonl").read_bytes().splitlines():
            json.loads(line)


def listed(root: Path) -> dict[str, float]:
    """Seconds of the list: when nothing is known, when nothing has changed, after one run has grown."""

    def shown(catalog: Catalog) -> None:
        catalog.refresh()
        list_page(catalog, 0, "")

    catalog = Catalog(root)
    least = seconds(lambda: floor(root))
    lines = seconds(lambda: parsing(root))
    first = seconds(lambda: shown(Catalog(root)))
    shown(catalog)
    again = seconds(lambda: shown(catalog))
    line = (root / "run-0000" / "scalars.jsonl").read_text().splitlines()[-1]

    def one_grew() -> None:
        with (root / "run-0000" / "scalars.jsonl").open("a") as file:
            file.write(json.dumps({**json.loads(line), "index": time.monotonic_ns(), "epoch": 1e6}) + "\n")
        shown(catalog)

    return {"floor": least, "parsing": lines, "first": first, "again": again, "one grew": seconds(one_grew)}


def followed(root: Path, name: str, more: Callable[[], None]) -> dict[str, float]:
    """Seconds from a record on the disk until what is new can be sent, and of making all of the page's data anew."""
    feeds = Feeds(Catalog(root))
    start = time.perf_counter()
    marks = re.findall(r'data-marks="([^"]*)"', feeds.page([name]))[0]
    whole = time.perf_counter() - start
    spent = []
    for _ in range(ROUNDS):
        more()
        start = time.perf_counter()
        news = feeds.news([name], marks)
        spent.append(time.perf_counter() - start)
        if news is None or news.kind != "records":
            raise SystemExit("the page was not told of the record")
        marks = news.marks
    return {
        "first page": whole,
        "news": min(spent),
        "anew": seconds(lambda: page_data({"a": open_run(root / name)}), 1),
    }
