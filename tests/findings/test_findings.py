"""Warnings of samples: they name numbers that the record has, and no others."""

import numpy as np
import pytest

import phiscope

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(60, 2200))
NARROW = RNG.normal(size=(60, 20))
HEAD = (RNG.normal(size=(3, 20)), None)
CLASSES, VALUES = np.arange(60) % 3, RNG.normal(size=(60, 2))

CASES = {
    "classes": {"features": NARROW, "head": HEAD, "targets": CLASSES},
    "values": {"features": NARROW, "head": HEAD, "targets": VALUES},
    "no outputs": {"features": NARROW, "targets": CLASSES},
    "no targets": {"features": NARROW, "head": HEAD},
    "features alone": {"features": NARROW},
    "one class": {"features": NARROW, "head": HEAD, "targets": np.zeros(60, int)},
    "constant outputs": {"features": NARROW, "outputs": np.ones((60, 3)), "targets": CLASSES},
    "n < p": {"features": NARROW[:15], "head": HEAD, "targets": CLASSES[:15]},
    "n < p, values": {"features": NARROW[:15], "head": HEAD, "targets": VALUES[:15]},
    "n < p, no targets": {"features": NARROW[:15], "head": HEAD},
    "n < p, features alone": {"features": NARROW[:15]},
    "leading ones": {"features": WIDE, "targets": CLASSES, "k": 5},
    "leading ones, values": {"features": WIDE, "targets": VALUES, "k": 5},
    "leading ones, outputs": {"features": WIDE, "outputs": VALUES, "k": 5},
    "leading ones, features alone": {"features": WIDE, "k": 5},
}


@pytest.mark.parametrize("case", CASES)
def test_a_warning_of_samples_names_no_number_that_the_record_lacks(case):
    m = phiscope.diagonalize(**CASES[case])
    (said,) = [text for text in m.warnings if " features" in text and "samples for" in text]
    for name in ("readout_r2", "nc1_bounded"):
        assert (name in said) <= (name in m.numbers)
    assert ("D_LR" in said) == ("dynamical_low_rank_centered" in m.numbers)
    assert ("R²" in said) <= ("readout_r2" in m.numbers)
    assert ("cumulative quality" in said) <= (m.raw.cumulative_quality is not None)
    # Every record of features that vary has a participation ratio.
    assert "the dimensions are biased low" in said


def test_all_that_can_be_fitted_is_named_where_it_is_there():
    m = phiscope.diagonalize(**CASES["n < p"])
    (said,) = [text for text in m.warnings if "can be fitted exactly" in text]
    assert "so cumulative quality, readout_r2 and nc1_bounded say nothing; D_LR is biased" in said
    m = phiscope.diagonalize(**CASES["leading ones"])
    (said,) = [text for text in m.warnings if "can be fitted exactly" in text]
    assert "are independent, so cumulative quality says nothing; the dimensions are biased low" in said
