"""A run as one labelled xarray data set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import MissingDependencyError, UnknownNameError
from phiscope.metrics import definition_of

if TYPE_CHECKING:
    import xarray

    from phiscope.measurement.record import Measurement
    from phiscope.runs.reading import Run

CURVES = ("eigenvalues", "quality", "utilization", "cumulative_quality", "cumulative_utilization")
"""The curves of a spectrum; their centered twins end in ``_centered``."""

Variables = dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]


def to_dataset(run: Run) -> xarray.Dataset:
    """Everything of a run over record, split and k; see ``Run.to_xarray``.

    Raises:
        MissingDependencyError: xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise MissingDependencyError("xarray", purpose="Run.to_xarray()", extra="xarray") from error
    curves = _curves(run)
    widest = max((values.shape[2] for _, values, _ in curves.values()), default=0)
    return xarray.Dataset(
        {**_scalars(run), **_numbers(run), **curves},
        coords={
            "record": [record.index for record in run.records],
            "epoch": ("record", np.array([record.epoch for record in run.records], dtype=float)),
            "step": ("record", [np.nan if r.step is None else float(r.step) for r in run.records]),
            "seconds": ("record", np.array([record.seconds for record in run.records], dtype=float)),
            "split": list(run.splits),
            "k": np.arange(1, widest + 1),
        },
        attrs={key: v if isinstance(v, str) else json.dumps(v) for key, v in run.header.items()},
    )


def _scalars(run: Run) -> Variables:
    taken = {*run.number_names(), "record", "epoch", "step", "seconds", "split", "k"}
    taken |= {f"{curve}{twin}" for curve in CURVES for twin in ("", "_centered")}
    variables: Variables = {}
    for name in dict.fromkeys(name for record in run.records for name in record.scalars):
        values = np.array([record.scalars.get(name, np.nan) for record in run.records], dtype=float)
        free = f"recorded_{name}" if name in taken else name
        variables[free] = (("record",), values, {"long_name": name, "source": "recorded by the caller"})
    return variables


def _numbers(run: Run) -> Variables:
    variables: Variables = {}
    for name in run.number_names():
        rows = [[r.line["numbers"].get(s, {}).get(name, np.nan) for s in run.splits] for r in run.records]
        variables[name] = (("record", "split"), np.array(rows, dtype=float), _attributes(name))
    return variables


def _curves(run: Run) -> Variables:
    found: dict[str, dict[tuple[int, int], NDArray[np.float64]]] = {}
    places = [(i, record, split) for i, record in enumerate(run.records) for split in record.splits]
    for i, record, split in places:
        for name, values in _curves_of(record.measurement(split)).items():
            found.setdefault(name, {})[i, run.splits.index(split)] = values
    widest = max((len(values) for cells in found.values() for values in cells.values()), default=0)
    variables: Variables = {}
    for name, cells in found.items():
        table = np.full((len(run.records), len(run.splits), widest), np.nan)
        for (i, j), values in cells.items():
            table[i, j, : len(values)] = values
        variables[name] = (("record", "split", "k"), table, _attributes(name))
    return variables


def _curves_of(measurement: Measurement) -> dict[str, NDArray[np.float64]]:
    spectra = (("", measurement.raw), ("_centered", measurement.centered))
    curves = {f"{name}{twin}": getattr(spectrum, name) for twin, spectrum in spectra for name in CURVES}
    return {name: values for name, values in curves.items() if values is not None}


def _attributes(name: str) -> dict[str, Any]:
    try:
        row = definition_of(name.removesuffix("_centered") if name.startswith(CURVES) else name)
    except UnknownNameError:  # a run may hold numbers of a later phiscope with the same run format
        return {"long_name": name}
    facts = {"units": row.unit, "range": row.range, "equation": row.equation, "source": row.source}
    return {"long_name": row.title, **facts}
