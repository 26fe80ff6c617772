"""Clusters of eigenvalues, rotation inside them, and eigenfunctions followed through time."""

import numpy as np
import pytest

import phiscope
from phiscope import figures
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError
from phiscope.spectrum.clusters import cluster_ends, degenerate_clusters, relative_sampling_error


def collapsed(noise=0.0, n=240, C=4, p=8, seed=0):
    g = np.random.default_rng(seed)
    y = np.arange(n) % C
    basis = np.linalg.qr(g.normal(size=(p, p)))[0][:C]
    return basis[y] + noise * g.normal(size=(n, p)), y


def test_there_is_one_definition_of_a_cluster():
    assert figures.degenerate_clusters is degenerate_clusters


def test_clusters_at_both_ends_and_two_in_a_row():
    assert degenerate_clusters([2, 2, 1, 0.99, 0.5, 0.1, 0.1]) == ((0, 2), (2, 4), (5, 7))
    assert degenerate_clusters([]) == degenerate_clusters([1.0]) == ()
    assert cluster_ends(7, ((0, 2), (5, 7))) == [2, 2, 3, 4, 5, 7, 7]


def test_sampling_error_is_what_it_says():
    g = np.random.default_rng(0)
    top = [np.linalg.eigvalsh(np.cov((g.normal(size=(200, 2)) * [3, 1]).T))[-1] for _ in range(1000)]
    assert np.std(top) / 9 == pytest.approx(relative_sampling_error(200), rel=0.1)


def test_few_samples_join_what_many_tell_apart():
    assert degenerate_clusters([1.0, 0.9], n_samples=50) == ((0, 2),)
    assert degenerate_clusters([1.0, 0.9], n_samples=5000) == ()
    # The fixed gap holds however many samples there are.
    assert degenerate_clusters([1.0, 0.99], n_samples=10**9) == ((0, 2),)
    with pytest.raises(InputError, match="n_samples is 0"):
        degenerate_clusters([1.0, 0.9], n_samples=0)


def test_rotated_functions_of_collapsed_classes_are_the_indicators():
    features, y = collapsed()
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
    features, y = collapsed(noise=0.05)
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
    features, y = collapsed(noise=1e-7)
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


def waves(n=64, k=4):
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T
    return signs[:n, :k]


def test_functions_that_cross_are_followed_and_not_their_places():
    e = waves(k=3)
    tracks = phiscope.track([e, e[:, [1, 0, 2]], -e[:, [1, 2, 0]]])
    assert tracks.index.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    assert tracks.sign.tolist() == [[1, 1, 1], [1, 1, 1], [-1, -1, -1]]
    assert np.isnan(tracks.overlap[0]).all()
    np.testing.assert_allclose(tracks.overlap[1:], 1)
    rho = [[3.0, 2, 1], [3, 2, 1], [3, 2, 1]]
    assert tracks.follow(rho).tolist() == [[3, 2, 1], [2, 3, 1], [1, 3, 2]]


def test_a_function_that_turns_too_far_ends_and_another_begins():
    e = waves(k=4)
    after = np.stack([e[:, 0], 0.5 * e[:, 1] + 0.75**0.5 * e[:, 3]], axis=1)
    tracks = phiscope.track([e[:, :2], after])
    assert tracks.index.tolist() == [[0, 1, -1], [0, -1, 1]]
    assert np.isnan(tracks.follow([[1, 2], [3, 4]])[1, 1])
    assert phiscope.track([e[:, :2], after], least_overlap=0.2).index.tolist() == [[0, 1], [0, 1]]


def test_shuffled_samples_break_every_track():
    g = np.random.default_rng(0)
    x = g.normal(size=(500, 6))
    e = phiscope.diagonalize(x).eigenfunctions(x, centered=True)
    assert phiscope.track([e, e]).index.shape == (2, 6)
    assert phiscope.track([e, e[g.permutation(500)]]).index.shape == (2, 12)


def test_a_gallery_and_weights_follow_the_same_functions():
    e = np.random.default_rng(1).normal(size=(2000, 4))
    order = [2, 0, 3, 1]
    gallery = phiscope.track([e[:200], e[:200, order]])
    assert gallery.index.tolist() == phiscope.track([e, e[:, order]]).index.tolist()
    weights = np.arange(2000) < 200
    np.testing.assert_array_equal(phiscope.track([e, e[:, order]], weights=weights).index, gallery.index)


def test_rotated_functions_are_followed_through_a_degenerate_cluster():
    features, y = collapsed(noise=0.02, n=400)
    again, _ = collapsed(noise=0.02, n=400, seed=7)
    records = [phiscope.diagonalize(x, targets=y) for x in (features, again)]
    raw = [m.eigenfunctions(x)[:, :4] for m, x in zip(records, (features, again), strict=True)]
    turned = [rotate_to_classes(m).eigenfunctions(x)[:, :4] for m, x in zip(records, (features, again), strict=True)]
    assert phiscope.track(turned).index.tolist() == [[0, 1, 2, 3]] * 2
    assert np.nanmin(phiscope.track(turned).overlap) > 0.99
    # Control: the functions as the solver returned them do not match one to one.
    assert np.nanmin(phiscope.track(raw, least_overlap=0).overlap) < 0.9


@pytest.mark.parametrize(
    ("records", "options", "error", "words"),
    [
        ([], {}, EmptyDataError, "no record"),
        ([np.eye(4)], {}, EmptyDataError, "4 functions on 4 samples"),
        ([waves(), waves(n=32)], {}, ShapeError, "record 1 has 32 samples"),
        ([waves()], {"weights": np.ones(3)}, ShapeError, "weights have shape"),
        ([waves()], {"weights": -np.ones(64)}, InputError, "negative"),
        ([waves()], {"least_overlap": 2}, InputError, "least_overlap is 2"),
        ([waves() * np.nan], {}, NonFiniteError, "record 0"),
    ],
)
def test_tracking_refuses_what_it_cannot_use(records, options, error, words):
    with pytest.raises(error, match=words):
        phiscope.track(records, **options)


def test_following_needs_values_for_each_function():
    tracks = phiscope.track([waves(), waves()])
    with pytest.raises(ShapeError, match="1 arrays"):
        tracks.follow([[1.0]])
    with pytest.raises(ShapeError, match="record 0 have shape"):
        tracks.follow([[1.0], [1.0]])
