"""Trainings that are stopped at random moments: run as a script, prints one JSON object a training.

Each training is a fork of this process, which has imported everything and started no thread, so that hundreds of them
take minutes and not hours. The fork says through a pipe which records it was told are stored.

    python killed_trainings.py FOLDER MODE SIGNAL COUNT SEED LONGEST

LONGEST: seconds within which a training is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import phiscope
from phiscope.errors import PhiscopeError


def main(folder: Path, mode: str, number: int, count: int, seed: int, longest: float) -> None:
    """Stop trainings, and say what became of each."""
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)
    net, data = nn.Linear(4, 3), (torch.randn(40, 4), torch.arange(40) % 3)
    with phiscope.Observer(net, data, run=folder / f"{mode}-first") as observer:
        observer.record(epoch=0)  # what is imported on use is there for all forks
    for trial in range(count):
        facts = stopped(folder / f"{mode}-{trial}", mode, number, float(rng.uniform(0, longest)))
        print(json.dumps(facts), flush=True)


def stopped(run: Path, mode: str, number: int, wait: float) -> dict[str, Any]:
    """Start a training, stop it after a moment, and read its run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_train(run, mode, writing))
    os.close(writing)
    with os.fdopen(reading) as told:
        begun = told.readline()
        time.sleep(wait)
        os.kill(child, number)
        lines = [begun, *told]
    _, status = os.waitpid(child, 0)
    acknowledged = [int(line.split()[1]) for line in lines if line.startswith("stored ") and line.endswith("\n")]
    said = [json.loads(line.removeprefix("left ")) for line in lines if line.startswith("left ")]
    facts = {"acknowledged": acknowledged, "exit": status, "left": said[0] if said else None}
    try:
        opened = phiscope.open_run(run)
    except PhiscopeError as error:
        return {**facts, "error": str(error)}
    measured = [record.epoch for record in opened.records if record.measurement().n_samples == 40]
    # Whoever goes on must be let in at once: a kill releases the lock.
    again = phiscope.runs.RunWriter.create(run, {}, resume=True)
    again.close()
    return {**facts, "epochs": measured, "status": opened.status, "warnings": list(opened.warnings)}


def _train(run: Path, mode: str, pipe: int) -> int:
    warnings.simplefilter("error")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x, y = torch.randn(40, 4), torch.arange(40) % 3
    observer = _observer(net, (x, y), run, mode)
    try:
        with observer:
            os.write(pipe, b"begun\n")  # inside, so that Ctrl-C finds the block open
            _loop(net, x, y, observer, pipe)
    except KeyboardInterrupt:
        pass
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules())
    modes = all(module.training for module in net.modules())
    left = {"hooks": hooks, "training": modes, "gradients": torch.is_grad_enabled(), "trains": _still_trains(net, x)}
    os.write(pipe, f"left {json.dumps(left)}\n".encode())
    return 0


def _observer(net: nn.Module, data: Any, run: Path, mode: str) -> Any:
    if mode == "passive":
        return phiscope.PassiveObserver(net, data, run=run)
    return phiscope.Observer(net, data, run=run, background=mode == "background")


def _loop(net: nn.Module, x: torch.Tensor, y: torch.Tensor, observer: Any, pipe: int) -> None:
    for epoch in range(10**6):
        if isinstance(observer, phiscope.PassiveObserver):
            with observer.batch((x, y)):
                net(x)
        observer.record(epoch=epoch, loss=1.0)
        os.write(pipe, f"stored {epoch}\n".encode())


def _still_trains(net: nn.Module, x: torch.Tensor) -> bool:
    return net(x).sum().requires_grad


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2],
        signal.Signals[sys.argv[3]],
        int(sys.argv[4]),
        int(sys.argv[5]),
        float(sys.argv[6]),
    )
