"""Rows added to the sums of their groups: the sums of the definition, with and without SciPy's own routine."""

import numpy as np
import pytest

from phiscope.linalg import products as module
from phiscope.linalg.products import add_to_groups
from phiscope.moments.pilots import Pilots
from phiscope.moments.scatter import Scatter

RNG = np.random.default_rng(0)


@pytest.fixture(params=["as it is", "without SciPy's routine"])
def routine(request, monkeypatch):
    if request.param == "without SciPy's routine":
        monkeypatch.setattr(module, "csc_matvecs", None)
    else:
        assert module.csc_matvecs is not None, "this SciPy lacks it: the pass is slower here with many classes"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n_groups", "n_rows"), [(1, 5), (3, 200), (1000, 40), (4, 0)])
def test_sums_are_those_of_the_definition(routine, dtype, n_groups, n_rows):
    rows, groups = RNG.standard_normal((n_rows, 7)).astype(dtype), RNG.integers(0, n_groups, n_rows)
    start = RNG.standard_normal((n_groups, 7)).astype(dtype)
    expected = start.copy()
    for row, group in zip(rows, groups, strict=True):
        expected[group] += row
    found = start.copy()
    add_to_groups(found, rows, groups)
    np.testing.assert_allclose(found, expected, atol=200 * np.finfo(dtype).eps)
    if n_rows > 1 and n_groups > 1:
        wrong = start.copy()
        add_to_groups(wrong, rows, groups[::-1])
        assert not np.allclose(wrong, expected, atol=1e-3)


@pytest.mark.parametrize("groups", [np.arange(6, dtype=np.int32)[::-1], np.arange(12)[::2] // 2])
def test_any_kind_of_labels(routine, groups):
    rows, found = RNG.standard_normal((6, 3)), np.zeros((6, 3))
    groups.setflags(write=False)
    add_to_groups(found, rows, groups)
    np.testing.assert_array_equal(found[groups], rows)


def test_part_of_a_longer_list_of_sums_keeps_the_rest(routine):
    found = np.full((5, 2), 7.0)
    add_to_groups(found[1:3], np.ones((2, 2)), np.array([1, 1]))
    np.testing.assert_array_equal(found, [[7, 7], [7, 7], [9, 9], [7, 7], [7, 7]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("holds", [False, True])
def test_scatters_that_share_their_memory_do_not_mix(dtype, holds):
    """Two shards fed in turn, with many products between two additions to the float64 sums."""
    layout = (40, 0, 0, True)
    pilots = Pilots(layout, dtype)
    both, fed = [Scatter(pilots, holds=holds) for _ in range(2)], [[], []]
    for turn, size in enumerate([3000, 2900, 17, 1, 5000, 4096, 700, 20000]):
        rows, groups = RNG.standard_normal((size, 40)).astype(np.float32) + 3, RNG.integers(0, 4, size)
        both[turn % 2].add([([rows], slice(0, size))], groups, np.ones(size))
        fed[turn % 2].append((rows, groups))
    for scatter, parts in zip(both, fed, strict=True):
        rows, groups = (np.concatenate(part) for part in zip(*parts, strict=True))
        found = scatter.moments()
        means = np.stack([rows[groups == g].mean(axis=0, dtype=float) for g in range(4)])
        offsets = rows - means[groups]
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(found.group_means, means, atol=tolerance)
        np.testing.assert_allclose(found.within / len(rows), offsets.T @ offsets / len(rows), atol=tolerance)
