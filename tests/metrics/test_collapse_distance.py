"""Distance from collapse: 0 where the theory says collapse is, also for targets of unequal strength."""

import itertools

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
import twins
from phiscope import diagonalize
from phiscope.findings import targets as readouts
from phiscope.metrics.collapse_distance import class_eigenspaces

EPS = np.finfo(np.float64).eps
# A few hundred float64 operations on numbers of order 1.
EXACT = 1e3 * EPS

relaxed = settings(max_examples=25, deadline=None)


def distance(features, targets, **more):
    return diagonalize(features, targets=targets, **more)["collapse_distance"]


def sign_vectors(p):
    """All of them: mean 0, covariance the identity."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=p)))


def rotation(g, p):
    return np.linalg.qr(g.normal(size=(p, p)))[0]


def power(D, exponent):
    """Symmetric power on the range of D."""
    values, U = np.linalg.eigh(D)
    kept = values > 1e-10 * values.max()
    return (U[:, kept] * values[kept] ** exponent) @ U[:, kept].T


def collapse_onto(targets, weights=None):
    """Features with covariance Dc^(1/2), the unit-free part of every solution with vanishing weight decay."""
    centered = targets - np.average(targets, axis=0, weights=weights)
    return centered @ power(np.cov(centered.T, bias=True, aweights=weights), -0.25)


def imbalanced(counts=(40, 15, 4, 1)):
    return np.repeat(np.arange(len(counts)), counts)


# Closed forms.


def test_targets_of_standard_deviation_1_2_3():
    """Here D_LR stays at 0.074 although nothing is left to collapse."""
    targets = sign_vectors(3) * [1.0, 2.0, 3.0]
    features = sign_vectors(3) * np.sqrt([1.0, 2.0, 3.0])
    m = diagonalize(features, head=(np.diag(np.sqrt([1.0, 2.0, 3.0])), None), targets=targets)
    assert m["collapse_distance"] == pytest.approx(0, abs=EXACT)
    assert m["dynamical_low_rank_centered"] == pytest.approx(1 - 6 / np.sqrt(3 * 14), abs=EXACT)  # 0.074
    assert 1 - m["target_alignment_whitened"] == pytest.approx(1 - 6 / np.sqrt(3 * 14), abs=EXACT)
    # The neighbors agree that this is collapse: the head has W W^T = Dc^(1/2).
    for name in ("nrc1", "nrc2", "nrc3"):
        assert m[name] == pytest.approx(0, abs=EXACT), name


@pytest.mark.parametrize("c", [1, 2, 5])
def test_isotropic_features_and_whitened_targets(c):
    X = sign_vectors(6)
    assert distance(X, 3 * X[:, :c] + 1) == pytest.approx(1 - np.sqrt(c / 6), abs=EXACT)


def test_isotropic_features_and_targets_of_unequal_scale():
    X, scale = sign_vectors(5), np.array([1.0, 2.0, 3.0])
    # sum_j sqrt(d_j) / (sqrt(sum_j d_j) sqrt(p))
    assert distance(X, X[:, :3] * scale) == pytest.approx(1 - 6 / np.sqrt(14 * 5), abs=EXACT)


@pytest.mark.parametrize("C", [2, 3, 10])
def test_balanced_classes_at_collapse(C):
    y = np.repeat(np.arange(C), 6)
    m = diagonalize(np.eye(C)[y] + 0.3, targets=y)
    assert m["collapse_distance"] == pytest.approx(0, abs=EXACT)
    # All d_j are equal there, so the three alignments with the targets are one number.
    assert m["target_alignment"] == pytest.approx(1, abs=EXACT)
    assert m["target_alignment_whitened"] == pytest.approx(1, abs=EXACT)


def test_imbalanced_classes_at_collapse():
    y = imbalanced()
    collapsed = collapse_onto(np.eye(4)[y])
    assert distance(collapsed, y) == pytest.approx(0, abs=EXACT)
    assert distance(collapsed, y, num_classes=9) == pytest.approx(0, abs=EXACT)
    # The simplex is collapse for balanced classes only: S = Dc, so sum d^1.5 / (sqrt(sum d) norm(d)).
    d = np.linalg.eigvalsh(np.cov(np.eye(4)[y].T, bias=True))[1:]
    expected = 1 - (d**1.5).sum() / np.sqrt(d.sum() * (d**2).sum())
    assert expected > 0.02
    assert distance(np.eye(4)[y], y) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("share", [1e-3, 1e-6, 1e-9])
def test_a_class_of_nearly_all_samples(share):
    """Two classes have one target direction: any two means are collapse, however rare one class is."""
    X, y = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([0, 1])
    assert distance(X, y, weights=[1 - share, share]) == pytest.approx(0, abs=1e3 * EPS / share**0.5)


@pytest.mark.parametrize("c", [1e-4, 0.1, 0.5])
def test_weight_decay_shrinks_the_square_roots(c):
    """With c the product of both weight decays the variances are sqrt(d) - sqrt(c), as in NRC3 with gamma = c."""
    d = np.array([1.0, 4.0, 9.0])
    s = np.sqrt(d) - np.sqrt(c)
    targets, features = sign_vectors(3) * np.sqrt(d), sign_vectors(3) * np.sqrt(s)
    expected = 1 - np.sqrt(d) @ s / np.sqrt(d.sum() * (s @ s))
    m = diagonalize(features, head=(np.diag(np.sqrt(s)), None), targets=targets)
    assert m["collapse_distance"] == pytest.approx(expected, abs=EXACT)
    assert m["nrc3"] == pytest.approx(0, abs=1e-9)


def trained_freely(targets, p, decay, seed):
    """Features and head that minimize square loss with the same decay on both, by gradient from random values."""
    n, c = targets.shape
    goal = (targets - targets.mean(axis=0)) / np.sqrt(n)

    def loss(flat):
        H, W = flat[: n * p].reshape(n, p), flat[n * p :].reshape(c, p)
        miss = H @ W.T - goal
        slope = np.concatenate([(miss @ W + decay * H).ravel(), (miss.T @ H + decay * W).ravel()])
        return 0.5 * (miss**2).sum() + 0.5 * decay * (flat @ flat), slope

    start = 0.3 * np.random.default_rng(seed).normal(size=(n + c) * p)
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "gtol": 1e-9,
                                    "ftol": 0.0, "maxcor": 50})  # fmt: skip
    return found.x[: n * p].reshape(n, p) * np.sqrt(n), found.x[n * p :].reshape(c, p)


@pytest.mark.parametrize("kind", ["regression", "imbalanced classes"])
def test_free_features_arrive_there(kind):
    """The theory itself: the minimum that gradient steps find has the predicted distance, near 0 for small decay."""
    g = np.random.default_rng(3)
    y = imbalanced((14, 6, 3, 1))
    targets = g.normal(size=(24, 3)) * [1.0, 2.0, 3.0] if kind == "regression" else np.eye(4)[y]
    decay = 0.01
    features, W = trained_freely(targets, 6, decay, seed=4)
    d = np.linalg.eigvalsh(np.cov(targets.T, bias=True))
    d = d[d > 1e-10]
    s = np.sqrt(d) - decay
    m = diagonalize(features, head=(W, None), targets=y if kind == "imbalanced classes" else targets)
    np.testing.assert_allclose(m.centered.eigenvalues[: len(s)], np.sort(s)[::-1], rtol=1e-4)
    expected = 1 - np.sqrt(d) @ s / np.sqrt(d.sum() * (s @ s))
    assert m["collapse_distance"] == pytest.approx(expected, abs=1e-6)
    assert expected < 1e-3 < 0.02 < m["dynamical_low_rank_centered"]


# Other roads to the same number.


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "p"), [(150, 7), (20, 60)])
@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_naive_twin(kind, n, p, weighted):
    g = np.random.default_rng(n + p)
    y = g.integers(0, 6, n) if kind == "classes" else g.normal(size=(n, 3)) * [0.1, 1.0, 5.0]
    X = g.normal(size=(n, p)) + g.normal(size=(6, p))[y if kind == "classes" else 0]
    data = {"features": X, "targets": y, "weights": g.uniform(0.1, 3, n) if weighted else None}
    assert distance(X, y, weights=data["weights"]) == pytest.approx(twins.collapse_distance(twins.sample(**data)))


def test_one_hot_values_are_classes():
    y = imbalanced((9, 5, 5, 2, 2, 2))
    X = np.random.default_rng(0).normal(size=(len(y), 4)) + y[:, None]
    assert distance(X, np.eye(6)[y]) == pytest.approx(distance(X, y), abs=1e-12)


@relaxed
@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=30), seed=st.integers(0, 2**32))
def test_eigenspaces_are_those_of_the_c_by_c_matrix(counts, seed):
    shares = np.array(counts) / sum(counts)
    cross = np.random.default_rng(seed).normal(size=(5, len(shares)))
    cross -= cross.mean(axis=1, keepdims=True)
    found = class_eigenspaces(shares, cross, 1e-10)
    D = np.diag(shares) - np.outer(shares, shares)
    listed = np.sort(np.repeat(found.eigenvalues, found.multiplicities))
    np.testing.assert_allclose(listed, np.linalg.eigvalsh(D)[1:], rtol=1e-10, atol=1e-14)
    by_matrix = np.trace(cross @ power(D, -0.5) @ cross.T)
    assert np.sqrt(found.eigenvalues) @ found.squared_loadings == pytest.approx(by_matrix, rel=1e-9)


def test_many_equal_classes_need_no_large_matrix():
    """100,000 classes in three sizes: the matrix of their covariance would take 80 GB."""
    shares = np.repeat([1.0, 2.0, 5.0], [60_000, 30_000, 10_000]) / 170_000
    cross = np.random.default_rng(1).normal(size=(2, 100_000)) * shares
    cross -= cross.sum(axis=1, keepdims=True) * shares
    found = class_eigenspaces(shares, cross, 1e-10)
    assert found.multiplicities.sum() == 99_999
    assert found.eigenvalues @ found.multiplicities == pytest.approx(1 - shares @ shares)
    # By interlacing each d_j lies between the smallest and the largest share.
    weighted = np.sqrt(found.eigenvalues) @ found.squared_loadings
    bounds = (cross**2).sum() / np.sqrt([shares.max(), shares.min()])
    assert bounds[0] <= weighted <= bounds[1]


def test_too_many_distinct_shares_are_refused(monkeypatch):
    g = np.random.default_rng(2)
    X, y = g.normal(size=(12, 2)), np.arange(12) % 4
    weights = np.ones(12) + 0.1 * y
    monkeypatch.setattr(readouts, "MOST_CLASS_SHARES", 3)
    assert "collapse_distance" in diagonalize(X, targets=y)
    m = diagonalize(X, targets=y, weights=weights)
    assert "4 distinct shares" in m.absent["collapse_distance"]


# What it does not see, and what it does.


@relaxed
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1e-6, 0.3, 1e6]),
    shift=st.floats(-50, 50),
    kind=st.sampled_from(["regression", "classes"]),
)
def test_shift_scale_and_rotation(seed, scale, shift, kind):
    g = np.random.default_rng(seed)
    n, p, c = 50, 5, 3
    X = g.normal(size=(n, p)) * g.uniform(0.5, 2, p)
    y = g.integers(0, 4, n) if kind == "classes" else X[:, :c] * [1, 2, 5] + g.normal(size=(n, c))
    one = distance(X, y)
    assert distance(scale * X @ rotation(g, p) + shift, y) == pytest.approx(one, abs=1e-8)
    if kind == "regression":
        assert distance(X, scale * y @ rotation(g, c) + shift * scale) == pytest.approx(one, abs=1e-8)
    else:
        assert distance(X, g.permutation(4)[y]) == pytest.approx(one, abs=1e-10)


def test_it_does_see_unequal_scaling_of_either_side():
    """Control of the invariances: only the whitened alignment does not see the scale of single targets."""
    g = np.random.default_rng(5)
    X = g.normal(size=(80, 4))
    y = X[:, :3] + 0.3 * g.normal(size=(80, 3))
    one, stretched = diagonalize(X, targets=y), diagonalize(X, targets=y * [1, 3, 9])
    assert abs(one["collapse_distance"] - stretched["collapse_distance"]) > 0.05
    assert one["target_alignment_whitened"] == pytest.approx(stretched["target_alignment_whitened"], abs=1e-12)
    assert abs(one["collapse_distance"] - distance(X * [1, 3, 9, 1], y)) > 0.05


def test_the_outputs_do_not_matter():
    g = np.random.default_rng(6)
    X, y, W = g.normal(size=(40, 4)), np.arange(40) % 3, g.normal(size=(3, 4))
    assert distance(X, y, head=(W, None)) == distance(X, y) == distance(X, y, outputs=np.exp(X))


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_shuffled_targets_are_at_the_lazy_end(kind):
    g = np.random.default_rng(7)
    n = 4000
    y = imbalanced((2000, 1200, 600, 200)) if kind == "classes" else g.normal(size=(n, 3)) * [1.0, 2.0, 3.0]
    X = collapse_onto(np.eye(4)[y] if kind == "classes" else y)
    assert distance(X, y) < 1e-12
    # Each of the 3 x 3 correlations is of order 1/sqrt(n), so the quotient is of order 3/n.
    assert distance(X, g.permutation(y)) > 1 - 20 / n


def test_residual_variance_raises_it():
    g = np.random.default_rng(8)
    y = g.normal(size=(400, 3)) * [1.0, 2.0, 3.0]
    found = [distance(collapse_onto(y) + s * g.normal(size=(400, 3)), y) for s in (0, 0.3, 1, 3)]
    assert found == sorted(found)
    assert found[-1] > 0.2


@pytest.mark.parametrize("targets", [np.full(20, 3), np.full(20, 0.5)])
def test_constant_targets_have_none(targets):
    m = diagonalize(np.random.default_rng(9).normal(size=(20, 2)), targets=targets)
    assert "constant" in m.absent["collapse_distance"]


def test_interval_holds_the_value():
    g = np.random.default_rng(10)
    y = g.normal(size=(900, 2)) * [1, 3]
    m = diagonalize(y @ [[1, 0, 0.2], [0, 0.5, 0]] + 0.3 * g.normal(size=(900, 3)), targets=y)
    low, high = m.interval("collapse_distance")
    assert low < m["collapse_distance"] < high
    assert high - low < 0.1


def test_explained_by_its_row():
    assert phiscope.metrics.definition_of("collapse_distance").ours
