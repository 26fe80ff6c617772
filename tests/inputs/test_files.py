"""Files larger than memory: every kind of file gives the numbers of the array in memory, in memory that stays flat."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, MissingDependencyError, NonFiniteError, ShapeError, UnknownNameError
from phiscope.inputs.files import open_rows
from phiscope.inputs.rows import Rows, as_row_source, in_a_row, is_stored
from phiscope.moments import row_table as chunked
from phiscope.moments.row_table import RowTable

N, P, C = 530, 9, 3


def made():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, C, N)
    features = (rng.normal(size=(C, P))[labels] + rng.normal(size=(N, P)) + 20).astype(np.float32)
    return features, features @ rng.normal(size=(P, C)).astype(np.float32), labels, rng.uniform(0.5, 2, N)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, so that small arrays have many."""
    monkeypatch.setattr(chunked, "BLOCK_ROWS", (64, 64))


def as_npy(folder, name, array):
    np.save(folder / f"{name}.npy", array)
    return f"{folder / name}.npy"


def as_fortran_npy(folder, name, array):
    return as_npy(folder, name, np.asfortranarray(array))


def as_shards(folder, name, array):
    (folder / name).mkdir()
    # 12 parts: by their letters, part 10 would come before part 2.
    for index, part in enumerate(np.array_split(array, 12)):
        np.save(folder / name / f"part-{index}.npy", part)
    return str(folder / name)


def as_pattern(folder, name, array):
    return f"{as_shards(folder, name, array)}/part-*.npy"


def as_zarr(folder, name, array):
    made = zarr.create_array(
        folder / f"{name}.zarr", shape=array.shape, chunks=(50, *array.shape[1:]), dtype=array.dtype
    )
    made[:] = array
    return f"{folder / name}.zarr"


def as_zarr_group(folder, name, array):
    group = zarr.open_group(folder / "all.zarr", mode="a")
    group.create_array(name, shape=array.shape, chunks=(70, *array.shape[1:]), dtype=array.dtype)[:] = array
    return str(folder / "all.zarr")


def as_lists(folder, name, array):
    """One Parquet file with a column of lists of fixed size, or of numbers."""
    column = array if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(array.ravel(), array.shape[1])
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({name: column, "id": np.arange(len(array)).astype(str)}), path, row_group_size=120)
    return str(path)


def as_open_lists(folder, name, array):
    """Lists without a fixed size, chosen by the name of their column."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"x": pa.array(array.tolist(), array_type(array)), "id": np.arange(len(array))}), path)
    return f"{path}:x"


def array_type(array):
    number = pa.from_numpy_dtype(array.dtype)
    return number if array.ndim == 1 else pa.list_(number)


def as_columns(folder, name, array):
    """One column of numbers for each feature."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({f"c{i}": column for i, column in enumerate(np.atleast_2d(array.T))}), path)
    return str(path)


def as_parquet_folder(folder, name, array):
    (folder / name).mkdir()
    for index, part in enumerate(np.array_split(array, 11)):
        table = pa.table({f"f{i}": column for i, column in enumerate(np.atleast_2d(part.T))})
        pq.write_table(table.append_column("id", pa.array(np.arange(len(part)))), folder / name / f"{index}.parquet")
    return f"{folder / name}:f*"


KINDS = [
    as_npy,
    as_fortran_npy,
    as_shards,
    as_pattern,
    as_zarr,
    as_zarr_group,
    as_lists,
    as_open_lists,
    as_columns,
    as_parquet_folder,
]


