"""Whatever comes in: a sentence of ours, or numbers inside their ranges with intervals that are right way up.

The slow set draws 20,000 calls. Warnings are errors, so that a RuntimeWarning of NumPy's fails here too.
"""

import math
from contextlib import suppress

import numpy as np
import pytest

import phiscope
from drawn_calls import drawn_call
from phiscope.errors import PhiscopeError
from phiscope.metrics import SCALARS
from phiscope.metrics.dimension import most_of

CURVES = ("quality", "utilization", "cumulative_quality", "cumulative_utilization")
ROUNDING = 1e-9


def tops(m):
    """Upper ends of ranges that depend on the data."""
    n, p = m.n_samples, m.n_features
    found = dict.fromkeys(("srank", "effective_dimension", "participation_ratio", "stable_rank"), p)
    found |= {f"{name}_centered": min(p, n - 1) for name in tuple(found)} | {"rankme": min(n, p)}
    found |= {} if m.n_outputs is None else {"output_rank": m.n_outputs, "output_rank_raw": m.n_outputs}
    if m.n_classes is not None:
        found["discriminant_information"] = np.count_nonzero(m.class_weights) - 1
    return found


def check_numbers(m):
    numbers, top = m.to_dict(), tops(m)
    assert set(numbers) | set(m.absent) >= set(SCALARS)
    assert not set(numbers) & set(m.absent)
    for name, value in numbers.items():
        low, high = SCALARS[name].bounds
        assert math.isfinite(value), name
        assert low <= value <= high, name
        assert value <= top.get(name, math.inf) * (1 + ROUNDING), name
    for kind in ("", "_centered"):
        if f"stable_rank{kind}" in numbers:
            names = ("stable_rank", "participation_ratio", "effective_dimension")
            stable, ratio, dimension = (numbers[f"{name}{kind}"] for name in names)
            # The spectrum drops what is rounding, sums of squares do not.
            assert stable <= ratio * (1 + 1e-6)
            assert ratio <= dimension * (1 + 1e-6)


def check_intervals(m):
    for name in m.to_dict():
        for level in (0.5, 0.95):
            try:
                found, (low, high) = m.estimate(name), m.interval(name, level)
            except PhiscopeError:
                continue
            floor, ceiling = SCALARS[name].bounds
            assert floor <= low <= high <= ceiling, name
            # No certainty by clipping, but of a dimension that can only be 1.
            certain = found.error < 1e-12 * (1 + abs(low)) or most_of(name, m.n_samples, m.n_features) == 1
            assert low < high or certain, name


def check_curves(m):
    assert len(m.centered.eigenvalues) <= min(m.n_samples - 1, m.n_features)
    for centered in (True, False):
        spectrum = m.spectrum(centered=centered)
        for name in (*CURVES, "eigenvalues"):
            curve, ceiling = getattr(spectrum, name), 1.0 if name in CURVES else math.inf
            assert curve is None or ((curve >= 0) & (curve <= ceiling)).all(), name
            with suppress(PhiscopeError):
                low, high = m.curve_interval(name, centered=centered)
                assert ((low >= 0) & (low <= high) & (high <= ceiling)).all(), name


def check_calls(m):
    calls = (m.quality_excess, m.held_out_quality, lambda: m.readout_curve([0.0, 1.0, 1e9]))
    for call in (*calls, lambda: m.discriminant_information(0.1)):
        with suppress(PhiscopeError):
            assert np.isfinite(call()).all()
    assert str(m)
    assert m.evidence is not None


def check(seed):
    """Whether the call was measured; it may be refused, in one sentence."""
    features, given = drawn_call(seed)
    m = None
    with suppress(PhiscopeError):
        m = phiscope.diagonalize(features, **given)
    if m is None:
        return False
    for part in (check_numbers, check_intervals, check_curves, check_calls):
        part(m)
    return True


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_calls_drawn_at_random(start):
    assert sum(map(check, range(start, start + 20))) >= 12


# What these draws met before it was mended: ranges, bands upside down, one class, outliers, offsets, many classes.
MET = (2, 3, 16, 17, 31, 44, 59, 66, 88, 145, 199, 237, 248)


@pytest.mark.parametrize("seed", MET)
def test_calls_that_went_wrong_once(seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 20_000, 200))
def test_twenty_thousand_calls_drawn_at_random(start):
    measured = sum(map(check, range(start, start + 200)))
    # The control: most calls are measured, not refused.
    assert measured > 120


def test_the_checks_see_what_they_look_for(monkeypatch):
    """The control: an interval upside down, a number out of its range, and one that is absent as well."""
    m = phiscope.diagonalize(np.random.default_rng(0).normal(size=(60, 4)), targets=np.arange(60) % 3)
    check_numbers(m)
    check_intervals(m)
    with monkeypatch.context() as patch:
        patch.setattr(phiscope.Measurement, "interval", lambda self, name, level: (1.0, 0.0))
        with pytest.raises(AssertionError):
            check_intervals(m)
    for numbers, absent in (({"nc1": -1.0}, {}), ({"nc1": math.nan}, {}), ({"nc1": 1.0}, {"nc1": "no reason"})):
        wrong = phiscope.Measurement(**known(m), numbers={**m.numbers, **numbers}, absent={**m.absent, **absent})
        with pytest.raises(AssertionError):
            check_numbers(wrong)


def known(m):
    """What a measurement needs besides numbers."""
    names = ("raw", "centered", "feature_mean", "n_samples", "n_features", "class_weights", "n_classes")
    return {name: getattr(m, name) for name in names}
