"""Neural collapse beside the formulas of published programs, with the factor between the conventions written out.

None of these programs is on the package index, so they cannot be run here. Their formulas are derived again below, in
float64 and from the class means up, and `docs/reference/conventions.md` has the same facts as a table:

- "notebook": github.com/neuralcollapse/neuralcollapse, beside Papyan, Han and Donoho 2020 and Han et al. 2022;
- "package": github.com/rhubarbwu/neural-collapse, at commits c3864c2 and c05a0b8, which differ in S_B;
- "geometric": github.com/tding1/Neural-Collapse, beside Zhu et al. 2021.
"""

import numpy as np
import pytest
import torch

from phiscope import diagonalize
from phiscope.linalg.operators import PositiveOperator
from phiscope.metrics import collapse

CLOSE = 1e-9


class Published:
    """What all of them start from: class means with equal weights, S_W over all samples; a class may be empty."""

    def __init__(self, X, y, C, head=None):
        self.K, self.D, self.W = C, X.shape[1], head
        self.M = np.zeros((C, self.D))  # the mean of an empty class stays zero
        self.spread = np.zeros(C)
        self.S_W = np.zeros((self.D, self.D))
        for c in np.unique(y):
            rows = X[y == c]
            self.M[c] = rows.mean(axis=0)
            self.spread[c] = ((rows - self.M[c]) ** 2).sum() / len(rows)
            self.S_W += (rows - self.M[c]).T @ (rows - self.M[c]) / len(X)
        self.center_of_classes, self.center_of_samples = self.M.mean(axis=0), X.mean(axis=0)

    def trace(self, center, divisor):
        """tr(S_W S_B^+) with S_B = sum_c (mu_c - center)(mu_c - center)^T / divisor."""
        V = self.M - center
        return float(np.trace(self.S_W @ np.linalg.pinv(V.T @ V / divisor, rcond=1e-10, hermitian=True)))

    def nc1_notebook(self):
        return self.trace(self.center_of_classes, self.K)

    def nc1_package(self, divisor):
        return self.trace(self.center_of_classes, divisor) / self.K

    def nc1_geometric(self):
        return self.trace(self.center_of_samples, self.K) / self.K

    def equinorm_notebook(self):
        norms = np.linalg.norm(self.M - self.center_of_classes, axis=1)
        return norms.std(ddof=1) / norms.mean()

    def equiangular_notebook(self):
        V = self.M - self.center_of_classes
        V = V / np.linalg.norm(V, axis=1, keepdims=True)
        off = ~np.eye(self.K, dtype=bool)
        return np.abs((V @ V.T)[off] + 1 / (self.K - 1)).mean()

    def duality_notebook(self):
        V = self.M - self.center_of_classes
        return np.linalg.norm(self.W / np.linalg.norm(self.W) - V / np.linalg.norm(V)) ** 2

    def from_simplex(self, left):
        """Kothapalli 2023: Frobenius distance of left V^T, normalized, from the normalized Gram matrix of a simplex."""
        product = left @ (self.M - self.center_of_classes).T
        ideal = (np.eye(self.K) - 1 / self.K) / np.sqrt(self.K - 1)
        return np.linalg.norm(product / np.linalg.norm(product) - ideal)

    def simplex_package(self):
        return self.from_simplex(self.M - self.center_of_classes)

    def duality_package(self):
        return self.from_simplex(self.W)

    def cdnv(self):
        found = []
        for a in range(self.K):
            for b in range(a):
                found.append((self.spread[a] + self.spread[b]) / 2 / ((self.M[a] - self.M[b]) ** 2).sum())
        return np.mean(found)


def classes(counts, p=8, seed=0):
    g = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = 2 * g.normal(size=(len(counts), p))[y] + g.normal(size=(len(y), p)) * np.linspace(0.4, 1.3, p) + 1.0
    return X, y, g.normal(size=(len(counts), p))


def both(counts, **more):
    X, y, W = classes(counts, **more)
    return diagonalize(X, targets=y, head=(W, None)), Published(X, y, len(counts), W)


