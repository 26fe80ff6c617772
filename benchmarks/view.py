"""The speed of looking: a page of a long run in a real browser, an open page that is told of records, the list of runs.

    make looking                                      docs/evidence/looking.md and .json
    python benchmarks/view.py                         the same, to the terminal alone
    python benchmarks/view.py --records 30 --features 64 --classes 10 --samples 256      a small run
    python benchmarks/view.py --render docs/evidence/looking.json      the page again, without measuring

Runs are written to a temporary folder, which takes some gigabytes. What is measured, the page says:
docs/evidence/looking.md. The exit code is 0 when all targets are met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed_parts import machine
from view_parts import browser, listing
from view_parts.page import page_text, rows
from view_parts.runs import Size, append, copied, stages, written

import phiscope
from phiscope.live.feeds import page_address

ROUNDS = 5


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--samples", type=int, default=2000, help="in the gallery of each split")
    parser.add_argument("--runs", type=int, default=200, help="in the list, with a hundred records each")
    parser.add_argument("--out", type=Path, help="folder for looking.md and looking.json")
    parser.add_argument("--render", type=Path, metavar="JSON", help="make the page from this file, measure nothing")
    parser.add_argument("--conditions", default="", help="a sentence about the machine for the end of the page")
    args = parser.parse_args(words)
    if min(args.records, args.features, args.samples, args.runs) < 1 or args.classes < 2:
        parser.error("there is at least one run of one record with one feature, one sample and two classes")
    return args


def measured(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that the page tells."""
    size = Size(records=args.records, features=args.features, classes=args.classes, samples=args.samples)
    told: dict[str, Any] = {
        "machine": machine.facts(),
        "commit": machine.commit(),
        "size": vars(size),
        "runs": args.runs,
        "listed": 100,
        "steps": browser.STEPS,
        "conditions": args.conditions,
    }
    small = Size(records=100, features=32, classes=4)
    said("a list of runs")
    ended = written(folder / "ended", small, stages(small))
    ended.finish()
    copied(ended.path, folder / "many", args.runs)
    told["list"] = listing.listed(folder / "many")
    said("a long run")
    kinds = stages(size)
    writer = written(folder / "open" / "long", size, kinds)
    start = time.perf_counter()
    page = phiscope.report(writer.path, folder / "page.html")
    told["report_s"] = time.perf_counter() - start
    with browser.chromium() as opened:
        told["chromium"] = f"Chromium {opened.version}"
        said("a page in the browser")
        told["page"] = {"megabytes": page.stat().st_size / 1e6, **browser.looked_at(opened, page, ROUNDS)}
        with phiscope.view(folder / "many") as shown:
            told["list_open_s"] = browser.often_opened(opened, shown.url, ROUNDS, browser.READY)
        said("a page that is open while the run grows")
        number = iter(range(size.records, size.records + 1000))

        def more() -> None:
            append(writer, next(number), kinds[-1])

        with phiscope.view(folder / "open") as shown:
            address = shown.url.rstrip("/") + page_address(["long"])
            told["update_s"] = browser.told_of(opened, address, more, 2 * ROUNDS)
    told["news"] = listing.followed(folder / "open", "long", more)
    return told


def said(text: str) -> None:
    """Where the benchmark is, because it takes minutes."""
    print(text, file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print or write the page."""
    args = parsed(words)
    if args.render:
        told, args.out = json.loads(args.render.read_text(encoding="utf-8")), args.out or args.render.parent
    else:
        # Small matrices want one thread, as everywhere in these benchmarks.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        folder = Path(tempfile.mkdtemp())
        try:
            told = measured(args, folder)
        finally:
            shutil.rmtree(folder)
    text = page_text(told)
    if args.out is None:
        print(text)
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "looking.md").write_text(text, encoding="utf-8")
        (args.out / "looking.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(args.out / "looking.md")
    missed = [what for what, _, _, met in rows(told) if not met]
    print("".join(f"missed: {what}\n" for what in missed), file=sys.stderr, end="")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
