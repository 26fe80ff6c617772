"""Trainings that are missing, run side by side: every finished one is kept whatever happens to the others.

joblib runs them in local processes. Dask would reach a cluster as well, but its scheduler holds the results of tasks
in memory and restarts with nothing, while all that is wanted here is a pool of processes: the files themselves say
what is done. On a cluster the same command runs on each machine for its own family into one shared folder.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from phiscope.errors import InputError, MissingDependencyError, PhiscopeError
from phiscope.reproduction.outcome import NUMBERS, Outcome
from phiscope.reproduction.probing import device_named
from phiscope.reproduction.settings import Setup
from phiscope.reproduction.training import train


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder with one file for each training.

    Attributes:
        folder: where they are.
    """

    folder: Path

    def path(self, setup: Setup) -> Path:
        """The file of a training, whether it is there or not."""
        return self.folder / f"{setup.key}.json"

    def missing(self, setups: Iterable[Setup], *, renew: bool = False) -> list[Setup]:
        """Trainings without a file, each once, in the order they came.

        Args:
            setups: what is wanted.
            renew: also those with a file from before more numbers were kept.
        """
        wanted: dict[str, Setup] = {}
        for setup in setups:
            # Of one training that several families share, that which keeps layers.
            if setup.layers or setup.key not in wanted:
                wanted[setup.key] = setup
        return [setup for setup in wanted.values() if not self._is_there(setup, renew)]

    def _is_there(self, setup: Setup, renew: bool) -> bool:
        path = self.path(setup)
        return path.exists() and not (renew and self._lacks(Outcome.load(path), setup))

    def _lacks(self, outcome: Outcome, setup: Setup) -> bool:
        layers = setup.layers and outcome.status == "finished" and not outcome.last.layers
        return outcome.numbers < NUMBERS or layers

    def load(self, setups: Iterable[Setup]) -> dict[str, Outcome]:
        """Outcomes by `Setup.key`, of those trainings that have a file.

        Raises:
            RunFormatError: a file cannot be read.
        """
        paths = {setup.key: self.path(setup) for setup in setups}
        return {key: Outcome.load(path) for key, path in paths.items() if path.exists()}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What became of the trainings that were missing.

    Attributes:
        done: how many have finished.
        failed: what went wrong, by key; these will be tried again next time.
        interrupted: Ctrl-C ended it.
    """

    done: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    interrupted: bool = False


def run_missing(
    setups: Iterable[Setup],
    store: Store,
    *,
    jobs: int = 1,
    data: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: bool | None = None,
    renew: bool = False,
) -> Progress:
    """Run every training that has no file yet.

    Args:
        setups: what is wanted; a training that several families share is run once.
        store: where the files go; made when it is not there.
        jobs: processes side by side, each with one thread.
        data: folder with the files of MNIST or CIFAR.
        device: "auto", "cpu" or "cuda".
        renew: train also what was trained before more numbers were kept; the old file goes when the new one is there.
        progress: True shows a line with the time that is left, False none, None one on a terminal.

    Returns:
        How many were run, which failed, and whether Ctrl-C ended it; all that finished have their files.

    Raises:
        InputError: fewer than one job, or the folder is a file.
        MissingDependencyError: joblib is not installed.
    """
    if jobs < 1:
        raise InputError(f"jobs is how many trainings run side by side, 1 or more, got {jobs}")
    if store.folder.exists() and not store.folder.is_dir():
        raise InputError(f"{store.folder} is a file; name a folder for the outcomes")
    store.folder.mkdir(parents=True, exist_ok=True)
    left = store.missing(setups, renew=renew)
    failed: dict[str, str] = {}
    done = 0
    hidden = None if progress is None else not progress
    with tqdm(total=len(left), desc="trainings", unit="run", disable=hidden, file=sys.stderr) as bar:
        try:
            for key, seconds, why in _finished(left, store, jobs, None if data is None else os.fspath(data), device):
                bar.update()
                done += not why
                failed |= {key: why} if why else {}
                told = f"{len(failed)} failed, " if failed else ""
                bar.set_postfix_str(f"{told}{key} took {seconds:.0f} s")
        except KeyboardInterrupt:
            return Progress(done=done, failed=failed, interrupted=True)
    return Progress(done=done, failed=failed)


def _finished(
    setups: Sequence[Setup], store: Store, jobs: int, data: str | None, device: str
) -> Iterator[tuple[str, float, str]]:
    """Key, seconds and fault ('' for none) of each training as it ends."""
    if jobs == 1 or len(setups) < 2:
        for setup in setups:
            yield run_one(setup, store, data, device)
        return
    try:
        import joblib
    except ImportError as error:
        raise MissingDependencyError("joblib", purpose="phiscope reproduce --jobs", extra="studies") from error
    # Handed out one by one: trainings differ in length by a factor of a hundred.
    pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)
    yield from pool(joblib.delayed(run_one)(setup, store, data, device) for setup in setups)


def run_one(setup: Setup, store: Store, data: str | None, device: str) -> tuple[str, float, str]:
    """Train and write the file; a fault comes back as text, so that the other trainings go on."""
    started = time.perf_counter()
    try:
        outcome = train(setup, folder=data, device=device_named(device))
        outcome.save(store.path(setup))
    except PhiscopeError as error:
        return setup.key, time.perf_counter() - started, str(error)
    except Exception:
        return setup.key, time.perf_counter() - started, traceback.format_exc()
    return setup.key, time.perf_counter() - started, ""