@pytest.mark.parametrize("write", KINDS)
def test_every_kind_of_file_gives_the_numbers_of_the_arrays(tmp_path, capsys, small_blocks, write):
    features, outputs, labels, weights = made()
    arrays = {"features": features, "outputs": outputs, "targets": labels, "weights": weights}
    options = [word for name, array in arrays.items() for word in (f"--{name}", write(tmp_path, name, array))]
    assert run_command(["measure", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = phiscope.diagonalize(features, outputs, targets=labels, weights=weights)
    plain = {name: value for name, value in expected.to_dict().items() if "corrected" not in name}
    del plain["readout_r2_held_out"]
    assert {name: found["numbers"][name] for name in plain} == pytest.approx(plain, rel=1e-12, abs=1e-12)
    assert found["regime"] == expected.regime
    assert found["n_samples"] == N


@pytest.mark.parametrize("write", KINDS)
def test_rows_come_in_order_and_in_the_files_dtype(tmp_path, write):
    for name, array in zip(("features", "targets"), (made()[0], made()[2]), strict=True):
        rows = open_rows(write(tmp_path, name, array), name=name)
        assert rows.shape == array.shape
        assert rows.dtype == array.dtype
        for _ in range(2):  # every reading starts anew
            blocks = list(rows.blocks(128))
            assert [len(block) for block in blocks] == [128, 128, 128, 128, 18]
            np.testing.assert_array_equal(np.concatenate(blocks), array)


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 9))
def test_blocks_have_the_length_asked_for_whatever_the_pieces(lengths, wanted):
    values = np.arange(sum(lengths), dtype=float)
    pieces = np.split(values, np.cumsum(lengths)[:-1]) if lengths else []
    rows = Rows(name="f", place="here", shape=values.shape, dtype=values.dtype, pieces=lambda _: iter(pieces))
    blocks = list(rows.blocks(wanted))
    assert np.concatenate([*blocks, np.empty(0)]).tolist() == values.tolist()
    assert all(len(block) == wanted for block in blocks[:-1])
    assert all(0 < len(block) <= wanted for block in blocks)


def test_memory_maps_and_zarr_arrays_go_straight_in(tmp_path, small_blocks):
    features, outputs, labels, weights = made()
    mapped = np.load(as_npy(tmp_path, "f", features), mmap_mode="r")
    stored = zarr.open_array(as_zarr(tmp_path, "o", outputs))
    assert is_stored(mapped)
    assert is_stored(stored)
    assert not is_stored(features)
    assert not is_stored(mapped[[0, 1]])
    expected = phiscope.diagonalize(features, outputs, targets=labels, weights=weights)
    found = phiscope.diagonalize(mapped, stored, targets=labels, weights=weights)
    # The shards are dealt row by row, so that even the corrected numbers are the same.
    assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-11, abs=1e-11)
    assert found.provenance["source"] == "stored arrays"
    head = np.random.default_rng(0).normal(size=(5, P)), np.zeros(5)
    with_head = phiscope.diagonalize(mapped, head=head, targets=labels)
    assert with_head.n_classes == 5
    assert with_head.to_dict() == pytest.approx(phiscope.diagonalize(features, head=head, targets=labels).to_dict())


def test_a_copy_on_write_map_keeps_what_was_written_to_it(tmp_path, small_blocks):
    features = made()[0]
    mapped = np.load(as_npy(tmp_path, "f", features), mmap_mode="c")
    mapped[100] = 77
    phiscope.diagonalize(mapped)
    assert (mapped[100] == 77).all()


def test_a_writable_map_keeps_what_was_written_to_it(tmp_path, small_blocks):
    mapped = np.load(as_npy(tmp_path, "f", made()[0]), mmap_mode="r+")
    mapped[100] = 77
    phiscope.diagonalize(mapped)
    assert (mapped[100] == 77).all()
    assert (np.load(tmp_path / "f.npy")[100] == 77).all()


