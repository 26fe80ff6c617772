"""Noisy gradient descent samples the posterior: against networks weighed by their evidence."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.studies.langevin import walked_kernels
from phiscope.studies.posterior import posterior_kernels
from phiscope.theory import nngp
from phiscope.theory.setting import setting_of

X = np.random.default_rng(0).normal(size=(4, 3))
Y = np.array([[1.0], [-1.0], [-1.0], [1.0]])
SETTING = setting_of(X, 1, "erf", 1.5, 0.0)
WALK = {"width": 6, "noise": 0.3, "rate": 0.01, "walkers": 32}


def test_it_agrees_with_networks_weighed():
    walked = walked_kernels(SETTING, X, Y, steps=2500, settle=300, **WALK)
    weighed = posterior_kernels(SETTING, Y, width=6, noise=0.3, draws=40_000, seed=0).kernels[1]
    error = np.linalg.norm(walked.by_walker.std(axis=0, ddof=1)) / np.sqrt(32)
    gap = np.linalg.norm(walked.kernels[1] - weighed)
    assert gap < 3 * error
    # The prior is further away than that: the walk has felt the targets.
    assert np.linalg.norm(nngp(X, 1).kernels[1] - weighed) > 3 * error


def test_the_same_seed_walks_the_same_way():
    one, again, other = (walked_kernels(SETTING, X, Y, steps=30, settle=0, seed=seed, **WALK) for seed in (0, 0, 1))
    assert (one.kernels[1] == again.kernels[1]).all()
    assert (one.kernels[1] != other.kernels[1]).any()


def test_bad_settings_are_one_sentence():
    with pytest.raises(InputError, match="30 of 30 steps to settle"):
        walked_kernels(SETTING, X, Y, steps=30, settle=30, **WALK)
    with pytest.raises(InputError, match="expected no biases"):
        walked_kernels(setting_of(X, 1, "erf", 1.5, 0.1), X, Y, steps=30, settle=0, **WALK)
    with pytest.raises(InputError, match="the walk ran away at rate=5"):
        walked_kernels(setting_of(X, 1, "identity", 1.5, 0.0), X, Y, steps=90, settle=0, **{**WALK, "rate": 5})
