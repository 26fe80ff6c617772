"""Pages of runs, and what is new for a page that is open.

A page knows up to where it has been told, as one mark a run; what is new is made from the runs and these marks alone,
so that it does not matter which page asks, how often, or whether it was asleep in between.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from phiscope.errors import RunFormatError, UnknownNameError
from phiscope.live.catalog import Catalog, has_link
from phiscope.page.build import Served, cards_text, contrast_text, on_one_axis, page_text
from phiscope.page.payload import Extremes, page_data
from phiscope.page.updates import has_chosen_rows, page_update
from phiscope.page.words import unique_labels
from phiscope.runs.following import FollowedRun, Look

if TYPE_CHECKING:
    from phiscope.runs import Run

KEPT = 64
"""So many runs are followed at a time; the one that was asked for longest ago is read anew when asked again."""

LIBRARY, SCRIPT = "/assets/plotly.js", "/assets/page.js"
"""Where a page finds the drawing library and its own script."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What an open page is told.

    Attributes:
        kind: "records", or "reload" where the page has to be made anew.
        data: JSON text.
        marks: up to where the page knows its runs then.
    """

    kind: str
    data: str
    marks: str


@dataclass
class _Feed:
    followed: FollowedRun
    extremes: Extremes = field(default_factory=Extremes)


class Feeds:
    """Pages of the runs in a catalog.

    Args:
        catalog: where runs are looked up by name.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._feeds: OrderedDict[str, _Feed] = OrderedDict()

    def page(self, names: Sequence[str], *, alone: bool = False) -> str:
        """The page of some runs as they are now.

        Args:
            names: of the runs.
            alone: make a page that needs no server.

        Raises:
            UnknownNameError: there is no such run.
            RunFormatError: a run, or a measurement of it, cannot be read.
        """
        feeds, looks = self._look(names)
        runs = on_one_axis(_labelled(looks))
        data = page_data(runs)
        for feed, one in zip(feeds, data["runs"], strict=True):
            feed.extremes = feed.extremes.wider(Extremes(**one["extremes"]))
        return page_text(runs, data=data, served=None if alone else _served(names, looks))

    def news(self, names: Sequence[str], marks: str) -> News | None:
        """What is new for an open page; None where nothing is.

        Args:
            names: of its runs, in its order.
            marks: up to where it knows them.

        Raises:
            UnknownNameError: a run is gone.
            RunFormatError: a run, or a measurement of it, cannot be read.
        """
        feeds, looks = self._look(names)
        if _marks(looks) == marks:
            return None
        known = marks.split(",")
        firsts = [
            feed.followed.first_since(mark)
            for feed, mark in zip(feeds, known, strict=False)
            if len(known) == len(feeds)
        ]
        if len(firsts) < len(feeds) or None in firsts:
            return News(kind="reload", data="{}", marks=_marks(looks))
        runs = on_one_axis(_labelled(looks))
        if has_chosen_rows(runs):
            return News(kind="reload", data="{}", marks=_marks(looks))
        # A look may be older than what `first_since` knows by now; what came between is told the next time.
        first = [min(one or 0, len(run.records)) for one, run in zip(firsts, runs.values(), strict=True)]
        update, extremes = page_update(runs, first, [feed.extremes for feed in feeds])
        for feed, reach in zip(feeds, extremes, strict=True):
            feed.extremes = feed.extremes.wider(reach)
        served = _served(names, looks)
        told = {"update": update, "cards": cards_text(runs, served), "contrast": contrast_text(runs)}
        text = json.dumps(told, separators=(",", ":"), allow_nan=False)
        return News(kind="records", data=text, marks=served.marks)

    def _look(self, names: Sequence[str]) -> tuple[list[_Feed], list[Look]]:
        feeds = [self._feed(name) for name in names]
        return feeds, [feed.followed.look() for feed in feeds]

    def _feed(self, name: str) -> _Feed:
        folder = self._catalog.folder(name)
        if folder is None:
            self._catalog.refresh()
            folder = self._catalog.folder(name)
        if folder is None:
            raise UnknownNameError("run", name, [entry.name for entry in self._catalog.entries()])
        if has_link(folder):
            raise RunFormatError(
                f"a file of the run {name} is a link, which may lead out of the folder; put the file there"
            )
        with self._lock:
            feed = self._feeds.setdefault(name, _Feed(FollowedRun(folder)))
            self._feeds.move_to_end(name)
            while len(self._feeds) > KEPT:
                self._feeds.popitem(last=False)
            return feed


def page_address(names: Sequence[str]) -> str:
    """Where the page of some runs is, below the server's address.

    Example:
        >>> page_address(["a b", "c"])
        '/page?run=a+b&run=c'
    """
    return f"/page?{urlencode([('run', name) for name in names])}"


def _served(names: Sequence[str], looks: Sequence[Look]) -> Served:
    return Served(
        library=LIBRARY,
        script=SCRIPT,
        home="/",
        events=f"/events?{urlencode([('run', name) for name in names])}",
        marks=_marks(looks),
    )


def _marks(looks: Sequence[Look]) -> str:
    return ",".join(look.mark for look in looks)


def _labelled(looks: Sequence[Look]) -> dict[str, Run]:
    runs = [look.run for look in looks]
    return dict(zip(unique_labels(runs), runs, strict=True))


def plain_event(kind: str, data: str, mark: Any = None) -> str:
    """A server-sent event; the data have to be one line, as JSON is.

    Example:
        >>> plain_event("records", "{}", 3).splitlines()
        ['event: records', 'id: 3', 'data: {}', '']
    """
    name = "" if mark is None else f"id: {mark}\n"
    return f"event: {kind}\n{name}data: {data}\n\n"
