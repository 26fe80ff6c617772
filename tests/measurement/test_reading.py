"""Curves and intervals read off a measurement, against brute force on the samples."""

import copy
import pickle
import re

import numpy as np
import pytest

import phiscope
from phiscope.errors import InputError, MissingNumberError
from phiscope.metrics.random_head import random_head_distance


def sample(n=800, p=10, classes=4, seed=0, offset=3.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centers = np.random.default_rng(7).normal(size=(classes, p)) * 1.5
    features = centers[labels] + rng.normal(size=(n, p)) * np.linspace(0.3, 1.5, p) + offset
    return features, labels, (np.random.default_rng(8).normal(size=(classes, p)), np.zeros(classes))


def measured(**settings):
    features, labels, head = sample(**settings)
    return phiscope.diagonalize(features, head=head, targets=labels)


@pytest.mark.parametrize("centered", [True, False])
def test_readout_curve_is_gradient_descent_on_the_head(centered):
    features, labels, _ = sample(offset=0.3)
    goal = np.eye(4)[labels]
    phi, y = (features - features.mean(0), goal - goal.mean(0)) if centered else (features, goal)
    step, steps = 1e-3, 400
    weight = np.zeros((4, phi.shape[1]))
    losses = []
    for _ in range(steps + 1):
        residual = phi @ weight.T - y
        losses.append((residual**2).sum(1).mean())
        weight -= step * residual.T @ phi / len(phi)
    times = step * np.arange(steps + 1)
    # Gradient descent with step h follows the flow to order h times the largest eigenvalue.
    np.testing.assert_allclose(measured(offset=0.3).readout_curve(times, centered=centered), losses, rtol=2e-2)


@pytest.mark.parametrize("bias", ["kept at its best", "trained from zero", "fitted first, then frozen"])
def test_which_bias_the_readout_curve_is_of(bias):
    """Kept at its best it is that of the centered curve, trained like a weight of the raw one of [phi, 1]."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 6)) + 1.0
    labels = features[:, :4].argmax(axis=1)
    goal = np.eye(4)[labels]
    weight, offset = np.zeros((4, 6)), np.zeros(4) if bias.startswith("trained") else goal.mean(0)
    step, steps, losses = 2e-3, 1500, []
    for _ in range(steps):
        residual = features @ weight.T + offset - goal
        weight -= step * residual.T @ features / 60
        if bias.startswith("trained"):
            offset -= step * residual.mean(0)
        if bias.startswith("kept"):
            offset = goal.mean(0) - weight @ features.mean(0)
        losses.append(((features @ weight.T + offset - goal) ** 2).sum(1).mean())
    times = step * np.arange(1, steps + 1)
    ones = np.c_[features, np.ones(60)] if bias.startswith("trained") else features
    curve = phiscope.diagonalize(ones, targets=labels).readout_curve(times, centered=not bias.startswith("trained"))
    apart = np.abs(curve / losses - 1).max()
    # The control: a frozen bias gives neither. Descent follows the flow to order of step times largest eigenvalue.
    assert apart > 0.01 if "frozen" in bias else apart < 0.002


def test_readout_curve_ends_at_the_best_head_and_starts_at_zero_head():
    m = measured()
    curve = m.readout_curve([0.0, 1e12])
    assert curve[0] == pytest.approx(m.target_squares[1], rel=1e-12)
    assert curve[1] == pytest.approx(m.target_squares[1] * (1 - m["readout_r2"]), rel=1e-9)
    with pytest.raises(InputError, match="times"):
        m.readout_curve([-1.0])
    with pytest.raises(MissingNumberError, match="no targets"):
        phiscope.diagonalize(sample()[0]).readout_curve([1.0])


@pytest.mark.parametrize(("ridge", "shrinkage"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (0.2, 0.5)])
def test_discriminant_information_by_inverting(ridge, shrinkage):
    features, labels, _ = sample()
    covariance = np.cov(features.T, bias=True)
    means = np.stack([features[labels == c].mean(0) for c in range(4)]) - features.mean(0)
    between = means.T @ (means * (np.bincount(labels) / len(labels))[:, None])
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 10 * np.eye(10)
    expected = np.trace(np.linalg.solve(shrunk + ridge * np.eye(10), between))
    assert measured().discriminant_information(ridge, shrinkage=shrinkage) == pytest.approx(expected, rel=1e-9)
    same = (ridge + shrinkage * np.trace(covariance) / 10) / (1 - shrinkage)
    assert measured().discriminant_information(same) == pytest.approx(expected * (1 - shrinkage), rel=1e-9)


def test_discriminant_information_refuses_what_it_cannot_read():
    with pytest.raises(InputError, match="ridge"):
        measured().discriminant_information(-1.0)
    with pytest.raises(MissingNumberError):
        phiscope.diagonalize(sample()[0]).discriminant_information(0.1)


def test_tolerance_curve_holds_the_value_at_each_tolerance():
    features, labels, _ = sample()
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(6, 10)) * 10.0 ** -np.arange(6)[:, None]
    m = phiscope.diagonalize(features, head=(weight, None), targets=labels)
    for tolerance, rank, value in m.tolerance_curve:
        again = phiscope.diagonalize(features, head=(weight, None), targets=labels, rank_tolerance=tolerance)
        assert again["output_rank_raw"] == rank
        assert again["dynamical_low_rank"] == pytest.approx(value, abs=1e-9)
    assert len(set(m.tolerance_curve[:, 1])) > 3


@pytest.mark.slow
def test_band_of_a_curve_covers_the_population():
    features, labels, head = sample(n=400_000, seed=99)
    truth = phiscope.diagonalize(features, head=head, targets=labels)
    hits = {"cumulative_quality": [], "cumulative_utilization": []}
    for seed in range(60):
        m = measured(seed=seed + 1)
        for curve, found in hits.items():
            low, high = m.curve_interval(curve)
            at = getattr(truth.centered, curve)
            found.append((low <= at) & (at <= high))
    for found in hits.values():
        coverage = np.mean(found, axis=0)[2:-1]
        # 60 repeats: 0.95 has a standard error of 0.03, and curves hold 7 such points.
        assert coverage.mean() > 0.88
        assert coverage.mean() <= 1.0
    # The control: a level of 0.2 must miss often.
    low, high = measured(seed=3).curve_interval("cumulative_quality", level=0.2)
    wide = measured(seed=3).curve_interval("cumulative_quality", level=0.95)
    assert ((high - low) < (wide[1] - wide[0]) + 1e-15).all()


def test_band_refuses_what_it_cannot_give():
    with pytest.raises(InputError, match="no curve named"):
        measured().curve_interval("eigenvectors")
    with pytest.raises(InputError, match="level"):
        measured().curve_interval("quality", level=1.0)
    with pytest.raises(MissingNumberError):
        phiscope.diagonalize(sample()[0]).curve_interval("quality")


def test_excess_and_held_out_quality_tell_labels_from_noise():
    m = measured()
    assert m.held_out_quality()[-1] > 0.5
    assert m.quality_excess()[-1] > 0.5
    rng = np.random.default_rng(5)
    noise = [
        phiscope.diagonalize(rng.normal(size=(300, 10)), targets=rng.integers(0, 3, 300)).quality_excess()
        for _ in range(40)
    ]
    assert np.abs(np.mean(noise, axis=0)).max() < 0.01
    with pytest.raises(MissingNumberError):
        phiscope.diagonalize(sample()[0]).quality_excess()


def test_curves_survive_the_disk(tmp_path):
    m = measured()
    m.save(tmp_path / "m.safetensors")
    again = phiscope.Measurement.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.readout_curve([0.1, 1.0]), m.readout_curve([0.1, 1.0]))
    np.testing.assert_array_equal(again.tolerance_curve, m.tolerance_curve)
    with pytest.raises(MissingNumberError, match="shards"):
        again.curve_interval("quality")


def test_band_of_isotropic_features_holds_the_flat_spectrum_and_any_order():
    """Sampling spreads equal eigenvalues apart; which function comes first in the population nobody can know."""
    rng = np.random.default_rng(3)
    m = phiscope.diagonalize(rng.normal(size=(640, 32)), head=(rng.normal(size=(4, 32)), None))
    low, high = m.curve_interval("eigenvalues")
    assert (low <= 1).all()
    assert (high >= 1).all()
    low, high = m.curve_interval("cumulative_utilization")
    assert low[:-1].max() == 0
    assert high.min() == pytest.approx(1, abs=1e-9)
    assert low[-1] == pytest.approx(1, abs=1e-9)
    low, high = m.curve_interval("utilization")
    assert low.max() == 0
    assert high.min() == 1
    # The control: 1 lies outside of what the sample's own first and last eigenvalue say.
    assert m.centered.eigenvalues[0] > 1.3
    assert m.centered.eigenvalues[-1] < 0.7


def test_band_stays_narrow_where_eigenvalues_are_told_apart():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(4000, 5)) * 2.0 ** -np.arange(5)
    m = phiscope.diagonalize(features, head=(np.eye(5)[:2] + 0.1, None))
    for curve in ("cumulative_utilization", "utilization", "eigenvalues"):
        low, high = m.curve_interval(curve)
        at = getattr(m.centered, curve)
        assert ((high - low) < 0.25 * np.maximum(at, 0.1)).all()


def test_interval_of_the_held_out_readout_covers_the_population():
    features, labels, _ = sample(n=400_000, seed=99)
    truth = phiscope.diagonalize(features, targets=labels)["readout_r2"]
    hits, plain, better = [], [], []
    for seed in range(60):
        features, labels, _ = sample(n=200, seed=seed + 1)
        m = phiscope.diagonalize(features, targets=labels)
        low, high = m.interval("readout_r2_held_out")
        hits.append(low <= truth <= high)
        plain.append(m["readout_r2_held_out"] - truth)
        better.append(m.estimate("readout_r2_held_out").value - truth)
    # 60 repeats: 0.95 has a standard error of 0.03.
    assert np.mean(hits) > 0.86
    # A head fitted on half of few samples is worse than the best one; the corrected value makes up for it.
    assert np.mean(plain) < -0.01
    assert abs(np.mean(better)) < 0.4 * abs(np.mean(plain))


def test_weights_count_as_fewer_samples_for_what_chance_gives():
    rng = np.random.default_rng(6)
    reached, excess, held_out = [], [], []
    for _ in range(120):
        weights = rng.exponential(size=600)
        m = phiscope.diagonalize(rng.normal(size=(600, 8)), targets=rng.normal(size=600), weights=weights)
        assert m.effective_samples == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-9)
        reached.append(m.centered.cumulative_quality[-1])
        excess.append(m.quality_excess()[-1])
        held_out.append(m.held_out_quality()[-1])
    for values in (excess, held_out):
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    # The control: n itself is far off.
    assert np.mean(reached) - 8 / 599 > 8 * np.std(reached) / np.sqrt(len(reached))


def test_the_effective_number_of_samples_survives_the_disk(tmp_path):
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(50, 3)), weights=rng.random(50))
    m.save(tmp_path / "m.safetensors")
    assert phiscope.Measurement.load(tmp_path / "m.safetensors").effective_samples == m.effective_samples < 50


@pytest.mark.parametrize(("n", "said"), [(20, "= 300 samples would do"), (120, "= 300 would do"), (400, None)])
def test_too_few_samples_are_said_with_how_many_would_do(n, said):
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(n, 30)), targets=rng.integers(0, 3, n), intervals=False)
    told = [text for text in m.warnings if "would do" in text]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]
    if n == 120:
        assert "R² and Pi*(p) = 0.25" in told[0]


def test_how_many_samples_would_do_is_enough():
    """The bias that is warned of is below the threshold with as many samples as the warning asks for."""
    rng = np.random.default_rng(1)

    def bias(n):
        draws = [phiscope.diagonalize(rng.normal(size=(n, 32)), head=(np.eye(32)[:4], None)) for _ in range(20)]
        return np.mean([m["dynamical_low_rank"] - (1 - (4 / 32) ** 0.5) for m in draws]), draws[0].warnings

    before, warnings = bias(160)
    (text,) = (text for text in warnings if "are few for" in text)
    enough = int(re.search(r"D_LR: .*? about (\d+) would do", text)[1])
    assert before < -0.015
    assert 300 < enough < 2000
    assert bias(enough)[0] > -0.015


def test_weights_that_leave_one_sample_have_a_level_of_chance():
    rng = np.random.default_rng(0)
    weights = np.r_[1.0, np.full(39, 1e-29)]
    m = phiscope.diagonalize(rng.normal(size=(40, 2)), targets=rng.normal(size=40), weights=weights)
    assert any("effective samples" in text for text in m.warnings)
    assert np.isfinite(m.quality_excess()).all()
    # Without that sample nothing is left to say how sure the number is.
    with pytest.raises(MissingNumberError, match="hold most of the weight"):
        m.interval("target_alignment")
    with pytest.raises(MissingNumberError, match="hold most of the weight"):
        m.curve_interval("cumulative_quality")


def test_no_interval_of_the_held_out_readout_from_too_few_samples():
    """Near as many samples as features the loss of a fit is nothing like proportional to 1 / n."""
    rng = np.random.default_rng(0)
    few, enough = (phiscope.diagonalize(rng.normal(size=(n, 20)), targets=rng.normal(size=n)) for n in (159, 160))
    with pytest.raises(MissingNumberError, match="160 samples would do"):
        few.interval("readout_r2_held_out")
    low, high = enough.interval("readout_r2_held_out")
    assert low < 0 < high


def test_a_class_of_one_sample_leaves_no_band():
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(400, 8)), targets=np.r_[1, np.zeros(399, dtype=int)])
    with pytest.raises(MissingNumberError, match="leaving out a shard"):
        m.curve_interval("cumulative_quality")
    with pytest.raises(MissingNumberError, match="a class of one sample"):
        m.interval("nc1")


@pytest.mark.parametrize(
    "copied",
    [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy],  # noqa: S301 - of our own making
    ids=["pickle", "deepcopy", "copy"],
)
@pytest.mark.parametrize("read_first", [True, False])
def test_a_measurement_travels_with_everything_it_can_say(copied, read_first):
    m = measured()
    if read_first:
        m.interval("nc1")
        str(m)
    again = copied(m)
    assert again.to_dict() == m.to_dict()
    assert dict(again.absent) == dict(m.absent)
    assert again.warnings == m.warnings
    assert again.evidence == m.evidence
    for name in ("nc1", "dynamical_low_rank", "readout_r2_held_out"):
        assert again.interval(name) == m.interval(name)
    np.testing.assert_array_equal(again.raw.eigenvectors, m.raw.eigenvectors)
    np.testing.assert_array_equal(again.tolerance_curve, m.tolerance_curve)
    assert str(again) == str(m)


@pytest.mark.parametrize("name", ["readout_r2", "discriminant_information", "nc1_bounded", "rankme"])
@pytest.mark.parametrize(("n", "enough"), [(15, 60), (40, 60), (60, None)])
def test_an_interval_that_so_few_samples_cannot_give_says_how_many_would_do(name, n, enough):
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(n, 20)), targets=rng.integers(0, 3, n))
    if enough is None:
        low, high = m.interval(name)
        assert low < high
    else:
        with pytest.raises(MissingNumberError, match=f"; {enough} samples would do"):
            m.interval(name)
    # An effective dimension needs samples for each of its dimensions, here some 10 of 20.
    if n == 15:
        with pytest.raises(MissingNumberError, match=r"falls off faster .*; \d\d samples would do"):
            m.interval("effective_dimension")
    # The control: other numbers have one from as few samples.
    low, high = m.interval("participation_ratio")
    assert low < high


PLAIN = "effective_dimension", "participation_ratio", "stable_rank"
DIMENSIONS = [*PLAIN, *(f"{name}_centered" for name in PLAIN)]


@pytest.mark.parametrize("name", [*DIMENSIONS, "rankme"])
@pytest.mark.parametrize(("n", "p"), [(120, 30), (700, 12), (400, 1)])
def test_an_interval_of_a_dimension_ends_where_its_range_does(name, n, p):
    """Of isotropic features the corrected number is p, give or take its error: half of the intervals would pass p."""
    ends = []
    for seed in range(4):
        m = phiscope.diagonalize(np.random.default_rng(seed).normal(size=(n, p)))
        try:
            ends.append(m.interval(name))
        except MissingNumberError:
            # Two eigenvalues that are too close, or an effective dimension that needs more samples.
            continue
    assert ends or name.startswith(("stable", "effective"))
    for low, high in ends:
        assert 1 <= low <= high <= p
    # The control: without the end of the range some would lie beyond it.
    if name.startswith("participation") and p > 1:
        whole = m.estimate(name)
        assert whole.interval(0.95)[1] > p


def few(n, p=512, alive=20, kind="dead", targets="classes", **settings):
    """Features of which few vary, or which are made of few, and targets that say nothing."""
    rng = np.random.default_rng(10)
    x = np.zeros((n, p))
    x[:, :alive] = np.maximum(rng.normal(size=(n, alive)), 0)
    if kind == "low rank":
        x = x[:, :alive] @ rng.normal(size=(alive, p))
    y = rng.integers(0, 5, n) if targets == "classes" else rng.normal(size=(n, 2))
    return phiscope.diagonalize(x, targets=y, **settings)


@pytest.mark.parametrize("targets", ["classes", "values"])
@pytest.mark.parametrize("kind", ["dead", "low rank"])
@pytest.mark.parametrize("n", [15, 21, 22, 100, 300])
def test_targets_are_said_to_be_fitted_exactly_where_they_are(n, kind, targets):
    """Not where n <= p, but where the centered samples are independent: with dead units, or features made of few, they
    are dependent long before."""
    m = few(n, kind=kind, targets=targets)
    said = " ".join(m.warnings)
    assert ("any targets can be fitted exactly" in said) == (n <= 21)
    assert (m["readout_r2"] > 1 - 1e-9) == (n <= 21)
    if n in (22, 100):
        chance = re.search(r"would reach R² and Pi\*\(K\) = (0?\.?\d+)", said)[1]
        assert float(chance) == pytest.approx(20 / (n - 1), abs=0.006)
        assert f"{n} samples for 512 features of rank 20" in said
        assert "10 times the rank = 200 would do" in said
    # Enough for the directions that there are.
    assert (n == 300) == ("samples for" not in said)


@pytest.mark.parametrize(("n", "fitted"), [(20, True), (21, True), (22, False)])
def test_one_sample_more_than_features_is_fitted_too(n, fitted):
    """The bias fits one of them."""
    m = few(n, p=20)
    assert any("any targets can be fitted exactly" in text for text in m.warnings) == fitted
    assert (m["readout_r2"] > 1 - 1e-9) == fitted


def test_of_leading_eigenfunctions_it_is_said_on_a_condition():
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(60, 2200)), targets=rng.integers(0, 3, 60), k=5)
    assert any("can be fitted exactly where these samples are independent" in text for text in m.warnings)


@pytest.mark.parametrize("n", [60, 256])
def test_the_direction_of_the_bias_is_that_of_the_corrected_number(n):
    """Near collapse D_LR comes out too high, far from it too low: the two warnings say the same."""
    for spread, sign in ((0.3, 1), (3.0, -1)):
        rng = np.random.default_rng(1)
        y = np.arange(n) % 5
        x = np.eye(5, 64)[y] + spread * rng.normal(size=(n, 64))
        m = phiscope.diagonalize(x, head=(np.eye(5, 64), None), targets=y)
        bias = m["dynamical_low_rank_centered"] - m["dynamical_low_rank_centered_corrected"]
        assert sign * bias > 0
        said = " ".join(m.warnings)
        assert "D_LR is biased, low far from collapse and high near it" in said


@pytest.mark.parametrize("k", [1, 4, 20])
@pytest.mark.parametrize("n", [40, 120])
def test_a_cut_spectrum_switches_no_guard_of_intervals_off(k, n):
    """How many samples would do depends on all directions, and not on how many were asked for."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 30)), rng.integers(0, 3, n)
    cut, whole = (phiscope.diagonalize(x, targets=y, k=one) for one in (k, None))
    names = list(whole.numbers)
    assert [_interval(cut, name) for name in names] == [_interval(whole, name) for name in names]
    assert any(isinstance(_interval(whole, name), str) for name in names)


def _interval(m, name):
    """The ends, or why there are none."""
    try:
        return m.interval(name)
    except MissingNumberError as error:
        return str(error)


def test_a_cut_spectrum_says_that_it_is_cut():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 10)), rng.integers(0, 3, 200)
    cut, whole = (phiscope.diagonalize(x, targets=y, k=k) for k in (4, None))
    for centered in (True, False):
        with pytest.raises(MissingNumberError, match=r"needs the whole spectrum, .* the 4 leading .* without k="):
            cut.readout_curve([1.0], centered=centered)
    for settings in ({"ridge": 0.1}, {"shrinkage": 0.1}):
        with pytest.raises(MissingNumberError, match=r"needs the whole spectrum, .* the 4 leading"):
            cut.discriminant_information(**settings)
    assert cut.discriminant_information() == cut["discriminant_information"] == whole["discriminant_information"]
    # Without targets that is the reason.
    with pytest.raises(MissingNumberError, match="no targets"):
        phiscope.diagonalize(x, k=4).readout_curve([1.0])
    np.testing.assert_allclose(cut.held_out_quality(), whole.held_out_quality(4))
    np.testing.assert_allclose(cut.held_out_quality(8), whole.held_out_quality(8))


def test_the_random_head_is_known_no_better_than_its_draws():
    """Of 1,920 samples the interval was a fourth of what 16 draws say, and 66 % of intervals held the value."""
    rng = np.random.default_rng(8)
    features = rng.normal(size=(20_000, 24)) * np.r_[np.full(3, 1.2), np.ones(21)]
    m = phiscope.diagonalize(features, head=(rng.normal(size=(3, 24)), None))
    drawn = random_head_distance(m.centered.eigenvalues, 3)[1]
    found = m.estimate("dynamical_low_rank_random_head")
    assert drawn > 5e-4
    assert drawn < found.error < 1.5 * drawn
    low, high = m.interval("dynamical_low_rank_random_head")
    # The mean over many draws, which are other ones.
    overlaps = []
    for _ in range(2000):
        basis = np.linalg.qr(np.sqrt(m.centered.eigenvalues)[:, None] * rng.normal(size=(24, 3)))[0]
        overlaps.append(np.einsum("ij,i,ij->", basis, m.centered.eigenvalues, basis))
    assert low < 1 - np.mean(overlaps) / (np.sqrt(3) * np.linalg.norm(m.centered.eigenvalues)) < high
