"""Checkpoints after the fact: a run from the saved states of one training."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from phiscope.errors import InputError, MissingDependencyError, NonFiniteError, RunExistsError
from phiscope.inputs.arrays import as_count
from phiscope.inputs.progress import bar_of
from phiscope.measurement.record import Measurement
from phiscope.network.hooks import own_tensors
from phiscope.network.isolation import unwrapped
from phiscope.observe.checkpoints import Checkpoint, checkpoints_of
from phiscope.observe.observer import Observer
from phiscope.observe.ranks import SilentWriter, Writer
from phiscope.observe.settings import check_settings, check_values
from phiscope.observe.weights import borrowed, fitted, weights_in
from phiscope.runs import Run, open_run
from phiscope.runs.initial import load_initial
from phiscope.runs.layout import HEADER

MARK = "replayed"
"""In a run's header: the names of the checkpoints it was made of."""

_FIXED = {"model", "probe_data", "run", "every", "resume", "background", "ranks"}


def replay(
    model: nn.Module,
    checkpoints: Any,
    probe_data: Any,
    run: str | PathLike[str],
    *,
    key: str | None = None,
    jobs: int = 1,
    progress: bool | None = None,
    **settings: Any,
) -> Run:
    """Measure saved checkpoints of one training, in order, and write the run that an observer would have written.

    What the run has already is skipped, so that a replay that was stopped goes on, and later checkpoints are added. The
    first checkpoint is the initial state that features are compared with. Afterwards the model has its own weights
    again.

    Args:
        model: the network whose weights were saved; weights of another dtype are cast to its own.
        checkpoints: files of torch, safetensors or Lightning, folders of the Trainer, patterns such as "ckpt/*.pt",
            pairs (epoch, path), or a mapping of epochs to paths. Epoch and step are read from the file, else from its
            name.
        probe_data: as in `Observer`.
        run: folder of the run.
        key: where in a file of torch the weights lie, such as "ema"; None looks under the usual names.
        jobs: so many processes measure at a time (needs joblib); each has a model and the data of its own.
        progress: a bar; None = when somebody watches.
        settings: of `Observer`, by their names: head, header, gallery, max_samples, device, trackers, alerts, ...

    Returns:
        The run, opened.

    Raises:
        InputError: a checkpoint cannot be read, placed, or does not fit the model.
        RunExistsError: the folder holds a run that was not replayed.
        MissingDependencyError: jobs > 1 without joblib.

    Example:
        >>> import tempfile, torch
        >>> folder, net = Path(tempfile.mkdtemp()), nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> for epoch in range(2):
        ...     torch.save({"epoch": epoch, "model": net.state_dict()}, folder / f"{epoch}.pt")
        >>> probe = (torch.randn(50, 4), torch.randint(2, (50,)))
        >>> [record.epoch for record in replay(net, f"{folder}/*.pt", probe, folder / "run").records]
        [0.0, 1.0]
    """
    _check(settings, run, jobs)
    found = checkpoints_of(checkpoints)
    there = _there(Path(run), found)
    left = [one for one in found if _place(one) not in there]
    network = unwrapped(model)
    if left:
        header = {**(settings.pop("header", None) or {}), MARK: [one.path.name for one in found]}
        if key is not None:
            header["weights"] = key
        settings |= {"header": header, "resume": (Path(run) / HEADER).exists()}
        with borrowed(network):
            work = _Work(model=model, probe_data=probe_data, key=key, settings=settings)
            _measure(work, Path(run), left, jobs, progress)
    return open_run(run)


def _check(settings: Mapping[str, Any], run: Any, jobs: int) -> None:
    check_settings(settings, {row.name for row in dataclasses.fields(Observer)} - _FIXED, "a replay")
    check_values({**settings, "run": run})
    as_count(jobs, name="jobs")
    if jobs > 1:
        try:
            import joblib  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("joblib", purpose=f"replay(jobs={jobs})", extra="replay") from error


def _place(one: Checkpoint) -> tuple[float, int | None]:
    return one.position, one.step


def _there(folder: Path, found: tuple[Checkpoint, ...]) -> set[tuple[float, int | None]]:
    """Places that a run has already; what is new has to come after them."""
    if not (folder / HEADER).exists():
        return set()
    run = open_run(folder, looks=False)
    if MARK not in run.header:
        raise RunExistsError(f"{folder} holds a run that was not replayed from checkpoints; choose another folder")
    there = {(record.epoch, record.step) for record in run.records}
    if there:
        last = run.records[-1]
        early = [one for one in found if _place(one) not in there and one.position < last.epoch]
        if early:
            raise InputError(
                f"{early[0].path} ({early[0].said}) lies before the last record of {folder} (epoch {last.epoch:g}), "
                "and records stand in order; choose another folder for all of them"
            )
    return there


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Work:
    """What every process needs to measure a checkpoint."""

    model: nn.Module
    probe_data: Any
    key: str | None
    settings: Mapping[str, Any]

    def load(self, one: Checkpoint) -> None:
        network = unwrapped(self.model)
        # Tied weights lie in a file once, so that names may be left out; `fitted` has looked which.
        network.load_state_dict(fitted(weights_in(one.path, self.key), network, one.path), strict=False)

    def load_initial(self, folder: Path) -> bool:
        """Load the initial state that the run has kept; False where there is no run yet, or it kept none."""
        network = unwrapped(self.model)
        kept = load_initial(folder, own_tensors(network)) if self.settings["resume"] else None
        if kept is not None:
            # Buffers that no state holds would not be put back afterwards.
            stored = network.state_dict()
            network.load_state_dict({name: one for name, one in kept.items() if name in stored}, strict=False)
        return kept is not None


