"""Outputs in fewer or other coordinates: what is measured stays as it is."""

import numpy as np
import pytest

import phiscope
from phiscope.spectrum.output_coordinates import reduced_head, turned_outputs, without_shift


@pytest.mark.parametrize("n_outputs", [8, 9, 60, 5000])
def test_a_head_of_many_outputs_says_what_its_outputs_say(n_outputs):
    rng = np.random.default_rng(4)
    features = rng.standard_normal((400, 7)) + 1.0
    head = rng.standard_normal((n_outputs, 7)), 3 * rng.standard_normal(n_outputs)
    outputs = features @ head[0].T + head[1]
    measured = phiscope.diagonalize(features, head=head)
    if n_outputs == 5000:
        # A rotation keeps all that is measured: eight outputs hold what 5000 do, and a C x C scatter is spared.
        outputs = outputs @ np.linalg.qr(np.column_stack(head))[0]
    reference = phiscope.diagonalize(features, outputs)
    for name in (
        "dynamical_low_rank",
        "dynamical_low_rank_centered",
        "used_variance",
        "output_rank",
        "output_rank_raw",
    ):
        assert measured[name] == pytest.approx(reference[name], rel=1e-9, abs=1e-12), name
    difference = measured.centered.cumulative_utilization - reference.centered.cumulative_utilization
    assert np.abs(difference).max() < 1e-9


@pytest.mark.parametrize("n_outputs", [2, 3, 50])
def test_turned_outputs_are_their_common_shift_and_their_differences(n_outputs):
    rows = np.random.default_rng(0).normal(size=(n_outputs, 6))
    turned = turned_outputs(rows)
    np.testing.assert_allclose(turned.T @ turned, rows.T @ rows, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(turned[0], np.sqrt(n_outputs) * rows.mean(axis=0), rtol=1e-12)
    apart = rows - rows.mean(axis=0)
    np.testing.assert_allclose(turned[1:].T @ turned[1:], apart.T @ apart, atol=1e-12)
    beside = without_shift(rows.T)
    np.testing.assert_allclose(beside @ beside.T, apart.T @ apart, atol=1e-12)


def test_rows_that_are_equal_have_no_differences_at_all():
    assert (turned_outputs(np.repeat([[0.1, 1e9, -3.3]], 7, axis=0))[1:] == 0).all()


def test_a_head_of_no_more_outputs_than_features_stays_itself():
    head = np.ones((9, 7)), np.ones(9)
    assert reduced_head(head) is head
