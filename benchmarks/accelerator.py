"""The pass on an accelerator beside its own matrix rate and bandwidth, p = 512 to 8192.

    python benchmarks/accelerator.py                        the accelerator that torch finds
    python benchmarks/accelerator.py --device cpu --p 256   whether it works here

For each width: seconds of the pass over features that are on the device already, the same for a bare product X^T X in
the precision of the pass, and for reading the features once (their sum). Shares are floor / pass; 1 would be as fast as
the floor. Medians of wall seconds with the device waited for.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.precision import plain_products, precision_for

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found = torch.accelerator.current_accelerator()
    parser.add_argument("--device", default=None if found is None else found.type, help="default: what torch finds")
    parser.add_argument("--p", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--n", type=int, default=100_000, help="samples; fewer where they would not fit into 8 GiB")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the features")
    parser.add_argument("--precision", choices=("exact", "fast"), help="default: what the device is good at")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.device is None:
        parser.error("torch finds no accelerator here; --device cpu shows whether the command works")
    return args


def seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median wall seconds, after one run that does not count."""
    found = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        found.append(time.perf_counter() - start)
    return median(found[1:])


def row(p: int, args: argparse.Namespace, device: torch.device, precision: str) -> str:
    """One width, as a row of the table."""
    n = min(args.n, 2**33 // (4 * p))
    generator = torch.Generator(device=device).manual_seed(0)
    features = torch.randn(n, p, device=device, generator=generator).add_(2.0).to(DTYPES[args.dtype])
    targets = torch.randint(args.classes, (n,), generator=torch.Generator().manual_seed(0))
    wide = torch.float64 if precision == "exact" else torch.float32

    def passed() -> None:
        accumulator = MomentAccumulator(num_classes=args.classes, precision=precision, device=device)
        for start in range(0, n, args.batch):
            part = slice(start, start + args.batch)
            accumulator.update(features[part], targets=targets[part])
        accumulator.finish()

    def product() -> None:
        total = torch.zeros(p, p, dtype=wide, device=device)
        with plain_products(device):
            for start in range(0, n, args.batch):
                rows = features[start : start + args.batch].to(wide)
                total.addmm_(rows.T, rows)

    work = seconds(passed, device, args.repeats)
    floor = seconds(product, device, args.repeats)
    read = seconds(lambda: features.sum(), device, args.repeats)
    rate, bandwidth = 2 * n * p * p / work / 1e12, features.numel() * features.element_size() / work / 1e9
    return f"| {p} | {n:,} | {work:.4g} | {rate:.3g} | {floor / work:.0%} | {bandwidth:.3g} | {read / work:.0%} |"


def main() -> None:
    """Measure and print a Markdown table."""
    args = parsed()
    device = torch.device(args.device)
    precision = args.precision or precision_for(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"{name}, {today}, torch {torch.__version__}, features {args.dtype}, products {precision}\n")
    print("| p | n | pass s | TFLOP/s | of a bare product | GB/s | of reading once |\n" + "|---:" * 7 + "|")
    for p in args.p:
        print(row(p, args, device, precision), flush=True)


if __name__ == "__main__":
    main()
