"""Columns go by their names: what is something else is no feature, an order is kept, parts are joined by name."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, UnknownNameError
from phiscope.inputs.columns import listed
from phiscope.inputs.files import open_parts, open_rows

N = 90
RNG = np.random.default_rng(2)
VALUES = RNG.normal(size=(N, 4)) * [4, 3, 2, 1]
NAMES = ["a", "b", "c", "d"]
LABELS = np.arange(N) % 3


def frame(**more):
    return pd.DataFrame(VALUES, columns=NAMES).assign(**more)


def written(path, table, **options):
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path, **options)
    else:
        try:
            pq.write_table(table, path)
        except pa.ArrowNotImplementedError as error:
            pytest.skip(f"pyarrow {pa.__version__} cannot write this table: {error}")
    return str(path)


def read(path, name="features", **others):
    rows = open_parts({name: path, **others})[name]
    return rows.whole(), rows.provenance


def shuffled(table):
    return table.sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    "indexed",
    [
        lambda table: table[LABELS != 1],
        shuffled,
        lambda table: table.set_index(pd.Index(RNG.normal(size=N))),
        lambda table: table.set_index(pd.Index(RNG.normal(size=N), name="id")),
        lambda table: table.set_index(pd.MultiIndex.from_arrays([LABELS * 1.0, VALUES[:, 0]])),
        lambda table: table.set_index(pd.MultiIndex.from_arrays([LABELS * 1.0, VALUES[:, 0]], names=["i", "j"])),
        lambda table: table.set_index(pd.RangeIndex(5, 5 + N)),
        lambda table: table.set_index(pd.RangeIndex(5, 5 + N, name="row")),
    ],
    ids=["filtered", "shuffled", "floats", "named", "multi", "named multi", "range", "named range"],
)
@pytest.mark.parametrize("asked", ["", ":*"])
def test_the_index_of_a_frame_is_no_feature(tmp_path, indexed, asked):
    table = indexed(frame())
    found, told = read(written(tmp_path / "x.parquet", table) + asked)
    np.testing.assert_array_equal(found, table.to_numpy())
    assert told["features_columns"] == "a, b, c, d"


def test_an_index_column_whose_frame_is_forgotten_is_known_by_its_name_and_can_be_asked_for(tmp_path):
    stored = pa.Table.from_pandas(frame(), preserve_index=True).replace_schema_metadata(None)
    path = written(tmp_path / "x.parquet", stored)
    found, told = read(path)
    np.testing.assert_array_equal(found, VALUES)
    assert told["features_left_out"] == "__index_level_0__ (the index of the data frame)"
    found, _ = read(path + ":__index_level_0__,b")
    np.testing.assert_array_equal(found, np.column_stack([np.arange(N), VALUES[:, 1]]))


def test_what_pandas_wrote_is_read_or_refused(tmp_path):
    stored = pa.Table.from_pandas(frame()).replace_schema_metadata({b"pandas": b"{"})
    with pytest.raises(InputError, match=r"about its index cannot be read.*write the file again"):
        open_rows(written(tmp_path / "x.parquet", stored), name="features")


@pytest.mark.parametrize("part", ["targets", "weights", "outputs", "groups"])
@pytest.mark.parametrize("asked", ["", ":*"])
def test_a_column_that_is_another_part_is_no_feature(tmp_path, part, asked):
    path = written(tmp_path / "x.parquet", frame(y=VALUES[:, 0]))
    found, told = read(path + asked, **{part: path + ":y"})
    np.testing.assert_array_equal(found, VALUES)
    assert told["features_left_out"] == f"y (named as {part})"
    # The control: alone it is a column like any other, and so it is when it is asked for by its name.
    assert read(path)[0].shape == read(path + ":a,b,c,d,y", **{part: path + ":y"})[0].shape == (N, 5)


def test_a_column_called_like_another_part_is_no_feature(tmp_path):
    path = written(tmp_path / "x.parquet", frame(targets=VALUES[:, 0], weights=1.0))
    for others in ({}, {"targets": path, "weights": path}):
        found, told = read(path, **others)
        np.testing.assert_array_equal(found, VALUES)
        assert told["features_columns"] == "a, b, c, d"
        assert "targets (" in told["features_left_out"]
    assert read(path, "targets")[0].tolist() == VALUES[:, 0].tolist()


def test_outputs_and_features_of_one_file_are_told_apart(tmp_path):
    path = written(tmp_path / "x.parquet", frame(o1=VALUES[:, 0], o2=1.0, y=LABELS))
    found, told = read(path, outputs=path + ":o*", targets=path + ":y")
    np.testing.assert_array_equal(found, VALUES)
    assert told["features_left_out"] == "o1 (named as outputs), o2 (named as outputs), y (named as targets)"
    opened = open_parts({"features": path + ":a,b,c,d", "outputs": path, "targets": path + ":y"})
    assert opened["outputs"].provenance["outputs_columns"] == "o1, o2"
    with pytest.raises(InputError, match="which is which is not clear"):
        open_parts({"features": path, "outputs": path, "targets": path + ":y"})


def test_columns_of_another_file_may_have_the_same_names(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "o").mkdir()
    paths = {
        "features": written(tmp_path / "f" / "0.parquet", frame()),
        "outputs": written(tmp_path / "o" / "0.parquet", frame()) + ":a,b",
    }
    assert {name: rows.shape for name, rows in open_parts(paths).items()} == {"features": (N, 4), "outputs": (N, 2)}


@pytest.mark.parametrize(
    ("asked", "order"),
    [("c,a", "ca"), ("d,c,b,a", "dcba"), (" d , a", "da"), ("c,[ab]", "cab"), ("*", "abcd"), ("[!a]", "bcd")],
)
def test_the_order_that_was_asked_for_is_kept(tmp_path, asked, order):
    path = written(tmp_path / "x.parquet", frame())
    found, told = read(f"{path}:{asked}")
    np.testing.assert_array_equal(found, frame()[list(order)].to_numpy())
    assert told["features_columns"] == ", ".join(order)


@pytest.mark.parametrize("name", ["a,b", "a:b", "f[0]", "x*", "ä ö", "a.b", " a"])
def test_names_with_signs_in_them_are_names_first(tmp_path, name):
    table = pa.table({"a": VALUES[:, 0], name: VALUES[:, 1], "xy": VALUES[:, 2]})
    path = written(tmp_path / "x.parquet", table)
    np.testing.assert_array_equal(read(f"{path}:{name}")[0][:, 0], VALUES[:, 1])
    np.testing.assert_array_equal(read(path)[0], VALUES[:, :3])


@pytest.mark.parametrize("asked", ["a,a", "a,b,a", "*,b", "b,[ab]", "a*,*"])
def test_a_column_that_is_asked_for_twice_is_refused(tmp_path, asked):
    path = written(tmp_path / "x.parquet", frame())
    with pytest.raises(InputError, match=r"column '[ab]' is asked for twice in .*name each once"):
        read(f"{path}:{asked}")


@pytest.mark.parametrize("asked", ["", ":v", ":v*", ":a,v", ":*"])
def test_a_doubled_name_is_refused_where_it_is_wanted(tmp_path, asked):
    table = pa.table([pa.array(VALUES[:, i]) for i in range(3)], names=["a", "v", "v"])
    path = written(tmp_path / "x.parquet", table)
    with pytest.raises(InputError, match="several columns named 'v'"):
        read(path + asked)
    np.testing.assert_array_equal(read(path + ":a")[0][:, 0], VALUES[:, 0])


def parts(folder, *tables):
    folder.mkdir()
    for index, table in enumerate(tables):
        written(folder / f"part-{index}.parquet", table)
    return str(folder)


@pytest.mark.parametrize("asked", ["", ":*", ":c,a,b,d", ":[dc],a,b"])
@pytest.mark.parametrize("pattern", ["", "/part-*.parquet", "/**/*.parquet"])
def test_parts_are_joined_by_name(tmp_path, asked, pattern):
    first, second = frame(y=LABELS), frame(y=LABELS).iloc[30:, [4, 2, 0, 3, 1]]
    path = parts(tmp_path / "x", first, second)
    opened = open_parts({"features": path + pattern + asked, "targets": f"{path}:y"})
    columns = opened["features"].provenance["features_columns"].split(", ")
    assert sorted(columns) == NAMES
    expected = pd.concat([first, second])
    np.testing.assert_array_equal(opened["features"].whole(), expected[columns].to_numpy())
    np.testing.assert_array_equal(opened["targets"].whole(), expected["y"])


@pytest.mark.parametrize(
    ("second", "asked", "words"),
    [
        (frame().drop(columns="b"), "", r"part-1.parquet lacks b, expected the columns of .*part-0"),
        (frame(e=1.0), "", r"part-1.parquet has e besides, expected"),
        (frame().rename(columns={"b": "e"}), ":*", r"lacks b and has e besides"),
        (frame().drop(columns="b"), ":a,b", r"no column of .*part-1.parquet named 'b'"),
        (frame().assign(b="x"), ":a,b", r"part-1.parquet holds no numbers in b \(type (large_)?string\)"),
        (frame().assign(b=1), "", r"part-1.parquet has the columns a, c, d \(type double\), b \(type int64\)"),
    ],
)
def test_parts_with_other_columns_are_one_sentence(tmp_path, capsys, second, asked, words):
    path = parts(tmp_path / "x", frame(), second)
    with pytest.raises((InputError, UnknownNameError), match=words):
        read(path + asked)
    assert run_command(["measure", "--features", path + asked]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_column_more_is_no_matter_where_columns_are_named(tmp_path):
    path = parts(tmp_path / "x", frame(), frame(e="text"))
    np.testing.assert_array_equal(read(path + ":d,a")[0], np.tile(VALUES[:, [3, 0]], (2, 1)))


def test_columns_without_numbers_are_named(tmp_path):
    path = written(tmp_path / "x.parquet", frame(city="x", when=pd.Timestamp(0), kind=pd.Categorical(["k"] * N)))
    with pytest.raises(InputError, match=r"no numbers in city \(type .*string\), when \(type timestamp.*, kind \(type"):
        read(path + ":*")
    with pytest.raises(InputError, match=r"columns a, b, c, d \(type double\), city \(type .*string\), when"):
        read(path)
    np.testing.assert_array_equal(read(path + ":[a-d]")[0], VALUES)


@pytest.mark.parametrize("fixed", [True, False])
def test_embeddings_as_lists_beside_an_index_and_a_label(tmp_path, fixed):
    lists = pa.FixedSizeListArray.from_arrays(VALUES.ravel(), 4) if fixed else pa.array(VALUES.tolist())
    table = pa.table({"label": LABELS, "embedding": lists, "__index_level_0__": np.arange(N)})
    path = written(tmp_path / "x.parquet", table)
    opened = open_parts({"features": path + ":embedding", "targets": path + ":label"})
    np.testing.assert_array_equal(opened["features"].whole(), VALUES)
    np.testing.assert_array_equal(read(path, targets=path + ":label")[0], VALUES)  # the only column that is left


@pytest.mark.parametrize("kind", ["column", "list", "fixed list", "entry", "fixed entry"])
def test_missing_values_are_counted_through_all_parts(tmp_path, kind):
    holes = {5, 60}
    rows = [
        [None if "entry" in kind and i in holes and j == 1 else v for j, v in enumerate(r)]
        for i, r in enumerate(VALUES)
    ]
    rows = [None if "list" in kind and i in holes else row for i, row in enumerate(rows)]
    if kind == "column":
        table = pa.Table.from_pandas(
            frame(a=pd.array([None if i in holes else 1.0 for i in range(N)], dtype="Float64"))
        )
    else:
        table = pa.table({"features": pa.array(rows, pa.list_(pa.float64(), 4 if "fixed" in kind else -1))})
    path = parts(tmp_path / "x", table, table)
    with pytest.raises(InputError, match=r"features: 4 of 180 rows of .*x \(2 files\).* the first is row 5; drop"):
        read(path)


def hive(folder, keys, **more):
    for index, key in enumerate(keys):
        part = frame(**more).iloc[index * 30 : index * 30 + 30]
        (folder / key).mkdir(parents=True)
        written(folder / key / f"{index}-0.parquet", part)
    (folder / "_metadata").mkdir()
    return str(folder)


@pytest.mark.parametrize("asked", ["", ":*"])
def test_the_keys_of_partitions_are_no_features_unless_asked_for(tmp_path, asked):
    path = hive(tmp_path / "x", ["label=0", "label=2", "label=10"])
    opened = open_parts({"features": path + asked, "targets": path + ":label"})
    np.testing.assert_array_equal(opened["features"].whole(), VALUES)
    targets = opened["targets"].whole()
    assert targets.tolist() == np.repeat([0, 2, 10], 30).tolist()  # 10 after 2
    assert targets.dtype.kind == "i"
    np.testing.assert_array_equal(read(path + ":label,b")[0][:, 0], targets)
    with pytest.raises(UnknownNameError, match="did you mean label"):
        read(path + ":labels")


def test_partitions_of_partitions_and_their_texts(tmp_path):
    path = hive(tmp_path / "x", ["day=1/site=a%20b", "day=2/site=c", "day=3.5/site=d"])
    assert read(path + ":day", "targets")[0].tolist() == np.repeat([1, 2, 3.5], 30).tolist()
    assert set(read(path + ":site", "groups")[0]) == {"a b", "c", "d"}
    with pytest.raises(InputError, match="dtype <U"):
        read(path + ":site", "targets")


def test_a_partition_without_a_key_is_a_missing_value(tmp_path):
    path = hive(tmp_path / "x", ["label=a", "label=__HIVE_DEFAULT_PARTITION__"])
    with pytest.raises(InputError, match="30 of 60 rows"):
        read(path + ":label", "groups")


def test_the_result_lists_the_columns_it_took(tmp_path, capsys):
    path = written(tmp_path / "x.parquet", frame(label=LABELS).sample(frac=1, random_state=1))
    options = ["measure", "--features", path, "--targets", f"{path}:label"]
    assert run_command([*options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["provenance"]
    assert told["features_columns"] == "a, b, c, d"
    assert told["features_left_out"] == "label (named as targets), __index_level_0__ (the index of the data frame)"
    assert told["targets_columns"] == "label"
    assert run_command([*options, "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "columns: features are a, b, c, d; left out: label (named as targets), __index_level_0__ (the" in printed
    assert "columns: targets are label" in printed
    assert run_command([*options, "--json", "--k", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["features_columns"] == "a, b, c, d"


def test_the_numbers_are_those_of_the_columns(tmp_path, capsys):
    path = written(tmp_path / "x.parquet", frame(label=LABELS).sample(frac=1, random_state=1))
    assert run_command(["measure", "--features", path, "--targets", f"{path}:label", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["numbers"]
    expected = phiscope.diagonalize(VALUES, targets=LABELS)
    for name in ("participation_ratio", "nc1", "readout_r2"):
        assert found[name] == pytest.approx(expected[name])


def test_nothing_is_left_for_features(tmp_path):
    table = pa.table({"y": VALUES[:, 0], "__index_level_0__": np.arange(N)})
    path = written(tmp_path / "x.parquet", table)
    with pytest.raises(InputError, match=r"no column .* is left for them: y is named as targets; __index"):
        open_parts({"features": path, "targets": path + ":y"})


def test_many_columns_are_counted():
    assert listed(f"f{i}" for i in range(12)).endswith("f10, f11")
    assert listed(f"f{i}" for i in range(13)) == "f0, f1, f2, ..., f12 (13 columns)"