# Balanced classes: the same up to a factor.


@pytest.mark.parametrize("C", [2, 5, 9])
def test_nc1_of_balanced_classes(C):
    ours, published = both([30] * C)
    assert ours["nc1"] == pytest.approx(published.nc1_notebook() / C, rel=CLOSE)
    assert ours["nc1"] == pytest.approx(published.nc1_geometric(), rel=CLOSE)
    assert ours["nc1"] == pytest.approx(published.nc1_package(divisor=C), rel=CLOSE)  # commit c05a0b8
    assert ours["nc1"] == pytest.approx(published.nc1_package(divisor=8) * C / 8, rel=CLOSE)  # commit c3864c2, p = 8


@pytest.mark.parametrize("counts", [[30] * 5, [60, 30, 20, 7, 3]])
def test_nc2_nc3_and_cdnv_weigh_classes_alike_here_and_there(counts):
    ours, published = both(counts)
    C = len(counts)
    # torch.std divides by C - 1, the population standard deviation by C.
    assert ours["nc2_equinorm"] == pytest.approx(published.equinorm_notebook() * np.sqrt((C - 1) / C), rel=CLOSE)
    assert ours["nc2_equiangular"] == pytest.approx(published.equiangular_notebook(), rel=CLOSE)
    assert ours["nc3"] == pytest.approx(published.duality_notebook(), rel=CLOSE)
    assert ours["cdnv"] == pytest.approx(published.cdnv(), rel=CLOSE)


def test_control_without_the_factor_they_differ():
    ours, published = both([30] * 5)
    for theirs in (published.nc1_notebook(), published.nc1_package(divisor=8)):
        assert abs(theirs / ours["nc1"] - 1) > 0.3
    assert abs(published.equinorm_notebook() / ours["nc2_equinorm"] - 1) > 0.1


# Imbalanced classes: S_B counts classes there, samples here.


@pytest.mark.parametrize("share", [0.5, 0.2, 0.02])
def test_nc1_of_two_classes_of_unequal_size(share):
    """S_B is pi_1 pi_2 dd^T here, dd^T / 4 about the mean of the classes, (pi_1^2 + pi_2^2) dd^T / 2 about m."""
    n = 500
    ours, published = both([round(n * share), n - round(n * share)])
    product = share * (1 - share)
    assert ours["nc1"] == pytest.approx(published.nc1_package(divisor=2) / (4 * product), rel=CLOSE)
    assert ours["nc1"] == pytest.approx(published.nc1_geometric() * (1 - 2 * product) / (2 * product), rel=CLOSE)


def test_nc1_of_many_classes_of_unequal_size():
    counts = [200, 90, 30, 10, 4]
    ours, published = both(counts)
    X, y, _ = classes(counts)
    V = (published.M - X.mean(axis=0)) * np.sqrt(np.array(counts) / len(y))[:, None]
    by_samples = np.trace(published.S_W @ np.linalg.pinv(V.T @ V, rcond=1e-10, hermitian=True)) / 5
    assert ours["nc1"] == pytest.approx(by_samples, rel=CLOSE)
    # No factor joins the two here. S_B + S_W = S holds only with the weights of the samples.
    assert ours["nc1"] / published.nc1_package(divisor=5) > 1.5
    np.testing.assert_allclose(V.T @ V + published.S_W, np.cov(X.T, bias=True), atol=1e-10)


# A class that never occurs.


def test_an_empty_class_counts_there_as_one_with_mean_zero():
    X, y = np.array([[0.5, 0.0], [1.5, 0.0], [-1.5, 0.0], [-0.5, 0.0]]), np.array([0, 0, 1, 1])
    ours = diagonalize(X, targets=y, num_classes=3)
    assert ours["cdnv"] == pytest.approx(0.25 / 4)
    # Pairs: 0.25 / 4 for the two, 0.125 / 1 for each with the class that is not there.
    assert Published(X, y, 3).cdnv() == pytest.approx((0.25 / 4 + 2 * 0.125) / 3)
    assert Published(X, y, 2).cdnv() == pytest.approx(ours["cdnv"])


