"""Two feature maps compared: closed forms, the n x n Gram formulas as naive twins, negative controls."""

import numpy as np
import pytest
import torch

import phiscope
from phiscope.errors import EmptyDataError, InputError, MissingNumberError, NonFiniteError, ShapeError, UnknownNameError

CLOSE = 1e-9


def maps(n=120, p_a=7, p_b=5, seed=0):
    g = np.random.default_rng(seed)
    a = g.normal(size=(n, p_a)) * np.linspace(2, 0.3, p_a) + g.normal(size=p_a)
    b = np.tanh(a @ g.normal(size=(p_a, p_b))) + 0.5 * g.normal(size=(n, p_b))
    return a, b


def gram_hsic(K, L):
    """Song et al. 2012, equation 5, as it stands there: O(n^2)."""
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (np.trace(K @ L) + middle - 2 / (n - 2) * one @ K @ L @ one) / (n * (n - 3))


def gram_cka(a, b):
    K, L = a @ a.T, b @ b.T
    return gram_hsic(K, L) / np.sqrt(gram_hsic(K, K) * gram_hsic(L, L))


def functions(features, centered=True):
    """Orthonormal eigenfunctions on the samples over sqrt(n), by singular values."""
    x = features - features.mean(axis=0) if centered else features
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, singular**2 > x.shape[1] * np.finfo(float).eps * singular[0] ** 2]


@pytest.mark.parametrize(
    ("n", "p_a", "p_b"), [(120, 7, 5), (120, 5, 7), (20, 50, 3), (20, 3, 50), (20, 40, 60), (9, 9, 9)]
)
@pytest.mark.parametrize("centered", [True, False])
def test_everything_equals_its_twin_in_sample_space(n, p_a, p_b, centered):
    a, b = maps(n, p_a, p_b)
    c = phiscope.compare(a, b, centered=centered)
    assert c.cka_unbiased == pytest.approx(gram_cka(a, b), abs=CLOSE)
    J = np.eye(n) - 1 / n
    K, L = J @ a @ a.T @ J, J @ b @ b.T @ J
    assert c.cka == pytest.approx((K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L), abs=CLOSE)
    left, right = functions(a, centered), functions(b, centered)
    np.testing.assert_allclose(c.overlap**2, (left.T @ right) ** 2, atol=CLOSE)
    expected = np.arccos(np.clip(np.linalg.svd(left.T @ right, compute_uv=False), 0, 1))
    np.testing.assert_allclose(c.principal_angles, expected, atol=1e-6)
    inside = np.array([np.sum((right[:, :depth].T @ left[:, j]) ** 2) for j, depth in enumerate(c.depths)])
    np.testing.assert_allclose(c.persistence, inside, atol=CLOSE)


def test_the_same_map_rotated_scaled_and_shifted_is_the_same():
    a, _ = maps()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0]
    c = phiscope.compare(a, 3 * a @ rotation + 5)
    assert c.cka == pytest.approx(1, abs=1e-12)
    assert c.cka_unbiased == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(np.abs(c.overlap), np.eye(7), atol=1e-8)
    assert c.principal_angles.max() < 1e-6
    assert c.persisting == tuple(range(7))


