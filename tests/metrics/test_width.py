"""Rescaling, rotation and alignment gain: closed forms, and what leaves them as they are."""

import numpy as np
import pytest

from phiscope import diagonalize_kernel
from phiscope.metrics import WORDS, definition_of, place_of
from phiscope.metrics.width import DEFINITIONS, alignment_gain, centered_alignment, kernel_rescale, kernel_rotate

g = np.random.default_rng(0)
K, K0 = (part @ part.T for part in g.normal(size=(2, 8, 12)))
Y = g.normal(size=(8, 2))


def test_a_multiple_is_rescaled_and_not_turned():
    assert kernel_rescale(2.5 * K0, K0) == pytest.approx(2.5)
    assert kernel_rotate(2.5 * K0, K0) == pytest.approx(0.0, abs=1e-12)
    assert alignment_gain(2.5 * K0, K0, Y) == pytest.approx(0.0, abs=1e-12)


def test_rescaling_and_rotation_share_the_kernel():
    """Pythagoras: norm^2 K = norm^2(s K0) + (rotate norm K)^2."""
    s, rotate = kernel_rescale(K, K0), kernel_rotate(K, K0)
    assert np.vdot(K, K) == pytest.approx(s**2 * np.vdot(K0, K0) + rotate**2 * np.vdot(K, K))
    others = [np.linalg.norm(K - (s + step) * K0) for step in (-1e-3, 1e-3)]
    assert np.linalg.norm(K - s * K0) < min(others)


def test_kernels_of_any_size_keep_their_digits():
    for size in (1e-100, 1e100):
        assert kernel_rescale(size * K, size * K0) == pytest.approx(kernel_rescale(K, K0))
        assert kernel_rotate(size * K, K0) == pytest.approx(kernel_rotate(K, K0))


def test_the_alignment_is_that_of_a_measurement():
    expected = diagonalize_kernel(K, targets=Y)["target_alignment"]
    assert centered_alignment(K, Y @ Y.T) == pytest.approx(expected, rel=1e-9)


def test_perfect_alignment_gains_what_is_missing():
    assert alignment_gain(Y @ Y.T, K0, Y) == pytest.approx(1 - centered_alignment(K0, Y @ Y.T))


def test_every_row_is_found_by_its_words():
    for word, name in (
        ("rescale", "kernel_rescale"),
        ("rotate", "kernel_rotate"),
        ("alignment gain", "alignment_gain"),
        ("gain of alignment", "alignment_gain"),
        ("chi", "signal_slope"),
        ("residual", "map_residual"),
        ("sample share", "map_sample_share"),
    ):
        assert definition_of(word).name == name
    # In the literature the conjugate kernel is that of infinite width; T_a are the conjugates.
    for word, name in (
        ("conjugate kernel", "infinite width"),
        ("conjugates", "most probable kernels"),
        ("saddle point", "most probable kernels"),
        ("kappa", "most probable kernels"),
    ):
        assert WORDS.meanings(word) == (name,)
    assert "phiscope.tangent_kernel" in definition_of("NTK").meaning
    assert {row.name for row in DEFINITIONS} >= {"kernel_rescale", "signal_slope"}
    assert all(place_of(row.name).startswith("phiscope.theory.") for row in DEFINITIONS)
