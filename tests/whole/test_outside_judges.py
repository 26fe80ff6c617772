"""The same numbers from programs that nobody here wrote."""

import numpy as np
import pytest
import torch

import phiscope

sklearn = pytest.importorskip("sklearn")


def sample(n=600, p=12, classes=5, offset=0.0):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(classes, p))[labels] * 2 + rng.normal(size=(n, p)) + offset, labels


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_centered_spectrum_is_that_of_scikit_learns_pca(offset):
    from sklearn.decomposition import PCA

    features, _ = sample(offset=offset)
    judge = PCA(svd_solver="full").fit(features)
    m = phiscope.diagonalize(features)
    # PCA divides by n - 1, moments by n.
    np.testing.assert_allclose(m.centered.eigenvalues, judge.explained_variance_ * (len(features) - 1) / len(features))
    overlap = np.abs(np.einsum("kp,pk->k", judge.components_, m.centered.eigenvectors))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-9)


def test_readout_is_scikit_learns_linear_regression():
    from sklearn.linear_model import LinearRegression

    features, labels = sample()
    goal = np.eye(5)[labels]
    score = LinearRegression().fit(features, goal)
    residual = ((score.predict(features) - goal) ** 2).sum()
    expected = 1 - residual / ((goal - goal.mean(0)) ** 2).sum()
    assert phiscope.diagonalize(features, targets=labels)["readout_r2"] == pytest.approx(expected, rel=1e-10)


def test_readout_is_torchmetrics_r2():
    from torchmetrics.regression import R2Score

    features, _ = sample()
    goal = np.random.default_rng(2).normal(size=(600, 3)) + features[:, :3] * np.array([0.3, 1.0, 2.0])
    design = np.c_[features, np.ones(600)]
    fitted = design @ np.linalg.lstsq(design, goal, rcond=None)[0]
    judge = R2Score(multioutput="variance_weighted").double()
    judge.update(torch.from_numpy(fitted), torch.from_numpy(goal))
    # torchmetrics sums squares without centering in float64 here; it agrees to its own rounding.
    assert phiscope.diagonalize(features, targets=goal)["readout_r2"] == pytest.approx(float(judge.compute()), rel=1e-6)


def test_discriminant_information_is_what_lda_explains():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, labels = sample()
    judge = LinearDiscriminantAnalysis(solver="eigen").fit(features, labels)
    ratios = judge.explained_variance_ratio_
    # Eigenvalues of S_W^-1 S_B in proportion; lambda / (1 + lambda) sums to tr(S^-1 S_B).
    within = np.mean([np.cov(features[labels == c].T, bias=True) * (labels == c).sum() for c in range(5)], axis=0) * 5
    between = np.cov(features.T, bias=True) * len(labels) - within
    eigenvalues = np.sort(np.linalg.eigvals(np.linalg.solve(within, between)).real)[::-1][:4]
    np.testing.assert_allclose(ratios, eigenvalues / eigenvalues.sum(), rtol=1e-8)
    expected = (eigenvalues / (1 + eigenvalues)).sum()
    assert phiscope.diagonalize(features, targets=labels)["discriminant_information"] == pytest.approx(expected)


def test_covariance_is_torchs():
    features, _ = sample(offset=1e3)
    judge = torch.cov(torch.from_numpy(features).T, correction=0).numpy()
    values = np.linalg.eigvalsh(judge)[::-1]
    np.testing.assert_allclose(phiscope.diagonalize(features).centered.eigenvalues, values, rtol=1e-8)


def test_the_judges_would_object_to_a_wrong_normalization():
    from sklearn.decomposition import PCA

    features, _ = sample()
    judge = PCA(svd_solver="full").fit(features)
    assert not np.allclose(phiscope.diagonalize(features).centered.eigenvalues, judge.explained_variance_, rtol=1e-4)
