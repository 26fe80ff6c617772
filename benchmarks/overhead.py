"""What observing costs a training: steps with and without the passive observer, records beside an epoch.

    python benchmarks/overhead.py                      ResNet18 in CIFAR form, full width; minutes on one core
    python benchmarks/overhead.py --width 0.25         a quarter of the width: seconds
    python benchmarks/overhead.py --device cuda        on a GPU

Steps with and without the passive observer take turns; figures are medians of CPU seconds (wall seconds on a GPU, which
is waited for). An epoch is not run: it is so many plain steps as 50,000 samples make. A record of the observer measures
2,000 of them; the floor beside it is a bare forward pass of the same samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import phiscope
from phiscope.studies.architectures import build_network

EPOCH = 50_000


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18", help="as phiscope.studies.architectures names it")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the widths")
    parser.add_argument("--batch", type=int, default=128, help="samples in a step")
    parser.add_argument("--probe", type=int, default=2000, help="samples that a record measures")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7, help="steps of each kind, and records")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    for name in ("width", "batch", "probe", "classes", "repeats", "threads"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name} is {getattr(args, name)}, expected more than 0")
    return args


class Clock:
    """CPU seconds of this process on a CPU; wall seconds, with the device waited for, elsewhere."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def __call__(self, work: Callable[[], Any]) -> float:
        """Seconds of one call."""
        start = self._now()
        work()
        return self._now() - start

    def _now(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        torch.accelerator.synchronize(self._device)
        return time.perf_counter()


def main() -> None:
    """Measure and print."""
    args = parsed()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = build_network(
        args.network, input_shape=(3, 32, 32), num_outputs=args.classes, width=args.width
    ).to(args.device)  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    clock = Clock(args.device)
    x = torch.randn(args.batch, 3, 32, 32, device=args.device)
    y = torch.randint(args.classes, (args.batch,), device=args.device)
    probe = torch.randn(args.probe, 3, 32, 32), torch.randint(args.classes, (args.probe,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*probe), batch_size=250)

    def step(around: Callable[[], Any]) -> None:
        model.train()
        optimizer.zero_grad()
        with around():
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            for images, _ in loader:
                model(images.to(args.device))

    with tempfile.TemporaryDirectory() as folder:
        observers = {
            "active": phiscope.Observer(model, {"probe": loader}, run=f"{folder}/active", initial="now"),
            "background": phiscope.Observer(model, {"probe": loader}, run=f"{folder}/background", background=True),
            "passive": phiscope.PassiveObserver(model, (x, y), run=f"{folder}/passive"),
        }
        found = measured(args, clock, step, forward, observers)
    print(told(args, found))
    if args.json:
        args.json.write_text(json.dumps({"settings": {**vars(args), "json": None}, **found}, indent=1) + "\n")


def measured(args: Any, clock: Clock, step: Any, forward: Any, observers: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each kind of work, one value a repeat."""
    passive = observers["passive"]
    batch = (torch.zeros(args.batch, 1), torch.zeros(args.batch, dtype=torch.long))
    kinds: list[tuple[str, Callable[[], Any]]] = [("step", nullcontext), ("passive step", lambda: passive.batch(batch))]
    for _, around in kinds:
        step(around)
    forward()
    passive.record()
    # The first record of an observer also runs the initial network, once for the whole training.
    for name in ("active", "background"):
        observers[name].record(epoch=0)
    found: dict[str, list[float]] = {
        "step": [], "passive step": [], "passive own": [], "passive record": [], "forward": [], "record": [],
        "background": [],
    }  # fmt: skip
    for index in range(args.repeats):
        for name, around in kinds if index % 2 else reversed(kinds):
            before = passive.cost.seconds
            found[name].append(clock(lambda around=around: step(around)))
            if name == "passive step":
                found["passive own"].append(passive.cost.seconds - before)
        if index < max(2, args.repeats // 2):
            found["forward"].append(clock(forward))
            found["record"].append(clock(lambda index=index: observers["active"].record(epoch=index + 1)))
            start = observers["background"].cost.seconds
            observers["background"].record(epoch=index + 1)
            # The thread works on while the next steps run; counted is what held this one up.
            found["background"].append(observers["background"].cost.seconds - start)
    found["passive record"].append(clock(passive.record))
    for one in observers.values():
        one.close()
    return found


def told(args: Any, found: dict[str, list[float]]) -> str:
    """The figures in words."""
    half = {name: median(values) for name, values in found.items()}
    # Pair by pair: what disturbs a step disturbs its neighbor as well.
    passive = median(b / a for a, b in zip(found["step"], found["passive step"], strict=True)) - 1
    epoch = half["step"] * EPOCH / args.batch
    lines = [
        f"{args.network}, width {args.width:g}, {args.device}, {args.threads} thread(s), torch {torch.__version__}",
        f"step of {args.batch} samples: {half['step']:.4g} s; an epoch of {EPOCH:,} samples: {epoch:.4g} s",
        f"passive observer: {passive:+.2%} of a step (median of {args.repeats} pairs; {min(found['step']):.4g} to "
        f"{max(found['step']):.4g} s without it); by its own count {half['passive own'] / half['step']:.2%}, hooks not "
        f"included; and {half['passive record']:.3g} s a record",
        f"record of {args.probe:,} samples: {half['record']:.4g} s = {half['record'] / epoch:.2%} of an epoch; a bare "
        f"forward pass of them: {half['forward']:.4g} s = {half['forward'] / epoch:.2%}; the rest "
        f"{(half['record'] - half['forward']) / epoch:+.2%}",
        f"record with background=True held the training up for {half['background']:.4g} s (wall)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
