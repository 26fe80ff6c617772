"""Eigenfunctions followed through time by what they are, not by their place."""

import numpy as np
import pytest

import phiscope
from collapsed import nearly_collapsed
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError


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
    features, y = nearly_collapsed(noise=0.02, n=400)
    again, _ = nearly_collapsed(noise=0.02, n=400, seed=7)
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


def test_tracks_print_one_line_each():
    rng = np.random.default_rng(0)
    values = np.linalg.qr(rng.normal(size=(200, 3)))[0] * np.sqrt(200)
    text = str(phiscope.track([values, values[:, [1, 0, 2]], values[:, :2]]))
    lines = text.splitlines()
    assert lines[0].startswith("Tracks: 3 over 3 records")
    assert [line.split("least")[0].split() for line in lines[1:]] == [["1", "2", "1"], ["2", "1", "2"], ["3", "3", "-"]]
