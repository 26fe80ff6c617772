"""What scores are made of: covariance, targets, regularization."""

import numpy as np
import pytest

import phiscope
from phiscope.errors import InputError
from phiscope.surgery.material import covariance_of, held_out_pair, material_of, regularized


def measured(targets, n=600, p=7, **settings):
    random = np.random.default_rng(0)
    x = random.standard_normal((n, p)) @ random.standard_normal((p, p)) + 2
    return x, phiscope.diagonalize(x, targets=targets, **settings)


def test_the_covariance_is_the_samples():
    x, m = measured(np.arange(600) % 3)
    assert covariance_of(m) == pytest.approx(np.cov(x.T, bias=True), rel=1e-10, abs=1e-12)


def test_classes_count_as_often_as_they_occur():
    y = np.repeat([0, 1, 2], [400, 150, 50])
    x, m = measured(y)
    made = material_of(m, "labels")
    means = np.stack([x[y == c].mean(axis=0) for c in range(3)]) - x.mean(axis=0)
    shares = np.array([400, 150, 50]) / 600
    between = np.einsum("c,ci,cj->ij", shares, means, means)
    assert made.target @ made.target.T == pytest.approx(between, rel=1e-9, abs=1e-12)


def test_values_are_their_cross_covariance():
    random = np.random.default_rng(1)
    y = random.standard_normal((600, 2))
    x, m = measured(y)
    expected = (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)) / 600
    assert material_of(m, "labels").target == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_outputs_need_a_head():
    x, m = measured(None)
    w = np.random.default_rng(2).standard_normal((3, 7))
    assert material_of(m, "outputs", (w, None)).target == pytest.approx(np.cov(x.T, bias=True) @ w.T, rel=1e-9)
    with pytest.raises(InputError, match=r"pass head=\(W, b\)"):
        material_of(m, "outputs")
    with pytest.raises(InputError, match="the measurement has none"):
        material_of(m, "labels")
    with pytest.raises(InputError, match="expected 'labels' or 'outputs'"):
        material_of(m, "logits")


def test_halves_together_are_the_whole():
    y = np.arange(600) % 3
    _, m = measured(y)
    whole = material_of(m, "labels")
    first, second = held_out_pair(m, "labels", None)
    n = first.n_samples + second.n_samples
    assert n == pytest.approx(600)
    mean = (first.n_samples * first.mean + second.n_samples * second.mean) / n
    assert mean == pytest.approx(whole.mean)


def test_a_stored_record_says_what_it_lacks(tmp_path):
    _, m = measured(np.arange(600) % 3)
    m.save(tmp_path / "m.safetensors", keep_eigenvectors=3)
    stored = phiscope.Measurement.load(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"holds 3 of 7 eigenvectors.*keep_eigenvectors=None"):
        covariance_of(stored)


@pytest.mark.parametrize("ridge", [-1, float("nan"), True, "ledoit", [1]])
def test_a_ridge_is_a_number_from_zero_up(ridge):
    with pytest.raises(InputError, match="expected a number from 0 up"):
        regularized(np.eye(3), 100, ridge)


@pytest.mark.parametrize("ridge", [np.float32(0.5), np.float64(0.5)])
def test_a_ridge_is_a_number_of_numpy_too(ridge):
    """A float32 was refused, as no number from 0 up."""
    assert regularized(np.eye(2), 10, ridge)[1] == 0.5


def test_the_default_ridge_follows_the_scale():
    _, small = regularized(np.eye(4), 100, None)
    _, large = regularized(100 * np.eye(4), 100, None)
    assert (small, large) == (pytest.approx(1e-3), pytest.approx(0.1))


@pytest.mark.parametrize(("n", "p"), [(20, 10), (200, 10), (50, 80)])
def test_oas_is_scikit_learns(n, p):
    covariance = pytest.importorskip("sklearn.covariance")
    random = np.random.default_rng(3)
    x = random.standard_normal((n, p)) * np.geomspace(3, 0.2, p)
    expected = covariance.OAS().fit(x)
    found, added = regularized(np.cov(x.T, bias=True), n, "oas")
    # Theirs leaves out the terms in 2 / p, so that both come together for many units.
    mean = np.trace(np.cov(x.T, bias=True)) / p
    share = added / (added + mean)
    assert share == pytest.approx(expected.shrinkage_, abs=0.06)
    # What is left when the shrunk covariance is divided by 1 - share.
    assert found * (1 - share) == pytest.approx((1 - share) * np.cov(x.T, bias=True) + share * mean * np.eye(p))


def test_a_cut_spectrum_has_no_covariance():
    x, _ = measured(np.arange(600) % 3)
    with pytest.raises(InputError, match=r"only the 5 leading eigenvalues .* the covariance needs all"):
        covariance_of(phiscope.diagonalize(x, k=5))
    assert covariance_of(phiscope.diagonalize(x, k=7)) == pytest.approx(np.cov(x.T, bias=True), rel=1e-10, abs=1e-12)