Measured = tuple[Mapping[str, Measurement], Mapping[str, Any]]
"""Measurements and further arrays, by split."""


def _measure(work: _Work, folder: Path, left: list[Checkpoint], jobs: int, progress: bool | None) -> None:
    # The first of all is the initial state; in a run that goes on the folder has it, and the next may have diverged.
    began = work.load_initial(folder)
    if not began:
        work.load(left[0])
    with (
        _made(work, folder, left[0]) as observer,
        bar_of(shown=progress, total=len(left), desc="checkpoints") as bar,
    ):
        if began:
            work.load(left[0])
        observer.measure(left[0])
        bar.update()
        for one in left[1:] if jobs == 1 else ():
            work.load(one)
            observer.measure(one)
            bar.update()
        if jobs > 1:
            for one, measured in zip(left[1:], _apart(work, folder, observer, left[1:], jobs), strict=True):
                observer.take(one, measured)
                bar.update()


def _made(work: _Work, folder: Path, first: Checkpoint) -> _Replaying:
    try:
        return _Replaying(work.model, work.probe_data, run=folder, **work.settings)
    except NonFiniteError as error:
        error.args = (f"{first.path}: {error}", *error.args[1:])
        raise


class _Replaying(Observer):
    """An observer of checkpoints: one that diverged is said, and the others are measured."""

    def measure(self, one: Checkpoint) -> None:
        """Measure the network as it is now."""
        try:
            self.record(epoch=one.epoch, step=one.step)
        except NonFiniteError as error:
            warnings.warn(f"{one.path}: {error}; its record has no numbers", stacklevel=2)

    def take(self, one: Checkpoint, measured: Measured | str) -> None:
        """Store what another process measured, or why it could not."""
        if isinstance(measured, str):
            warnings.warn(f"{one.path}: {measured}; its record has no numbers", stacklevel=2)
        measurements, extras = ({}, {}) if isinstance(measured, str) else measured
        with self._stopwatch:
            position = self._position(one.epoch, one.step)
            self._measured += 1
            job = partial(self._writer.append, position, one.step, {}, measurements, extras)
            self._store(position, one.step, job, measurements)

    @property
    def words(self) -> Mapping[str, Any]:
        """The regime of the initial state, by split."""
        self._desk.wait()
        return dict(self._initial_words)


def _apart(
    work: _Work, folder: Path, observer: _Replaying, left: list[Checkpoint], jobs: int
) -> Iterator[Measured | str]:
    """Measure in processes of their own; results come in order."""
    from joblib import Parallel, delayed

    # Trackers and alerts hear of the records here.
    apart = {name: value for name, value in work.settings.items() if name not in ("trackers", "pictures", "alerts")}
    there = dataclasses.replace(work, settings={**apart, "resume": False})
    run = Parallel(n_jobs=min(jobs, max(len(left), 1)), return_as="generator")
    yield from run(delayed(_measured_apart)(there, folder, observer.words, one) for one in left)


def _measured_apart(work: _Work, folder: Path, words: Mapping[str, Any], one: Checkpoint) -> Measured | str:
    """Measure one checkpoint in a process of its own, and hand back what the run stores."""
    work.load(one)
    network = unwrapped(work.model)
    settings = dict(work.settings)
    if settings.get("initial", "now") == "now":
        settings["initial"] = load_initial(folder, own_tensors(network))
    try:
        observer = _Kept(work.model, work.probe_data, run=os.devnull, **settings)
        observer.know(words)
        observer.record(epoch=one.epoch, step=one.step)
    except NonFiniteError as error:
        return str(error)
    return observer.kept


class _KeptWriter(SilentWriter):
    """Keeps the one record instead of writing it."""

    kept: Measured = ({}, {})

    def append(self, epoch: float, step: int | None, scalars: Any, measurements: Any, extras: Any = None) -> None:
        """Keep it."""
        self.kept = (measurements, extras or {})


class _Kept(Observer):
    """An observer that writes nothing."""

    def know(self, words: Mapping[str, Any]) -> None:
        """Take over what the initial state read."""
        self._initial_words.update(words)

    @property
    def kept(self) -> Measured:
        """The record."""
        self._desk.wait()
        writer: Any = self._writer
        kept: Measured = writer.kept
        return kept

    def _made_writer(self, apart: Any) -> Writer:
        return _KeptWriter()
