"""Numbers over pairs of classes with thousands of them: the same values in blocks, and memory that does not square."""

import tracemalloc

import numpy as np
import pytest

import phiscope
from phiscope.linalg.operators import PositiveOperator
from phiscope.metrics import class_pairs, collapse


def naive_cdnv(means, variances):
    pairs = [(a, b) for a in range(len(means)) for b in range(len(means)) if a != b]
    ratios = [(variances[a] + variances[b]) / (2 * ((means[a] - means[b]) ** 2).sum()) for a, b in pairs]
    return np.mean(ratios)


def naive_equiangular(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return np.abs(cosines + 1 / (len(unit) - 1))[~np.eye(len(unit), dtype=bool)].mean()


@pytest.fixture(params=[1, 7, 60, 61, 1000])
def small_blocks(request, monkeypatch):
    monkeypatch.setattr(class_pairs, "PAIR_BLOCK", request.param)


@pytest.mark.parametrize("differences", [0, 10**6])
def test_pairs_in_blocks_are_the_pairs_of_the_definition(small_blocks, monkeypatch, differences):
    monkeypatch.setattr(class_pairs, "DIFFERENCES", differences)
    rng = np.random.default_rng(0)
    means, variances = rng.standard_normal((61, 9)), rng.random(61)
    assert collapse.cdnv(means, variances) == pytest.approx(naive_cdnv(means, variances), rel=1e-12)
    assert collapse.nc2_equiangular(means) == pytest.approx(naive_equiangular(means), rel=1e-12)
    # The same from products that both share.
    centered = means - means.mean(axis=0)
    products = class_pairs.pair_products(centered)
    assert collapse.cdnv(means, variances, products=products) == pytest.approx(naive_cdnv(means, variances), rel=1e-12)
    found = collapse.nc2_equiangular(centered, products)
    assert found == pytest.approx(naive_equiangular(centered), rel=1e-12)
    assert found != pytest.approx(naive_equiangular(means), rel=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_close_pairs_of_far_away_means_keep_their_digits(monkeypatch, offset):
    monkeypatch.setattr(class_pairs, "DIFFERENCES", 0)
    rng = np.random.default_rng(1)
    means = offset + np.repeat(100 * rng.standard_normal((10, 5)), 2, axis=0)
    means[1::2] += 1e-4
    expected = naive_cdnv(means, np.ones(20))
    assert collapse.cdnv(means, np.ones(20)) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(class_pairs, "CANCELS", 0.0)
    assert collapse.cdnv(means, np.ones(20)) != pytest.approx(expected, rel=1e-9)


def test_equal_means_are_found_on_both_roads(monkeypatch):
    means = np.array([[0.1, 0.2], [3.0, 4.0], [0.1, 0.2]])
    assert collapse.cdnv(means, np.ones(3)) == np.inf
    monkeypatch.setattr(class_pairs, "DIFFERENCES", 0)
    assert collapse.cdnv(means, np.ones(3)) == np.inf


def test_within_spread_of_many_classes_is_that_of_the_definition():
    rng = np.random.default_rng(2)
    between, within = rng.standard_normal((50, 6)), rng.standard_normal((6, 6))
    spread = within.T @ within
    expected = np.trace(spread @ np.linalg.pinv(between.T @ between)) / 50
    assert collapse.nc1(PositiveOperator(matrix=spread), between, np.ones(50)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("smallest", "by_factor"), [(1e-2, True), (1e-4, False), (0.0, False)])
def test_a_factor_serves_only_where_it_keeps_the_digits(smallest, by_factor):
    """Class means that nearly or wholly lack a direction: the singular values decide there, as they did before."""
    rng = np.random.default_rng(4)
    between = rng.standard_normal((50, 6)) * np.array([1, 1, 1, 1, 1, smallest])
    within = rng.standard_normal((6, 6))
    spread = PositiveOperator(matrix=within.T @ within)
    found = collapse._nc1_of_all_directions(spread, between)
    assert (found is not None) == by_factor
    _, s, v = np.linalg.svd(between)
    kept = s**2 > 1e-10 * s[0] ** 2
    expected = sum((v[k] @ spread.matrix @ v[k]) / s[k] ** 2 for k in np.flatnonzero(kept)) / 50
    assert collapse.nc1(spread, between, np.ones(50)) == pytest.approx(expected, rel=1e-10)


def centered_classes(shares, means):
    """sqrt(pi_c) (mu_c - m)."""
    return np.sqrt(shares)[:, None] * (means - shares @ means)


@pytest.mark.parametrize("n_classes", [2, 3, 20, 40])
@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("as_rows", [True, False])
def test_within_spread_by_inner_products_of_fewer_classes_than_features(n_classes, offset, as_rows, monkeypatch):
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(n_classes, 2.0))
    between = centered_classes(shares, rng.standard_normal((n_classes, 40)) + offset)
    within = rng.standard_normal((40, 40))
    spread = PositiveOperator(rows=within) if as_rows else PositiveOperator(matrix=within.T @ within)
    expected = np.trace(within.T @ within @ np.linalg.pinv(between.T @ between, rcond=1e-10)) / n_classes
    by_product = collapse._nc1_of_many_classes(spread, between, shares)
    assert by_product == pytest.approx(expected, rel=1e-8)
    monkeypatch.setattr(collapse, "MANY_CLASSES", 2)
    assert collapse.nc1(spread, between, shares) == by_product
    # Control: it is the reflector that takes the vanishing direction out.
    assert collapse._nc1_of_many_classes(spread, between[:, ::-1], shares[::-1]) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("smallest", "by_factor"), [(1e-1, True), (1e-4, False), (0.0, False)])
