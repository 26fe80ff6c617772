"""Corrected numbers are those of the population, where the plain ones are off by a multiple of p / n."""

import numpy as np
import pytest

import phiscope

N, P, R, DRAWS = 120, 30, 4, 60


@pytest.fixture(scope="module")
def draws():
    """Measurements of small samples of isotropic features, of which a head reads R."""
    rng = np.random.default_rng(0)
    head = np.eye(P)[:R], None
    return [
        phiscope.diagonalize(rng.normal(size=(N, P)), head=head, targets=rng.integers(0, 3, N)) for _ in range(DRAWS)
    ]


POPULATION = {
    "participation_ratio": P,
    "participation_ratio_centered": P,
    "dynamical_low_rank": 1 - (R / P) ** 0.5,
    # Targets are classes, so the centered readings take the outputs as differences: R - 1 of them.
    "dynamical_low_rank_centered": 1 - ((R - 1) / P) ** 0.5,
    "used_variance": (R - 1) / P,
}


@pytest.mark.parametrize("name", POPULATION)
def test_the_mean_over_samples_is_the_number_of_the_population(draws, name):
    corrected = np.array([m[f"{name}_corrected"] for m in draws])
    error = corrected.std() / np.sqrt(DRAWS)
    assert abs(corrected.mean() - POPULATION[name]) < 4 * error
    if name != "used_variance":
        # Control: the plain number is far off; the used variance is a ratio of two traces, which are not biased.
        plain = np.array([m[name] for m in draws])
        assert abs(plain.mean() - POPULATION[name]) > 8 * plain.std() / np.sqrt(DRAWS)


def test_labels_that_say_nothing_have_no_alignment_left(draws):
    """What chance gives is subtracted: the plain alignment is positive in every sample."""
    assert min(m["target_alignment"] for m in draws) > 0.02
    corrected = np.array([m.estimate("target_alignment").value for m in draws])
    assert abs(corrected.mean()) < 4 * corrected.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", ["participation_ratio_centered", "dynamical_low_rank"])
def test_intervals_hold_the_population(draws, name):
    held = [low <= POPULATION[name] <= high for low, high in (m.interval(name) for m in draws)]
    # 60 draws at 0.95: a standard error of 0.03.
    assert np.mean(held) > 0.85
    # Not clipped: isotropic features have the most dimensions that there are, which every clipped interval may touch.
    short = [low <= POPULATION[name] <= high for low, high in (m.estimate(name).interval(0.3) for m in draws)]
    assert np.mean(short) < 0.6


def test_few_shards_say_why_nothing_is_corrected():
    m = phiscope.diagonalize(np.random.default_rng(1).normal(size=(40, 3)), intervals=False)
    (why,) = {m.absent[f"{name}_corrected"] for name in ("participation_ratio", "participation_ratio_centered")}
    assert "shards of samples" in why
