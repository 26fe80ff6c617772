"""Noisy gradient descent samples the posterior: against networks weighed by their evidence."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.metrics.width import centered_alignment
from phiscope.studies.posterior import posterior_kernels
from phiscope.studies.width import two_digits
from phiscope.theory import map_kernels, nngp
from phiscope.theory.setting import setting_of

X = np.random.default_rng(0).normal(size=(4, 3))
Y = np.array([[1.0], [-1.0], [-1.0], [1.0]])
SETTING = setting_of(X, 1, "erf", 1.5, 0.0)
FOLDER = Path(__file__).parents[2] / "benchmarks"
WALK = {"width": 6, "noise": 0.3, "rate": 0.01, "walkers": 32}


@pytest.fixture
def walked_kernels(monkeypatch):
    """The benchmark's own walk."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("theory_parts.langevin").walked_kernels


def test_it_agrees_with_networks_weighed(walked_kernels):
    walked = walked_kernels(SETTING, X, Y, steps=2500, settle=300, **WALK)
    weighed = posterior_kernels(SETTING, Y, width=6, noise=0.3, draws=40_000, seed=0).kernels[1]
    error = np.linalg.norm(walked.by_walker.std(axis=0, ddof=1)) / np.sqrt(32)
    gap = np.linalg.norm(walked.kernels[1] - weighed)
    assert gap < 3 * error
    # The prior is further away than that: the walk has felt the targets.
    assert np.linalg.norm(nngp(X, 1).kernels[1] - weighed) > 3 * error


def test_the_same_seed_walks_the_same_way(walked_kernels):
    one, again, other = (walked_kernels(SETTING, X, Y, steps=30, settle=0, seed=seed, **WALK) for seed in (0, 0, 1))
    assert (one.kernels[1] == again.kernels[1]).all()
    assert (one.kernels[1] != other.kernels[1]).any()


def test_bad_settings_are_one_sentence(walked_kernels):
    with pytest.raises(InputError, match="30 of 30 steps to settle"):
        walked_kernels(SETTING, X, Y, steps=30, settle=30, **WALK)
    with pytest.raises(InputError, match="expected no biases"):
        walked_kernels(setting_of(X, 1, "erf", 1.5, 0.1), X, Y, steps=30, settle=0, **WALK)
    with pytest.raises(InputError, match="the walk ran away at rate=5"):
        walked_kernels(setting_of(X, 1, "identity", 1.5, 0.0), X, Y, steps=90, settle=0, **{**WALK, "rate": 5})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_digits_against_noisy_gradient_descent(walked_kernels):
    x, y = two_digits(64)
    setting = setting_of(x, 2, "erf", 1.0, 0.0)
    walked = walked_kernels(setting, x, y[:, None], width=50, noise=0.1, steps=8000, settle=2000, rate=0.002, walkers=8)
    goal = np.outer(y, y)
    found = centered_alignment(map_kernels(x, y, 50, 2, "erf", 1.0).kernels[2], goal)
    wide = centered_alignment(nngp(x, 2, "erf", 1.0).kernels[2], goal)
    each = [centered_alignment(kernel, goal) for kernel in walked.by_walker]
    error = np.std(each, ddof=1) / np.sqrt(len(each))
    assert found > wide + 5 * error
    # The walk's finite step has a bias of its own, here about a thousandth.
    assert abs(found - centered_alignment(walked.kernels[2], goal)) < 3 * error + 0.001
