"""Rotation of eigenfunctions toward the classes, inside clusters of nearly equal eigenvalues."""

import numpy as np
import pytest

import phiscope
from collapsed import nearly_collapsed
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import InputError


def test_rotated_functions_of_collapsed_classes_are_the_indicators():
    features, y = nearly_collapsed()
    m = phiscope.diagonalize(features, targets=y)
    turned = rotate_to_classes(m)
    assert turned.rotated == ((0, 4),)
    assert turned.toward == (0, 1, 2, 3)
    np.testing.assert_allclose(turned.eigenfunctions(features), 2 * np.eye(4)[y], atol=1e-9)
    np.testing.assert_allclose(turned.class_profile(), 2 * np.eye(4), atol=1e-9)
    np.testing.assert_allclose(turned.quality, 1, atol=1e-9)
    assert "1 to 4" in turned.note
    # Control: what the solver returned is not the indicators.
    assert np.abs(m.class_profile()[:, :4] - 2 * np.eye(4)).max() > 0.1


@pytest.mark.parametrize("centered", [False, True])
def test_rotation_keeps_orthonormality_and_sums_over_clusters(centered):
    features, y = nearly_collapsed(noise=0.05)
    m = phiscope.diagonalize(features, targets=y, outputs=features[:, :3])
    turned = rotate_to_classes(m, centered=centered)
    k = len(turned.eigenvalues)
    values = turned.eigenfunctions(features)
    np.testing.assert_allclose(values.T @ values / len(y), np.eye(k), atol=1e-8)
    np.testing.assert_allclose(turned.rotation @ turned.rotation.T, np.eye(k), atol=1e-12)
    spectrum = m.spectrum(centered=centered)
    assert turned.rotated
    for start, stop in turned.rotated:
        assert turned.quality[start:stop].sum() == pytest.approx(spectrum.quality[start:stop].sum(), abs=1e-9)
        assert turned.eigenvalues[start:stop].sum() == pytest.approx(spectrum.eigenvalues[start:stop].sum(), rel=1e-12)
        for j in range(start, stop):
            c = turned.toward[j]
            assert c is None or turned.class_profile()[c, j] > 0


def test_rotation_does_not_depend_on_the_basis_that_came():
    features, y = nearly_collapsed(noise=1e-7)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(8, 8)))[0]
    profiles = [
        rotate_to_classes(phiscope.diagonalize(x, targets=y)).class_profile(4) for x in (features, features @ turn)
    ]
    np.testing.assert_allclose(*profiles, atol=1e-6)


def test_functions_without_a_cluster_stay_and_slopes_are_left():
    y = np.arange(40) % 2
    m = phiscope.diagonalize(np.random.default_rng(0).normal(size=(40, 2)) * [9, 1], targets=y)
    turned = rotate_to_classes(m)
    np.testing.assert_array_equal(turned.rotation, np.eye(2))
    assert "No eigenfunctions were rotated" in turned.note
    assert turned.toward == (None, None)
    slope = phiscope.diagonalize(np.diag(0.9 ** np.arange(40)), targets=y)
    assert rotate_to_classes(slope, gap=0.3).left == ((0, 40),)


def test_a_cluster_larger_than_the_classes_keeps_the_rest_unseen():
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    y = (signs[:, 2] > 0).astype(int)
    turned = rotate_to_classes(phiscope.diagonalize(signs, targets=y))
    np.testing.assert_allclose(turned.quality, [1, 0, 0, 0], atol=1e-9)
    assert turned.toward[1:] == (None, None, None)


def test_rotation_needs_classes():
    with pytest.raises(InputError, match="integer targets"):
        rotate_to_classes(phiscope.diagonalize(np.eye(4)))


def test_clusters_are_judged_by_the_samples_that_count():
    """4,000 samples of which 60 carry all the weight know no more about the order of functions than these 60."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(4000, 6)) * np.sqrt([1.5, 1.3, 1.13, 0.98, 0.85, 0.74])
    labels, weights = rng.integers(0, 3, 4000), np.full(4000, 1e-9)
    weights[:60] = 1
    weighted = phiscope.diagonalize(features, targets=labels, weights=weights)
    alone = phiscope.diagonalize(features[:60], targets=labels[:60])
    assert weighted.independent_samples == pytest.approx(60, rel=1e-5)
    assert alone.independent_samples == 60
    found, expected = (rotate_to_classes(m, centered=True) for m in (weighted, alone))
    assert (found.rotated, found.left) == (expected.rotated, expected.left)
    # The control: as many samples of equal weight would tell some of these eigenvalues apart.
    rest = rotate_to_classes(phiscope.diagonalize(features, targets=labels), centered=True)
    assert (rest.rotated, rest.left) != (expected.rotated, expected.left)
