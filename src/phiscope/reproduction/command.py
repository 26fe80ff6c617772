"""The command `phiscope reproduce`: what it runs, prints and writes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from phiscope.errors import InputError
from phiscope.reproduction.engine import Progress
from phiscope.reproduction.families import family_named
from phiscope.reproduction.family import Scale
from phiscope.reproduction.page import write_docs, write_page
from phiscope.reproduction.run import Reproduction, judge, reproduce
from phiscope.reproduction.summary import FamilySummary
from phiscope.reproduction.text import terminal_text


class Options(Protocol):
    """What the command line gives."""

    family: str | None
    scale: Scale
    jobs: int
    seeds: int
    out: str
    data: str | None
    device: str
    docs: str | None
    judge: bool
    renew: bool


def run_reproduction(options: Options) -> tuple[int, bool]:
    """Run, print the verdicts, write the page.

    Returns:
        How many trainings failed, and whether Ctrl-C ended it.

    Raises:
        InputError: ``docs`` without all families, whose page it is.
    """
    if options.docs is not None and options.family is not None:
        raise InputError("--docs writes the page of all families; leave FAMILY out, got " + options.family)
    done = _done(options)
    print(terminal_text(done.summaries))
    shown, medium = _shown(options, done)
    print(f"page: {write_page(shown, Path(options.out) / _page_name(options), medium=medium)}")
    if options.docs is not None:
        print(f"docs: {write_docs(shown, Path(options.docs), medium=medium)}")
    for key, why in done.progress.failed.items():
        print(f"phiscope: {key} failed: {why.rstrip()}", file=sys.stderr)
    if done.progress.interrupted:
        print("phiscope: stopped; the same command goes on from here", file=sys.stderr)
    return len(done.progress.failed), done.progress.interrupted


def _shown(options: Options, done: Reproduction) -> tuple[Sequence[FamilySummary], Sequence[FamilySummary]]:
    """What stands on the page: at full scale that alone, otherwise small with medium beside it."""
    if options.scale == "full":
        return done.summaries, ()

    def judged(scale: Scale) -> Sequence[FamilySummary]:
        if scale == options.scale:
            return done.summaries
        one = None if options.family is None else family_named(options.family)
        if one is not None and not one.conditions(scale):
            return ()
        return judge(options.family, scale=scale, out=options.out, seeds=options.seeds)

    return judged("small"), judged("medium")


def _done(options: Options) -> Reproduction:
    if options.judge:
        summaries = judge(options.family, scale=options.scale, out=options.out, seeds=options.seeds)
        return Reproduction(summaries=summaries, progress=Progress())
    return reproduce(
        options.family,
        scale=options.scale,
        jobs=options.jobs,
        out=options.out,
        data=options.data,
        seeds=options.seeds,
        device=options.device,
        renew=options.renew,
    )


def _page_name(options: Options) -> str:
    parts = ["reproduction", *([options.family] if options.family else []), *(["full"] * (options.scale == "full"))]
    return "-".join(parts) + ".html"
