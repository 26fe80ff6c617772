"""D_LR of random heads: the mean over heads of our own, and an error that is the true one."""

import numpy as np
import pytest

import phiscope
import twins
from cases import CASES
from phiscope.metrics import random_head


def test_random_head_reference():
    """The mean over Gaussian heads, with heads of our own."""
    s = twins.sample(**CASES["n > p"])
    g = np.random.default_rng(0)
    values = []
    for _ in range(200):
        # Four logits are three differences.
        W = g.normal(size=(3, 7))
        values.append(twins.dynamical_low_rank_centered(twins.sample(s.features, head=(W, None), rank_tolerance=1e-12)))
    error = np.hypot(np.std(values) / np.sqrt(200), 0.002)
    have = phiscope.diagonalize(**CASES["n > p"])["dynamical_low_rank_random_head"]
    assert have == pytest.approx(np.mean(values), abs=4 * error)
    assert abs(have - phiscope.diagonalize(**CASES["C > p"])["dynamical_low_rank_random_head"]) > 5 * error


@pytest.mark.parametrize("rank", [1, 3, 9, 40])
@pytest.mark.parametrize("decay", [0.0, 1.2, 4.0])
def test_random_heads_one_by_one(rank, decay, monkeypatch):
    """Strong weights drawn more often than weak ones give the plain mean, and the error that is told is the true one.

    Other draws each time: the spread of the results is what the error has to be.
    """
    rho, generators = np.arange(1, 61) ** -decay, iter(range(10**6))
    draw = np.random.default_rng
    plain = []
    for seed in range(400):
        q = np.linalg.qr(np.sqrt(rho)[:, None] * draw(seed).normal(size=(60, rank)))[0]
        plain.append(1 - rho @ (q**2).sum(axis=1) / np.sqrt(rank) / np.linalg.norm(rho))
    monkeypatch.setattr(random_head.np.random, "default_rng", lambda _: draw(1000 + next(generators)))
    found = np.array([random_head.random_head_distance(rho, rank) for _ in range(60)])
    known = np.std(plain) / np.sqrt(400) + found[:, 0].std() / np.sqrt(60)
    assert found[:, 0].mean() == pytest.approx(np.mean(plain), abs=4 * known + 1e-12)
    # Five such standard deviations from 60 results each hold the ratio; no error is told where there is none.
    told, true = np.sqrt((found[:, 1] ** 2).mean()), found[:, 0].std()
    assert (told < 1e-12 and true < 1e-12) or 0.6 < told / true < 1.6


def test_as_many_random_outputs_as_features_see_all_of_them():
    rho = np.array([3.0, 2.0, 1.0])
    expected = 1 - rho.sum() / np.sqrt(3) / np.linalg.norm(rho)
    for rank in (3, 7):
        assert random_head.random_head_distance(rho, rank) == (pytest.approx(expected, abs=1e-14), 0.0)


def test_one_random_output_is_told_with_its_error():
    g = np.random.default_rng(0)
    X = g.normal(size=(200, 12)) * np.arange(1, 13) ** -2.0
    several = phiscope.diagonalize(X, head=(g.normal(size=(6, 12)), None))
    one = phiscope.diagonalize(X, head=(g.normal(size=(1, 12)), None))
    said = "random heads that scatter widely with 1 output; its standard error is 0.0"
    assert any(said in warning for warning in one.warnings)
    assert not any("random heads" in warning for warning in several.warnings)
