"""Writing a run: the header once, then one record after the other."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phiscope.archive import write_arrays
from phiscope.errors import InputError, RunExistsError
from phiscope.measurement.record import Measurement
from phiscope.runs import layout
from phiscope.version import __version__

Arrays = Mapping[str, NDArray[Any]]


class RunWriter:
    """Appends records to a run on disk; each is complete on disk when ``append`` returns.

    Make one with ``RunWriter.create``. It keeps no file open, so there is nothing to close; ``finish``
    says how the run ended.

    Attributes:
        path: the run's folder.
        header: what the header file says.
        n_records: records on disk so far, counted from a resumed run's first.
        last_epoch: epoch of the last record on disk, None before the first.

    Example:
        >>> import tempfile
        >>> writer = RunWriter.create(tempfile.mkdtemp() + "/mine", {"name": "mine", "splits": ["train"]})
        >>> writer.append(0, 0, {"train_loss": 2.3}, {})
        >>> writer.n_records
        1
    """

    def __init__(self, path: Path, header: Mapping[str, Any], keep_eigenvectors: int | None) -> None:
        lines, _, self._size = layout.read_lines(path)
        self.path = path
        self.header = dict(header)
        self.n_records = max((line["index"] + 1 for line in lines), default=0)
        self.last_epoch: float | None = lines[-1]["epoch"] if lines else None
        self._keep_eigenvectors = keep_eigenvectors
        self._started = time.monotonic() - (lines[-1]["seconds"] if lines else 0.0)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        resume: bool = False,
        keep_eigenvectors: int | None = None,
    ) -> RunWriter:
        """Start a run in a folder, or go on with the one that is there.

        Args:
            path: the run's folder; it is made when it does not exist.
            header: what was trained and on what, as text, numbers, lists and mappings; the versions and
                the time are added. A resumed run keeps the header it has.
            resume: go on with the run in ``path`` when there is one.
            keep_eigenvectors: store this many leading eigenvectors with each measurement; None stores all.

        Raises:
            RunExistsError: there is a run and ``resume`` is False, or the path is a file.
            RunFormatError: the run to resume is unreadable or was written by a newer phiscope.
            InputError: the header holds something other than text, numbers, lists and mappings.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise RunExistsError(f"{folder} is a file; a run needs a folder of its own")
        there = any((folder / name).exists() for name in (layout.HEADER, layout.LINES))
        if there and not resume:
            raise RunExistsError(f"{folder} already holds a run; choose another folder or resume it")
        if there:
            header = layout.read_header(folder)
            (folder / layout.END).unlink(missing_ok=True)
            for left_by_a_kill in folder.rglob("*.partial"):
                left_by_a_kill.unlink()
        else:
            header = _with_facts(header, folder)
            (folder / layout.RECORDS).mkdir(parents=True, exist_ok=True)
            text = layout.to_text(header, "the header of a run", indent=2)
            layout.write_text(folder / layout.HEADER, text + "\n")
        return cls(folder, header, keep_eigenvectors)

    def append(
        self,
        epoch: float,
        step: int | None,
        scalars: Mapping[str, float],
        measurements: Mapping[str, Measurement],
        extras: Mapping[str, Arrays] | None = None,
    ) -> None:
        """Append one record.

        Args:
            epoch: epochs trained so far; 0 is the initial state.
            step: optimizer steps taken so far, or None when not counted.
            scalars: the caller's numbers, such as losses and accuracies; NaN and Inf are kept.
            measurements: one measurement a split; empty for a record of scalars alone.
            extras: further arrays a split, for example eigenfunction values on the gallery samples.

        Raises:
            InputError: a scalar is not a number, or an array cannot be stored.
        """
        extras = extras or {}
        line = {
            "index": self.n_records,
            "epoch": epoch,
            "step": step,
            "seconds": round(time.monotonic() - self._started, 3),
            "scalars": layout.pack_numbers(scalars, "the scalar"),
            "numbers": {s: layout.pack_numbers(m.to_dict(), "the number") for s, m in measurements.items()},
            "regimes": {s: m.regime for s, m in measurements.items() if m.regime is not None},
            "extras": sorted(extras),
        }
        text = layout.to_text(line, "a record")
        for split, measurement in measurements.items():
            file = layout.record_file(self.path, self.n_records, split)
            measurement.save(file, keep_eigenvectors=self._keep_eigenvectors)
        for split, arrays in extras.items():
            _save_arrays(layout.record_file(self.path, self.n_records, split, ".extras"), arrays)
        layout.sync_folder(self.path / layout.RECORDS)
        self._append_line(text)
        self.n_records += 1
        self.last_epoch = epoch

    def save_gallery(self, split: str, inputs: NDArray[Any], targets: NDArray[Any] | None = None) -> None:
        """Keep the samples that this run's eigenfunctions are shown on.

        Args:
            split: name of the split.
            inputs: shape (g, ...), one sample a row.
            targets: shape (g,) or (g, c), or None.

        Raises:
            InputError: the arrays are not numeric or differ in their number of samples.
        """
        arrays = {"inputs": np.asarray(inputs)}
        if targets is not None:
            arrays["targets"] = np.asarray(targets)
        if len({len(array) for array in arrays.values()}) > 1:
            raise InputError(f"the gallery of {split!r} has {len(inputs)} inputs but not as many targets")
        _save_arrays(layout.gallery_file(self.path, split), arrays)

    def finish(
        self,
        status: Literal["completed", "interrupted"] = "completed",
        results: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how the run ended, with its final results.

        Args:
            status: ``"completed"``, or ``"interrupted"`` when somebody stopped it on purpose.
            results: text, numbers, lists and mappings to keep with the run.

        Raises:
            InputError: the status is neither of the two, or a result cannot be stored as JSON.
        """
        if status not in ("completed", "interrupted"):
            raise InputError(f"a run ends 'completed' or 'interrupted', got {status!r}")
        end = {
            "status": status,
            "ended": _now(),
            "seconds": round(time.monotonic() - self._started, 3),
            "results": dict(results or {}),
        }
        text = layout.to_text(end, "the results of a run", indent=2)
        layout.write_text(self.path / layout.END, text + "\n")

    def _append_line(self, text: str) -> None:
        path = self.path / layout.LINES
        is_new = not path.exists()
        line = (text + "\n").encode()
        with open(path, "r+b" if not is_new else "xb") as file:
            # Whatever lies behind the last completed line is a torn write, ours or a killed predecessor's.
            file.truncate(self._size)
            file.seek(self._size)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            layout.sync_folder(self.path)
        self._size += len(line)


def _with_facts(header: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "format_version": layout.FORMAT_VERSION,
        "phiscope_version": __version__,
        "torch_version": importlib.metadata.version("torch"),
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "created": _now(),
        "name": folder.name,
        **{k: v for k, v in header.items() if k != "format_version"},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _save_arrays(path: Path, arrays: Arrays) -> None:
    wrong = [f"{name} ({array.dtype})" for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise InputError(f"these arrays cannot be stored, only real numbers can: {', '.join(wrong)}")
    write_arrays(path, arrays, {"phiscope_version": __version__})
    layout.sync_folder(path.parent)
