"""Intervals are refused where so few samples say too little, with how many would do; given where they say enough."""

import re

import numpy as np
import pytest

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.findings.enough import NOISE, _largest_by_chance

OF_MEANS = tuple(NOISE)
OF_MANY_TARGETS = ("target_alignment_whitened", "collapse_distance", "readout_r2")


def classes(n, signal, *, seed=0, p=24, n_classes=4):
    """Classes of equal noise about the same centers whatever the seed of the noise, measured with a head."""
    fixed, labels = np.random.default_rng(0), np.arange(n) % n_classes
    centers, head = signal * fixed.normal(size=(n_classes, p)), fixed.normal(size=(n_classes, p))
    features = centers[labels] + np.random.default_rng(seed).normal(size=(n, p))
    return phiscope.diagonalize(features, head=(head, None), targets=labels)


@pytest.mark.parametrize("name", OF_MEANS)
def test_class_means_that_are_mostly_noise_leave_no_interval(name):
    """Of such samples 68 and 61 % of intervals of NC1 and CDNV held the truth: coverage.py --anyway --signal 0.1."""
    with pytest.raises(MissingNumberError, match="are noise of so few samples") as said:
        classes(480, 0.1).interval(name)
    enough = int(re.search(r"about (\d+) samples would do", str(said.value)).group(1))
    assert 480 < enough < 40_000
    low, high = classes(2 * enough, 0.1).interval(name)
    assert low < high


@pytest.mark.parametrize("name", OF_MEANS)
def test_classes_that_are_the_same_have_none_at_any_n(name):
    """NC1 of such classes is n times something, and intervals of it held nothing."""
    for n in (240, 2400):
        with pytest.raises(MissingNumberError, match=r"may be the same in the population|are noise of so few samples"):
            classes(n, 0.001).interval(name)


def test_classes_that_stand_apart_have_intervals_that_hold_the_truth():
    truth, held = classes(200_000, 1.0), dict.fromkeys(OF_MEANS, 0)
    for seed in range(1, 13):
        sample = classes(480, 1.0, seed=seed)
        for name in OF_MEANS:
            low, high = sample.interval(name)
            held[name] += low <= truth[name] <= high
    assert min(held.values()) >= 9, held


