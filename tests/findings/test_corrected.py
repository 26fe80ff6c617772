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


RNG = np.random.default_rng(3)
POINTS = RNG.normal(size=(60, 50))
NARROW = np.exp(-((POINTS[:, None] - POINTS[None]) ** 2).sum(-1))
RATIOS = ("participation_ratio", "participation_ratio_centered")


@pytest.mark.parametrize(
    "measured",
    [
        lambda: phiscope.diagonalize_kernel(np.eye(40)),
        lambda: phiscope.diagonalize(np.eye(8)),
        lambda: phiscope.diagonalize(1e-6 * np.eye(64)),
        lambda: phiscope.diagonalize(np.linalg.qr(RNG.normal(size=(50, 50)))[0].astype(np.float32)),
        lambda: phiscope.diagonalize_kernel(NARROW),
        lambda: phiscope.diagonalize(RNG.normal(size=(60, 3000))),
    ],
    ids=["kernel", "features", "small", "single precision", "narrow kernel", "two shards"],
)
def test_samples_orthogonal_to_each_other_leave_nothing_to_correct(measured):
    """Nothing but rounding, or what the correction itself is off by, would be divided by: 4e14 dimensions of 40."""
    m = measured()
    for name in RATIOS:
        assert name in m.to_dict()
        assert "too few samples" in m.absent[f"{name}_corrected"]
        # No interval of nothing: it was 40 to 40.
        with pytest.raises(phiscope.errors.MissingNumberError):
            m.interval(name)
    assert not [text for text in m.warnings if "corrected for n" in text]


def test_no_ratio_over_a_norm_that_may_be_nothing():
    """D_LR divides by the norm of S, the alignment by that and by the norm of the targets."""
    head = np.eye(3, 64), None
    m = phiscope.diagonalize(np.eye(64), head=head, targets=np.arange(64) % 2)
    for name in ("dynamical_low_rank", "dynamical_low_rank_centered", "target_alignment"):
        assert "too few samples" in m.absent[f"{name}_corrected"], name
    # The used variance divides by a trace, which is known.
    assert "used_variance_corrected" in m.to_dict()
    # As many classes as samples: the targets themselves are orthogonal to each other.
    every = phiscope.diagonalize(np.random.default_rng(4).normal(size=(60, 5)), targets=np.arange(60))
    assert "targets" in every.absent["target_alignment_corrected"]
    assert {f"{name}_corrected" for name in RATIOS} <= set(every.to_dict())


def test_few_samples_of_many_features_are_still_corrected():
    """Seven times as many features as samples: the control that the bound refuses no more than it has to."""
    m = phiscope.diagonalize(np.random.default_rng(5).normal(size=(60, 400)))
    for name in RATIOS:
        assert m[name] < 60
        assert abs(m[f"{name}_corrected"] - 400) < 100
