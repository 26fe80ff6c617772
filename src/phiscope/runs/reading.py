"""Opening a run: everything light at once, each measurement when somebody asks for it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from phiscope.archive import read_arrays
from phiscope.errors import RunError, RunFormatError, UnknownNameError
from phiscope.inputs.settings import check_flag, is_word, path_of
from phiscope.measurement.record import Measurement
from phiscope.runs import layout
from phiscope.runs.alerts import read_alerts
from phiscope.runs.gallery import Gallery, damaged_galleries, read_gallery
from phiscope.runs.lines import Lines, on_branch, read_lines
from phiscope.runs.units import Unit, unit_of

if TYPE_CHECKING:
    import xarray

    from phiscope.figures.paper.drawing import Drawing

UNFINISHED = "running or killed"
"""Status of a run that has not said how it ended."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One moment of a training: the caller's scalars and what was measured on each split.

    Attributes:
        index: number of the record in the run, from 0; numbers of other branches are left out.
        epoch: epochs trained so far; 0 is the initial state.
        step: optimizer steps so far, or None when not counted.
        seconds: seconds since the run began.
        scalars: what the caller recorded, by name, late notes included.
        splits: the splits measured at this record; empty when only scalars were recorded, or a file is damaged; see
            `measured`.
        branch: the branch of the run on which it was recorded; 0 unless a training went on from an earlier checkpoint.
        unit: what the run's moments are counted in, "epoch", "step" or "width"; see `at`.
        damage: what is wrong with a file of this record, in words; empty where nothing is.
    """

    index: int
    epoch: float
    step: int | None
    seconds: float
    scalars: Mapping[str, float]
    splits: tuple[str, ...]
    folder: Path = field(repr=False)
    line: Mapping[str, Any] = field(repr=False)
    branch: int = 0
    unit: Unit = "epoch"
    damage: str = ""

    @property
    def at(self) -> float:
        """Where it stands on the axis of time: its epoch (a sweep's width), or its step where the run counts steps."""
        return self.epoch if self.unit != "step" or self.step is None else float(self.step)

    @property
    def measured(self) -> tuple[str, ...]:
        """The splits with numbers, which stand in the run's lines, whether or not the files beside can be read."""
        return tuple(self.line["numbers"])

    def measurement(self, split: str | None = None) -> Measurement:
        """The whole measurement of one split, read from its file when first asked for.

        Args:
            split: name of the split; None is the first one.

        Raises:
            UnknownNameError: this record has no such split.
            RunError: nothing was measured at this record.
            RunFormatError: the file is missing or damaged.
        """
        path = layout.record_file(self.folder, self.index, self._split(split))
        with layout.restorable():
            return _load_measurement(path, _changed(path))

    def numbers(self, split: str | None = None) -> dict[str, float]:
        """Every scalar of one split by its name; opens no file.

        Raises:
            UnknownNameError: this record has no such split.
            RunError: nothing was measured at this record.
        """
        return dict(self.line["numbers"][self._split(split)])

    def regime(self, split: str | None = None) -> str | None:
        """The regime of one split, None where the outputs were not known; opens no file.

        Raises:
            UnknownNameError: this record has no such split.
            RunError: nothing was measured at this record.
        """
        found = self.line.get("regimes", {}).get(self._split(split))
        return None if found is None else str(found)

    def extras(self, split: str | None = None) -> dict[str, NDArray[Any]]:
        """The further arrays stored with one split; empty when there are none.

        Raises:
            UnknownNameError: this record has no such split.
            RunError: nothing was measured at this record.
            RunFormatError: the file is missing or damaged.
        """
        split = self._split(split)
        if split not in self.line.get("extras", ()):
            return {}
        with layout.restorable():
            return read_arrays(layout.record_file(self.folder, self.index, split, ".extras"))[0]

    def _split(self, split: str | None) -> str:
        splits = self.measured
        if not splits:
            raise RunError(
                f"record {self.index} (epoch {self.epoch:g}) of {self.folder} holds scalars only; "
                "nothing was measured at it"
            )
        if split is None:
            return splits[0]
        if not is_word(split, splits):
            raise UnknownNameError("split", split, splits)
        return split


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training on disk, opened for reading.

    Attributes:
        path: the run's folder.
        header: what was trained, on what, with which settings and versions.
        records: every completed record of one line of training, in order: the branch the run is on, and those before it
            up to where it left them.
        status: ``"completed"``, ``"interrupted"``, ``"failed"`` or ``"running or killed"``.
        reason: why the run failed or was interrupted, when somebody said so; else empty.
        results: what the run said at its end; empty before.
        warnings: what a reader has to know, such as a record torn by a kill, or an alert that fired.
        branches: numbers of all branches in the order they began; a resume from an earlier checkpoint begins one.
        shown: the branch whose line of training ``records`` is; the last one unless `branch` gave another.
        damaged_galleries: splits whose gallery cannot be read; pages do without.
    """

    path: Path
    header: dict[str, Any]
    records: tuple[Record, ...]
    status: str = UNFINISHED
    results: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reason: str = ""
    branches: tuple[int, ...] = (0,)
    shown: int = 0
    lines: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    damaged_galleries: frozenset[str] = frozenset()

    @property
    def alerts(self) -> tuple[Mapping[str, Any], ...]:
        """Every alert that fired, on any branch: its sentence, the values that led there, the limit."""
        return read_alerts(self.path)[0]

    def branch(self, number: int) -> Run:
        """The same run with another line of training as its records.

        Args:
            number: one of ``branches``.

        Raises:
            UnknownNameError: there is no such branch.

        Example:
            ``[record.epoch for record in run.branch(0).records]``
        """
        if number not in self.branches:
            raise UnknownNameError("branch", str(number), map(str, self.branches))
        records = tuple(_record(self.path, line, self.unit, looks=True) for line in on_branch(self.lines, number))
        damaged = [sentence for sentence in _damages(records) if sentence not in self.warnings]
        return replace(self, records=records, shown=number, warnings=(*self.warnings, *damaged))

    @property
    def unit(self) -> Unit:
        """What its moments are counted in: "epoch", or "step" where records stand at optimizer steps."""
        return self.records[0].unit if self.records else "epoch"

    def in_epochs(self) -> Run:
        """The same run with its moments counted in epochs, to stand beside runs that count them."""
        return replace(self, records=tuple(replace(record, unit="epoch") for record in self.records))

    @property
    def hidden(self) -> int:
        """Number of completed records that lie on no part of the line of training shown."""
        return len(self.lines) - len(self.records) if self.lines else 0

    @property
    def name(self) -> str:
        """The run's name from its header, else its folder's."""
        return str(self.header.get("name") or self.path.name)

    @functools.cached_property  # pages ask for it at every record
    def splits(self) -> tuple[str, ...]:
        """Every split measured in this run, in the header's order."""
        seen = dict.fromkeys(str(split) for split in self.header.get("splits") or ())
        for record in self.records:
            seen.update(dict.fromkeys(record.measured))
        return tuple(seen)

    @functools.cached_property  # a vocabulary is long
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in order, or None when unknown or not a classification."""
        names = self.header.get("class_names")
        return None if names is None else tuple(str(name) for name in names)

    def gallery(self, split: str) -> Gallery | None:
        """The kept samples of one split, or None when the run kept none.

        Raises:
            RunFormatError: the file is damaged.
        """
        with layout.restorable():
            return read_gallery(layout.gallery_file(self.path, split))

    def figure(
        self, name: str, *, epoch: float | None = None, split: str | None = None, k: tuple[int, int] = (1, 2)
    ) -> Drawing:
        """A picture of this run (needs matplotlib); ``run.figure("spectrum").save("fig.pdf", columns=1)``.

        Args:
            name: spectrum, curves, classes, gallery, gradients or plane of a record; timeline, flow or why; widths.
            epoch: of which record (its step, where the run counts steps); None: the last measured one.
            split: None: the first.
            k: of "plane": which two eigenfunctions, from 1.

        Raises:
            RunError: what the picture needs was not stored.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.run_sheets import run_sheet

        return drawn(run_sheet(self, name, epoch=epoch, split=split, k=k), purpose="Run.figure()")

    def _repr_html_(self) -> str:
        """How it ended, what it reads, and pictures, in a notebook."""
        from phiscope.figures.paper.notebook import run_html

        return run_html(self)

    def table(self, split: str | None = None) -> list[dict[str, Any]]:
        """One row a record: epoch, step, seconds, the caller's scalars and the numbers of one split.

        A caller's scalar that has the name of a phiscope number appears as ``recorded_NAME``.

        Args:
            split: name of the split; None is the run's first.

        Raises:
            UnknownNameError: the run has no such split.
        """
        if split is None:
            split = self.splits[0] if self.splits else None
        elif split not in self.splits:
            raise UnknownNameError("split", split, self.splits)
        measured = self.number_names()
        rows = []
        for record in self.records:
            row: dict[str, Any] = {"epoch": record.epoch, "step": record.step, "seconds": record.seconds}
            for name, value in record.scalars.items():
                row[f"recorded_{name}" if name in measured or name in row else name] = value
            row.update(record.line["numbers"].get(split, {}))
            rows.append(row)
        return rows

    def number_names(self) -> tuple[str, ...]:
        """Names of all numbers measured at any record of any split, in the order first seen."""
        return self._number_names

    @functools.cached_property
    def _number_names(self) -> tuple[str, ...]:
        lines = (numbers for record in self.records for numbers in record.line["numbers"].values())
        return tuple(dict.fromkeys(name for numbers in lines for name in numbers))

    def to_xarray(self) -> xarray.Dataset:
        """Everything over ``record`` (with ``epoch``, ``step``, ``seconds``), ``split`` and ``k``.

        Scalars have dimension (record), numbers (record, split), curves (record, split, k) with k from 1;
        what was not measured is NaN. Every variable carries its definition in its attributes.

        Raises:
            MissingDependencyError: xarray is not installed.

        Example:
            ``run.to_xarray().dynamical_low_rank.sel(split="test").plot(x="epoch")``
        """
        from phiscope.runs.dataset import to_dataset

        return to_dataset(self)


def open_run(path: str | os.PathLike[str], *, looks: bool = True) -> Run:
    """Open a run for reading, also while it is being written or after it was killed.

    Args:
        path: the run's folder.
        looks: at the files of records and galleries, so that what is damaged is left out; lines need none of them.

    Returns:
        The run with every completed record; measurements are read when asked for.

    Raises:
        InputError: the path is none.
        RunFormatError: there is no run, it is unreadable, or a newer phiscope wrote it.
    """
    check_flag(looks, name="looks")
    folder = path_of(path, name="a run")
    header = layout.read_header(folder)
    return run_of(folder, header, read_lines(folder), looks=looks)


def run_of(
    folder: Path, header: dict[str, Any], read: Lines, before: Iterable[Record] = (), *, looks: bool = True
) -> Run:
    """The run that a header and lines make, with how it ended and what alerts there are by now.

    Args:
        folder: the run's folder.
        header: what its header file says; what cannot be used is taken out.
        read: its lines.
        before: records made earlier; those whose line is the same object are taken as they are.
        looks: at the files of records and galleries, so that what is damaged is left out.
    """
    warnings = layout.header_problems(header)
    end, problems = layout.read_end(folder)
    alerts, unread = read_alerts(folder)
    problems += [*unread, *(f"alert: {alert['sentence']}" for alert in alerts)]
    shown = read.records[-1]["branch"] if read.records else 0
    unit = unit_of(header, read.records)
    made = {id(record.line): record for record in before if record.unit == unit}
    lines = on_branch(read.records, shown)
    records = tuple(made.get(id(line)) or _record(folder, line, unit, looks=looks) for line in lines)
    galleries = damaged_galleries(folder, header, lines) if looks else {}
    problems += _damages(records)
    problems += [f"the gallery of {split!r} is left out: {damage}" for split, damage in galleries.items()]
    return Run(
        path=folder,
        header=header,
        records=records,
        damaged_galleries=frozenset(galleries),
        status=end.get("status", UNFINISHED),
        reason=end.get("reason", ""),
        results=end.get("results", {}),
        warnings=(*warnings, *read.warnings, *problems),
        branches=tuple(sorted({line["branch"] for line in read.records})) or (0,),
        shown=shown,
        lines=tuple(read.records),
    )


def _damages(records: Iterable[Record]) -> list[str]:
    return layout.in_short([f"record {one.index} is left out: {one.damage}" for one in records if one.damage])


def _record(folder: Path, line: Mapping[str, Any], unit: Unit, *, looks: bool) -> Record:
    files = [layout.record_file(folder, line["index"], split) for split in line["numbers"]]
    files += [layout.record_file(folder, line["index"], split, ".extras") for split in line["extras"]]
    damage = next(filter(None, map(layout.damage_of, files)), "") if looks else ""
    return Record(
        index=line["index"],
        epoch=line["epoch"],
        step=line["step"],
        seconds=line["seconds"],
        scalars=line["scalars"],
        # As a whole: who walks through splits reads all of them, the first one where none is named.
        splits=() if damage else tuple(line["numbers"]),
        damage=damage,
        folder=folder,
        line=line,
        branch=line["branch"],
        unit=unit,
    )


# A page asks for the same record several times; a long run must not stay in memory as a whole.
@functools.lru_cache(maxsize=32)
def _load_measurement(path: Path, changed: int) -> Measurement:
    return Measurement.load(path)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError) as error:
        raise RunFormatError(f"{path} cannot be read: {error}") from error
