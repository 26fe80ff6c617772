"""One setting in a process of its own: `python -m undisturbed_parts.worker KEY DEVICE OUT`; OUT is the file it writes.

A process of its own, because compilers, frameworks and process groups keep states for the process that they were first
used in. A setting of two processes is run by two more, one for each rank.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from undisturbed_parts.rounds import looked_at
from undisturbed_parts.settings import BY_KEY


def one(key: str, device: str) -> dict[str, Any]:
    """Look at a setting."""
    torch.set_num_threads(1)
    if device == "cuda":
        # cuBLAS sums in an order that it does not promise unless it is told how much room it has.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    kind = BY_KEY[key]
    if kind.ranks == 1:
        return looked_at(kind(device))
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_rank, args=(key, device, folder), nprocs=kind.ranks)
        told = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(kind.ranks)]
    return merged(told)


def _rank(rank: int, key: str, device: str, folder: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    if device == "cuda":
        torch.cuda.set_device(rank)
        torch.use_deterministic_algorithms(True)
        device = f"cuda:{rank}"
    kind = BY_KEY[key]
    dist.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=kind.ranks,
        timeout=timedelta(seconds=120),
    )
    told = looked_at(kind(device), folder=Path(folder))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


def merged(told: list[dict[str, Any]]) -> dict[str, Any]:
    """What the ranks of one setting say, as one: a difference on any of them is one, a catch has to be on all."""
    first, *others = told
    for rank, other in enumerate(others, 1):
        for name in ("fresh", "gone"):
            first[name] = first[name] and other[name]
        for name in ("twin", "one hook", "afterwards"):
            first[name] = first[name] or (other[name] and f"rank {rank}: {other[name]}")
        for name, cell in other["cells"].items():
            if first["cells"][name]["verdict"] != "differs" and cell["verdict"] == "differs":
                first["cells"][name] = cell
        for name, control in other["controls"].items():
            first["controls"][name]["caught"] &= control["caught"]
    return first


if __name__ == "__main__":
    key, device, out = sys.argv[1:]
    Path(out).write_text(json.dumps(one(key, device)), encoding="utf-8")
