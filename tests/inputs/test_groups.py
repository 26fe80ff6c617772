"""Names of groups as numbers; what is no name for each row is refused in one sentence, also in the terminal."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, ShapeError
from phiscope.inputs.groups import as_groups

N = 240
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(N, 3))
NAMES = np.array([f"image {i // 4}" for i in RNG.permutation(N)])


@pytest.mark.parametrize(
    ("groups", "kind", "words"),
    [
        (NAMES[:-1], ShapeError, "features have 240 samples but groups have 239"),
        (np.stack([NAMES, NAMES], axis=1), ShapeError, r"\(240, 2\), expected \(n,\).*make tuples"),
        ("image", InputError, "came as a str"),
        (7, InputError, "came as an int"),
        (np.array(7), ShapeError, r"shape \(\), expected \(n,\)"),
        ([[1]] * N, InputError, "unhashable type: 'list'"),
        ([{"a": 1}] * N, InputError, "cannot be told apart by name"),
        ([None, *NAMES[1:]], InputError, "1 of 240 rows has missing values.*the first is row 0"),
        ([*NAMES[:-2], float("nan"), None], InputError, "2 of 240 rows .*the first is row 238"),
        (np.where(np.arange(N) == 3, np.nan, 1.0), InputError, "the first is row 3"),
        (pd.Series([*NAMES[:-1], pd.NA]), InputError, "the first is row 239"),
        (np.full(N, np.datetime64("NaT")), InputError, "240 of 240 rows"),
        (np.ma.MaskedArray(np.arange(N), np.arange(N) == 9), InputError, "the first is row 9"),
    ],
)
def test_groups_that_name_no_group_are_refused(groups, kind, words):
    with pytest.raises(InputError, match=words) as caught:
        phiscope.diagonalize(FEATURES, groups=groups)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_equal_names_are_one_group_whatever_holds_them():
    assert as_groups([1, 1.0, np.int8(1), torch.tensor(1), True], 5).tolist() == [0] * 5
    assert as_groups([(1, "a"), (1, "b"), (1, "a")], 3).tolist() == [0, 1, 0]
    assert as_groups(range(3), 3).tolist() == [0, 1, 2]


def as_npy(folder):
    np.save(folder / "g.npy", NAMES)
    return str(folder / "g.npy")


def as_numbers(folder):
    np.save(folder / "g.npy", np.unique(NAMES, return_inverse=True)[1].astype(">i4"))
    return str(folder / "g.npy")


def as_parts(folder):
    (folder / "g").mkdir()
    for index in range(3):
        np.save(folder / "g" / f"{index}.npy", NAMES[index * 80 : index * 80 + 80])
    return str(folder / "g")


def as_zarr(folder):
    array = zarr.create_array(folder / "g.zarr", shape=(N,), chunks=(50,), dtype="i4")
    array[:] = np.unique(NAMES, return_inverse=True)[1]
    return str(folder / "g.zarr")


def as_column(folder):
    table = pd.DataFrame(FEATURES, columns=["a", "b", "c"]).assign(image=NAMES)
    table.to_parquet(folder / "x.parquet")
    return f"{folder}/x.parquet:image"


def as_categories(folder):
    pq.write_table(pa.table({"groups": pa.array(NAMES).dictionary_encode(), "n": np.arange(N)}), folder / "g.parquet")
    return str(folder / "g.parquet")


@pytest.mark.parametrize("write", [as_npy, as_numbers, as_parts, as_zarr, as_column, as_categories])
def test_groups_from_files(tmp_path, capsys, write):
    groups = write(tmp_path)
    features = str(tmp_path / "x.parquet")
    if write is not as_column:
        np.save(tmp_path / "f.npy", FEATURES)
        features = str(tmp_path / "f.npy")
    assert run_command(["measure", "--features", features, "--groups", groups, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = phiscope.diagonalize(FEATURES, groups=NAMES)
    assert found["n_features"] == 3
    assert found["numbers"] == pytest.approx(expected.to_dict(), rel=1e-9)
    assert found["numbers"] != pytest.approx(phiscope.diagonalize(FEATURES).to_dict(), rel=1e-9)


def test_groups_from_files_that_do_not_fit(tmp_path, capsys):
    path = as_column(tmp_path)
    np.save(tmp_path / "f.npy", FEATURES[:-1])
    for groups, words in (
        (path, "features have 239 samples but groups have 240"),
        (f"{path},a", "not one column of names"),
    ):
        assert run_command(["measure", "--features", f"{tmp_path}/f.npy", "--groups", groups]) == 2
        printed = capsys.readouterr()
        assert words in printed.err
        assert printed.err.count("\n") == 1
