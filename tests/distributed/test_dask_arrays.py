"""Dask arrays in: the numbers of the same arrays in memory, whatever the chunks, and a chunk named when it is bad."""

import pickle
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.distributed.dask_arrays import DaskTable, chunk_part, is_dask, merge_parts
from phiscope.errors import (
    EmptyDataError,
    InputError,
    MissingDependencyError,
    NonFiniteError,
    ShapeError,
    TargetError,
)
from phiscope.linalg.products import STRIP
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.shards import PART_BYTES, shards_of_chunks

# Sums of a few hundred float64 numbers near 1 in another order: 1e-12 leaves a factor of 100.
SAME = {"rel": 1e-12, "abs": 1e-12}


def sent_and_back(part):
    """A part after a journey between processes, and the bytes that it took."""
    sent = pickle.dumps(part, protocol=5)
    return pickle.loads(sent), len(sent)  # noqa: S301 - made by the line above


def made(n=300, p=12, C=4, seed=0):
    """Features with large means, outputs, labels and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, n)
    features = rng.normal(size=(C, p))[labels] + rng.normal(size=(n, p)) * np.linspace(0.5, 2, p) + 100.0
    outputs = features @ rng.normal(size=(p, C)) / p
    return features, outputs, labels, rng.uniform(0.2, 3, n) * (np.arange(n) % 7 > 0)


def assert_same_numbers(found, expected):
    """All plain numbers; corrected twins and intervals belong to the random shards."""
    plain = {name: value for name, value in expected.to_dict().items() if "corrected" not in name}
    plain.pop("readout_r2_held_out", None)
    assert plain
    assert {name: found[name] for name in plain} == pytest.approx(plain, **SAME)
    assert found.n_samples == expected.n_samples
    assert found.regime == expected.regime
    np.testing.assert_allclose(found.centered.eigenvalues, expected.centered.eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(found.feature_mean, expected.feature_mean, rtol=1e-12)


@pytest.mark.parametrize("chunks", [(300,), (100, 100, 100), (1, 298, 1), (7,) * 42 + (6,)], ids=len)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_numbers_are_those_of_the_arrays_in_memory(chunks, weighted):
    features, outputs, labels, weights = made()
    weights = weights if weighted else None
    found = phiscope.diagonalize(
        da.from_array(features, chunks=(chunks, -1)), da.from_array(outputs), targets=labels, weights=weights
    )
    assert_same_numbers(found, phiscope.diagonalize(features, outputs, targets=labels, weights=weights))
    assert found.provenance["source"] == "dask arrays"
    assert found.provenance["chunks"] == str(len(chunks))


def test_the_comparison_above_sees_one_changed_entry():
    features, outputs, labels, _ = made()
    changed = features.copy()
    changed[17, 3] += 1e-6
    found = phiscope.diagonalize(da.from_array(changed, chunks=(100, -1)), outputs, targets=labels)
    with pytest.raises(AssertionError):
        assert_same_numbers(found, phiscope.diagonalize(features, outputs, targets=labels))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n=st.integers(2, 60), p=st.integers(1, 12), classes=st.booleans(), seed=st.integers(0, 99))
def test_any_chunking_gives_the_same_moments(data, n, p, classes, seed):
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=8)))
    chunks = tuple(np.diff([0, *cuts, n]).tolist())
    rng = np.random.default_rng(seed)
    features, outputs = rng.normal(size=(n, p)) + 50, rng.normal(size=(n, 2))
    targets = rng.integers(0, 3, n) if classes else rng.normal(size=(n, 2))
    weights = np.where(rng.uniform(size=n) < 0.2, 0, rng.uniform(0.5, 2, n))
    weights[:2] = 1
    accumulator = MomentAccumulator()
    accumulator.update(features, outputs, targets, weights)
    expected = accumulator.result()
    arrays = {"features": features, "outputs": outputs, "targets": targets, "weights": weights}
    with dask.config.set(scheduler="synchronous"):
        gathered = DaskTable(arrays | {"features": da.from_array(features, chunks=(chunks, -1))}).gather()
    found = gathered.moments
    assert found.n_samples == expected.n_samples == sum(shard.n_samples for shard in gathered.shards)
    assert found.weight == pytest.approx(expected.weight, **SAME)
    assert found.squared_weight == pytest.approx(expected.squared_weight, **SAME)
    np.testing.assert_array_equal(found.group_counts, expected.group_counts)
    np.testing.assert_allclose(found.group_squares, expected.group_squares, rtol=1e-11, atol=1e-11)
    # A mean that cancels to nearly 0 keeps the rounding of what it is made of.
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-14)
    for part in ("features", "outputs") + (() if classes else ("values",)):
        # Means of 50 cost two digits of a squared deviation near 1.
        one, other = found.covariance(part), expected.covariance(part)
        width = one.rows.shape[1] if one.matrix is None else len(one.matrix)
        np.testing.assert_allclose(one.apply(np.eye(width)), other.apply(np.eye(width)), rtol=0, atol=1e-11)


def test_misaligned_chunks_follow_the_features():
    features, outputs, labels, _ = made()
    found = phiscope.diagonalize(
        da.from_array(features, chunks=(64, 5)),
        da.from_array(outputs, chunks=(100, 3)),
        targets=da.from_array(labels, chunks=41),
    )
    assert_same_numbers(found, phiscope.diagonalize(features, outputs, targets=labels))


def test_columns_in_chunks_become_rows_of_the_configured_size():
    with dask.config.set({"array.chunk-size": 100 * 12 * 8}):
        table = DaskTable({"features": da.from_array(made()[0], chunks=(300, 1))})
    assert max(table._lengths) <= 100
    assert sum(table._lengths) == 300


def test_outputs_and_targets_in_zarr_and_memory_maps_go_along(tmp_path):
    features, outputs, labels, weights = made()
    stored = zarr.create_array(tmp_path / "o.zarr", shape=outputs.shape, chunks=(70, 4), dtype=outputs.dtype)
    stored[:] = outputs
    np.save(tmp_path / "y.npy", labels)
    found = phiscope.diagonalize(
        da.from_array(features, chunks=(100, -1)),
        stored,
        targets=np.load(tmp_path / "y.npy", mmap_mode="r"),
        weights=da.from_array(weights, chunks=50),
    )
    assert_same_numbers(found, phiscope.diagonalize(features, outputs, targets=labels, weights=weights))


def test_features_in_memory_follow_targets_in_dask():
    features, outputs, labels, _ = made()
    found = phiscope.diagonalize(features, outputs, targets=da.from_array(labels, chunks=30))
    assert_same_numbers(found, phiscope.diagonalize(features, outputs, targets=labels))


def test_a_head_and_regression_targets():
    features, outputs, _, _ = made()
    head = np.random.default_rng(1).normal(size=(3, 12)), np.ones(3)
    targets = outputs[:, :3] ** 2
    found = phiscope.diagonalize(da.from_array(features, chunks=(90, -1)), head=head, targets=targets)
    assert_same_numbers(found, phiscope.diagonalize(features, head=head, targets=targets))


def test_the_head_sets_the_number_of_classes_and_it_can_be_given():
    features, _, labels, _ = made()
    lazy = da.from_array(features, chunks=(90, -1))
    head = np.eye(12)[:6], None
    assert phiscope.diagonalize(lazy, head=head, targets=labels).n_classes == 6
    assert phiscope.diagonalize(lazy, targets=labels, num_classes=9).n_classes == 9
    assert phiscope.diagonalize(lazy, targets=labels).n_classes == 4


def test_fewer_samples_than_features_stay_rows():
    features = np.random.default_rng(0).normal(size=(20, 50))
    gathered = DaskTable({"features": da.from_array(features, chunks=(3, -1))}).gather()
    assert gathered.moments.rows is not None
    found = phiscope.diagonalize(da.from_array(features, chunks=(3, -1)))
    assert_same_numbers(found, phiscope.diagonalize(features))


def test_a_data_array_of_xarray_is_read_as_what_it_holds():
    import xarray

    features, _, labels, _ = made()
    expected = phiscope.diagonalize(features, targets=labels)
    lazy = xarray.DataArray(da.from_array(features, chunks=(90, -1)), dims=("sample", "feature"))
    assert is_dask(lazy)
    assert_same_numbers(phiscope.diagonalize(lazy, targets=labels), expected)
    assert not is_dask(xarray.DataArray(features))
    assert not is_dask(features)


def test_intervals_come_from_random_rows_even_when_every_chunk_is_one_class():
    features, outputs, labels, _ = made(n=1200)
    order = np.argsort(labels, kind="stable")
    chunks = tuple(np.bincount(labels).tolist())
    table = {"features": da.from_array(features[order], chunks=(chunks, -1)), "targets": labels[order]}
    shards = DaskTable(table).gather().shards
    assert len(shards) == 20
    # Every shard holds every class in proportion, to the row: 4 chunks, each dealt evenly.
    for shard in shards:
        assert np.abs(shard.group_counts - np.bincount(labels) / 20).max() <= 1
    found = phiscope.diagonalize(table["features"], outputs[order], targets=labels[order])
    low, high = found.interval("dynamical_low_rank")
    assert low < found["dynamical_low_rank_corrected"] < high
    expected = phiscope.diagonalize(features, outputs, targets=labels)
    # Two deals of the same rows: their corrected values differ by less than the interval is wide.
    corrected = expected["dynamical_low_rank_corrected"]
    assert abs(found["dynamical_low_rank_corrected"] - corrected) < high - low


def test_small_chunks_fill_all_shards_alike():
    gathered = DaskTable({"features": da.from_array(made(n=2000)[0], chunks=(5, -1))}).gather()
    counts = [shard.n_samples for shard in gathered.shards]
    # 400 chunks, each giving a row to 5 of 20 seats: 100 on average, standard deviation below 9.
    assert len(counts) == 20
    assert min(counts) > 60
    assert max(counts) < 140


def test_a_chunk_that_is_measured_again_gives_the_same_bits():
    blocks = {"features": made()[0], "targets": made()[2]}
    options = {"num_classes": None, "n_shards": 20, "n_chunks": 9}
    once, again, other = (chunk_part(blocks, index, 0, **options) for index in (3, 3, 4))
    for left, right in zip(once.shards, again.shards, strict=True):
        np.testing.assert_array_equal(left.group_means, right.group_means)
    # The control: another chunk with the same rows deals them otherwise.
    assert any((a.group_means != b.group_means).any() for a, b in zip(once.shards, other.shards, strict=True))


def test_parts_travel_as_half_matrices_and_short_rows():
    p, options = 300, {"num_classes": None, "n_shards": 1, "n_chunks": 1}
    rng = np.random.default_rng(0)
    folded = chunk_part({"features": rng.normal(size=(500, p))}, 0, 0, **options)
    back, size = sent_and_back(folded)
    # Half of the matrix with half of the diagonal blocks, and some vectors.
    assert size < 8 * p * (p + STRIP) / 2 + 20 * 8 * p
    np.testing.assert_array_equal(back.shards[0].within, folded.shards[0].within)
    assert sys.getsizeof(folded) > 8 * p * p
    short = chunk_part({"features": rng.normal(size=(60, p)).astype(np.float32)}, 0, 0, **options)
    exact = chunk_part({"features": rng.normal(size=(60, p))}, 0, 0, **options)
    for part, width in ((short, 4), (exact, 8)):
        back, size = sent_and_back(part)
        assert size < width * 60 * p + 40 * 8 * p
        assert back.shards[0].rows.dtype == np.float64
        np.testing.assert_array_equal(back.shards[0].rows, part.shards[0].rows)
    assert merge_parts(folded, None) is folded
    assert merge_parts(None, None) is None


def test_wide_features_get_no_shards_and_say_so():
    assert [shards_of_chunks(width) for width in (3000, 6000)] == [2, 1]
    assert all(shards_of_chunks(width) * width**2 * 8 <= PART_BYTES for width in (10, 1400, 2048, 3000, 5000))
    features = np.random.default_rng(0).normal(size=(12, 5100))
    found = phiscope.diagonalize(da.from_array(features, chunks=(5, -1)))
    assert "2 shards" in found.absent["participation_ratio_centered_corrected"]


def test_float_labels_are_doubted_as_in_memory():
    features, _, labels, _ = made()
    lazy = da.from_array(features, chunks=(90, -1))
    for targets in (labels.astype(float), labels + 0.5, np.arange(300.0)):
        expected = [text for text in phiscope.diagonalize(features, targets=targets).warnings if "0 to" in text]
        found = [text for text in phiscope.diagonalize(lazy, targets=targets).warnings if "0 to" in text]
        assert found == expected
    assert any("0 to 3" in text for text in phiscope.diagonalize(lazy, targets=labels.astype(float)).warnings)


def test_a_chunk_with_nan_is_named():
    features, _, _, _ = made()
    features[205, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"features hold NaN.*chunk 2 of 3, rows 200 to 299") as caught:
        phiscope.diagonalize(da.from_array(features, chunks=(100, -1)))
    assert caught.value.batch == 2
    assert caught.value.where == "features"


def test_bad_labels_name_their_chunk():
    features, _, labels, _ = made()
    labels[150] = -1
    with pytest.raises(TargetError, match=r"from -1 to 3.*chunk 1 of 3"):
        phiscope.diagonalize(da.from_array(features, chunks=(100, -1)), targets=labels)


@pytest.mark.parametrize(
    ("parts", "error", "sentence"),
    [
        ({"features": np.zeros(10)}, ShapeError, r"\(n, p\)"),
        ({"features": np.zeros((10, 2)), "outputs": np.zeros((9, 2))}, ShapeError, "10 samples but outputs have 9"),
        ({"features": np.zeros((10, 2)), "weights": np.zeros((10, 2, 2))}, ShapeError, "weights has shape"),
        ({"features": np.zeros((10, 2), complex)}, InputError, "complex"),
        ({"features": np.zeros((1, 2))}, EmptyDataError, "1 sample "),
        ({"features": np.zeros((0, 2))}, EmptyDataError, "0 samples"),
        ({"features": np.full((10, 2), 1e40)}, InputError, "1e\\+40"),
    ],
)
def test_unusable_arrays_are_refused_in_one_sentence(parts, error, sentence):
    with pytest.raises(error, match=sentence):
        phiscope.diagonalize(**{name: da.from_array(array, chunks=5) for name, array in parts.items()})


def test_unknown_lengths_and_foreign_collections_say_what_to_do():
    lazy = da.from_array(made()[0], chunks=(100, -1))
    with pytest.raises(ShapeError, match="compute_chunk_sizes"):
        phiscope.diagonalize(lazy[lazy[:, 0] > 100])
    with pytest.raises(InputError, match="to_dask_array"):
        phiscope.diagonalize(dask.delayed(np.eye)(3))


def test_a_wrong_tolerance_and_head_are_refused_before_anything_is_computed():
    ran = []

    def load(block):
        ran.append(len(block))
        return block

    lazy = da.from_array(made()[0], chunks=(100, -1)).map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(InputError, match="rank_tolerance"):
        phiscope.diagonalize(lazy, rank_tolerance=2)
    with pytest.raises(ShapeError, match="head weight"):
        phiscope.diagonalize(lazy, head=(np.eye(3), None))
    with pytest.raises(ShapeError, match="same layer"):
        phiscope.diagonalize(lazy, made()[1], head=(np.eye(12), None))
    assert ran == []
    phiscope.diagonalize(lazy)
    assert ran == [100, 100, 100]  # the control; each chunk is read once


def test_without_dask_the_extra_is_named(monkeypatch):
    lazy = da.from_array(made()[0], chunks=(100, -1))
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[dask\]"):
        phiscope.diagonalize(lazy)
