"""What this installation is made of and whether it counts right: what a report of a fault has to say."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from phiscope.cli.closed_forms import Check, run_checks
from phiscope.version import __version__

NOT_FOR_USERS = frozenset({"all", "dev", "bench", "site"})
"""Extras that only collect others, or that only who works on phiscope needs."""

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "KERAS_BACKEND")
"""Settings of the environment that change speed or what is found."""

PATIENCE = 120.0
"""Seconds that one library may take to be imported."""

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?([^;]*)(?:;\s*extra == ['\"]([\w-]+)['\"])?")


@dataclass(frozen=True, kw_only=True)
class Library:
    """One library that phiscope can use.

    Attributes:
        name: of its distribution.
        wanted: what phiscope asks for, such as ">=1.26"; empty for any version.
        version: what is installed; empty for nothing.
        fault: why it cannot be used although it is there; empty where it can.
    """

    name: str
    wanted: str
    version: str
    fault: str = ""

    @property
    def state(self) -> str:
        """In one or two words."""
        return "not installed" if not self.version else self.fault or "all right"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the doctor saw.

    Attributes:
        versions: phiscope, Python, the system.
        devices: what torch can compute on, by its name there.
        threads: how many threads, and which libraries for linear algebra.
        libraries: what phiscope cannot do without.
        extras: the libraries of each extra.
        checks: the closed forms.
        seconds: what these took.
    """

    versions: Mapping[str, str]
    devices: Mapping[str, str]
    threads: Mapping[str, str]
    libraries: tuple[Library, ...]
    extras: Mapping[str, tuple[Library, ...]]
    checks: tuple[Check, ...]
    seconds: float

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong; an extra that is not installed is not."""
        every = {library.name: library for group in self.extras.values() for library in group if library.version}
        every |= {library.name: library for library in self.libraries}
        wrong = [one for one in every.values() if one.fault or not one.version]
        return (
            *(f"{one.name} {one.version}: {one.state}".replace(" :", ":") for one in wrong),
            *(f"{one.name}: {one.error or f'{one.got!r} in place of {one.expected!r}'}" for one in self.unequal),
        )

    @property
    def unequal(self) -> tuple[Check, ...]:
        """Closed forms that came out wrong."""
        return tuple(check for check in self.checks if not check.right)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        checks = [asdict(check) | {"right": check.right} for check in self.checks]
        return asdict(self) | {"checks": checks, "faults": list(self.faults)}


def examine() -> Report:
    """Look at this installation: half a second for what is there, and what its libraries take to be imported."""
    required, optional = _requirements()
    every = {name: wanted for group in (required, *optional.values()) for name, wanted in group.items()}
    known = dict(zip(every, _libraries(every.items()), strict=True))
    began = time.perf_counter()
    checks = run_checks()
    return Report(
        versions=_versions(),
        devices=_devices(),
        threads=_threads(),
        libraries=tuple(known[name] for name in required),
        extras={extra: tuple(known[name] for name in group) for extra, group in optional.items()},
        checks=checks,
        seconds=time.perf_counter() - began,
    )


def report_text(report: Report) -> str:
    """The report as a person reads it and pastes it into an issue.

    Args:
        report: from `examine`.
    """
    lines = _block("versions", report.versions)
    lines += _block("libraries", {one.name: _said(one) for one in report.libraries})
    lines += _block("devices", report.devices) + _block("threads", report.threads)
    lines += _block("extras", {name: _extra(group) for name, group in report.extras.items()})
    lines += [f"self-check: {len(report.checks)} closed forms in {report.seconds:.1f} s"]
    for check in report.checks:
        got = check.error if check.got is None else f"{check.got:.12g}"
        lines.append(f"  {'right' if check.right else 'WRONG':<6} {check.name}: {got} (on paper {check.expected:.12g})")
    faults = [f"  {sentence}" for sentence in report.faults]
    return "\n".join([*lines, "", *(["wrong:", *faults] if faults else ["nothing is wrong"])])


def _block(title: str, facts: Mapping[str, str]) -> list[str]:
    width = max(map(len, facts), default=0)
    return [title, *(f"  {name:<{width}}  {text}" for name, text in facts.items()), ""]


def _said(library: Library) -> str:
    state = library.state
    return f"{library.version} (wants {library.wanted or 'any'}): {state}" if library.version else state


def _extra(group: Iterable[Library]) -> str:
    missing = [one.name for one in group if not one.version]
    broken = [f"{one.name} {one.version}: {one.fault}" for one in group if one.fault]
    there = [f"{one.name} {one.version}" for one in group if one.version and not one.fault]
    parts = [*broken, *([f"not installed: {', '.join(missing)}"] if missing else []), ", ".join(there)]
    return "; ".join(part for part in parts if part)


def _versions() -> dict[str, str]:
    return {
        "phiscope": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} logical cores",
    }


def _requirements() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What phiscope cannot do without, and what each extra asks for: names with versions, from its own metadata."""
    required: dict[str, str] = {}
    optional: dict[str, dict[str, str]] = {}
    for line in metadata.requires("phiscope") or ():
        parts = _REQUIREMENT.match(line)
        if parts is None or parts[1] == "phiscope" or parts[3] in NOT_FOR_USERS:
            continue
        group = required if parts[3] is None else optional.setdefault(parts[3], {})
        group[parts[1]] = parts[2].strip()
    return required, optional


