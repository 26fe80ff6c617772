"""Arrays that are read piece by piece: memory maps and Zarr arrays go straight in and stay as they are."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.inputs.rows import Rows, as_row_source, in_a_row, is_stored
from phiscope.moments import row_table as chunked
from stored import P, as_npy, as_zarr, made


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, so that small arrays have many."""
    monkeypatch.setattr(chunked, "BLOCK_ROWS", (64, 64))


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


def test_parts_in_a_row_keep_their_order():
    parts = [as_row_source(np.full((2, 1), float(i)), name="f") for i in range(3)]
    (block,) = in_a_row(parts, place="all").blocks(9)
    assert block[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
