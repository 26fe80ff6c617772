"""Files larger than memory: every kind of file gives the numbers of the array in memory, in memory that stays flat."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, MissingDependencyError
from phiscope.inputs.files import open_array, open_rows
from phiscope.moments import row_table as chunked
from stored import (
    KINDS,
    C,
    N,
    P,
    as_lists,
    as_npy,
    as_shards,
    as_zarr,
    made,
)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, so that small arrays have many."""
    monkeypatch.setattr(chunked, "BLOCK_ROWS", (64, 64))


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
    outputs = ["--outputs", as_npy(tmp_path, "o", features @ W.T)]
    assert run_command(["measure", *options, *head, *outputs]) == 2
    assert "--outputs and --head both say what the outputs are" in capsys.readouterr().err


def _unusable(folder):
    """Paths by a word, each of which has to be refused."""
    x = made()[0]
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
    assert run_command(["measure", "--features", f"{folder}/good.npy", "--quiet"]) == 0  # the control


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


@pytest.mark.parametrize(("package", "write"), [("zarr", as_zarr), ("pyarrow", as_lists)])
def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, package, write):
    path = write(tmp_path, "features", made()[0])
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"zarr": "zarr", "pyarrow": "parquet"}[package]
    with pytest.raises(MissingDependencyError, match=rf"phiscope\[{extra}\]"):
        open_rows(path, name="features")


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


@pytest.mark.parametrize(
    "kind", ["npy", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("parquet", "whole", "zarr"))]
)
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


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-5, 4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, " + "9" * 30 + "), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 0), }",
        "((((",
        "(" * 3000,
        "{",
        "{1:" * 2000,
        "",
    ],
)
def test_a_head_that_numpy_never_wrote_is_one_sentence(tmp_path, head, version):
    """NumPy's reader parses Python literals: on these it raises OverflowError, TypeError, TokenError and others."""
    size = struct.pack("<H" if version == (1, 0) else "<I", len(head))
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY" + bytes(version) + size + head.encode() + bytes(512))
    with pytest.raises(InputError, match="is damaged") as caught:
        open_array(path, name="features")
    assert "\n" not in str(caught.value)
    # The control: the same bytes with a head that fits are read.
    good = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 4), }"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(good))
    path.write_bytes(b"\x93NUMPY" + bytes(version) + size + good.encode() + bytes(512))
    assert open_array(path, name="features").shape == (4, 4)