def test_inner_products_serve_only_where_they_keep_the_digits(smallest, by_factor, monkeypatch):
    monkeypatch.setattr(collapse, "MANY_CLASSES", 2)
    rng = np.random.default_rng(6)
    shares = rng.dirichlet(np.full(6, 2.0))
    means = (
        rng.standard_normal((6, 5)) @ np.diag([1, 1, 1, 1, smallest]) @ np.linalg.qr(rng.standard_normal((9, 5)))[0].T
    )
    between, within = centered_classes(shares, means), rng.standard_normal((9, 9))
    spread = PositiveOperator(matrix=within.T @ within)
    assert (collapse._nc1_of_many_classes(spread, between, shares) is not None) == by_factor
    _, s, v = np.linalg.svd(between, full_matrices=False)
    kept = s**2 > 1e-10 * s[0] ** 2
    expected = sum((v[k] @ spread.matrix @ v[k]) / s[k] ** 2 for k in np.flatnonzero(kept)) / 6
    assert collapse.nc1(spread, between, shares) == pytest.approx(expected, rel=1e-9)


def test_memory_of_pairs_does_not_square():
    rng = np.random.default_rng(3)
    means, variances = rng.standard_normal((12_000, 4)), np.ones(12_000)
    tracemalloc.start()
    collapse.cdnv(means, variances)
    collapse.nc2_equiangular(means)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000**2 * 8 / 4


@pytest.mark.parametrize("n_outputs", [8, 9, 60, 5000])
def test_a_head_of_many_outputs_says_what_its_outputs_say(n_outputs):
    rng = np.random.default_rng(4)
    features = rng.standard_normal((400, 7)) + 1.0
    head = rng.standard_normal((n_outputs, 7)), 3 * rng.standard_normal(n_outputs)
    outputs = features @ head[0].T + head[1]
    measured = phiscope.diagonalize(features, head=head)
    if n_outputs == 5000:
        # A rotation keeps all that is measured: eight outputs hold what 5000 do, and a C x C scatter is spared.
        outputs = outputs @ np.linalg.qr(np.column_stack(head))[0]
    reference = phiscope.diagonalize(features, outputs)
    for name in (
        "dynamical_low_rank",
        "dynamical_low_rank_centered",
        "used_variance",
        "output_rank",
        "output_rank_raw",
    ):
        assert measured[name] == pytest.approx(reference[name], rel=1e-9, abs=1e-12), name
    difference = measured.centered.cumulative_utilization - reference.centered.cumulative_utilization
    assert np.abs(difference).max() < 1e-9
