"""Kernels given as Gram matrices: the numbers of their features."""

import numpy as np
import pytest
import torch

import phiscope
from cases import CASES
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError
from phiscope.measurement.gram import kernel_features

# One more squaring than the path through features, on at most 200 samples of condition number 1e4.
CLOSE = 1e-7
CURVES = ("quality", "utilization", "cumulative_quality", "cumulative_utilization")

# A rank-deficient kernel has no zero singular values for rankme to count; fits of half the samples, extrapolated to
# the others, enlarge rounding by their condition number.
LOOSER = {"rankme": 1e-4, "readout_r2_held_out": 1e-5}


@pytest.mark.parametrize("name", [name for name in CASES if "dead" not in name and "constant" not in name])
def test_a_kernel_gives_the_numbers_of_its_features(name):
    case = dict(CASES[name])
    features = case["features"]
    head = case.pop("head", None)
    if head is not None:
        case["outputs"] = features @ head[0].T + (0 if head[1] is None else head[1])
    expected = phiscope.diagonalize(**case)
    case.pop("features")
    found = phiscope.diagonalize_kernel(features @ features.T, **case)
    for key, value in expected.to_dict().items():
        tolerance = LOOSER.get(key, CLOSE)
        assert found[key] == pytest.approx(value, rel=tolerance, abs=tolerance), key
    assert set(found.to_dict()) == set(expected.to_dict())
    for centered in (False, True):
        left, right = found.spectrum(centered=centered), expected.spectrum(centered=centered)
        k = min(len(left.eigenvalues), len(right.eigenvalues))
        np.testing.assert_allclose(left.eigenvalues[:k], right.eigenvalues[:k], atol=1e-10 * right.eigenvalues[0])
        for curve in CURVES:
            if getattr(right, curve) is not None:
                np.testing.assert_allclose(getattr(left, curve)[:k], getattr(right, curve)[:k], atol=1e-6)


def test_eigenfunctions_of_a_kernel_on_its_samples_and_on_others():
    g = np.random.default_rng(0)
    x, new = g.normal(size=(50, 4)), g.normal(size=(7, 4))
    gram = x @ x.T
    m, plain = phiscope.diagonalize_kernel(gram), phiscope.diagonalize(x)
    np.testing.assert_allclose(m.eigenfunctions(kernel_features(gram)) ** 2, plain.eigenfunctions(x) ** 2, atol=1e-9)
    further = kernel_features(gram, new @ x.T)
    np.testing.assert_allclose(m.eigenfunctions(further) ** 2, plain.eigenfunctions(new) ** 2, atol=1e-9)
    assert m.provenance["source"] == "kernel"


def test_a_kernel_without_finite_features_is_diagonalized():
    x = np.linspace(0, 1, 60)[:, None]
    m = phiscope.diagonalize_kernel(np.exp(-((x - x.T) ** 2) / 0.02), targets=(x[:, 0] > 0.5).astype(int))
    assert m.raw.eigenvalues.sum() == pytest.approx(1)
    assert 0 < m["target_alignment"] < 1


def test_float32_kernels_lose_rounding_and_not_their_rank():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    assert kernel_features(x @ x.T).shape == (60, 5)
    assert kernel_features(torch.tensor(x @ x.T)).shape == (60, 5)


@pytest.mark.parametrize(
    ("gram", "error", "words"),
    [
        (np.ones((2, 3)), ShapeError, r"expected \(n, n\)"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), InputError, "transpose by 0.5"),
        (-np.eye(3), InputError, "positive"),
        (np.diag([1.0, -0.1]), InputError, "eigenvalues from -0.1 to 1"),
        (np.zeros((3, 3)), InputError, "not zero"),
        (np.diag([1.0, np.inf]), NonFiniteError, "gram holds NaN or Inf"),
        (np.ones((1, 1)), EmptyDataError, "1 sample"),
    ],
)
def test_what_is_no_kernel_is_refused(gram, error, words):
    with pytest.raises(error, match=words):
        phiscope.diagonalize_kernel(gram)


def test_cross_kernel_of_another_width_is_refused():
    with pytest.raises(ShapeError, match="cross has shape"):
        kernel_features(np.eye(3), np.ones((2, 4)))
