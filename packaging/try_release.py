"""Builds wheel and sdist, installs each into a bare environment, asks the doctor, and prints the row for a release.

    make wheel

Everything lies in build/release. The row belongs into docs/compatibility.md.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "release"

LARGEST = 1_500_000
"""Bytes that a wheel may have: half as much again as on 2026-11-29. Code grows slower than data that slips in."""

TIMES = 5
"""An import is timed so often, and the shortest counts: the first ones wait for the disk."""

IMPORTS = {"nothing": "pass", "phiscope": "import phiscope", "phiscope.measure": "import phiscope; phiscope.measure"}
IMPORTS["torch"] = "import torch"

SIZES = """
from importlib.metadata import distribution
from packaging.requirements import Requirement

def closure(name, seen):
    if name in seen:
        return seen
    seen.add(name)
    for line in distribution(name).requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            closure(wanted.name, seen)
    return seen

def size(names):
    files = {file.locate() for name in names for file in distribution(name).files or ()}
    return sum(file.stat().st_size for file in files if file.exists())

brought = closure("torch", set())
rest = closure("phiscope", set()) - brought - {"phiscope"}
print(f"torch and what it brings: {size(brought) / 1e6:.0f} MB ({size(['torch']) / 1e6:.0f} MB of it torch)")
print(f"what phiscope needs beside it: {size(rest) / 1e6:.0f} MB ({', '.join(sorted(rest))})")
"""
"""Run in the bare environment: bytes of the files of torch, and of all else that is needed."""


def main() -> int:
    """Build, try, print."""
    distributions = build()
    (wheel,) = (path for path in distributions if path.suffix == ".whl")
    python = environment("bare")
    failed = []
    for path in distributions:
        run(python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(path))
        done = subprocess.run([python.with_name("phiscope"), "doctor"], capture_output=True, text=True, check=False)
        print(f"{path.name}: phiscope doctor ends with {done.returncode}")
        if done.returncode:
            failed.append(path.name)
            print(done.stdout)
        # The next one is installed anew; what it depends on is there.
        if path != distributions[-1]:
            run(python, "-m", "pip", "uninstall", "-q", "-y", "phiscope")
    seconds = {name: shortest(python, code) for name, code in IMPORTS.items()}
    parts = zipfile.ZipFile(wheel).infolist()
    unpacked = sum(part.file_size for part in parts)
    print(f"wheel {wheel.stat().st_size / 1e3:.0f} kB, unpacked {unpacked / 1e6:.1f} MB")
    for name in ("studies", "reproduction"):
        packed = sum(part.compress_size for part in parts if part.filename.startswith(f"phiscope/{name}/"))
        print(f"{name}: {packed / 1e3:.0f} kB of it, {packed / wheel.stat().st_size:.0%}")
    # It reads requirement lines; installed after all that had to be tried bare.
    run(python, "-m", "pip", "install", "-q", "packaging")
    run(python, "-c", SIZES)
    for name, took in seconds.items():
        print(f"import {name}: {took:.2f} s of processor time")
    if wheel.stat().st_size > LARGEST:
        failed.append(f"the wheel has {wheel.stat().st_size} bytes, and {LARGEST} at most are wanted")
    print("failed: " + "; ".join(failed) if failed else "all right")
    return 1 if failed else 0


def build() -> list[Path]:
    """Wheel and sdist in build/release/dist, made by the standard builder."""
    tools = environment("tools")
    run(tools, "-m", "pip", "install", "-q", "build>=1.2", "twine>=6.0")
    target = FOLDER / "dist"
    for path in target.glob("*"):
        path.unlink()
    run(tools, "-m", "build", "--outdir", str(target), str(ROOT))
    made = sorted(target.iterdir())
    run(tools, "-m", "twine", "check", "--strict", *map(str, made))
    return made


def environment(name: str) -> Path:
    """The interpreter of an environment of its own, made when it is not there."""
    folder = FOLDER / name
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    return python


def run(python: Path, *arguments: str) -> None:
    """Run it, and end where it fails."""
    subprocess.run([str(python), *arguments], check=True)


def shortest(python: Path, code: str) -> float:
    """Seconds of processor time that an interpreter takes for some code, the shortest of several."""
    took = []
    for _ in range(TIMES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(python), "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


if __name__ == "__main__":
    sys.exit(main())
