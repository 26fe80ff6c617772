"""How much faster do two workers measure the same Dask array than one?

Writes features (float32) and labels to Zarr in a temporary folder, then gathers their moments on clusters of one and of
two single-threaded worker processes in turn, and in this process without Dask. Prints medians, ratios and one line of
JSON; fails when the numbers differ. Starting a cluster and the eigendecomposition are not timed: neither grows with n.

Wall time shows a growth near 2 only on two idle cores. The processor time of the busier worker does not depend on what
else runs, and tells what the wall time would show there. Run it with

    OMP_NUM_THREADS=1 python benchmarks/cluster.py [--samples 524288] [--features 512] [--chunk 32768] [--repeats 5]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster

from phiscope.distributed.dask_arrays import DaskTable
from phiscope.moments.gathered import Gathered
from phiscope.moments.row_table import RowTable

CLASSES = 10
SAME = 1e-12
GIBIBYTE = str(2**30)
# Dask tells its workers to give every freed 64 KiB back, and each p x p array is then paged in anew: twice the time.
KEEP_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": GIBIBYTE,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": GIBIBYTE,
}


def write(folder: Path, args: argparse.Namespace) -> tuple[zarr.Array, zarr.Array]:
    """Class-clustered features and their labels, chunk by chunk."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(CLASSES, args.features))
    shape, chunks = (args.samples, args.features), (args.chunk, args.features)
    features = zarr.create_array(folder / "f.zarr", shape=shape, chunks=chunks, dtype="f4", compressors=None)
    labels = zarr.create_array(folder / "y.zarr", shape=shape[:1], chunks=chunks[:1], dtype="i8", compressors=None)
    for start in range(0, args.samples, args.chunk):
        stop = min(start + args.chunk, args.samples)
        drawn = rng.integers(0, CLASSES, stop - start)
        labels[start:stop] = drawn
        features[start:stop] = centers[drawn] + rng.normal(size=(stop - start, args.features))
    return features, labels


def on_cluster(client: Client, lazy: dict[str, da.Array]) -> tuple[float, float, Gathered]:
    """Wall seconds, processor seconds of the busier worker, and what was gathered."""
    with client.as_current():
        before = client.run(time.process_time)
        start = time.perf_counter()
        found = DaskTable(lazy).gather()
        wall = time.perf_counter() - start
        after = client.run(time.process_time)
    return wall, max(after[worker] - before[worker] for worker in before), found


def alone(parts: dict[str, zarr.Array]) -> tuple[float, float, Gathered]:
    """The same without Dask, in this process."""
    start, busy = time.perf_counter(), time.process_time()
    found = RowTable(parts).gather()
    return time.perf_counter() - start, time.process_time() - busy, found


def measure(args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of every repeat."""
    spent: dict[str, list[tuple[float, float]]] = {"no dask": [], "1 worker": [], "2 workers": []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parts = dict(zip(("features", "targets"), write(folder, args), strict=True))
        lazy = {name: da.from_zarr(array) for name, array in parts.items()}
        stack.enter_context(dask.config.set({} if args.trim else KEEP_MEMORY))
        clients = []
        for n_workers in (1, 2):
            cluster = LocalCluster(
                n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", local_directory=str(folder)
            )
            clients.append(stack.enter_context(Client(stack.enter_context(cluster))))
        for repeat in range(args.repeats + 1):
            runs = [alone(parts), *(on_cluster(client, lazy) for client in clients)]
            expected = runs[0][2].moments.covariance("features").dense()
            for name, (wall, busy, found) in zip(spent, runs, strict=True):
                difference = np.abs(found.moments.covariance("features").dense() - expected).max()
                if difference > SAME * np.abs(expected).max():
                    raise SystemExit(f"{name}: a covariance differs by {difference:.2g}")
                # The first round imports phiscope in the workers.
                if repeat:
                    spent[name].append((wall, busy))
    return spent


def main() -> None:
    """Print the medians, the ratios and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=524_288)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=32_768, help="rows a chunk")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trim", action="store_true", help="leave the workers' malloc as Dask sets it")
    args = parser.parse_args()
    spent = measure(args)
    size = 4e-6 * args.samples * args.features
    print(f"{args.samples} x {args.features} float32, {size:.0f} MB, in {-(-args.samples // args.chunk)} chunks")
    wall, busy = ({name: statistics.median(run[at] for run in runs) for name, runs in spent.items()} for at in (0, 1))
    for name in spent:
        print(f"{name:<10} {wall[name]:6.2f} s   {size / wall[name]:5.0f} MB/s   busier processor {busy[name]:6.2f} s")
    ratios = {
        "growth": wall["1 worker"] / wall["2 workers"],
        "growth_of_processor_time": busy["1 worker"] / busy["2 workers"],
        "overhead_of_processor_time": busy["1 worker"] / busy["no dask"],
        "load": os.getloadavg()[0],
    }
    print("   ".join(f"{name} {value:.2f}" for name, value in ratios.items()))
    print(json.dumps({**ratios, **vars(args), "cores": os.cpu_count(), "seconds": spent}))


if __name__ == "__main__":
    main()
