"""What peers get wrong, against 50-digit arithmetic."""

import numpy as np
import pytest
import torch

import precise
from phiscope import diagonalize

EPS = np.finfo(np.float64).eps
# Sums of 36 products in 5 x 5 problems whose condition number is at most 1e3 unless a test says more.
BASE = 36 * 1e3 * EPS


def classes(offset=0.0, within=1.0, ratio=1.0, n=36, p=5, C=3, seed=0, labels=None):
    """Class means along two directions of lengths 1 and 1/ratio; within-class s.d. up to `within`."""
    g = np.random.default_rng(seed)
    y = np.arange(n) % C if labels is None else labels
    mu = np.zeros((C, p))
    mu[:3, :2] = [[1, 0], [-0.5, 1 / ratio], [-0.4, -1 / ratio]]
    X = mu[y] + within * g.normal(size=(n, p)) * np.linspace(0.5, 1, p) + offset * (1 + np.arange(p) / 3)
    return X, g.normal(size=(p, 2)), y


def assert_precise(m, X, outputs, y, tolerance, loose=None):
    """Relative to max(|value|, 1e-3): a number that is 1e-12 by itself is a difference of numbers of order 1."""
    for name, value in precise.numbers(X, outputs, y).items():
        allowed = (loose or {}).get(name, tolerance)
        error = abs(float(m[name] - value))
        assert error <= allowed * max(abs(float(value)), 1e-3), (name, error, float(value))


@pytest.mark.parametrize("offset", [0, 1, 30, 1e2, 1e3, 1e4, 1e5])
def test_constant_offset(offset):
    """Each x carries a rounding of offset eps, and nothing more may be lost: no offset^2 eps as in E[x^2] - m^2."""
    X, W, y = classes(offset)
    outputs = (X - offset * (1 + np.arange(5) / 3)) @ W
    assert_precise(diagonalize(X, outputs=outputs, targets=y), X, outputs, y, BASE * max(1, offset / 10))


def test_offset_control():
    """The textbook formula fails the tolerance of the test above, by far."""
    X, _, _ = classes(1e4)
    naive = X.T @ X / len(X) - np.outer(X.mean(0), X.mean(0))
    exact = float(precise.dimensions(precise.exact(np.cov(X.T, bias=True)), "")["participation_ratio"])
    # What the test above allows at 1e4 is BASE * 1e3 = 8e-9 at worst; what is measured there is below 1e-11.
    ours = diagonalize(X)["participation_ratio_centered"]
    assert abs(ours - exact) < 1e-3 * abs(np.trace(naive) ** 2 / (naive**2).sum() - exact)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_constant_offset_of_a_head(offset):
    """With a head the outputs come from the features' moments: Fc = W S W^T, never a difference of large numbers."""
    X, W, y = classes(offset)
    m = diagonalize(X, head=(W.T, -offset * (1 + np.arange(5) / 3) @ W), targets=y, num_classes=3)
    reference = precise.numbers(X, X @ W - offset * (1 + np.arange(5) / 3) @ W, y)
    for name in ("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance"):
        # The outputs themselves are rounded at offset eps in the reference.
        assert m[name] == pytest.approx(float(reference[name]), rel=BASE * offset), name


