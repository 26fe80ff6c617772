"""The streaming pass against a second pass in extended precision, whatever the batches."""

import numpy as np
import pytest
import torch

from phiscope import diagonalize
from phiscope.errors import InputError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.pilots import BLOCK_ROWS
from phiscope.moments.shards import PILOT_ROWS

EPS = np.finfo(np.float64).eps


def two_pass(X, y):
    """Mean, covariance and class means by the definition, in extended precision."""
    X = X.astype(np.longdouble)
    mean = X.mean(axis=0)
    return mean, (X - mean).T @ (X - mean) / len(X), np.stack([X[y == c].mean(axis=0) for c in np.unique(y)])


def assert_streamed(batches, offset=0.0, n_shards=1):
    accumulator = MomentAccumulator(n_shards=n_shards)
    for X, y in batches:
        accumulator.update(X, targets=y)
    X, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    mean, covariance, means = two_pass(X, y)
    moments = accumulator.result()
    scale, n = np.abs(X - X.mean(0)).max(), len(X)
    # Deviations from a pilot are rounded at eps (scale + offset); n of them average out at worst linearly.
    allowed = 10 * np.sqrt(n) * EPS * (scale + offset)
    assert moments.n_samples == n
    np.testing.assert_allclose(moments.mean, mean.astype(float), atol=allowed)
    found = moments.covariance("features").apply(np.eye(X.shape[1]))
    np.testing.assert_allclose(found, covariance.astype(float), atol=10 * allowed * scale)
    occupied = moments.group_counts > 0
    np.testing.assert_allclose(moments.group_means[occupied], means.astype(float), atol=allowed)
    np.testing.assert_array_equal(moments.group_counts, np.bincount(y))