@pytest.mark.parametrize("name", OF_MANY_TARGETS)
@pytest.mark.parametrize("n_targets", [80, 178, 220])
def test_nearly_as_many_targets_as_samples_leave_no_interval(name, n_targets):
    """Such a span holds any feature: each part of the samples gives the same, with an interval of next to no width."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(180, 8))
    few, many = (phiscope.diagonalize(features, targets=rng.normal(size=(180, c))) for c in (2, n_targets))
    assert few.interval(name)[0] < few.interval(name)[1]
    with pytest.raises(MissingNumberError, match=r"targets of rank \d+ are too many for 180 samples"):
        many.interval(name)


def test_nearly_as_many_classes_as_samples_are_such_targets():
    rng = np.random.default_rng(2)
    m = phiscope.diagonalize(rng.normal(size=(100, 5)), targets=np.arange(100) % 50)
    for name in ("within_class_variance", "between_class_variance", "nc1_bounded", "discriminant_information"):
        with pytest.raises(MissingNumberError, match="targets of rank 49 are too many for 100 samples"):
            m.interval(name)


def test_repeated_targets_are_one():
    """Their rank counts, not their number."""
    rng = np.random.default_rng(3)
    target = rng.normal(size=(90, 1))
    m = phiscope.diagonalize(rng.normal(size=(90, 4)), targets=np.repeat(target, 80, axis=1))
    assert m.interval("target_alignment_whitened")[0] < m.interval("target_alignment_whitened")[1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(60), "every class has one sample, so that nothing varies within classes"),
        (np.arange(60) % 3, "the variance between classes is noise of so few samples: NC1 and CDNV"),
    ],
)
def test_numbers_of_chance_come_with_a_warning(labels, said):
    """One sample a class gave NC1 = 0, which looks like collapse, and nobody was told."""
    m = phiscope.diagonalize(np.random.default_rng(4).normal(size=(60, 6)), targets=labels)
    assert any(said in warning for warning in m.warnings)
    apart = np.random.default_rng(4).normal(size=(60, 6)) + 9 * np.eye(6)[np.arange(60) % 3]
    assert not any("class" in warning for warning in phiscope.diagonalize(apart, targets=np.arange(60) % 3).warnings)


def test_classes_on_a_line_leave_nc1_to_chance():
    """Three classes on a line have one direction; in the second one NC1 divides by noise, which grows with n."""
    rng, labels = np.random.default_rng(5), np.arange(600) % 3
    x = rng.normal(size=(600, 6))
    line, plane = (phiscope.diagonalize(x + 3 * np.eye(6)[:3][labels] @ turn, targets=labels) for turn in TURNS)
    assert any("NC1 rests by" in warning for warning in line.warnings)
    assert not any("NC1" in warning for warning in plane.warnings)
    assert line["nc1"] > 20 * plane["nc1"]
    assert line["nc1_bounded"] < 2 * plane["nc1_bounded"] + 0.5


def test_one_class_of_one_sample_is_no_word_on_all_directions():
    """It made the share unknown, which was told as 100 %."""
    x = np.random.default_rng(6).normal(size=(200, 5))
    labels = np.r_[2, np.arange(199) % 2]
    assert not any(
        "NC1" in warning for warning in phiscope.diagonalize(x + 9 * np.eye(5)[labels], targets=labels).warnings
    )


TURNS = (np.outer([0, 1, 2, 0, 0, 0], np.eye(6)[0]), np.eye(6))
"""Of the first three unit vectors: onto a line, and themselves."""


def sample_of(spectrum, n, seed):
    return np.random.default_rng(seed).normal(size=(n, len(spectrum))) * np.sqrt(spectrum)


@pytest.mark.parametrize("spectrum", [np.ones(24), np.repeat([1.0, 0.1], 12)], ids=["all equal", "half equal"])
@pytest.mark.parametrize("n", [120, 480])
def test_one_of_equal_eigenvalues_that_chance_set_apart_leaves_no_interval(spectrum, n):
    """Where its two largest were apart in a sample the interval was given, and held the truth hardly ever."""
    for seed in range(40):
        with pytest.raises(
            MissingNumberError, match=r"two largest eigenvalues|chance sets one of \d+ equal ones apart"
        ):
            phiscope.diagonalize(sample_of(spectrum, n, seed)).interval("stable_rank_centered")


def test_one_eigenvalue_that_stands_apart_has_an_interval_that_holds_the_truth():
    """The control: so far from its neighbors chance sets nothing."""
    spectrum = np.r_[4.0, np.ones(23)]
    held = 0
    for seed in range(20):
        low, high = phiscope.diagonalize(sample_of(spectrum, 480, seed)).interval("stable_rank_centered")
        held += low <= spectrum.sum() / 4 <= high
    assert held >= 17


def test_how_many_samples_would_set_it_apart_is_enough():
    """Samples of exactly this spectrum: more of them are refused until there are as many as the first were told."""
    spectrum = np.r_[1.35, np.ones(23)]

    def exact(n):
        rows = np.random.default_rng(0).normal(size=(n, 24))
        return phiscope.diagonalize(np.linalg.qr(rows - rows.mean(0))[0] * np.sqrt(n * spectrum))

    with pytest.raises(MissingNumberError, match=r"one of \d+ equal ones apart") as said:
        exact(240).interval("stable_rank_centered")
    enough = int(re.search(r"about (\d+) samples", str(said.value)).group(1))
    with pytest.raises(MissingNumberError):
        exact(int(0.85 * enough)).interval("stable_rank_centered")
    low, high = exact(enough).interval("stable_rank_centered")
    assert low < high


def test_chance_sets_apart_what_simulation_says():
    """Naive twin: of one sample in a hundred the largest of c equal eigenvalues is larger."""
    for count, n in ((3, 100), (24, 120), (24, 2000)):
        most = _largest_by_chance(np.array([count]), n)[0]
        drawn = [np.linalg.eigvalsh(np.cov(sample_of(np.ones(count), n, seed).T))[-1] for seed in range(600)]
        assert 0.975 <= np.mean(np.array(drawn) <= most) <= 0.999
