"""Numbers that are known on paper, by the case that they are known of."""

import itertools

import numpy as np
import pytest

from phiscope import diagonalize

EPS = np.finfo(np.float64).eps
# A few hundred float64 operations on numbers of order 1.
EXACT = 1e3 * EPS


def orthonormal(n, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, k)))[0]


def simplex(C, p=None):
    """C unit vectors in R^p whose cosines are -1/(C - 1)."""
    vectors = (np.eye(C) - 1 / C) * np.sqrt(C / (C - 1))
    return vectors if p is None else vectors @ orthonormal(p, C).T


def collapsed(C, per_class, p=None, offset=0.0):
    """phi . phi' = a1 + a2 C 1[y = y']: the minimal-feature network, balanced."""
    V = simplex(C, p) + offset
    y = np.repeat(np.arange(C), per_class)
    return V[y], V, y


# Minimal features: collapsed classes at equal angles.


@pytest.mark.parametrize("C", [2, 3, 10])
@pytest.mark.parametrize("p", [None, 25])
def test_minimal_features(C, p):
    # An offset orthogonal to the class differences is a1; a constant vector is orthogonal to all of them only in R^C.
    X, V, y = collapsed(C, 6, p, offset=0.7 if p is None else 0.0)
    m = diagonalize(X, head=(3 * (V - V.mean(0)), np.full(C, 0.2)), targets=y)
    assert m["dynamical_low_rank"] == pytest.approx(0, abs=EXACT)
    assert m["dynamical_low_rank_centered"] == pytest.approx(0, abs=EXACT)
    assert m["used_variance"] == pytest.approx(1, abs=EXACT)
    assert m["output_rank"] == C - 1
    assert m["output_rank_raw"] == C
    for name in ("nc1", "nc1_bounded", "nc2_equinorm", "nc2_equiangular", "nc3", "cdnv"):
        assert m[name] == pytest.approx(0, abs=EXACT), name
    assert m["within_class_variance"] == pytest.approx(0, abs=EXACT)
    assert m["between_class_variance"] == pytest.approx(1, abs=EXACT)  # unit vectors about their center
    assert m["discriminant_information"] == pytest.approx(C - 1, abs=C * EXACT)
    assert m["readout_r2"] == pytest.approx(1, abs=EXACT)
    assert m["target_alignment"] == pytest.approx(1, abs=EXACT)
    assert m["effective_dimension_centered"] == pytest.approx(C - 1, abs=C * EXACT)
    assert m["participation_ratio_centered"] == pytest.approx(C - 1, abs=C * EXACT)
    assert m["stable_rank_centered"] == pytest.approx(C - 1, abs=C * EXACT)
    assert m["alpha_req"] == pytest.approx(0, abs=C * EXACT) if C > 2 else "alpha_req" in m.absent
    if p is None:
        # a1 + a2 C 1[y = y']: the constant has eigenvalue a1 + a2, the others a2.
        assert len(m.raw.eigenvalues) == C
        assert m.raw.cumulative_quality[C - 1] == pytest.approx(1, abs=EXACT)
    assert m.centered.cumulative_quality[C - 2] == pytest.approx(1, abs=EXACT)
    assert m.centered.cumulative_utilization[C - 2] == pytest.approx(1, abs=EXACT)
    # In R^C there is no room for more than twice as many features as outputs, and so no word.
    assert m.regime == ("minimal" if C == 2 or p is not None else None)


def test_minimal_features_cosines():
    _, V, _ = collapsed(5, 1, 12)
    cosines = V @ V.T
    assert cosines[~np.eye(5, dtype=bool)] == pytest.approx(-1 / 4, abs=EXACT)


def test_minimal_features_control():
    """Noise of one percent in the features has to show in every number."""
    X, V, y = collapsed(4, 6)
    m = diagonalize(X + 0.01 * np.random.default_rng(0).normal(size=X.shape), head=(V, None), targets=y)
    numbers = ("dynamical_low_rank", "nc1", "nc1_bounded", "nc2_equinorm", "nc2_equiangular", "nc3", "cdnv")
    for name in (*numbers, "within_class_variance"):
        assert m[name] > 1e-7, name


# Isotropic features: every direction as strong as any other.


