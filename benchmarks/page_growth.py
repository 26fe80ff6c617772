"""Time and size of the page by the number of records: in line with them, not with their square.

    python benchmarks/page_growth.py                  1,000 to 16,000 records of two scalars, 64 to 512 measured ones
    python benchmarks/page_growth.py --records 4000   one length

Each run is written to a temporary folder. The last column is the time for each record: it falls or stays while the page
grows in line, and doubles with each row when something walks through all records for each record.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import phiscope
from phiscope.runs import Run, RunWriter, open_run


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 2000, 4000, 8000, 16_000])
    parser.add_argument("--measured", type=int, nargs="+", default=[64, 128, 256, 512])
    args = parser.parse_args()
    if min([*args.records, *args.measured]) < 1:
        parser.error("a run has at least one record")
    return args


def scalar_run(folder: Path, count: int) -> Run:
    """A run of records with two scalars each, and nothing measured."""
    RunWriter.create(folder, {"name": f"{count} records"}).close()
    line = {"step": None, "seconds": 0.0, "scalars": {"train_loss": 1.0, "lr": 0.1}, "numbers": {}}
    rows = (line | {"index": i, "epoch": i / 100} for i in range(count))
    (folder / "scalars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_run(folder)


def measured_run(folder: Path, count: int) -> Run:
    """A run whose records are measured: p = 32, 4 classes, 200 samples."""
    rng = np.random.default_rng(0)
    features, head = rng.normal(size=(200, 32)), (rng.normal(size=(4, 32)), None)
    measurement = phiscope.diagonalize(features, head=head, targets=np.arange(200) % 4)
    writer = RunWriter.create(folder, {"name": f"{count} measured", "splits": ["train"]})
    for epoch in range(count):
        writer.append(epoch, None, {"train_loss": 1.0}, {"train": measurement})
    writer.finish()
    return open_run(folder)


def main() -> None:
    """Write the runs and their pages, and print a table."""
    args = parsed()
    folder = Path(tempfile.mkdtemp())
    print("records                 page, s   page, MB   a record, ms")
    try:
        for kind, make, counts in (
            ("two scalars", scalar_run, args.records),
            ("measured, p = 32", measured_run, args.measured),
        ):
            phiscope.report([make(folder / f"{kind}-first", 2)], folder / "page.html")
            for count in counts:
                run = make(folder / f"{kind}-{count}", count)
                start = time.process_time()
                page = phiscope.report([run], folder / "page.html")
                seconds = time.process_time() - start
                size = page.stat().st_size / 1e6
                print(f"{count:>7,} {kind:<16}{seconds:>7.2f}{size:>11.1f}{1e3 * seconds / count:>15.3f}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