def test_a_head_from_files(tmp_path, capsys):
    features, _, labels, _ = made()
    W, b = np.random.default_rng(0).normal(size=(C, P)), np.arange(3.0)
    options = ["--features", as_npy(tmp_path, "f", features), "--targets", as_npy(tmp_path, "y", labels)]
    head = ["--head", as_npy(tmp_path, "W", W), "--bias", as_npy(tmp_path, "b", b)]
    assert run_command(["measure", *options, *head, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)["numbers"]
    assert numbers == pytest.approx(phiscope.diagonalize(features, head=(W, b), targets=labels).to_dict())
    assert run_command(["measure", *options, *head[2:]]) == 2
    assert "--bias belongs to --head" in capsys.readouterr().err


def test_float_labels_are_doubted_block_by_block(tmp_path, small_blocks):
    features, _, labels, _ = made()
    mapped = np.load(as_npy(tmp_path, "f", features), mmap_mode="r")
    for targets in (labels.astype(float), labels + 0.25, np.arange(float(N)), 2.0 * labels, labels[:, None] * 1.0):
        found, expected = (phiscope.diagonalize(array, targets=targets).warnings for array in (mapped, features))
        assert [text for text in found if "0 to" in text] == [text for text in expected if "0 to" in text]
    assert any("0 to 2" in text for text in phiscope.diagonalize(mapped, targets=labels.astype(float)).warnings)


def test_a_bad_row_is_named(tmp_path, capsys, small_blocks):
    features = made()[0]
    features[200, 2] = np.nan
    with pytest.raises(
        NonFiniteError, match=r"batch 3 \(sample 8 of that batch\).*batch 3 is rows 192 to 255"
    ) as caught:
        phiscope.diagonalize(np.load(as_npy(tmp_path, "f", features), mmap_mode="r"))
    assert caught.value.batch == 3
    assert run_command(["measure", "--features", str(tmp_path / "f.npy")]) == 2
    assert "rows 192 to 255" in capsys.readouterr().err


def _unusable(folder):
    """Paths by a word, each of which has to be refused."""
    x = made()[0]
    table = {"a": x[:, 0], "b": x[:, 1], "label": made()[2], "word": [str(i) for i in range(N)]}
    pq.write_table(pa.table(table), folder / "mixed.parquet")
    pq.write_table(pa.table({"features": pa.array([[1.0, 2.0], [3.0], [4.0, 5.0]])}), folder / "ragged.parquet")
    pq.write_table(pa.table({"features": pa.array([[1.0, 2.0], None])}), folder / "null.parquet")
    pq.write_table(pa.table({"a": [1.0, None], "b": [1.0, 2.0]}), folder / "hole.parquet")
    torn = Path(as_columns(folder, "torn", x)).read_bytes()
    (folder / "torn.parquet").write_bytes(torn[: len(torn) // 2])
    zarr.open_group(folder / "group.zarr", mode="w").create_array("first", shape=(4, 2), dtype="f8")
    zarr.open_group(folder / "group.zarr").create_array("second", shape=(4, 2), dtype="f8")
    zarr.create_array(folder / "complex.zarr", shape=(4, 2), dtype="c16")
    damaged = Path(as_zarr(folder, "damaged", x))
    (damaged / "c" / "1" / "0").write_bytes(b"nonsense")
    for name, second in (("wide", x[:, :5]), ("kinds", x.astype(int))):
        (folder / name).mkdir()
        np.save(folder / name / "1.npy", x)
        np.save(folder / name / "2.npy", second)
    (folder / "both").mkdir()
    np.save(folder / "both" / "1.npy", x)
    pq.write_table(pa.table({"a": [1.0]}), folder / "both" / "2.parquet")
    (folder / "empty").mkdir()
    np.save(folder / "deep.npy", np.zeros((4, 2, 2)))
    np.save(folder / "flat.npy", np.zeros(4))
    np.save(folder / "good.npy", x)
    whole = Path(as_npy(folder, "short", np.ones((40, 3), np.float32))).read_bytes()
    (folder / "short.npy").write_bytes(whole[:-380])
    (folder / "head.npy").write_bytes(whole[:40])
    with (folder / "promised.npy").open("wb") as file:  # read as a whole it would ask for 186 TiB
        head = {"descr": "<f4", "fortran_order": False, "shape": (10**11, 512)}
        np.lib.format.write_array_header_1_0(file, head)
    return folder


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("mixed.parquet", "not clear; say it as"),
        ("mixed.parquet:word", "type string"),
        ("mixed.parquet:labels", "did you mean label?"),
        ("mixed.parquet:a,c*", "no column of"),
        ("ragged.parquet", "row 1 of"),
        ("null.parquet", "missing values"),
        ("hole.parquet", "missing values"),
        ("torn.parquet", "cannot be read as Parquet"),
        ("group.zarr", "known are first, second"),
        ("group.zarr:frist", "did you mean first"),
        ("complex.zarr", "dtype complex128"),
        ("damaged.zarr", "rows 50 to 99 of"),
        ("damaged.zarr:x", "nothing inside it can be named"),
        ("wide", "same columns"),
        ("kinds", "all parts as floats or all as integers"),
        ("both", "different kinds"),
        ("empty", "holds no .npy and no .parquet"),
        ("absent-*.npy", "no match for the pattern"),
        ("nothing:x", "there is no file"),
        ("short.npy", "head announces (40, 3) numbers of float32 in 480 bytes, and 100 follow; save it again"),
        ("promised.npy", "head announces (100000000000, 512) numbers of float32"),
        ("head.npy", "is damaged or was cut short"),
        ("good.npy:x", "no Parquet file"),
        ("deep.npy", "(4, 2, 2)"),
        ("flat.npy", "(n, p)"),
    ],
)
def test_unusable_files_are_refused_in_one_sentence(tmp_path, capsys, small_blocks, path, sentence):
    folder = _unusable(tmp_path)
    assert run_command(["measure", "--features", f"{folder}/{path}"]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert run_command(["measure", "--features", f"{folder}/mixed.parquet:a,b", "--quiet"]) == 0  # the control


def test_lengths_are_compared_before_anything_is_read(tmp_path, monkeypatch):
    features, outputs, _, _ = made()
    (tmp_path / "more").mkdir()
    rows = open_rows(as_shards(tmp_path, "f", features), name="features")
    monkeypatch.setattr(Rows, "blocks", lambda *_: pytest.fail("rows were read"))
    with pytest.raises(ShapeError, match="530 samples but outputs have 529"):
        RowTable({"features": rows, "outputs": outputs[1:]})


def test_a_file_that_changes_while_it_is_read_is_refused():
    piece = np.zeros((5, 2))
    rows = Rows(name="features", place="f", shape=(9, 2), dtype=piece.dtype, pieces=lambda _: iter([piece]))
    with pytest.raises(InputError, match="gave 5 rows after promising 9"):
        RowTable({"features": rows}).gather()


def test_more_files_than_may_be_open_at_once(tmp_path):
    resource = pytest.importorskip("resource")
    folder = as_shards(tmp_path, "f", made()[0])
    for index in range(300):
        np.save(tmp_path / "f" / f"more-{index}.npy", np.full((2, P), float(index)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, limits[1]))
    try:
        rows = open_rows(folder, name="features")
        assert sum(len(block) for block in rows.blocks(1000)) == N + 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_parts_in_a_row_keep_their_order():
    parts = [as_row_source(np.full((2, 1), float(i)), name="f") for i in range(3)]
    (block,) = in_a_row(parts, place="all").blocks(9)
    assert block[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("package", "write"), [("zarr", as_zarr), ("pyarrow", as_lists)])
def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, package, write):
    path = write(tmp_path, "features", made()[0])
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"zarr": "zarr", "pyarrow": "parquet"}[package]
    with pytest.raises(MissingDependencyError, match=rf"phiscope\[{extra}\]"):
        open_rows(path, name="features")