def stream(sizes, p=3, offset=0.0, sort=False, seed=0):
    g = np.random.default_rng(seed)
    n = sum(sizes)
    y = g.integers(0, 3, n)
    y = np.sort(y) if sort else y
    X = g.normal(size=(n, p)) + 3 * y[:, None] + offset
    cuts = np.cumsum(sizes)[:-1]
    return list(zip(np.split(X, cuts), np.split(y, cuts), strict=True))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 2,048 rows whatever their width, so that a few thousand samples fill several."""
    monkeypatch.setattr("phiscope.moments.pilots.BLOCK_BYTES", 1)


BOUNDARIES = [PILOT_ROWS - 1, PILOT_ROWS, PILOT_ROWS + 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1]
BOUNDARIES += [PILOT_ROWS + BLOCK_ROWS, 2 * BLOCK_ROWS - 1, 2 * BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 7]


@pytest.mark.parametrize("n", BOUNDARIES)
@pytest.mark.parametrize("offset", [0, 1e4])
def test_block_boundaries(n, offset, small_blocks):
    assert_streamed(stream([n], offset=offset), offset)
    assert_streamed(stream([n // 2, n - n // 2], offset=offset), offset)


@pytest.mark.parametrize("tail", [1, 2, 3])
@pytest.mark.parametrize("n_shards", [1, 20])
def test_last_batch_of_a_few(tail, n_shards, small_blocks):
    assert_streamed(stream([64] * 40 + [tail]), n_shards=n_shards)


@pytest.mark.parametrize(
    "sizes", [[1, 5000], [1, 0, 1, 0, 700], [1] * 700, [0, 3], [1, 1], [BLOCK_ROWS] * 3, [4096, 1, 4096]]
)
def test_uneven_batches(sizes, small_blocks):
    assert_streamed(stream(sizes))
    assert_streamed(stream(sizes, offset=1e4), 1e4)


@pytest.mark.parametrize("p", [4, 40, 530])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_around_as_many_samples_as_features(p, more):
    n = p + more
    assert_streamed(stream([n], p=p))
    assert_streamed(stream([n // 2, n - n // 2], p=p, offset=100), 100)
    X, y = stream([n], p=p)[0]
    m = diagonalize(X, targets=y % 2)
    expected = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2 / n
    k = min(n - 1, p)
    assert len(m.centered.eigenvalues) == k
    np.testing.assert_allclose(m.centered.eigenvalues, expected[:k], atol=n * EPS * expected[0])


@pytest.mark.parametrize("n_shards", [1, 20])
def test_samples_sorted_by_class(n_shards, small_blocks):
    """All of class 0 first, then classes nobody has seen yet: each class gets a pilot of its own."""
    assert_streamed(stream([500] * 12, sort=True, offset=1e3), 1e3, n_shards=n_shards)
    assert_streamed(stream([1, 2999, 1, 2999], sort=True), n_shards=n_shards)


def test_first_samples_are_outliers(small_blocks):
    """A pilot far off costs log10(distance) digits, not all of them."""
    batches = stream([600, 5000])
    batches[0] = (batches[0][0] + 1e4, batches[0][1])
    assert_streamed(batches, 1e4)


def test_drifting_regression_features():
    g = np.random.default_rng(0)
    X = g.normal(size=(6000, 3)) + np.linspace(0, 1e3, 6000)[:, None]
    assert_streamed([(part, np.zeros(len(part), int)) for part in np.array_split(X, 9)], 1e3)


def test_two_batches_are_not_the_last_batch():
    """Trackers that keep the last batch give another answer."""
    batches = stream([1000, 1000], sort=True)
    assert_streamed(batches)
    last = MomentAccumulator()
    last.update(batches[1][0], targets=batches[1][1])
    assert (np.abs(last.result().mean - np.concatenate([X for X, _ in batches]).mean(0)) > 0.1).all()


def test_shuffling_changes_nothing_but_rounding():
    X, y = stream([5000], p=6, offset=100)[0]
    order = np.random.default_rng(1).permutation(5000)
    one, other = diagonalize(X, targets=y), diagonalize(X[order], targets=y[order])
    for name in ("participation_ratio_centered", "nc1", "cdnv", "target_alignment", "effective_dimension", "alpha_req"):
        assert one[name] == pytest.approx(other[name], rel=5000 * 100 * EPS), name


def test_calling_twice():
    X, y = stream([3000], p=6)[0]
    assert diagonalize(X, targets=y).to_dict() == diagonalize(X, targets=y).to_dict()
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    diagonalize(X, targets=y).interval("participation_ratio")
    np.testing.assert_array_equal(np.random.get_state()[1], state[0])
    assert torch.equal(torch.get_rng_state(), state[1])
    accumulator = MomentAccumulator()
    accumulator.update(X[:10], targets=y[:10])
    early = accumulator.result()
    before = early.mean.copy(), early.covariance("features").apply(np.eye(6))
    accumulator.update(X, targets=y)
    accumulator.result()
    np.testing.assert_array_equal(early.mean, before[0])
    np.testing.assert_array_equal(early.covariance("features").apply(np.eye(6)), before[1])


def test_float16_rows_cost_no_copy_of_everything():
    """The check for NaN looks at float16 as it is; a peak of 8 n p bytes would be the whole upcast."""
    import tracemalloc

    features = np.random.default_rng(0).normal(size=(40_000, 50)).astype(np.float16)
    accumulator = MomentAccumulator()
    tracemalloc.start()
    accumulator.update(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < features.size * 8 / 2


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("batch", [1, 7, 513, 3000])
def test_rows_that_wait_for_a_full_product_are_counted_at_any_moment(precision, batch):
    rng = np.random.default_rng(1)
    features, classes = rng.standard_normal((9000, 6)) + 3.0, rng.integers(0, 4, 9000)
    accumulator = MomentAccumulator(precision=precision)
    tolerance = 1e-12 if precision == "exact" else 1e-5
    for start in range(0, 9000, batch):
        part = slice(start, min(start + batch, 9000))
        accumulator.update(features[part], targets=classes[part])
        if part.stop in (2 * batch, 9000) and part.stop > 1000:
            seen = features[: part.stop]
            moments = accumulator.result()
            expected = np.cov(seen.T, bias=True)
            np.testing.assert_allclose(moments.covariance("features").dense(), expected, atol=tolerance)
            np.testing.assert_allclose(moments.mean[:6], seen.mean(axis=0), rtol=tolerance)


def test_weights_of_different_batches_are_not_too_far_apart_either():
    accumulator = MomentAccumulator()
    accumulator.update([[1.0], [2.0]], weights=[1e20, 0.0])
    with pytest.raises(InputError, match="a ratio beyond"):
        accumulator.update([[1.0]], weights=[1e-20])
    # Nothing of the refused batch was added.
    accumulator.update([[3.0]], weights=[1e20])
    assert accumulator.result().n_samples == 2
