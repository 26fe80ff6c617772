"""Verdicts on made-up outcomes."""

import numpy as np

from made_outcomes import HIGH, LOW, SEEDS, A, family_of, results_of
from phiscope.reproduction.claims import (
    CLEAR_SPREADS,
    STILL,
    Claim,
    ends_in,
    is_clearly_less,
    is_less,
    moves,
    spread_text,
    stays,
)
from phiscope.reproduction.family import Results
from phiscope.reproduction.outcome import Outcome, Point


def test_a_contrast_is_judged_by_order_clearness_and_size():
    assert is_less("d", "a", "b")(results_of(LOW, HIGH)).verdict == "reproduced"
    assert is_less("d", "a", "b")(results_of(HIGH, LOW)).verdict == "not reproduced"
    # One seed the other way round, or two spreads not reached: the direction only.
    assert is_less("d", "a", "b")(results_of((0.1, 0.2, 0.6), HIGH)).verdict == "direction only"
    assert is_less("d", "a", "b")(results_of((0.1, 0.2, 0.3), (0.31, 0.32, 0.33))).verdict == "direction only"


def test_the_size_is_half_the_papers_on_a_logarithmic_scale():
    factor = 0.52 / 0.11
    for paper, verdict in (((1.0, factor**1.99), "reproduced"), ((1.0, factor**2.01), "direction only")):
        assert is_less("d", "a", "b", paper=paper)(results_of(LOW, HIGH)).verdict == verdict


def test_clearly_less_counts_spreads():
    small, spread = np.array([1.0, 2.0, 3.0]), 1.0
    assert is_clearly_less(small, small + (CLEAR_SPREADS + 0.01) * spread)
    assert not is_clearly_less(small, small + (CLEAR_SPREADS - 0.01) * spread)
    assert not is_clearly_less(small, np.array([10.0, 10.0, 2.9]))


def test_a_bound_has_to_hold_in_every_seed():
    assert stays("d", "a", at_most=0.12)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert stays("d", "a", at_most=0.11)(results_of(LOW, HIGH)).verdict == "direction only"
    assert stays("d", "a", at_most=0.10)(results_of(LOW, HIGH)).verdict == "not reproduced"
    assert stays("d", "a", at_least=0.10, at_most=0.2)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert stays("d", "a", at_least=0.13)(results_of(LOW, HIGH)).verdict == "not reproduced"


def test_moving_and_standing_still():
    assert moves("d", "a", "b", up=True)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert moves("d", "a", "b", up=False)(results_of(LOW, HIGH)).verdict == "not reproduced"
    assert moves("d", "a", "b", up=None)(results_of(LOW, HIGH)).verdict == "not reproduced"
    near = tuple(value + STILL - 1e-9 for value in LOW)
    assert moves("d", "a", "b", up=None)(results_of(LOW, near)).verdict == "reproduced"
    noisy = (0.1, 0.2, 0.3)
    assert moves("d", "a", "b", up=None)(results_of(LOW, noisy)).verdict == "direction only"
    # A norm is judged by its share: 101 is 1 % more than 100.
    norms = (100.0, 100.1, 99.9)
    assert moves("d", "a", "b", up=None)(results_of(norms, [value + 1 for value in norms])).verdict == "reproduced"
    far = moves("d", "a", "b", up=None)(results_of(norms, [value + 5 for value in norms]))
    assert (far.verdict, far.why) == ("not reproduced", "it moves clearly, by +5%")


def _regimes(setup, by_step):
    points = tuple(Point(step=s, epoch=s / 10, scalars={}, regimes={"train": r}) for s, r in by_step.items())
    return Outcome(
        setup=setup, status="finished", why="", points=points, source="", seconds=1.0, device="cpu", versions={}
    )  # fmt: skip


def test_a_regime_is_read_at_the_end_or_by_an_epoch():
    history = {0: "minimal", 10: "extended", 30: "minimal", 90: "intermediate"}
    outcomes = {A.with_seed(s).key: _regimes(A.with_seed(s), history) for s in SEEDS}
    results = Results(family_of(), outcomes, scale="small", seeds=SEEDS)
    assert ends_in("intermediate", "a")(results).verdict == "reproduced"
    assert ends_in("minimal", "a")(results).verdict == "not reproduced"
    assert ends_in("minimal", "a", by_epoch=3)(results).verdict == "reproduced"
    assert "epoch 3" in ends_in("minimal", "a", by_epoch=3)(results).ours
    # What an untrained network happens to be does not count.
    assert ends_in("minimal", "a", by_epoch=2)(results).verdict == "not reproduced"


def test_a_number_that_is_missing_compares_nothing():
    for judged in (is_less("x", "a", "b"), stays("x", "a", at_most=9), moves("x", "a", "b", up=None)):
        assert judged(results_of(LOW, HIGH)).verdict == "premise not met"


def test_claims_never_disappear_and_say_what_diverged():
    claim = Claim(sentence="s", paper="p", labels=("a", "b"), judge=is_less("d", "a", "b"))
    found = claim.judged(results_of(LOW, HIGH, missing=2))
    assert (found.verdict, found.ours) == ("not run", "–")
    assert "b" in found.why
    found = claim.judged(results_of(LOW, HIGH, diverged=2))
    assert found.verdict == "not reproduced"
    assert "2 of 3 seeds of b diverged" in found.why
    everything = Claim(sentence="s", paper="p", labels=(), judge=is_less("d", "a", "b"))
    assert everything.judged(results_of(LOW, HIGH, missing=1)).verdict == "not run"


def test_a_claim_about_a_number_that_older_trainings_lack_is_not_run():
    claim = Claim(sentence="s", paper="p", labels=("a", "b"), judge=is_less("d", "a", "b"), numbers=(("d", "train"),))
    assert claim.judged(results_of(LOW, HIGH)).verdict == "reproduced"
    found = claim.judged(results_of(LOW, HIGH, number="other"))
    assert (found.verdict, found.ours) == ("not run", "–")
    assert "--renew" in found.why


def test_a_spread_has_the_digits_it_deserves():
    assert spread_text(np.array([0.0147, 0.0190, 0.0104])) == "0.0147 ± 0.0043"
    assert spread_text(np.array([100.0, 200.0, 300.0])) == "200 ± 100"
    assert spread_text(np.array([1.0, 1.0])) == "1"
    assert spread_text(np.array([0.5, np.nan, 0.6])) == "0.550 ± 0.071"
    assert spread_text(np.array([np.nan])) == "–"