def _libraries(wanted: Iterable[tuple[str, str]]) -> list[Library]:
    """Each library as it is here; those that are installed are imported, each by an interpreter of its own."""
    modules: dict[str, list[str]] = {}
    for module, names in metadata.packages_distributions().items():
        for name in names:
            modules.setdefault(_folded(name), []).append(module)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda one: _library(one[0], one[1], modules.get(_folded(one[0]), [])), wanted))


def _library(name: str, wanted: str, modules: list[str]) -> Library:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Library(name=name, wanted=wanted, version="")
    if _is_older(version, wanted):
        return Library(name=name, wanted=wanted, version=version, fault=f"too old, {wanted} is wanted")
    module = _module_of(name, modules)
    return Library(name=name, wanted=wanted, version=version, fault=_import_fault(module) if module else "")


def _module_of(name: str, modules: list[str]) -> str:
    """What to import: the module of the same name, or else the first that is public."""
    public = sorted(module for module in modules if not module.startswith("_"))
    same = [module for module in public if _folded(module) == _folded(name)]
    return (same or public or [""])[0]


def _import_fault(module: str) -> str:
    """Why a module cannot be imported; empty where it can. In another process: some end the one that imports them."""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", f"import {module}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            # Keras chooses its backend when it is imported, and ours is torch.
            env={"KERAS_BACKEND": "torch", **os.environ},
        )
    except subprocess.TimeoutExpired:
        return f"its import did not end in {PATIENCE:.0f} s"
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"cannot be imported: {last}"


def _is_older(version: str, wanted: str) -> bool:
    least = wanted.removeprefix(">=")
    return least != wanted and _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": platform.processor() or platform.machine()}
    for index in range(torch.cuda.device_count()):
        found[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple's"
    return found


def _threads() -> dict[str, str]:
    import numpy
    import torch

    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    built: Any = numpy.show_config(mode="dicts")
    affinity = getattr(os, "sched_getaffinity", None)
    facts = {
        "torch": f"{torch.get_num_threads()} threads, BLAS {blas[1] if blas else 'unknown'}",
        "numpy": f"BLAS {built.get('Build Dependencies', {}).get('blas', {}).get('name', 'unknown')}",
        "cores": f"{len(affinity(0))} of {os.cpu_count()} may be used" if affinity else f"{os.cpu_count()}",
    }
    return facts | {name: os.environ[name] for name in VARIABLES if name in os.environ}
