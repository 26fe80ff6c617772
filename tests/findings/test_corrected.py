"""Corrected numbers are those of the population, where the plain ones are off by a multiple of p / n."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.findings import outputs
from phiscope.findings.corrected import pieces_of
from phiscope.moments.array_table import ArrayTable
from phiscope.spectrum import output_coordinates

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
    if m.resampling is not None:
        for centered in (False, True):
            with pytest.raises(phiscope.errors.MissingNumberError):
                m.curve_interval("eigenvalues", centered=centered)
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


@pytest.mark.parametrize("goal", [np.arange(64) % 2, RNG.normal(size=(64, 2))], ids=["classes", "values"])
def test_what_divides_by_such_a_norm_without_a_twin_has_no_interval_either(goal):
    """The whitened alignment of 64 orthogonal samples was 0.0627 to 0.0628 although nothing is known of it."""
    m = phiscope.diagonalize(np.eye(64), head=(np.eye(3, 64), None), targets=goal)
    for name in ("target_alignment_whitened", "collapse_distance", "dynamical_low_rank_random_head"):
        assert name in m.to_dict()
        with pytest.raises(phiscope.errors.MissingNumberError, match="too few samples"):
            m.interval(name)


def test_few_samples_a_dimension_leave_no_interval_of_what_is_corrected_as_a_whole():
    """With one sample a dimension, 83 % of intervals held the alignment of isotropic features with labels, 0."""
    x, y = RNG.normal(size=(150, 60)), RNG.integers(0, 3, 150)
    for name in ("target_alignment_whitened", "collapse_distance"):
        with pytest.raises(phiscope.errors.MissingNumberError, match=r"far too large; 1\d\d samples would do"):
            phiscope.diagonalize(x[:60], targets=y[:60]).interval(name)
        low, high = phiscope.diagonalize(x, targets=y).interval(name)
        assert low < high


@pytest.mark.parametrize(("shards", "parts"), [(20, "4.21/n"), (2, "8/n")])
def test_the_share_that_is_said_is_the_one_that_is_asked_for(shards, parts):
    """Leaving out one of G shards keeps tr(S)^2 / n^2 G / (G - 1) of orthogonal samples, to the last digit."""
    n = 40
    x = np.eye(n)
    m = phiscope.diagonalize(x, intervals=True) if shards == 20 else phiscope.diagonalize(np.eye(n, 3000))
    assert parts in m.absent["participation_ratio_centered_corrected"]
    pieces = [pieces_of(part.moments, part.moments.covariance("features"), None) for part in map(gathered, [x, x[2:]])]
    left = 20 * pieces[0].square - 19 * pieces[1].square
    assert left == pytest.approx(20 / 19 / n**2)


def gathered(rows):
    return ArrayTable({"features": rows}).gather(num_classes=None, n_shards=1, precision="exact")


@pytest.mark.parametrize("n_outputs", [57, 70])
def test_outputs_as_many_as_samples_hold_any_features(n_outputs):
    """U of outputs that have nothing to do with the features was 1, D_LR .29, and their intervals missed 0 and 1."""
    m = phiscope.diagonalize(RNG.normal(size=(60, 30)), outputs=RNG.normal(size=(60, n_outputs)))
    for name in ("used_variance", "dynamical_low_rank", "dynamical_low_rank_centered"):
        assert "too few samples for these outputs" in m.absent[f"{name}_corrected"]
        with pytest.raises(phiscope.errors.MissingNumberError):
            m.interval(name)
    assert "participation_ratio_corrected" in m.to_dict()
    fewer = phiscope.diagonalize(RNG.normal(size=(60, 30)), outputs=RNG.normal(size=(60, 40)))
    assert fewer["used_variance_corrected"] < 0.2 < fewer["used_variance"]


def test_a_shift_that_all_outputs_share_has_a_corrected_literal_reading():
    x, y = RNG.normal(size=(200, 6)), RNG.integers(0, 3, 200)
    m = phiscope.diagonalize(x, head=(np.ones((3, 1)) * RNG.normal(size=6), None), targets=y)
    assert "dynamical_low_rank" in m.to_dict()
    assert "dynamical_low_rank_corrected" in m.to_dict()
    assert "differ from one another by constants" in m.absent["dynamical_low_rank_centered_corrected"]


@settings(max_examples=60, deadline=None)
@given(n=st.integers(4, 90), p=st.integers(1, 40), seed=st.integers(0, 10**6), decay=st.sampled_from([0.0, 1.0, 3.0]))
def test_a_corrected_number_lies_in_its_interval_or_is_said_to_lie_beyond_p(n, p, seed, decay):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) / np.arange(1, p + 1) ** decay
    m = phiscope.diagonalize(x, head=(rng.normal(size=(3, p)), None), targets=rng.integers(0, 3, n))
    for name in m.estimates:
        value, (low, high) = m[f"{name}_corrected"], m.interval(name)
        if low <= value <= high:
            continue
        assert high == p < value
        assert any(f"{name}: " in text and f"by chance above p = {p}" in text for text in m.warnings)


def test_each_head_is_reduced_and_compared_once(monkeypatch):
    """Neither for each shard: twenty triangles of a vocabulary, and twenty warnings that nobody reads."""

    def counted(module, name):
        calls, made = [], getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.append(name) or made(*given))
        return calls

    reduced, compared = counted(output_coordinates, "_triangle"), counted(outputs, "frobenius_norm")
    x, wide = RNG.normal(size=(300, 5)), RNG.normal(size=(40, 5))
    m = phiscope.diagonalize(x, head=(wide, None), targets=RNG.integers(0, 40, 300))
    m.interval("used_variance"), m.interval("readout_r2")
    assert len(reduced) == 1
    m = phiscope.diagonalize(x, outputs=x @ wide.T, head=(wide, None))
    m.to_dict(), m.interval("effective_dimension")
    assert len(compared) == 2
