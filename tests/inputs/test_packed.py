"""Packed numbers are read as xarray reads them; missing rows are refused with their number and the first of them."""

import warnings

import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, NonFiniteError
from phiscope.inputs.arrays import as_array
from phiscope.inputs.packed import Packing, missing_in, packing_of
from phiscope.inputs.rows import as_row_source

N, P = 300, 4
RNG = np.random.default_rng(3)
VALUES = RNG.normal(size=(N, P)) * [3, 2, 1, 0.5] + 1
LABELS = RNG.integers(0, 3, N)
PACK = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 1.0, "_FillValue": -32768}

FORMATS = [2, 3]


def stored(folder, data, encoding, zarr_format):
    """A Zarr store as xarray writes it, which leaves packing to attributes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_zarr(folder / "x.zarr", encoding=encoding, zarr_format=zarr_format, consolidated=False)
    return folder / "x.zarr"


def opened(path, **options):
    return xr.open_zarr(path, consolidated=False, **options)


def data_set(values=VALUES, chunks=None):
    made = xr.Dataset({"features": (("n", "p"), values), "targets": ("n", LABELS)})
    return made if chunks is None else made.chunk(n=chunks)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("pack", [PACK, PACK | {"dtype": "uint8", "scale_factor": 0.1, "add_offset": -9.0}, {}])
def test_a_store_of_xarray_gives_the_numbers_that_xarray_reads(tmp_path, zarr_format, pack):
    if pack.get("dtype") == "uint8":
        pack = pack | {"_FillValue": 255}
    path = stored(tmp_path, data_set(), {"features": pack}, zarr_format)
    # In float64: xarray itself rounds what comes from 16 bits without an offset to float32.
    expected = phiscope.diagonalize(opened(path).features.to_numpy().astype(float), targets=LABELS).to_dict()
    group = zarr.open_group(path)
    lazily, raw = opened(path, mask_and_scale=False), opened(path, mask_and_scale=False, chunks=None)
    for features in (group["features"], lazily.features, raw.features, raw.features.variable, opened(path).features):
        found = phiscope.diagonalize(features, targets=LABELS).to_dict()
        plain = [name for name in expected if "corrected" not in name and "held_out" not in name]
        assert {name: found[name] for name in plain} == pytest.approx(
            {name: expected[name] for name in plain}, rel=1e-9
        )
    if pack:  # the control: what was read before
        stored_numbers = phiscope.diagonalize(np.asarray(raw.features), targets=LABELS)
        assert abs(stored_numbers["participation_ratio"] - expected["participation_ratio"]) > 0.1


@pytest.mark.parametrize("name", ["outputs", "targets", "weights"])
@pytest.mark.parametrize("zarr_format", FORMATS)
def test_whatever_belongs_beside_the_features_is_unpacked_too(tmp_path, zarr_format, name):
    values = np.abs(VALUES[:, 0] if name != "outputs" else VALUES)
    path = stored(tmp_path, xr.Dataset({name: (("n", "C")[: values.ndim], values)}), {name: PACK}, zarr_format)
    read = opened(path)[name].to_numpy()
    expected = phiscope.diagonalize(VALUES, **{name: read})
    for given in (zarr.open_group(path)[name], opened(path, mask_and_scale=False, chunks=None)[name]):
        found = phiscope.diagonalize(VALUES, **{name: given})
        assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-9, abs=1e-9)
        lazily = phiscope.diagonalize(da.from_array(VALUES, chunks=(70, -1)), **{name: given})
        assert lazily["participation_ratio"] == pytest.approx(expected["participation_ratio"], rel=1e-9)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_labels_with_a_fill_value_stay_classes(tmp_path, zarr_format):
    path = stored(tmp_path, data_set(), {"targets": {"_FillValue": -1}}, zarr_format)
    for targets in (zarr.open_group(path)["targets"], opened(path, mask_and_scale=False).targets):
        found = phiscope.diagonalize(VALUES, targets=targets)
        assert found.n_classes == 3
        assert found["nc1"] == pytest.approx(phiscope.diagonalize(VALUES, targets=LABELS)["nc1"])


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize(
    "pack", [PACK, {"_FillValue": -9999.0}, {"_FillValue": np.nan}, {"dtype": "f4", "_FillValue": 1e20}]
)
def test_missing_rows_are_counted(tmp_path, zarr_format, pack):
    values = VALUES.copy()
    values[[7, 7, 150, 299], [0, 1, 2, 3]] = np.nan
    path = stored(tmp_path, data_set(values, chunks=40), {"features": pack}, zarr_format)
    ways = [zarr.open_group(path)["features"], opened(path, mask_and_scale=False, chunks=None).features]
    for features in ways:
        with pytest.raises(InputError, match=r"3 of 300 rows .*have missing values.*the first is row 7; drop"):
            phiscope.diagonalize(features, targets=LABELS)
    with pytest.raises(NonFiniteError, match=r"sample 7 of that batch. and in 2 more of its rows"):
        phiscope.diagonalize(opened(path, chunks=None).features)
    with pytest.raises(InputError, match=r"the first is row \d+.*chunk \d of 8, rows"):
        phiscope.diagonalize(opened(path, mask_and_scale=False).features)
    kept = np.setdiff1d(np.arange(N), [7, 150, 299])
    assert phiscope.diagonalize(opened(path).features[kept]).n_samples == N - 3  # the control


def test_missing_labels_are_refused_by_the_command_line(tmp_path, capsys):
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("features", shape=VALUES.shape, dtype="f8")[:] = VALUES
    labels = group.create_array("targets", shape=(N,), dtype="i4", chunks=(50,))
    labels[:] = np.where(np.arange(N) % 100 == 70, -99, LABELS)
    labels.attrs["missing_value"] = -99
    command = ["measure", "--features", f"{tmp_path}/x.zarr", "--targets", f"{tmp_path}/x.zarr"]
    assert run_command(command) == 2
    assert "3 of 300 rows" in (printed := capsys.readouterr().err)
    assert "the first is row 70" in printed
    labels[:] = LABELS
    assert run_command([*command, "--quiet"]) == 0


def test_the_value_of_unwritten_chunks_marks_nothing_as_missing():
    """Zarr of other writers: 0 is a value there, and rectified features are full of it."""
    for zarr_format in FORMATS:
        array = zarr.create_array({}, shape=VALUES.shape, dtype="f8", fill_value=0.0, zarr_format=zarr_format)
        array[:] = np.maximum(VALUES, 0)
        assert packing_of(array, place="features") is None
        assert phiscope.diagonalize(array)["participation_ratio"] == pytest.approx(
            phiscope.diagonalize(np.maximum(VALUES, 0))["participation_ratio"]
        )


@pytest.mark.parametrize("chunks", [None, (50, 2)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_hdf5_is_read_in_pieces_and_unpacked(tmp_path, chunks, order):
    packed = np.round((VALUES - 1) / 0.001)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        features = file.create_dataset("features", data=packed.astype(f"{order}i2"), chunks=chunks)
        features.attrs.update({"scale_factor": np.array([0.001]), "add_offset": 1.0, "_FillValue": np.int16([-32768])})
        file["targets"] = LABELS.astype(f"{order}i8")
        found = phiscope.diagonalize(features, targets=file["targets"])
        expected = phiscope.diagonalize(packed * 0.001 + 1, targets=LABELS)
        assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-9, abs=1e-9)
        assert found.provenance["features"].startswith("the data set /features of ")
        features[70, 1] = features[71, 1] = -32768
        with pytest.raises(InputError, match=r"2 of 300 rows of the data set /features .* the first is row 70"):
            phiscope.diagonalize(features)


def test_unsigned_numbers_in_signed_ones(tmp_path):
    counts = RNG.integers(0, 250, (N, P)).astype(np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        features = file.create_dataset("features", data=counts.view(np.int8))
        features.attrs.update({"_Unsigned": "true", "_FillValue": np.int8(-1)})
        np.testing.assert_array_equal(as_array(features, name="features"), counts)
        assert as_row_source(features, name="features").dtype == np.uint8
        features[3] = -1
        with pytest.raises(InputError, match=r"1 of 300 rows .*has missing.*row 3"):
            phiscope.diagonalize(features)


def test_floats_that_say_to_be_scaled_may_be_scaled_already():
    """xarray's arithmetic keeps attributes: whoever scaled by hand still has them."""
    attributes = {"scale_factor": 0.001, "add_offset": 1.0}
    by_hand = xr.DataArray(VALUES, dims=("n", "p"), attrs=attributes)
    with pytest.raises(InputError, match="whether they are applied already cannot be told"):
        phiscope.diagonalize(by_hand)
    assert phiscope.diagonalize(by_hand.drop_attrs()).n_samples == N
    packed = xr.DataArray(np.round((VALUES - 1) / 0.001).astype("i2"), dims=("n", "p"), attrs=attributes)
    expected = phiscope.diagonalize(np.round(VALUES, 3))["participation_ratio"]
    assert phiscope.diagonalize(packed)["participation_ratio"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", ["a tenth", [0.1, 0.2], np.nan, {"a": 1}])
def test_attributes_that_are_no_numbers_are_named(value):
    packed = xr.DataArray(np.ones((5, 2), dtype="i2"), dims=("n", "p"), attrs={"scale_factor": value})
    with pytest.raises(InputError, match="attribute scale_factor = ") as caught:
        phiscope.diagonalize(packed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["features", "outputs", "targets", "weights"])
def test_masked_entries_are_refused_and_masks_of_nothing_are_not(place):
    arrays = {"features": VALUES, "outputs": VALUES, "targets": LABELS, "weights": np.ones(N)}
    mask = np.zeros(arrays[place].shape, dtype=bool)
    nothing = phiscope.diagonalize(**arrays | {place: np.ma.MaskedArray(arrays[place], mask)})
    assert nothing.to_dict() == phiscope.diagonalize(**arrays).to_dict()
    mask[[5, 9]] = True
    masked = np.ma.MaskedArray(arrays[place], mask)
    with pytest.raises(InputError, match=f"{place}: 2 of 300 rows .*masked.*the first is row 5"):
        phiscope.diagonalize(**arrays | {place: masked})


class Variable:
    """A variable of netCDF4: an array only by ``__array__``, which gives a masked one."""

    def __array__(self, dtype=None, copy=None):
        return np.ma.MaskedArray(VALUES, VALUES > 5)


def test_a_mask_behind_an_interface_is_seen():
    with pytest.raises(InputError, match=f"{int((VALUES > 5).any(axis=1).sum())} of 300 rows"):
        phiscope.diagonalize(Variable())


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "float64", "boolean", "double[pyarrow]"])
def test_na_of_pandas_is_a_missing_row(dtype):
    column = pd.Series(LABELS % 2, dtype=dtype)
    frame = pd.DataFrame({"a": column, "b": VALUES[:, 0], "c": VALUES[:, 1] > 0})
    expected = phiscope.diagonalize(np.column_stack([LABELS % 2, VALUES[:, 0], VALUES[:, 1] > 0]))
    assert phiscope.diagonalize(frame).to_dict() == pytest.approx(expected.to_dict())
    frame.loc[[4, 8], "a"] = None
    for given in ({"features": frame}, {"features": VALUES, "targets": frame["a"]}):
        with pytest.raises(InputError, match=r"2 of 300 rows .*NA.*the first is row 4"):
            phiscope.diagonalize(**given)


def test_columns_of_a_frame_that_hold_no_numbers_are_named():
    frame = pd.DataFrame({"a": VALUES[:, 0], "city": ["x"] * N, "when": pd.Timestamp(0)})
    with pytest.raises(InputError, match="its columns city, when hold none"):
        phiscope.diagonalize(frame)


def test_a_fill_value_beyond_what_floats_hold():
    large = 2**63 - 1
    stored = np.array([large, large - 1], dtype=np.int64)
    assert missing_in(Packing(fills=(large,)).unpack(stored)).tolist() == [True, False]
    assert not np.ma.isMaskedArray(Packing(fills=(-9999,)).unpack(np.arange(4, dtype=np.uint8)))
