"""A run from measurements that were made by hand: of arrays from JAX, TensorFlow or MATLAB, or of old checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from phiscope.errors import InputError, RunExistsError, named_kind
from phiscope.measurement.record import Measurement
from phiscope.runs import layout
from phiscope.runs.opening import OWNED, check_class_names, check_header, folder_of
from phiscope.runs.reading import Run, open_run
from phiscope.runs.units import AXIS, read_epoch
from phiscope.runs.writing import RunWriter

SPLIT = "probe"
"""What the samples of a measurement are called that names no split; `Observer` calls its only data so."""

LONGEST_REASON = 500


def write_run(
    path: str | os.PathLike[str],
    items: Iterable[Sequence[Any]],
    *,
    header: Mapping[str, Any] | None = None,
    keep_eigenvectors: int | None = layout.KEPT_EIGENVECTORS,
) -> Run:
    """Write a run, and so what a page is made of, from measurements made by hand.

    A list is checked as a whole before anything is written. Of a generator, which may measure while it goes, what was
    written stays when it ends in an error, and the run says that it failed and why.

    Args:
        path: the run's folder, which holds nothing yet.
        items: ``(epoch, measurement)``, ``(epoch, {split: measurement})``, or either with scalars as a third part,
            ``(epoch, measurement, {"test_accuracy": 0.97})``. A measurement alone is of the split "probe" unless it
            names another. Epoch is how many were trained so far, 0 for the initial state; it grows from item to item.
        header: what was trained and on what: ``title``, ``description``, ``model``, ``data``, ``settings``,
            ``class_names``; text, numbers, lists and mappings.
        keep_eigenvectors: store this many leading eigenvectors with each measurement; None stores all.

    Returns:
        The run, as `open_run` gives it; `Observer` and `RunWriter` go on with it by ``resume=True``.

    Raises:
        RunExistsError: the folder holds something already.
        InputError: an item is none of the above, an epoch is not a number or does not grow, or there is no item.
        RunWriteError: the folder cannot be written.

    Example:
        >>> import tempfile, numpy as np
        >>> from phiscope import diagonalize
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> made = [(epoch, diagonalize(x ** (epoch + 1)), {"loss": 1 / (epoch + 1)}) for epoch in range(3)]
        >>> run = write_run(tempfile.mkdtemp() + "/mine", made, header={"title": "powers"})
        >>> [record.epoch for record in run.records], run.status
        ([0.0, 1.0, 2.0], 'completed')
    """
    check_header(header, OWNED - {AXIS})  # a sweep says what its records count
    _refuse_what_is_there(folder_of(path))
    checked = _checked(items)
    if not isinstance(items, Iterator):
        checked = iter(list(checked))
    first = next(checked, None)
    if first is None:
        raise InputError("a run came without any measurement; pass at least one (epoch, measurement)")
    whole = _header(first) | dict(header or {})
    check_class_names(whole["class_names"], next(iter(first.measurements.values())).n_outputs)
    writer = RunWriter.create(path, whole, keep_eigenvectors=keep_eigenvectors)
    try:
        for item in chain([first], checked):
            writer.append(item.epoch, None, item.scalars, item.measurements)
        writer.finish()
    except BaseException as error:
        writer.finish("failed", reason=f"{type(error).__name__}: {error}"[:LONGEST_REASON])
        raise
    finally:
        writer.close()
    return open_run(path)


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One record to be written.

    Attributes:
        epoch: epochs trained so far.
        measurements: by split.
        scalars: the caller's numbers.
    """

    epoch: float
    measurements: Mapping[str, Measurement]
    scalars: Mapping[str, float]


def _refuse_what_is_there(folder: Path) -> None:
    """A folder without a run would take one, but what else lies in it is somebody's."""
    if folder.is_dir() and any(folder.iterdir()):
        raise RunExistsError(f"{folder} is there already and not empty; choose another folder for the run")


def _checked(items: Iterable[Any]) -> Iterator[_Item]:
    if isinstance(items, (str, bytes, Mapping, Measurement)) or not isinstance(items, Iterable):
        raise InputError(
            f"a run came as {named_kind(items)}, expected a list of (epoch, measurement), one for each record"
        )
    last = -math.inf
    for index, item in enumerate(items):
        read = _item(item, index)
        if read.epoch <= last:
            raise InputError(
                f"item {index} has epoch {read.epoch:g} after {last:g}, expected epochs that grow; sort the items, and "
                "put measurements of one epoch together as {split: measurement}"
            )
        last = read.epoch
        yield read


def _item(item: Any, index: int) -> _Item:
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise InputError(
            f"item {index} is {named_kind(item)}{size}, expected (epoch, measurement) or (epoch, measurement, scalars)"
        )
    epoch, measured, scalars = item if len(item) == 3 else (*item, {})
    try:
        at = read_epoch(epoch)
    except InputError as error:
        raise InputError(f"item {index}: {error}") from error
    if not isinstance(scalars, Mapping):
        raise InputError(f"item {index} has {named_kind(scalars)} as scalars, expected a mapping from name to number")
    layout.pack_numbers(scalars, f"item {index}: the scalar")
    return _Item(epoch=at, measurements=_by_split(measured, index), scalars=scalars)


def _by_split(measured: Any, index: int) -> Mapping[str, Measurement]:
    # Many layers are a mapping, too, but their names are no names of splits.
    by_split = measured if type(measured) is dict else {_split_of(measured): measured}
    for split, measurement in by_split.items():
        if not isinstance(measurement, Measurement):
            raise InputError(
                f"item {index} holds {named_kind(measurement)} for {split!r}, expected a Measurement as "
                "diagonalize or measure gives it, or {split: measurement}"
            )
        if not isinstance(split, str) or not split:
            raise InputError(f"item {index} names a split {split!r}, expected text such as 'train'")
    if not by_split:
        raise InputError(f"item {index} holds no measurement; leave it out, or keep its scalars with another one")
    return by_split


def _split_of(measured: Any) -> str:
    return str(measured.provenance.get("split") or SPLIT) if isinstance(measured, Measurement) else SPLIT


def _header(first: _Item) -> dict[str, Any]:
    """What the first measurements say of themselves."""
    task = next(iter(first.measurements.values())).provenance.get("task")
    return {
        "task": task if task in ("classification", "regression") else None,
        "splits": list(first.measurements),
        "image": False,
        "class_names": None,
        "written": "by hand",
    }