@pytest.mark.parametrize("offset", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_outputs_far_from_zero(offset, n_outputs):
    """1 - E[u] E[u]^T would lose offset^2 eps; at 1e4 the outputs were once called constant."""
    X, W, y = classes()
    outputs = (X @ W)[:, :n_outputs]
    outputs = outputs - outputs.mean(0) + offset * outputs.std(0)
    assert_precise(diagonalize(X, outputs=outputs, targets=y), X, outputs, y, BASE * offset)


@pytest.mark.parametrize("within", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("offset", [0, 1e3])
def test_within_class_scale(within, offset):
    """S_W is gathered about class means: its relative error is the rounding of the samples over the spread."""
    X, W, y = classes(offset, within)
    outputs = (X - offset * (1 + np.arange(5) / 3)) @ W
    lost = max(1, offset) / within * EPS * 1e3
    # Whitened, small directions of S (within^2) meet its largest error, eps; both D_LR and nc1_bounded stay exact
    # to that absolute error.
    loose = {"nc1": lost, "cdnv": lost, "nc1_bounded": 1e3 * max(1, offset / 10) * BASE}
    m = diagonalize(X, outputs=outputs, targets=y)
    assert_precise(m, X, outputs, y, 1e-8, loose)
    assert m["nc1"] == pytest.approx(float(precise.numbers(X, outputs, y)["nc1"]), rel=max(lost, BASE))


def test_within_class_control():
    """Subtracting S - S_B in float64, instead of gathering S_W, misses nc1 by more than is allowed above."""
    X, W, y = classes(0, 1e-6)
    mu = np.stack([X[y == c].mean(0) for c in range(3)])
    between = (mu[y] - X.mean(0)).T @ (mu[y] - X.mean(0)) / len(X)
    subtracted = np.trace((np.cov(X.T, bias=True) - between) @ np.linalg.pinv(between, rcond=1e-10)) / 3
    exact = float(precise.numbers(X, X @ W, y)["nc1"])
    assert abs(subtracted / exact - 1) > 1e-6 * 1e3 * EPS / 1e-12


@pytest.mark.parametrize("ratio", [1e2, 1e3])
@pytest.mark.parametrize("within", [1e-3, 1e-5])
def test_class_directions_of_different_length(ratio, within):
    """float32 libraries report an NC1 28 times too small here; S_B has condition ratio^2."""
    X, W, y = classes(0, within, ratio)
    tolerance = BASE * ratio**2
    m = diagonalize(X, outputs=X @ W, targets=y)
    assert_precise(m, X, X @ W, y, tolerance, {"dynamical_low_rank": 1e-6, "dynamical_low_rank_centered": 1e-6})
    single = np.float32(X)
    rounded = diagonalize(single, outputs=X @ W, targets=y)
    assert_precise(
        rounded, single, X @ W, y, tolerance, {"dynamical_low_rank": 1e-6, "dynamical_low_rank_centered": 1e-6}
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("offset", [0, 30])
def test_low_precision_rows(dtype, offset):
    """Rounded rows are what they are; every sum over them is float64. Outputs and targets in low precision too."""
    X, W, y = classes(offset)
    features, outputs = torch.as_tensor(X).to(dtype), torch.as_tensor(X @ W).to(dtype)
    m = diagonalize(features, outputs=outputs, targets=torch.as_tensor(y, dtype=torch.int16))
    assert_precise(m, features.double().numpy(), outputs.double().numpy(), y, BASE * max(1, offset))


def test_half_precision_sums_would_overflow():
    features = torch.full((5000, 3), 300.0, dtype=torch.float16)
    features[::2] = -300
    features[::3, 0] = 200
    m = diagonalize(features)
    assert m.raw.eigenvalues.sum() == pytest.approx(float((features.double() ** 2).sum(1).mean()), rel=1e3 * EPS)


def test_imbalance_and_a_class_of_one():
    labels = np.r_[np.zeros(30, int), np.ones(5, int), [2]]
    X, W, y = classes(labels=labels)
    assert_precise(diagonalize(X, outputs=X @ W, targets=y), X, X @ W, y, BASE)


def test_an_empty_class_is_no_class_at_zero():
    X, W, y = classes(5.0)
    without = diagonalize(X, outputs=X @ W, targets=y)
    for labels, width in ((y, 6), (2 * y + 1, 7)):
        m = diagonalize(X, outputs=X @ W, targets=labels, num_classes=width)
        for name, value in without.to_dict().items():
            assert m[name] == pytest.approx(value, rel=BASE), name
        assert np.isnan(m.class_means).any(axis=1).sum() == width - 3
        assert [text for text in m.warnings if "never occur" in text]


@pytest.mark.parametrize("share", [1e-3, 1e-6, 1e-9])
def test_a_class_of_hardly_any_weight(share):
    """Dc of two classes has norm 2 pi (1 - pi), tr(Gc^T Gc) = 2 (pi (1 - pi) d)^2: their ratio keeps its digits."""
    X = np.array([[0.0], [0.0], [1.0]])
    m = diagonalize(X, targets=[0, 0, 1], weights=[(1 - share) / 2, (1 - share) / 2, share])
    assert m["target_alignment"] == pytest.approx(1, abs=1e3 * EPS / share**0.5)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e-4, 1e9, 1e30])
def test_units_do_not_matter(scale):
    """An absolute epsilon anywhere would show: small regression targets were once called constant."""
    g = np.random.default_rng(0)
    X, y = g.normal(size=(200, 4)), g.normal(size=(200, 2))
    reference = diagonalize(X, outputs=y + 0.1 * X[:, :2], targets=y)
    scaled = diagonalize(scale * X, outputs=scale * (y + 0.1 * X[:, :2]), targets=scale * y)
    for name, value in reference.to_dict().items():
        expected = value * scale**2 if name == "head_excess_loss" else value
        # The slope by which corrections are propagated is a difference quotient, exact to about 1e-9.
        assert scaled[name] == pytest.approx(expected, rel=1e-7 if name.endswith("_corrected") else BASE), name


def test_coinciding_class_means_are_refused_not_huge():
    """Twice the same samples under two labels: the distance of the means is rounding, so is every number of it."""
    g = np.random.default_rng(0)
    for offset in (0, 0.1, 1e3):
        half = g.normal(size=(50, 4)) + offset
        m = diagonalize(np.vstack([half, half[::-1]]), targets=np.repeat([0, 1], 50))
        assert "coincide" in m.absent["nc1"]
        assert "cdnv" in m.absent
        both = np.vstack([half, half[::-1], half + 7])
        m = diagonalize(both, targets=np.repeat([0, 1, 2], 50))
        assert "same mean" in m.absent["cdnv"]
        assert m["nc1"] < 1e3


def test_rank_one_features():
    g = np.random.default_rng(0)
    X = np.outer(g.normal(size=60) + 2, g.normal(size=8))
    m = diagonalize(X, head=(g.normal(size=(3, 8)), None), targets=np.arange(60) % 3)
    assert len(m.raw.eigenvalues) == len(m.centered.eigenvalues) == 1
    for name in ("effective_dimension", "participation_ratio", "stable_rank"):
        assert m[name] == m[f"{name}_centered"] == 1
    assert m["output_rank"] == 1
    assert m["dynamical_low_rank_centered"] == pytest.approx(0, abs=BASE)


@pytest.mark.parametrize("n", [200, 3000])
@pytest.mark.parametrize("offset", [0, 1e3])
def test_rank_of_deficient_features(n, offset):
    """Rounding directions must not be counted: with them quality and ranks would be made of noise."""
    g = np.random.default_rng(0)
    X = g.normal(size=(n, 4)) @ g.normal(size=(4, 12)) + offset * (g.normal(size=(1, 4)) @ g.normal(size=(4, 12)))
    m = diagonalize(X, targets=np.arange(n) % 3)
    # Rounding of X itself, offset eps, is a real if tiny spread; only its square counts against the signal.
    assert len(m.centered.eigenvalues) == 4 if offset == 0 else 4 <= len(m.centered.eigenvalues) <= 12
    assert m["readout_r2"] < 0.2


def test_targets_may_be_read_only_or_run_backwards():
    rng = np.random.default_rng(0)
    features, classes = rng.standard_normal((700, 5)), rng.integers(0, 3, 700)
    frozen = classes.copy()
    frozen.setflags(write=False)
    expected = diagonalize(features, targets=classes, intervals=False).to_dict()
    for targets in (frozen, classes[::-1].copy()[::-1], frozen.astype(np.int32)):
        found = diagonalize(features, targets=targets, intervals=False).to_dict()
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("offset", [1e6, 1e10, 1e12])
@pytest.mark.parametrize("n", [3, 5, 20])
def test_n_samples_have_n_minus_one_centered_directions_however_far_from_zero(n, offset):
    """A mean is rounded to its last digit; the common shift that this leaves is no direction of its own."""
    g = np.random.default_rng(1)
    X, y = g.normal(size=(n, 26)), np.arange(n) % 2
    m = diagonalize(X + offset * g.normal(size=26), targets=y)
    assert len(m.centered.eigenvalues) == n - 1
    assert m["discriminant_information"] <= 1
    near = diagonalize(X, targets=y)
    # The rows themselves are rounded to offset eps.
    np.testing.assert_allclose(m.centered.eigenvalues, near.centered.eigenvalues, rtol=100 * offset * EPS)
    if n == 20:
        assert m["alpha_req"] == pytest.approx(near["alpha_req"], rel=0.01)


@pytest.mark.parametrize("n", [6, 200])
def test_directions_that_are_rounding_of_the_rows_are_none(n):
    g = np.random.default_rng(2)
    X = g.normal(size=(n, 2)) @ g.normal(size=(2, 9))
    offset = 1e10 * g.normal(size=9)
    assert len(diagonalize(X + offset).centered.eigenvalues) == 2
    # The control: what is left beside two directions is well above rounding of the largest eigenvalue.
    values = np.linalg.eigvalsh(np.cov((X + offset).T, bias=True))[::-1]
    assert values[2] > 9 * EPS * values[0]


def test_features_that_vary_by_rounding_only_have_no_numbers_of_spread():
    X = 1e10 + np.array([[0.0], [1e-6], [0.0], [0.0]])
    m = diagonalize(X, targets=[0, 1, 0, 1], head=([[1.0], [2.0]], None))
    for name in ("dynamical_low_rank", "participation_ratio_centered", "readout_r2", "nc1", "target_alignment"):
        assert name not in m
        assert "constant" in m.absent[name]
    assert m.regime is None


def test_what_another_order_of_rows_changes():
    """As many processes do: eigenvalues move by rounding of the largest, what divides by small ones by more."""
    g = np.random.default_rng(3)
    X = (g.normal(size=(501, 12)) * 10.0 ** np.linspace(0, -4.2, 12)) @ np.linalg.qr(g.normal(size=(12, 12)))[0] + 30
    y, order = g.integers(0, 4, 501), g.permutation(501)
    a, b = diagonalize(X, targets=y), diagonalize(X[order], targets=y[order])
    for one, other in ((a.raw, b.raw), (a.centered, b.centered)):
        np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, atol=1e-12 * one.eigenvalues[0], rtol=0)
    largest, least = a.raw.eigenvalues[0], a.centered.eigenvalues[-1]
    assert least < 1e-12 * largest
    assert abs(a["readout_r2"] - b["readout_r2"]) < 1e-12 * largest / least