def test_an_unknown_column_knows_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        open_rows(as_lists(tmp_path, "features", made()[0]) + ":feature", name="features")
    assert caught.value.nearest == ("features",)


def test_ctrl_c_stops_the_pass_and_leaves_nothing(tmp_path, capsys, monkeypatch, small_blocks):
    path = as_npy(tmp_path, "f", made()[0])
    reading = Rows.blocks

    def interrupted(self, n_rows):
        for index, block in enumerate(reading(self, n_rows)):
            if index == 3:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(Rows, "blocks", interrupted)
    monkeypatch.chdir(tmp_path)
    assert run_command(["measure", "--features", path]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "phiscope: stopped\n")
    assert [file.name for file in tmp_path.iterdir()] == ["f.npy"]


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False), (["--json"], False)])
def test_the_bar_is_on_stderr_and_only_on_a_terminal(tmp_path, capsys, monkeypatch, options, shown):
    path = as_npy(tmp_path, "f", made()[0])
    assert run_command(["measure", "--features", path, *options]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run_command(["measure", "--features", path, *options]) == 0
    printed = capsys.readouterr()
    assert ("measuring" in printed.err) == shown
    assert "measuring" not in printed.out


def test_each_pass_over_wide_features_has_its_bar(tmp_path, capsys, monkeypatch):
    path = as_npy(tmp_path, "wide", np.random.default_rng(0).standard_normal((60, 2100)).astype(np.float32))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run_command(["measure", "--features", path, "--k", "2"]) == 0
    shown = capsys.readouterr().err
    assert "pass 1:" in shown
    assert "pass 2:" in shown
    assert run_command(["measure", "--features", path, "--k", "2", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


GROWTH = """
import resource, sys
import numpy as np
import phiscope
from phiscope.cli.main import run_command
kind, path, small = sys.argv[1:]
def measure(path):
    if kind == "whole":
        return phiscope.diagonalize(np.load(path))
    return run_command(["measure", "--features", path, "--json"])
def peak():
    # Not ru_maxrss on Linux: a child is born with the peak of the process that forked it, and shows no growth below it.
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
measure(small)
before = peak()
measure(path)
print("grown by", peak() - before)
"""

LARGE = (3_000_000, 32)
"""Rows of float32 that take 384 MB, and more than that in float64."""

ALLOWED = 120e6


def large_npy(folder, shape):
    """A file with a hole instead of numbers: nothing is written, yet every page is read."""
    array = np.lib.format.open_memmap(folder / f"{shape[0]}.npy", mode="w+", dtype=np.float32, shape=shape)
    array[::1000, 0] = 1
    array.flush()
    return f"{folder / str(shape[0])}.npy"


def large_zarr(folder, shape):
    array = zarr.create_array(folder / f"{shape[0]}.zarr", shape=shape, chunks=(50_000, shape[1]), dtype="f4")
    array[:5, 0] = 1
    return str(folder / f"{shape[0]}.zarr")


def large_parquet(folder, shape):
    column = np.tile(np.arange(100, dtype=np.float32), shape[0] // 100)
    path = folder / f"{shape[0]}.parquet"
    pq.write_table(pa.table({f"f{i}": column for i in range(shape[1])}), path, row_group_size=50_000)
    return str(path)


@pytest.mark.parametrize("kind", ["whole", "npy", "zarr", "parquet"])
def test_memory_stays_flat_while_files_are_read(tmp_path, kind):
    pytest.importorskip("resource")
    write = {"zarr": large_zarr, "parquet": large_parquet}.get(kind, large_npy)
    paths = [write(tmp_path, LARGE), write(tmp_path, (200_000, LARGE[1]))]
    done = subprocess.run([sys.executable, "-c", GROWTH, kind, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout.split("grown by")[1])
    size = 4 * LARGE[0] * LARGE[1]
    assert size > 3 * ALLOWED
    if kind == "whole":  # the control: this is what the others must not do
        assert grown > size * 0.8
    else:
        assert grown < ALLOWED