def test_half_a_space_shared_is_known_on_paper():
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    c = phiscope.compare(signs[:, :2] * [2, 1], signs[:, 1:3] * [2, 1])
    # a = (s1, s2), b = (s2, s3): cross covariance norm^2 = (1 * 2)^2, norms 17 each.
    assert c.cka == pytest.approx(4 / 17, abs=1e-12)
    np.testing.assert_allclose(c.overlap**2, [[0, 0], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(c.principal_angles, [0, np.pi / 2], atol=1e-7)
    np.testing.assert_allclose(c.angles(1), [np.pi / 2], atol=1e-7)
    np.testing.assert_allclose(c.persistence, [0, 1], atol=1e-12)
    np.testing.assert_allclose(c.persistence_within(1), [0, 1], atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e5])
def test_large_means_cost_no_digits(scale):
    a, b = maps(400, 12, 9)
    plain = phiscope.compare(a, b)
    shifted = phiscope.compare(a + scale, b - scale)
    # The shifted values themselves hold eps * scale less.
    assert shifted.cka == pytest.approx(plain.cka, abs=1e-14 * max(scale, 10))
    assert shifted.cka_unbiased == pytest.approx(plain.cka_unbiased, abs=1e-13 * max(scale, 10))
    np.testing.assert_allclose(shifted.overlap**2, plain.overlap**2, atol=1e-12 * max(scale, 10))


def test_a_shuffled_pairing_shares_nothing():
    a, b = maps(600, 20, 20)
    shuffled = phiscope.compare(a, b[np.random.default_rng(3).permutation(600)])
    assert phiscope.compare(a, b).cka_unbiased > 0.2
    assert abs(shuffled.cka_unbiased) < 0.02
    assert shuffled.persisting == ()
    assert shuffled.persistence.max() < 0.2


def test_unbiased_is_zero_on_average_where_the_biased_one_is_not():
    g = np.random.default_rng(0)
    pairs = [phiscope.compare(g.normal(size=(20, 30)), g.normal(size=(20, 30))) for _ in range(200)]
    assert np.mean([c.cka for c in pairs]) > 0.5
    unbiased = [c.cka_unbiased for c in pairs]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(200)


def test_swapping_the_maps_transposes():
    a, b = maps()
    c, d = phiscope.compare(a, b), phiscope.compare(b, a)
    assert c.cka == pytest.approx(d.cka, rel=1e-13)
    np.testing.assert_allclose(c.overlap, d.overlap.T, atol=1e-12)


def test_zero_weights_drop_samples_and_equal_weights_are_none():
    a, b = maps()
    weights = np.where(np.arange(120) < 80, 2.5, 0)
    c, d = phiscope.compare(a, b, weights=weights), phiscope.compare(a[:80], b[:80])
    assert c.n_samples == 80
    assert c.cka_unbiased == pytest.approx(d.cka_unbiased, abs=1e-12)
    np.testing.assert_allclose(c.overlap, d.overlap, atol=1e-10)


def test_integer_weights_are_repeats_for_what_they_are_defined_for():
    a, b = maps()
    weights = np.arange(120) % 3 + 1
    c = phiscope.compare(a, b, weights=weights)
    d = phiscope.compare(a.repeat(weights, axis=0), b.repeat(weights, axis=0))
    assert c.cka == pytest.approx(d.cka, abs=1e-12)
    with pytest.raises(MissingNumberError, match="equally weighted"):
        _ = c.cka_unbiased
    assert "cka_unbiased" in str(c)


def test_persistence_does_not_cut_a_cluster():
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    a = signs[:, :3] * [1.001, 1, 0.1]
    turned = a @ np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    c = phiscope.compare(a, turned)
    assert c.depths == (2, 2, 3)
    np.testing.assert_allclose(c.persistence, 1, atol=1e-9)


def test_tensors_and_half_precision_are_read():
    a, b = maps()
    half = phiscope.compare(torch.tensor(a).to(torch.bfloat16), torch.tensor(b).half())
    assert half.cka == pytest.approx(phiscope.compare(a, b).cka, abs=0.02)


def test_few_samples_are_warned_of():
    a, b = maps(20, 50, 50)
    c = phiscope.compare(a, b)
    assert "share the 19 dimensions" in c.warnings[0]
    assert phiscope.compare(a, b, k=5).warnings == ()
    assert phiscope.compare(a, b, k=5).principal_angles.shape == (5,)


def test_a_lone_sample_leaves_nothing_to_the_unbiased_estimate():
    a = np.zeros((10, 2))
    a[0] = 1
    c = phiscope.compare(a, maps(10)[1])
    assert "stands alone" in c.absent["cka_unbiased"]
    assert "at least 4" in phiscope.compare(*maps(3)).absent["cka_unbiased"]


@pytest.mark.parametrize(
    ("a", "b", "error", "words"),
    [
        (np.ones((5, 2)) * 0.1, np.eye(5), InputError, "features_a are constant on these 5"),
        (np.eye(5), np.full((5, 3), 1e6 + 0.3), InputError, "features_b are constant"),
        (np.eye(5), np.eye(4), ShapeError, "features_a have 5 samples and features_b 4"),
        (np.eye(5), np.ones(5), ShapeError, "features_b has shape"),
        (np.eye(5), np.diag([1, 2, np.nan, 1, 1]), NonFiniteError, r"features_b hold NaN or Inf \(first in sample 2"),
        (np.ones((1, 2)), np.ones((1, 2)), EmptyDataError, "1 sample"),
    ],
)
def test_bad_input_gets_one_clear_sentence(a, b, error, words):
    with pytest.raises(error, match=words):
        phiscope.compare(a, b)


def test_other_bad_arguments():
    a, b = maps()
    with pytest.raises(InputError, match="k is 0"):
        phiscope.compare(a, b, k=0)
    with pytest.raises(InputError, match="k is 0"):
        phiscope.compare(a, b).angles(0)
    with pytest.raises(UnknownNameError, match="cka"):
        phiscope.compare(a, b)["ckaa"]


def test_table_names_numbers_and_eigenfunctions():
    c = phiscope.compare(*maps())
    text = str(c)
    assert "cka_unbiased" in text
    assert "best in b" in text
    assert f"{len(c.persisting)} of 7 eigenfunctions of a persist" in text
    assert "cka" in c._repr_html_()
