"""A run as one labelled xarray data set."""

import sys

import numpy as np
import pytest

from phiscope.errors import MissingDependencyError
from phiscope.runs import open_run
from small_runs import measured


def test_to_xarray_labels_everything(writer, measurement):
    wide = measured(seed=2, p=7)
    writer.append(0, 0, {"loss": 2.0, "nc1": 5.0}, {"train": measurement, "test": wide})
    writer.append(1, None, {}, {"train": measurement})
    data = open_run(writer.path).to_xarray()
    assert data.dynamical_low_rank.dims == ("record", "split")
    assert float(data.nc1.sel(split="test")[0]) == wide["nc1"]
    assert np.isnan(data.nc1.sel(split="test", record=1))
    assert float(data.recorded_nc1[0]) == 5.0
    assert data.loss.dims == ("record",)
    assert data.eigenvalues.dims == ("record", "split", "k")
    assert data.eigenvalues.sel(split="test", record=0).notnull().sum() == len(wide.raw.eigenvalues)
    curve = data.cumulative_utilization_centered.sel(split="train", record=1).dropna("k")
    np.testing.assert_array_equal(curve, measurement.centered.cumulative_utilization)
    assert data.k[0] == 1
    assert data.dynamical_low_rank.attrs["equation"]
    assert data.attrs["name"] == "mine"


def test_to_xarray_of_a_run_without_records(writer):
    data = open_run(writer.path).to_xarray()
    assert dict(data.sizes) == {"record": 0, "split": 2, "k": 0}


def test_to_xarray_names_the_missing_library(writer, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'phiscope\[xarray\]'"):
        open_run(writer.path).to_xarray()
