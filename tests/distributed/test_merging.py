"""Merging arithmetic of many ranks, with threads for ranks: against `moments.merge` and against one accumulator."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.distributed.merging import merged
from phiscope.errors import EmptyDataError, ShapeError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import fold, merge, with_groups
from thread_ranks import Threads


def rows_of(seed, n, p=5, C=3, *, offset=0.0, spread=1.0):
    g = np.random.default_rng(seed)
    y = g.integers(0, C, n)
    centers = np.random.default_rng(99).normal(size=(C, p))
    return offset + centers[y] + spread * g.normal(size=(n, p)), y, g.uniform(0.1, 2, n)


def gathered(features, targets=None, weights=None, *, n_shards=1, outputs=None):
    accumulator = MomentAccumulator(n_shards=n_shards)
    if len(features):
        accumulator.update(features, outputs=outputs, targets=targets, weights=weights)
    return accumulator.shards()


def agree(a, b, rel=1e-12):
    groups = max(len(a.group_counts), len(b.group_counts))
    a, b = with_groups(fold(a), groups), with_groups(fold(b), groups)
    assert a.layout == b.layout
    assert a.n_samples == b.n_samples
    np.testing.assert_array_equal(a.group_counts, b.group_counts)
    for name in ("weight", "squared_weight", "group_weights"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-14)
    np.testing.assert_allclose(a.group_means, b.group_means, rtol=1e-14, atol=1e-15)
    # The scatter about large means is only as good as the rounding of a mean: n * (eps * mean)^2 is far below this.
    for name in ("within", "group_squares"):
        one, other = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(one, other, atol=rel * np.abs(other).max())


def same_bits(a, b):
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 1),
    n_shards=st.sampled_from([1, 3, 8]),
    weighted=st.booleans(),
    seed=st.integers(0, 5),
    p=st.sampled_from([2, 5, 60]),
)
def test_any_parts_give_the_moments_of_the_whole(sizes, n_shards, weighted, seed, p):
    features, y, w = rows_of(seed, sum(sizes), p)
    w = w if weighted else None
    edges = np.cumsum([0, *sizes])

    def work(seat):
        part = slice(edges[seat.rank], edges[seat.rank + 1])
        return merged(seat, gathered(features[part], y[part], None if w is None else w[part], n_shards=n_shards))

    results, failures = Threads(len(sizes)).run(work)
    assert failures == [None] * len(sizes)
    whole = MomentAccumulator()
    whole.update(features, targets=y, weights=w)
    agree(results[0][0], whole.result())
    agree(reduce(merge, results[0][1]), whole.result())
    for moments, shards in results:
        same_bits(moments, results[0][0])
        assert len(shards) == len(results[0][1])


def test_shards_are_the_merge_of_the_ranks_shards():
    parts = [gathered(*rows_of(seed, 90), n_shards=4) for seed in range(3)]
    results, _ = Threads(3).run(lambda seat: merged(seat, parts[seat.rank]))
    for s, shard in enumerate(results[1][1]):
        agree(shard, reduce(merge, [part[s] for part in parts]))


@pytest.mark.parametrize("size", [2, 90])
def test_the_coarsest_rounding_of_outputs_stays_known(size):
    """Rows travel of few samples, sums of many; one rank came in half precision."""
    answers = [np.ones((size, 2), np.float64), np.ones((size, 2), np.float16), np.ones((size, 2), np.float64)]
    parts = [gathered(*rows_of(seed, size), outputs=answers[seed], n_shards=2) for seed in range(3)]
    results, failures = Threads(3).run(lambda seat: merged(seat, parts[seat.rank]))
    assert failures == [None] * 3
    for moments, shards in results:
        assert {one.output_eps for one in (moments, *shards)} == {float(np.finfo(np.float16).eps)}


def test_ranks_with_a_sample_or_two_fill_all_shards():
    parts = [gathered(*rows_of(seed, 2), n_shards=8) for seed in range(8)]
    results, _ = Threads(8).run(lambda seat: merged(seat, parts[seat.rank]))
    held = [shard.n_samples for shard in results[0][1]]
    assert sum(held) == 16
    # As many shards as the fullest rank has: two samples give two.
    assert held == [8, 8]


def test_large_means_and_tiny_spreads_lose_no_digits():
    """Class means 1e4 spreads from zero, and a spread of 1e-6 beside unit class distances."""
    for offset, spread in ((1e4, 1.0), (0.0, 1e-6), (1e3, 1e-3)):
        g = np.random.default_rng(3)
        y = np.arange(600) % 3
        noise = g.normal(size=(600, 4))
        features = offset + np.eye(3, 4)[y] + spread * noise
        edges = [0, 100, 450, 600]
        results, _ = Threads(3).run(
            lambda seat: merged(
                seat,
                gathered(
                    features[edges[seat.rank] : edges[seat.rank + 1]],  # noqa: B023
                    y[edges[seat.rank] : edges[seat.rank + 1]],  # noqa: B023
                ),
            )
        )
        exact = features - offset - np.eye(3, 4)[y]
        means = np.stack([exact[y == c].mean(axis=0) for c in range(3)])
        centered = exact - means[y]
        wanted = centered.T @ centered
        np.testing.assert_allclose(results[0][0].within, wanted, atol=1e-11 * np.abs(wanted).max())


def test_control_raw_second_moments_lose_them():
    y = np.arange(600) % 3
    noise = np.random.default_rng(3).normal(size=(600, 4))
    features = 1e4 + np.eye(3, 4)[y] + 1e-3 * noise
    raw = features.T @ features - sum(np.outer(s, s) / 200 for s in (features[y == c].sum(axis=0) for c in range(3)))
    exact = noise - np.stack([noise[y == c].mean(axis=0) for c in range(3)])[y]
    wanted = 1e-6 * exact.T @ exact
    assert np.abs(raw - wanted).max() > 1e-6 * np.abs(wanted).max()


def test_different_class_counts_and_an_empty_rank():
    features, _, _ = rows_of(0, 60)
    y = np.r_[np.zeros(20, int), np.arange(40) % 7]
    parts = [gathered(features[:20], y[:20]), (), gathered(features[20:], y[20:])]
    results, failures = Threads(3).run(lambda seat: merged(seat, parts[seat.rank]))
    assert failures == [None] * 3
    agree(results[1][0], reduce(merge, [parts[0][0], parts[2][0]]))
    assert len(results[0][0].group_counts) == 7


def test_few_rows_stay_rows_and_nothing_of_size_p_by_p_travels():
    p = 400
    parts = [gathered(*rows_of(seed, 60, p)) for seed in range(3)]
    table = Threads(3)
    results, _ = table.run(lambda seat: merged(seat, parts[seat.rank]))
    assert results[0][0].rows.shape == (180, p)
    assert results[0][0].within is None
    assert table.largest == 180 * (p + 2)
    agree(results[0][0], reduce(merge, [part[0] for part in parts]))


def test_rows_of_all_ranks_together_beyond_p_become_a_scatter():
    parts = [gathered(*rows_of(seed, 60, 100)) for seed in range(2)]
    assert parts[0][0].rows is not None
    table = Threads(2)
    results, _ = table.run(lambda seat: merged(seat, parts[seat.rank]))
    assert results[0][0].rows is None
    # Little more than half of a symmetric matrix (strips of 64 rows from the diagonal on), and a few numbers a class.
    assert table.largest == 64 * 100 + 36 * 36 + 2 * 3
    agree(results[0][0], merge(parts[0][0], parts[1][0]))


def test_many_shards_travel_together_and_many_large_ones_do_not(monkeypatch):
    parts = [gathered(*rows_of(seed, 200, 4), n_shards=8) for seed in range(2)]
    table = Threads(2)
    together, _ = table.run(lambda seat: merged(seat, parts[seat.rank]))
    assert table.largest == 8 * (4 * 4 + 2 * 3)
    monkeypatch.setattr("phiscope.distributed.merging.TRAVEL_NUMBERS", 3 * 4**2)
    apart, _ = Threads(2).run(lambda seat: merged(seat, parts[seat.rank]))
    for one, other in zip(together[0][1], apart[0][1], strict=True):
        same_bits(one, other)


def test_other_columns_are_one_sentence_everywhere():
    parts = [gathered(*rows_of(0, 30, 5)), gathered(*rows_of(0, 30, 6))]
    _, failures = Threads(2).run(lambda seat: merged(seat, parts[seat.rank]))
    assert [type(error) for error in failures] == [ShapeError, ShapeError]
    assert str(failures[0]) == str(failures[1])
    assert "rank 1 holds moments with (p, C, c, classes) = (6, 0, 0, True), rank 0 with (5," in str(failures[0])


@pytest.mark.parametrize("sizes", [(0, 0), (1, 0)])
def test_too_few_samples_on_all_ranks(sizes):
    parts = [gathered(*rows_of(0, n)) for n in sizes]
    _, failures = Threads(2).run(lambda seat: merged(seat, parts[seat.rank]))
    assert [type(error) for error in failures] == [EmptyDataError, EmptyDataError]
    assert f"{sum(sizes)} sample" in str(failures[1])