@pytest.mark.parametrize(("p", "r"), [(4, 1), (9, 4), (16, 9), (10, 3)])
def test_isotropic_features(p, r):
    """Every sign vector once: S = I exactly, so no limit is needed and any head of rank r gives 1 - sqrt(r / p)."""
    X = np.array(list(itertools.product([-1.0, 1.0], repeat=p)))[: 2**p]
    W = np.random.default_rng(r).normal(size=(r, p))
    m = diagonalize(X, head=(W, None), rank_tolerance=1e-9)
    assert m["dynamical_low_rank_centered"] == pytest.approx(1 - np.sqrt(r / p), abs=EXACT)
    assert m["dynamical_low_rank"] == pytest.approx(1 - np.sqrt(r / p), abs=EXACT)
    assert m["used_variance"] == pytest.approx(r / p, abs=EXACT)
    assert m["dynamical_low_rank_random_head"] == pytest.approx(1 - np.sqrt(r / p), abs=EXACT)


def test_isotropic_features_of_finite_samples():
    """Gaussian samples at n = p: measured 0.726 instead of 0.802 (p = 256, r = 10), and the correction finds it."""
    g = np.random.default_rng(0)
    m = diagonalize(g.normal(size=(256, 256)), head=(g.normal(size=(10, 256)), None), rank_tolerance=1e-9)
    assert m["dynamical_low_rank_centered"] == pytest.approx(0.726, abs=0.01)
    low, high = m.interval("dynamical_low_rank_centered", level=0.999)
    assert low < 0.802 < high
    assert high - low < 0.1


# Dimensions of sign vectors, of constant features and of none.


@pytest.mark.parametrize("p", [1, 3, 8])
def test_sign_vectors(p):
    m = diagonalize(np.array(list(itertools.product([-1.0, 1.0], repeat=p))))
    for name in ("effective_dimension", "participation_ratio", "stable_rank"):
        assert m[name] == pytest.approx(p, abs=p * EXACT)
        assert m[f"{name}_centered"] == pytest.approx(p, abs=p * EXACT)
    assert m["rankme"] == pytest.approx(p, rel=p * 2e-6)  # 1e-7 added to each of p shares
    assert m["srank"] == p
    np.testing.assert_allclose(m.raw.eigenvalues, np.ones(p), atol=EXACT)


@pytest.mark.parametrize("value", [1.0, 0.1, -3.7, 1e9, 1e-9, 1 / 3])
@pytest.mark.parametrize("n", [2, 7, 49, 600, 3001])
def test_constant_features(value, n):
    y = np.arange(n) % 2
    m = diagonalize(np.full((n, 5), value), head=(np.ones((2, 5)) * [[1], [2]], None), targets=y)
    assert m["effective_dimension"] == pytest.approx(1, abs=EXACT)
    assert m["srank"] == 1
    assert m.raw.eigenvalues == pytest.approx([5 * value**2], rel=EXACT)
    assert len(m.centered.eigenvalues) == 0
    for name in ("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance", "nc1", "cdnv", "alpha_req"):
        assert name in m.absent
    assert m.regime is None


def test_zero_features():
    m = diagonalize(np.zeros((9, 4)), head=(np.ones((2, 4)), None), targets=np.arange(9) % 2)
    assert set(m.to_dict()) == {
        "output_rank",
        "output_rank_raw",
        "within_class_variance",
        "between_class_variance",
    }
    assert set(m.to_dict().values()) == {0.0}


# Quality and utilization of a target that is one eigenfunction.


