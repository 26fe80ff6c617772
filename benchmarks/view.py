"""How long the list of phiscope.view takes beside the least it can take: reading the three files of each run.

    python benchmarks/view.py                          200 runs of 100 records
    python benchmarks/view.py --runs 50 --records 400
    python benchmarks/view.py --runs 1 --records 300 --features 2048 --classes 100

The runs are written to a temporary folder. "first" is the list when nothing is known, "again" when nothing has changed,
"one grew" after one run has got a record. "floor" reads header.json, scalars.jsonl and end.json of every run and does
nothing with them; "parsing" reads every line as JSON. Then a page that is open: from the moment a record is on the disk
until what is new can be sent, beside opening the run anew and making all of its page's data.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import phiscope
from phiscope.live.catalog import Catalog
from phiscope.live.feeds import Feeds
from phiscope.live.pages import list_page
from phiscope.page.payload import page_data
from phiscope.runs import RunWriter, open_run

ROUNDS = 5


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--classes", type=int, default=4)
    args = parser.parse_args()
    if min(args.runs, args.records, args.features) < 1 or args.classes < 2:
        parser.error("there is at least one run of one record with one feature and two classes")
    return args


def measured_run(folder: Path, records: int, features: int, classes: int) -> RunWriter:
    """A run of two splits; every record has the same numbers."""
    rng = np.random.default_rng(0)
    count = max(200, 2 * features)
    table, head = rng.normal(size=(count, features)), (rng.normal(size=(classes, features)), None)
    measurement = phiscope.diagonalize(table, head=head, targets=np.arange(count) % classes)
    writer = RunWriter.create(folder, {"name": folder.name, "splits": ["train", "test"]})
    extras = {"gallery_centered": measurement.eigenfunctions(table[:40], centered=True)[:, :8]}
    for epoch in range(records):
        both = {"train": measurement, "test": measurement}
        writer.append(epoch, epoch * 10, {"test_accuracy": 0.5, "train_loss": 1.0}, both, {"train": extras})
    return writer


def copied(source: Path, root: Path, count: int) -> None:
    """The same run many times; of its measurements only the lines, which are what a list reads."""
    for number in range(count):
        folder = root / f"run-{number:04d}"
        folder.mkdir(parents=True)
        for name in ("scalars.jsonl", "end.json"):
            shutil.copyfile(source / name, folder / name)
        header = json.loads((source / "header.json").read_text())
        (folder / "header.json").write_text(json.dumps({**header, "name": folder.name}))


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


def seconds(work: Callable[[], object]) -> float:
    """The least time of some rounds."""
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def listing(root: Path) -> None:
    """Print the times of the list."""

    def shown(catalog: Catalog) -> None:
        catalog.refresh()
        list_page(catalog, 0, "")

    least = seconds(lambda: floor(root))
    catalog = Catalog(root)
    shown(catalog)
    line = (root / "run-0000" / "scalars.jsonl").read_text().splitlines()[-1]

    def one_grew() -> None:
        with (root / "run-0000" / "scalars.jsonl").open("a") as file:
            file.write(json.dumps({**json.loads(line), "index": time.monotonic_ns(), "epoch": 1e6}) + "\n")
        shown(catalog)

    print(f"{'list':<34}{'seconds':>9}{'x floor':>9}")
    times = {
        "floor: reading the files": least,
        "parsing every line": seconds(lambda: parsing(root)),
        "first": seconds(lambda: shown(Catalog(root))),
        "again": seconds(lambda: shown(catalog)),
        "one grew": seconds(one_grew),
    }
    for name, spent in times.items():
        print(f"{name:<34}{spent:>9.3f}{spent / least:>9.1f}", flush=True)


def following(root: Path, writer: RunWriter, records: int) -> None:
    """Print what one more record costs on a page that is open."""
    feeds = Feeds(Catalog(root))
    name = writer.path.name
    marks = re.findall(r'data-marks="([^"]*)"', feeds.page([name]))[0]
    last = open_run(writer.path).records[-1]
    both = {split: last.measurement(split) for split in last.splits}
    spent = []
    for number in range(ROUNDS):
        writer.append(
            records + number, None, {"test_accuracy": 0.5, "train_loss": 1.0}, both, {"train": last.extras("train")}
        )
        start = time.perf_counter()
        news = feeds.news([name], marks)
        spent.append(time.perf_counter() - start)
        if news is None or news.kind != "records":
            raise SystemExit("the page was not told of the record")
        marks = news.marks
    anew = seconds(lambda: page_data({"a": open_run(writer.path)}))
    print(f"\n{'one more record':<34}{'seconds':>9}")
    print(f"{f'open page of {records} records':<34}{min(spent):>9.3f}")
    print(f"{'all of its data anew':<34}{anew:>9.3f}")


def main() -> None:
    """Write the runs, and print both tables."""
    args = parsed()
    folder = Path(tempfile.mkdtemp())
    try:
        ended = measured_run(folder / "ended", args.records, 32, 4)
        ended.finish()
        copied(ended.path, folder / "many", args.runs)
        listing(folder / "many")
        shutil.rmtree(ended.path)
        writer = measured_run(folder / "open", args.records, args.features, args.classes)
        following(folder, writer, args.records)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
