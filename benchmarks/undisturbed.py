"""Whether an observer changes a training: many ways to train, without and with each observer, compared bit by bit.

    make undisturbed                                  every setting: undisturbed.md and .json in docs/evidence
    make undisturbed ARGS="--settings plain ddp"      some; written to build/undisturbed
    make undisturbed ARGS="--device cuda"             on a card: float16 with a scaler, compile, DDP, and the rest
    make undisturbed ARGS="--render docs/evidence/undisturbed.json"     the page again, without training

Every setting has a process of its own. The exit code is 0 when no observer changed anything and every deliberate
disturbance was seen, 1 when not, 2 when the card that was asked for is not there. What is compared, the page says:
docs/evidence/undisturbed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from speed_parts import machine
from undisturbed_parts.page import page, problems
from undisturbed_parts.settings import ALL, BY_KEY

ROOT = Path(__file__).parents[1]
SECONDS = 900
"""So long may one setting take."""
LIBRARIES = ("accelerate", "keras", "lightning", "transformers")


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(BY_KEY), metavar="KEY", help=", ".join(BY_KEY))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--out", type=Path, help="folder; default docs/evidence for all on the CPU, else build/undisturbed"
    )
    parser.add_argument("--render", type=Path, metavar="JSON", help="make the page from this file, train nothing")
    args = parser.parse_args(words)
    if args.render and not args.render.is_file():
        parser.error(f"--render {args.render} is no file; make undisturbed writes docs/evidence/undisturbed.json")
    whole = args.settings is None and args.device == "cpu"
    usual = ROOT / ("docs/evidence" if whole else "build/undisturbed")
    args.out = args.out or (args.render.parent if args.render else usual)
    return args


def measured(key: str, device: str) -> dict[str, Any]:
    """What became of one setting; "error" where it did not come to an end."""
    kind = BY_KEY[key]
    told: dict[str, Any] = {"key": key, "title": kind.title, "about": kind.about, "ranks": kind.ranks}
    if device == "cuda" and kind.ranks > torch.cuda.device_count():
        return told | {"left_out": f"needs {kind.ranks} cards, this machine has {torch.cuda.device_count()}"}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "told.json"
        command = [sys.executable, "-m", "undisturbed_parts.worker", key, device, str(out)]
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return told | {"error": f"not done after {SECONDS} s"}
        if done.returncode or not out.is_file():
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            return told | {"error": last[:300]}
        told |= json.loads(out.read_text(encoding="utf-8"))
    return told | {"seconds": round(time.monotonic() - start, 1)}


def main(words: Sequence[str] | None = None) -> int:
    """Train, compare, and write the page."""
    args = parsed(words)
    if args.render:
        told = json.loads(args.render.read_text(encoding="utf-8"))
    elif args.device == "cuda" and not torch.cuda.is_available():
        print("undisturbed: --device cuda needs an NVIDIA card that torch can use, and there is none", file=sys.stderr)
        return 2
    else:
        told = everything(args, words)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "undisturbed.md").write_text(page(told), encoding="utf-8")
    if not args.render:
        (args.out / "undisturbed.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(args.out / "undisturbed.md")
    wrong = problems(told)
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


def everything(args: argparse.Namespace, words: Sequence[str] | None) -> dict[str, Any]:
    """Every setting that was asked for, and where it ran."""
    given = shlex.join(sys.argv[1:] if words is None else words)
    keys = args.settings or [kind.key for kind in ALL if args.device == "cpu" or kind.on_cards]
    told: dict[str, Any] = {
        "command": f"python benchmarks/undisturbed.py {given}".strip(),
        "device": args.device if args.device == "cpu" else torch.cuda.get_device_name(),
        "machine": machine.facts(),
        "versions": {name: found for name, found in machine.versions(LIBRARIES).items() if found},
        "commit": machine.commit(),
        "settings": [],
    }
    for number, key in enumerate(keys, 1):
        print(f"{number} of {len(keys)}: {BY_KEY[key].title}", file=sys.stderr, flush=True)
        told["settings"].append(measured(key, args.device))
    return told


if __name__ == "__main__":
    sys.exit(main())
