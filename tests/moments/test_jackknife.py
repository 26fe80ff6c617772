"""Estimates, their scales, and intervals that stay inside a range."""

import math

import numpy as np
import pytest

import phiscope
from phiscope.errors import InputError, MissingNumberError
from phiscope.moments.jackknife import Estimate, Scale, ScaledEstimate, jackknife, jackknife_of_sizes

SHARES = np.full(20, 1 / 20)
UPPER, LOWER = Scale(edge=1.0, above=False), Scale(edge=0.0, above=True)


@pytest.mark.parametrize("value", [-3.0, -1e-3, 0.0, 0.4, 1.0, 1.2, 7.0])
@pytest.mark.parametrize("error", [0.0, 1e-3, 5.0, math.inf])
def test_an_estimate_outside_its_range_has_an_interval_inside_it(value, error):
    low, high = Estimate(value=value, error=error, freedom=19).interval(0.95, 0.0, 1.0)
    assert 0 <= low <= min(max(value, 0), 1) <= high <= 1
    # No certainty that nobody has: only an error of 0 leaves a point.
    assert (low < high) == (error > 0)


def test_the_mean_of_logarithms_is_jackknifed_exactly():
    """theta = 1 - exp(mean u): on ln(1 - theta) the interval is Student's for the mean of u."""
    u = np.random.default_rng(0).normal(-1.0, 0.3, 20)
    whole, left = 1 - np.exp(u.mean()), 1 - np.exp((u.sum() - u) / 19)
    found = jackknife(float(whole), left, SHARES, UPPER)
    assert isinstance(found, ScaledEstimate)
    assert found.value == pytest.approx(whole, rel=1e-12)
    error = u.std(ddof=1) / math.sqrt(20)
    assert found.error == pytest.approx(error * math.exp(u.mean()), rel=1e-9)
    reach = 2.093024054408263 * error
    low, high = found.interval(0.95, 0.0, 1.0)
    assert low == pytest.approx(1 - math.exp(u.mean() + reach), rel=1e-9)
    assert high == pytest.approx(1 - math.exp(u.mean() - reach), rel=1e-9)
    # The control: without the scale the interval is even about the value.
    even = jackknife(float(whole), left, SHARES).interval(0.95, 0.0, 1.0)
    assert even[0] + even[1] == pytest.approx(2 * jackknife(float(whole), left, SHARES).value)
    assert high - whole < whole - low


def test_a_scaled_center_beyond_the_other_end_is_clipped_before_the_reach_is_added():
    """An R2 that chance alone explains is corrected to below 0: an interval about that would be (0, 0)."""
    left = 0.02 + 0.001 * np.random.default_rng(1).normal(size=20)
    found = jackknife(0.001, left, SHARES, UPPER)
    assert found.value < 0
    low, high = found.interval(0.95, 0.0, 1.0)
    assert low == 0
    assert high > found.error


@pytest.mark.parametrize("at", [0.0, 1e-17])
def test_at_the_end_of_a_range_there_is_no_scale(at):
    found = jackknife(at, np.full(20, at), SHARES, LOWER)
    assert not isinstance(found, ScaledEstimate)
    assert isinstance(jackknife(1e-3, np.full(20, 1e-3), SHARES, LOWER), ScaledEstimate)


def test_an_error_without_end_is_the_whole_range():
    found = jackknife(0.5, np.r_[1e-9, np.full(19, 0.5)], np.r_[1.0, np.full(19, 1e-17)], LOWER)
    assert found.interval(0.95, 0.0, 1.0) == (0.0, 1.0)


def test_sizes_whose_sign_is_known_are_a_plain_mean():
    rng = np.random.default_rng(2)
    values = np.array([3.0, -2.0, 5.0])
    left = values + 0.01 * rng.normal(size=(20, 3))
    found = jackknife_of_sizes(values, left, SHARES, 2.0)
    plain = jackknife(float(np.abs(values).mean()), np.abs(left).mean(axis=1), SHARES)
    assert found.value == pytest.approx(plain.value, rel=1e-12)
    assert found.error == pytest.approx(plain.error, rel=1e-12)


def test_sizes_near_zero_add_their_errors():
    values = np.zeros(2)
    left = 0.01 * np.random.default_rng(3).normal(size=(20, 2))
    left -= left.mean(axis=0)
    errors = [jackknife(0.0, column, SHARES).error for column in left.T]
    assert jackknife_of_sizes(values, left, SHARES, 2.0).error == pytest.approx(sum(errors) / 2, rel=1e-9)


def test_a_level_has_to_be_one_on_a_scale_too():
    with pytest.raises(InputError, match="level"):
        jackknife(0.5, np.linspace(0.4, 0.6, 20), SHARES, UPPER).interval(1.5)


@pytest.mark.slow
def test_the_readout_is_covered_at_five_samples_a_feature():
    """On R2 itself 87 to 92 % of intervals hold the truth, most of the others lie above it; on ln(1 - R2) 95 %."""
    rng = np.random.default_rng(4)
    signal = rng.normal(size=12) * 0.6
    truth = signal @ signal / (signal @ signal + 1)
    even, scaled = [], []
    for _ in range(120):
        features = rng.normal(size=(60, 12))
        m = phiscope.diagonalize(features, targets=features @ signal + rng.normal(size=60))
        low, high = m.interval("readout_r2")
        scaled.append(low <= truth <= high)
        left = np.array([part["readout_r2"] for part in m.resampling.without_each])
        low, high = jackknife(m["readout_r2"], left, m.resampling.shares).interval(0.95, 0.0, 1.0)
        even.append(low <= truth <= high)
    assert np.mean(scaled) > 0.9
    assert np.mean(even) < np.mean(scaled)


def test_a_stable_rank_of_two_largest_eigenvalues_nobody_can_tell_apart_is_refused():
    rng = np.random.default_rng(5)
    far = phiscope.diagonalize(rng.normal(size=(400, 4)) * [3.0, 1.0, 1.0, 1.0])
    low, high = far.interval("stable_rank_centered")
    assert low < 12 / 9 < high
    near = phiscope.diagonalize(rng.normal(size=(400, 4)))
    with pytest.raises(MissingNumberError, match=r"the two largest eigenvalues .* \d+ samples would do"):
        near.interval("stable_rank_centered")


def test_angles_whose_sign_is_not_known_have_a_wider_interval():
    """Class means at a simplex but for noise: the truth is 0, which a plain interval of a mean of sizes never holds."""
    rng = np.random.default_rng(6)
    held, plain = [], []
    for _ in range(30):
        labels = np.arange(400) % 4
        features = np.eye(4)[labels] + 0.3 * rng.normal(size=(400, 4))
        m = phiscope.diagonalize(features, targets=labels)
        low, high = m.interval("nc2_equiangular")
        held.append(low <= 0 <= high)
        left = np.array([part["nc2_equiangular"] for part in m.resampling.without_each])
        found = jackknife(m["nc2_equiangular"], left, m.resampling.shares).interval(0.95, 0.0, 2.0)
        plain.append(found[0] <= 0 <= found[1])
    assert np.mean(held) > 0.9
    assert np.mean(plain) < np.mean(held)