def test_target_equal_to_one_eigenfunction():
    Q = orthonormal(40, 6, seed=1)
    Q -= Q.mean(0)
    Q = np.linalg.qr(Q)[0] * np.sqrt(40)  # six centered functions with E[e_j e_k] = delta_jk
    X = Q * np.sqrt([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    for k in range(6):
        m = diagonalize(X, head=(np.eye(6)[[k]], None), targets=Q[:, k])
        for curve in (m.raw.quality, m.centered.quality, m.raw.utilization, m.centered.utilization):
            np.testing.assert_allclose(curve, np.eye(6)[k], atol=EXACT)
        np.testing.assert_allclose(m.centered.cumulative_quality, np.arange(6) >= k, atol=EXACT)
        assert m["readout_r2"] == pytest.approx(1, abs=EXACT)
        assert m["used_variance"] == pytest.approx((6 - k) / 21, abs=EXACT)
    mixed = diagonalize(X, targets=0.6 * Q[:, 0] + 0.8 * Q[:, 3])
    np.testing.assert_allclose(mixed.centered.quality, [0.36, 0, 0, 0.64, 0, 0], atol=EXACT)


# D_LR and neural collapse.


def test_fitted_classifier_needs_both_collapses():
    """A balanced classifier that fits its labels: D_LR = 0 iff NC1 = 0 and NC2 holds."""
    X, V, y = collapsed(4, 8)
    one_hot = np.eye(4)[y]
    perfect = diagonalize(X, outputs=one_hot, targets=y)
    noise = np.random.default_rng(0).normal(size=X.shape)
    spread = diagonalize(X + 0.1 * noise, outputs=one_hot, targets=y)
    uneven = diagonalize((V * [[1], [1], [1], [2]])[y], outputs=one_hot, targets=y)
    assert perfect["dynamical_low_rank"] < EXACT
    assert perfect["nc1"] < EXACT
    assert perfect["nc2_equinorm"] < EXACT
    assert spread["nc1"] > 1e-3
    assert spread["dynamical_low_rank"] > 1e-3
    assert uneven["nc1"] < EXACT
    assert uneven["nc2_equinorm"] > 0.1
    assert uneven["dynamical_low_rank"] > 1e-3


# What D_LR is made of, where it misleads, and the ends of the other numbers.


@pytest.mark.parametrize("seed", range(5))
def test_identity_of_used_variance_and_evenness(seed):
    g = np.random.default_rng(seed)
    X = g.normal(size=(60, 8)) * g.uniform(0.01, 2, 8) + g.normal(size=8)
    m = diagonalize(X, outputs=np.tanh(X @ g.normal(size=(8, 3))))
    r = m["output_rank"]
    expected = 1 - m["used_variance"] * np.sqrt(m["participation_ratio_centered"] / r)
    assert m["dynamical_low_rank_centered"] == pytest.approx(expected, abs=EXACT)
    assert m["dynamical_low_rank_centered"] != pytest.approx(m["dynamical_low_rank"], abs=1e-6)


@pytest.mark.parametrize("C", [2, 5, 10])
def test_phantom_direction(C):
    """A direction in which the outputs hardly vary counts as one of C: not below 1 - sqrt((C - 1)/C)."""
    X, V, y = collapsed(C, 10)
    # Logits sum to a constant except for one part in 1e4; independent of everything else.
    ripple = np.tile([1.0, -1.0], 5 * C)
    outputs = 5 * V[y] + 1e-4 * ripple[:, None]
    tight = diagonalize(X, outputs=outputs, rank_tolerance=1e-13)
    assert tight["output_rank"] == C
    assert tight["dynamical_low_rank_centered"] == pytest.approx(1 - np.sqrt((C - 1) / C), abs=1e-9)
    loose = diagonalize(X, outputs=outputs)
    assert loose["output_rank"] == C - 1
    assert loose["dynamical_low_rank_centered"] == pytest.approx(0, abs=1e-9)


def test_phantom_direction_of_ten_classes():
    assert 1 - np.sqrt(9 / 10) == pytest.approx(0.051, abs=5e-4)


def test_anisotropic_targets():
    """Perfect regression collapse onto targets of s.d. 1:2:3: D_LR is 0.074, not 0."""
    Q = orthonormal(50, 3)
    Q = np.linalg.qr(Q - Q.mean(0))[0] * np.sqrt(50)
    y = Q * [1.0, 2.0, 3.0]
    # Features of the minimal network are the square roots of the targets' strength (W W^T = Dc^(1/2)).
    X = Q * np.sqrt([1.0, 2.0, 3.0])
    m = diagonalize(X, head=(np.diag(np.sqrt([1.0, 2.0, 3.0])), None), targets=y)
    assert m["used_variance"] == pytest.approx(1, abs=EXACT)
    # PR = (1 + 2 + 3)^2 / (1 + 4 + 9) = 36/14
    assert m["dynamical_low_rank_centered"] == pytest.approx(1 - np.sqrt(36 / 14 / 3), abs=EXACT)
    assert m["dynamical_low_rank_centered"] == pytest.approx(0.074, abs=5e-4)
    assert m["head_excess_loss"] == pytest.approx(0, abs=50 * EXACT)
    assert m["nrc1"] == pytest.approx(0, abs=EXACT)
    assert m["nrc2"] == pytest.approx(0, abs=EXACT)
    assert m["nrc3"] == pytest.approx(0, abs=EXACT)
    plain = diagonalize(y, head=(np.eye(3), None))
    assert plain["dynamical_low_rank_centered"] == pytest.approx(1 - 14 / np.sqrt(3 * 98), abs=EXACT)


def test_uninformative_labels_have_a_known_quality():
    """The expected centered Pi*(k) is k / (n - 1), not 0: mean over 200 random labelings, within 5 standard errors."""
    g = np.random.default_rng(0)
    n, p = 41, 5
    X = g.normal(size=(n, p))
    curves = np.array([diagonalize(X, targets=g.permutation(np.arange(n) % 3)).centered.cumulative_quality
                       for _ in range(200)])  # fmt: skip
    error = curves.std(axis=0) / np.sqrt(200)
    assert (np.abs(curves.mean(axis=0) - np.arange(1, p + 1) / (n - 1)) < 5 * error).all()
    assert curves.mean(axis=0)[-1] > 10 * error[-1]


def test_tolerance_counts_strength_not_amplitude():
    """The tolerance is on eigenvalues: outputs of relative amplitude 0.0099 are cut at 1e-4, of 0.0101 are not."""
    Q = np.linalg.qr(orthonormal(30, 2) - orthonormal(30, 2).mean(0))[0]
    for amplitude, rank in ((0.0099, 1), (0.0101, 2)):
        assert diagonalize(Q, outputs=Q * [1, amplitude], rank_tolerance=1e-4)["output_rank"] == rank


def test_quality_counts_the_constant_only_in_the_raw_reading():
    X = np.random.default_rng(0).normal(size=(50, 4)) + 5
    m = diagonalize(np.hstack([X, np.ones((50, 1))]), targets=np.random.default_rng(1).permutation(np.arange(50) % 2))
    assert m.raw.cumulative_quality[0] > 0.45  # the constant alone is one of two target functions
    assert m.centered.cumulative_quality[0] < 0.2


def test_class_numbers_of_two_points():
    """Two classes at -1 and 1, spread s.d. 1/2 in both: everything on one line, by hand."""
    X = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    m = diagonalize(X, head=(np.array([[-1.0], [1.0]]), None), targets=[0, 0, 1, 1])
    assert m["within_class_variance"] == pytest.approx(0.25, abs=EXACT)
    assert m["between_class_variance"] == pytest.approx(1, abs=EXACT)
    assert m["nc1"] == pytest.approx(0.25 / 1 / 2, abs=EXACT)
    assert m["nc1_bounded"] == pytest.approx(1 - 1 / 1.25, abs=EXACT)
    assert m["cdnv"] == pytest.approx((0.25 + 0.25) / (2 * 4), abs=EXACT)
    assert m["nc3"] == pytest.approx(0, abs=EXACT)
    assert m["target_alignment"] == pytest.approx(0.5 / (1.25 * 0.5), abs=EXACT)  # tr(Gc^T Gc) = 2 * 0.5^2
    assert m["used_variance"] == pytest.approx(1, abs=EXACT)
    assert m["discriminant_information"] == pytest.approx(0.8, abs=EXACT)


def test_nc3_extremes():
    X, V, y = collapsed(3, 4)
    assert diagonalize(X, head=(V, None), targets=y)["nc3"] == pytest.approx(0, abs=EXACT)
    assert diagonalize(X, head=(-V, None), targets=y)["nc3"] == pytest.approx(4, abs=EXACT)


def test_nc1_bounded_is_what_the_centered_quality_lacks():
    g = np.random.default_rng(3)
    y = np.arange(80) % 4
    m = diagonalize(g.normal(size=(4, 6))[y] + g.normal(size=(80, 6)), targets=y)
    assert m["nc1_bounded"] == pytest.approx(1 - m.centered.cumulative_quality[-1], abs=EXACT)
    assert m["discriminant_information"] == pytest.approx(3 * (1 - m["nc1_bounded"]), abs=EXACT)


def test_outputs_that_no_linear_head_gives_have_no_excess_loss():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
    perfect = diagonalize(features, np.eye(3)[labels], targets=labels)
    assert "any linear head" in perfect.absent["head_excess_loss"]
    # The same outputs on features that give them lose nothing.
    linear = diagonalize(np.eye(3)[labels], np.eye(3)[labels], targets=labels)
    assert linear["head_excess_loss"] == pytest.approx(0, abs=1e-12)
