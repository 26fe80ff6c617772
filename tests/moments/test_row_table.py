"""One pass over stored arrays: block by block, in memory that stays flat, stopped and shown as asked."""

import sys

import numpy as np
import pytest

import phiscope
from phiscope.cli.main import run_command
from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.inputs.files import open_rows
from phiscope.inputs.rows import Rows
from phiscope.moments import row_table as chunked
from phiscope.moments.row_table import RowTable
from stored import N, as_npy, as_shards, made


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, so that small arrays have many."""
    monkeypatch.setattr(chunked, "BLOCK_ROWS", (64, 64))


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
