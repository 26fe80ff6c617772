"""Writing a run: the header once, then one record after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phiscope.archive import is_file, read_arrays, write_arrays
from phiscope.errors import InputError, RunError, RunFormatError, RunWriteError
from phiscope.measurement.bands import has_room_for_bands
from phiscope.measurement.record import Measurement
from phiscope.runs import layout
from phiscope.runs.branches import Moment, Place, TrainingLine
from phiscope.runs.journal import Journal
from phiscope.runs.lines import read_lines
from phiscope.runs.lock import WriterLock
from phiscope.runs.opening import begun, folder_of, free_index, now, refuse_existing, reopened
from phiscope.runs.units import read_epoch, read_moment, read_step
from phiscope.version import __version__

Arrays = Mapping[str, NDArray[Any]]


class RunWriter:
    """Appends records to a run on disk; each is complete on disk when ``append`` returns.

    Make one with ``RunWriter.create``. It holds the run's lock until ``finish`` or ``close``, or until it is gone.

    Attributes:
        path: the run's folder.
        header: what the header file says.
        n_records: records on disk so far, counted from a resumed run's first; the number of the next one.

    Example:
        >>> import tempfile
        >>> writer = RunWriter.create(tempfile.mkdtemp() + "/mine", {"name": "mine", "splits": ["train"]})
        >>> writer.append(0, 0, {"train_loss": 2.3}, {})
        >>> writer.n_records
        1
        >>> writer.finish()
    """

    def __init__(self, path: Path, header: Mapping[str, Any], keep_eigenvectors: int | None, lock: WriterLock) -> None:
        lines = read_lines(path)
        self.path = path
        self.header = dict(header)
        self.n_records = free_index(path, lines)
        self._lock = lock
        self._journal = Journal(path, lines)
        self._keep_eigenvectors = keep_eigenvectors
        self._last: dict[Path, Measurement] = {}
        self._has_ended = False
        self._line = TrainingLine(lines)
        self._started = time.monotonic() - (lines.records[-1]["seconds"] if lines.records else 0.0)

    @property
    def last_epoch(self) -> float | None:
        """Epoch of the last record on the line of training, None before the first."""
        return None if self._line.last is None else self._line.last.epoch

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        resume: bool = False,
        keep_eigenvectors: int | None = layout.KEPT_EIGENVECTORS,
    ) -> RunWriter:
        """Start a run in a folder, or go on with the one that is there.

        Args:
            path: the run's folder; it is made when it does not exist.
            header: what was trained and on what, as text, numbers, lists and mappings; the versions and
                the time are added. A resumed run keeps the header it has.
            resume: go on with the run in ``path`` when there is one. A first record at an epoch that is there already
                begins a new branch, and nothing is deleted.
            keep_eigenvectors: store this many leading eigenvectors with each measurement; None stores all.

        Raises:
            RunExistsError: there is a run and ``resume`` is False, or the path is a file.
            RunLockedError: somebody else is writing it.
            RunFormatError: the run to resume is unreadable, was written by a newer phiscope, or has a link in it.
            RunWriteError: the folder cannot be written.
            InputError: the header holds something that JSON cannot carry, or the path names no folder.
        """
        folder = folder_of(path)
        refuse_existing(folder, resume)
        layout.to_text(header, "the header of a run")
        layout.make_folder(folder)
        lock = WriterLock(folder)
        try:
            # Somebody may have made a run here before the lock was ours.
            there = refuse_existing(folder, resume)
            header = reopened(folder) if there else begun(folder, header)
            return cls(folder, header, keep_eigenvectors, lock)
        except BaseException:
            lock.release()
            raise

    def append(
        self,
        epoch: float,
        step: int | None,
        scalars: Mapping[str, float],
        measurements: Mapping[str, Measurement],
        extras: Mapping[str, Arrays] | None = None,
        *,
        with_bands: bool = False,
    ) -> None:
        """Append one record; what `note` said early about its epoch becomes part of it.

        Bands of curves cost more than all else and are left to `finish`, which adds them to the last record.

        Args:
            epoch: epochs trained so far; 0 is the initial state.
            step: optimizer steps taken so far, or None when not counted.
            scalars: the caller's numbers, such as losses and accuracies; NaN and Inf are kept.
            measurements: one measurement a split; empty for a record of scalars alone.
            extras: further arrays a split, for example eigenfunction values on the gallery samples.
            with_bands: make the bands of this record now, whether or not it will be the last.

        Raises:
            InputError: the epoch or a scalar is not a number, the step no whole one, or an array cannot be stored.
            RunWriteError: the disk is full, or the folder gone or read-only.
            RunLockedError: somebody else writes this run.
        """
        epoch, step = read_epoch(epoch), None if step is None else read_step(step)
        self._check_place()
        extras = extras or {}
        place = self._line.place(epoch, step)
        early = [moment for moment in place.moments if moment.early is not None and moment.is_at(epoch, step)]
        noted = {name: value for moment in early for name, value in (moment.early or {}).items()}
        facts = {
            "numbers": {s: layout.pack_numbers(m.to_dict(), "the number") for s, m in measurements.items()},
            "regimes": {s: m.regime for s, m in measurements.items() if m.regime is not None},
            "extras": sorted(extras),
            **({"absorbs": [moment.index for moment in early]} if early else {}),
        }
        place = replace(place, moments=tuple(moment for moment in place.moments if moment not in early))
        moment = Moment(self.n_records, epoch, step)
        text = self._text(
            place,
            moment,
            {**layout.pack_numbers(noted, "the scalar"), **layout.pack_numbers(scalars, "the scalar")},
            facts,
        )
        files = {layout.record_file(self.path, moment.index, split): m for split, m in measurements.items()}
        for file, measurement in files.items():
            measurement.save(file, keep_eigenvectors=self._keep_eigenvectors, with_bands=with_bands)
        for split, arrays in extras.items():
            _save_arrays(layout.record_file(self.path, moment.index, split, ".extras"), arrays)
        if measurements or extras:
            layout.sync_folder(self.path / layout.RECORDS)
        self._add(text, place, moment)
        if files:
            self._last = {file: m for file, m in files.items() if not with_bands and has_room_for_bands(m)}

    def note(self, epoch: float | None, step: int | None, scalars: Mapping[str, float]) -> None:
        """Add scalars to a record that is there, or early ones that the record of their epoch will take.

        Args:
            epoch: of the record; None for the last one.
            step: of the record; None where the epoch says which.
            scalars: the caller's numbers.

        Raises:
            InputError: a scalar, the epoch or the step is not a number, or neither epoch nor record is there.
            RunWriteError: see `append`.
            RunLockedError: see `append`.
        """
        epoch, step = read_moment(epoch, step)
        self._check_place()
        packed = layout.pack_numbers(scalars, "the scalar")
        last = self._line.last
        if epoch is None and last is None:
            raise InputError("a note came before any record and says no epoch; pass epoch=")
        at = epoch if epoch is not None else last.epoch if last is not None else 0.0
        moment = self._line.known(at, step)
        if moment is not None and moment.early is None:
            self._journal.append(layout.to_text({"note": moment.index, "scalars": packed}, "a note"), _nothing)
            return
        place, moment = self._line.place(at, step), Moment(self.n_records, at, step, early=packed)
        self._add(self._text(place, moment, packed, {"numbers": {}, "early": True}), place, moment)

    def go_on_from(self, index: int) -> None:
        """Take a record as the one that the training stands at; what came after it stays, on a branch left behind.

        Args:
            index: of a record; -1 for the state before the first.

        Raises:
            RunError: the run has no such record.
        """
        if not self._line.go_on_from(read_lines(self.path), index):
            raise RunError(f"the run {self.path} has no record {index} to go on from; resume the run of the checkpoint")
        self._last = {}

    @property
    def last_index(self) -> int:
        """Number of the last record on the line of training, -1 before the first."""
        return -1 if self._line.last is None else self._line.last.index

    def save_gallery(
        self, split: str, inputs: NDArray[Any], targets: NDArray[Any] | None = None, words: Any = None
    ) -> bool:
        """Keep the samples that this run's eigenfunctions are shown on; those of a resumed run stay as they are.

        Args:
            split: name of the split.
            inputs: shape (g, ...), one sample a row.
            targets: shape (g,) or (g, c), or None.
            words: for each sample the text before, the marked text and the text after it, or None.

        Returns:
            Whether these are the run's samples now; False when the run has others, which its records belong to.

        Raises:
            InputError: the arrays are not numeric or differ in their number of samples.
            RunWriteError: the file cannot be written.
            RunFormatError: the file that is there is damaged.
        """
        arrays = {"inputs": np.asarray(inputs)}
        if targets is not None:
            arrays["targets"] = np.asarray(targets)
        if len({len(array) for array in arrays.values()}) > 1:
            raise InputError(f"the gallery of {split!r} has {len(inputs)} inputs but not as many targets")
        path = layout.gallery_file(self.path, split)
        if self.n_records and is_file(path):
            try:
                there, _ = read_arrays(path)
            except RunFormatError as error:
                raise RunFormatError(f"{error}; delete it, and the samples that come now are kept instead") from error
            return set(there) == set(arrays) and all(np.array_equal(there[name], arrays[name]) for name in arrays)
        _save_arrays(path, arrays, {} if words is None else {"words": [list(marked) for marked in words]})
        return True

    def finish(
        self,
        status: Literal["completed", "interrupted", "failed"] = "completed",
        results: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        """Say how the run ended, with its final results, and let go of the run; a second word on it changes nothing.

        A completed run's last measurements then get their 95 % bands; whoever interrupts a training wants to go on.

        Args:
            status: ``"completed"``, ``"interrupted"`` when somebody stopped it on purpose, or ``"failed"``.
            results: text, numbers, lists and mappings to keep with the run.
            reason: why it ended so.

        Raises:
            InputError: the status is none of the three, or a result cannot be stored as JSON.
            RunWriteError: the file cannot be written.
        """
        check_status(status)
        if self._has_ended:
            return
        end = {
            "status": status,
            **({"reason": str(reason)} if reason else {}),
            "ended": now(),
            "seconds": round(time.monotonic() - self._started, 3),
            "results": dict(results or {}),
        }
        text = layout.to_text(end, "the results of a run", indent=2)
        self._check_place()
        layout.write_text(self.path / layout.END, text + "\n")
        # Bands may take a while: whoever kills or interrupts them has a completed run without.
        self._has_ended = True
        try:
            for file, measurement in self._last.items() if status == "completed" else ():
                measurement.save(file, keep_eigenvectors=self._keep_eigenvectors)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the run without a word on how it ended; a second call does nothing."""
        self._last = {}
        self._lock.release()

    def _check_place(self) -> None:
        if not self._lock.held:
            raise RunError(f"this writer of {self.path} has finished; make a new one with resume=True to go on")
        if not self._lock.is_in_place:
            reason = "deleted, moved or made anew by somebody else"
            raise RunWriteError(
                f"the run's folder {self.path} was {reason} while it was written; nothing more is written to it, and "
                "the training is untouched",
                path=str(self.path),
                reason=reason,
            )
        self._journal.settle()

    def _text(self, place: Place, moment: Moment, scalars: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        line = {
            "index": moment.index,
            "epoch": moment.epoch,
            "step": moment.step,
            "seconds": round(time.monotonic() - self._started, 3),
            "scalars": scalars,
            **facts,
            **({"branch": place.branch, "lineage": place.lineage} if place.branch else {}),
        }
        return layout.to_text(line, "a record")

    def _add(self, text: str, place: Place, moment: Moment) -> None:
        def done() -> None:
            self.n_records = moment.index + 1
            self._line.take(place, moment)

        self._journal.append(text, done)


def _nothing() -> None:
    """What a note leaves to do once it is stored."""


def check_status(status: str) -> None:
    """Refuse a word that says nothing about how a run ended.

    Raises:
        InputError: it is none of the three.
    """
    if status not in layout.STATUSES:
        raise InputError(f"a run ends 'completed', 'interrupted' or 'failed', got {status!r}")


def _save_arrays(path: Path, arrays: Arrays, facts: Mapping[str, Any] | None = None) -> None:
    wrong = [f"{name} ({array.dtype})" for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise InputError(f"these arrays cannot be stored, only real numbers can: {', '.join(wrong)}")
    write_arrays(path, arrays, {"phiscope_version": __version__, **(facts or {})})
    layout.sync_folder(path.parent)