@pytest.mark.parametrize("name", ["nc1", "cdnv", "nc2_equinorm"])
def test_with_an_empty_class_their_numbers_see_where_the_origin_is(name):
    X, y, _ = classes([30] * 5)
    theirs = {"nc1": Published.nc1_notebook, "cdnv": Published.cdnv, "nc2_equinorm": Published.equinorm_notebook}[name]
    here, there = (diagonalize(data, targets=y, num_classes=6)[name] for data in (X, X + 5))
    assert here == pytest.approx(there, rel=CLOSE)
    assert abs(theirs(Published(X, y, 6)) / theirs(Published(X + 5, y, 6)) - 1) > 0.02
    assert theirs(Published(X, y, 5)) == pytest.approx(theirs(Published(X + 5, y, 5)), rel=CLOSE)


# Other numbers under the same name.


def test_their_nc2_is_the_square_root_of_twice_d_lr_where_nothing_varies_within_classes():
    """Their error^2 = 2 - 2 sqrt(PR / (C - 1)) with PR of the class means; with nc1 = 0 that is the centered D_LR."""
    g = np.random.default_rng(1)
    y = np.repeat(np.arange(5), 6)
    means, W = g.normal(size=(5, 8)), g.normal(size=(5, 8))
    ours = diagonalize(means[y], targets=y, head=(W, None), rank_tolerance=1e-9)
    theirs = Published(means[y], y, 5).simplex_package()
    assert ours["nc1"] < 1e-12
    assert theirs == pytest.approx(np.sqrt(2 * ours["dynamical_low_rank_centered"]), rel=CLOSE)
    assert theirs == pytest.approx(np.sqrt(2 * ours["collapse_distance"]), rel=CLOSE)


def test_their_nc3_asks_for_a_simplex_too():
    X, y, _ = classes([30] * 5)
    V = np.stack([X[y == c].mean(axis=0) for c in range(5)])
    V -= V.mean(axis=0)
    ours, theirs = diagonalize(X, targets=y, head=(3 * V, None)), Published(X, y, 5, 3 * V)
    assert ours["nc3"] == pytest.approx(0, abs=1e-12)
    assert theirs.duality_package() == pytest.approx(theirs.simplex_package(), rel=CLOSE)
    assert theirs.duality_package() > 0.1


def test_all_agree_on_a_simplex():
    y = np.repeat(np.arange(4), 5)
    X = np.eye(4)[y]
    ours, theirs = diagonalize(X, targets=y, head=(np.eye(4) - 0.25, None)), Published(X, y, 4, np.eye(4) - 0.25)
    for name in ("nc1", "nc2_equinorm", "nc2_equiangular", "nc3", "cdnv"):
        assert ours[name] == pytest.approx(0, abs=1e-12), name
    for value in (theirs.simplex_package(), theirs.duality_package(), theirs.nc1_notebook(), theirs.cdnv()):
        assert value == pytest.approx(0, abs=1e-7)


# Precision.


def test_single_precision_loses_a_weak_class_direction():
    """Class directions that differ by 1e3 in length: torch.linalg.pinv cuts at p eps, in float32 2e-6 for p = 16."""
    g = np.random.default_rng(2)
    y = np.repeat(np.arange(3), 200)
    X = 0.1 * g.normal(size=(600, 16))
    X[:, :2] += np.array([[1e3, 0.0], [-1e3, 1.0], [0.0, -1.0]])[y]
    published = Published(X, y, 3)
    ours = diagonalize(X, targets=y)["nc1"]
    assert ours == pytest.approx(published.nc1_package(divisor=3), rel=1e-6)
    V = torch.from_numpy(published.M - published.center_of_classes)
    S_W = torch.from_numpy(published.S_W)
    single = torch.trace(torch.linalg.pinv(V.float().mT @ V.float() / 3) @ S_W.float()) / 3
    double = torch.trace(torch.linalg.pinv(V.mT @ V / 3) @ S_W) / 3
    assert float(double) == pytest.approx(ours, rel=1e-6)
    assert float(single) < ours / 10


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
