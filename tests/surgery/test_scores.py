"""Scores of units: discriminant information by its definition, every rule, invariances, and a control that is noise."""

import numpy as np
import pytest

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.surgery import score_units
from phiscope.surgery.scores import RULES


def case(n=1200, p=10, c=3, seed=0):
    random = np.random.default_rng(seed)
    y = random.integers(0, c, n)
    x = random.standard_normal((n, p)) @ random.standard_normal((p, p)) + 2 * random.standard_normal((c, p))[y]
    head = (random.standard_normal((c, p)), random.standard_normal(c))
    return x, y, head, phiscope.diagonalize(x, head=head, targets=y)


def information(x, y, ridge, kept=None):
    x = x if kept is None else x[:, kept]
    covariance = np.cov(x.T, bias=True).reshape(x.shape[1], x.shape[1]) + ridge * np.eye(x.shape[1])
    means = [np.mean(y == k) ** 0.5 * (x[y == k].mean(axis=0) - x.mean(axis=0)) for k in np.unique(y)]
    target = np.stack(means, axis=1)
    return float(np.trace(target.T @ np.linalg.solve(covariance, target)))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_loses_what_the_definition_says(rule):
    x, y, head, m = case()
    scores = score_units(m, rule=rule, head=head, ridge=0.2)
    assert scores.total == pytest.approx(information(x, y, 0.2), rel=1e-8)
    assert sorted(scores.order.tolist()) == list(range(10))
    for count in (0, 3, 8):
        kept = np.sort(scores.order[count + 1 :])
        assert scores.cumulative[count] == pytest.approx(scores.total - information(x, y, 0.2, kept), rel=1e-7)
    if rule != "greedy":
        for unit in range(10):
            others = [k for k in range(10) if k != unit]
            alone = scores.total - information(x, y, 0.2, others)
            assert scores.loss[unit] == pytest.approx(alone, rel=1e-6, abs=1e-10)
    else:
        assert scores.loss[scores.order] == pytest.approx(np.diff(scores.cumulative, prepend=0.0), rel=1e-9)


def test_rules_by_their_formulas():
    x, y, head, m = case()
    w = head[0]
    assert score_units(m, rule="magnitude", head=head).score == pytest.approx(np.abs(w).sum(axis=0))
    expected = x.std(axis=0) * np.sqrt((w**2).sum(axis=0))
    assert score_units(m, rule="std_magnitude", head=head).score == pytest.approx(expected)
    # The derivative of DI by a unit's scale, by central differences.
    r, step = 0.3, 1e-5
    gradient = score_units(m, rule="gradient", ridge=r).score
    for unit in range(3):
        more, less = x.copy(), x.copy()
        more[:, unit] *= 1 + step
        less[:, unit] *= 1 - step
        slope = (information(more, y, r) - information(less, y, r)) / (2 * step)
        assert gradient[unit] == pytest.approx(slope, rel=1e-5)
    assert np.isnan(score_units(m, rule="random").score).all()
    assert score_units(m, rule="random", seed=1).order.tolist() != score_units(m, rule="random", seed=2).order.tolist()


def test_the_total_is_bounded_and_at_no_ridge_does_not_know_the_coordinates():
    x, y, _, m = case()
    assert 0 <= score_units(m, ridge=0.1).total <= 2
    turned = phiscope.diagonalize(x @ np.random.default_rng(5).standard_normal((10, 10)), targets=y)
    assert score_units(turned, ridge=0).total == pytest.approx(score_units(m, ridge=0).total, rel=1e-6)


def test_the_default_ridge_does_not_know_the_scale():
    x, y, _, m = case()
    scaled = score_units(phiscope.diagonalize(100 * x, targets=y))
    plain = score_units(m)
    assert scaled.total == pytest.approx(plain.total, rel=1e-8)
    assert scaled.order.tolist() == plain.order.tolist()


def test_eigenfeatures_say_the_same():
    """DI(r) = sum_k rho_k / (rho_k + r) q_k with q_k the squared target content of e_k."""
    x, y, _, m = case()
    r = 0.5
    total = 0.0
    e = m.eigenfunctions(x, centered=True)
    for k, rho in enumerate(m.centered.eigenvalues):
        q = sum(np.mean(y == c) * e[y == c, k].mean() ** 2 for c in range(3))
        total += rho / (rho + r) * q
    assert score_units(m, ridge=r).total == pytest.approx(total, rel=1e-8)


def test_outputs_need_no_labels_and_keep_what_the_network_says():
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, 8))
    w = np.zeros((2, 8))
    w[:, :3] = random.standard_normal((2, 3)) + 2
    scores = score_units(phiscope.diagonalize(x), target="outputs", head=(w, None))
    assert scores.kept(3).tolist() == [0, 1, 2]
    assert scores.cumulative[4] < 1e-3 * scores.total


def test_noise_says_nothing_on_other_samples():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((300, 60)), random.integers(0, 3, 300)
    scores = score_units(phiscope.diagonalize(x, targets=y, intervals=True), ridge=0)
    assert scores.total > 0.2  # learned by heart
    assert scores.held_out[-1, 1] < 0
    assert any("mostly noise" in text for text in scores.warnings)
    real = score_units(case()[3])
    assert real.held_out[-1, 1] > 0.5 * real.total
    assert real.warnings == ()


def test_held_out_by_its_definition():
    _, _, _, m = case()
    scores = score_units(m, ridge=0.1)
    shards = m.resampling.shards
    from functools import reduce

    from phiscope.moments.moments import merge

    halves = [reduce(merge, shards[::2]), reduce(merge, shards[1::2])]
    values = []
    for fit, test in (halves, halves[::-1]):
        s = [one.covariance("features").dense() for one in (fit, test)]
        n = [
            (np.sqrt(one.group_weights / one.weight)[:, None] * (one.group_means[:, :10] - one.mean[:10])).T
            for one in (fit, test)
        ]
        a = np.linalg.solve(s[0] + 0.1 * np.eye(10), n[0])
        values.append(2 * np.trace(a.T @ n[1]) - np.trace(a.T @ s[1] @ a))
    assert scores.held_out[-1].tolist() == [10, pytest.approx(np.mean(values), rel=1e-8)]


def test_a_stored_record_has_no_held_out_score_and_says_so(tmp_path):
    _, _, _, m = case()
    m.save(tmp_path / "m.safetensors")
    scores = score_units(phiscope.Measurement.load(tmp_path / "m.safetensors"))
    assert len(scores.held_out) == 0
    assert any("no held-out score" in text for text in scores.warnings)
    assert scores.total == pytest.approx(score_units(m).total)


def test_wrong_use_is_one_sentence():
    x, y, _, m = case()
    with pytest.raises(UnknownNameError, match="did you mean greedy"):
        score_units(m, rule="gredy")
    with pytest.raises(InputError, match=r'rule="magnitude" needs the head'):
        score_units(m, rule="magnitude")
    with pytest.raises(InputError, match="expected a number of units from 1 to 10"):
        score_units(m).kept(0)
    dead = np.column_stack([x, np.zeros(len(x))])
    with pytest.raises(InputError, match="is singular"):
        score_units(phiscope.diagonalize(dead, targets=y), ridge=0)
    assert score_units(phiscope.diagonalize(dead, targets=y)).order[0] == 10


def test_the_picture_shows_what_is_left():
    _, _, _, m = case()
    scores = score_units(m)
    kept, loss = scores.figure().axes
    assert kept.lines[0].get_ydata()[-1] == pytest.approx(scores.total - scores.cumulative[0])
    assert loss.lines[0].get_ydata()[0] == pytest.approx(scores.loss[scores.order[-1]])


@pytest.mark.parametrize("target", ["classes", "values", "outputs"])
def test_the_total_ends_where_its_range_does(target):
    """Of classes a count; of values and outputs their summed variance, in their squared units."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(800, 6)), rng.normal(size=(3, 6))
    y = rng.integers(0, 3, 800)
    totals = []
    for unit in (1.0, 10.0):
        outputs = unit * x @ weight.T
        m = phiscope.diagonalize(x, targets=y if target != "values" else outputs)
        asked = {"target": "outputs", "head": (unit * weight, None)} if target == "outputs" else {}
        totals.append(score_units(m, ridge=1e-9, **asked).total)
        if target != "classes":
            assert totals[-1] == pytest.approx(outputs.var(axis=0).sum(), rel=1e-6)
            assert totals[-1] > 3
    if target == "classes":
        assert 0 < totals[0] <= 2
    assert totals[1] == pytest.approx(totals[0] * (1 if target == "classes" else 100))


@pytest.mark.parametrize("seed", [-1, 1.5, None, "a", True])
def test_a_seed_is_a_whole_number(seed):
    m = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), targets=np.arange(60) % 2)
    with pytest.raises(InputError, match="seed is"):
        score_units(m, rule="random", seed=seed)
    assert sorted(score_units(m, rule="random", seed=np.int64(2)).order.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("ridge", [None, 0.1, 10.0, "oas"])
@pytest.mark.parametrize(("n", "spread"), [(20, 1e-3), (20, 3.0), (400, 1e-3), (400, 1.0)])
def test_information_is_never_more_than_the_classes_hold(n, spread, ridge):
    """Shrunk by "oas", two collapsed classes held 1.09 of the 1 that there is."""
    random = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = y[:, None] * np.ones((1, 10)) + spread * random.standard_normal((n, 10))
    scores = score_units(phiscope.diagonalize(x, targets=y), ridge=ridge)
    assert 0 < scores.total <= 1 + 1e-9
    # And it is DI(r) with the r that is told.
    assert scores.total == pytest.approx(information(x, y, scores.added), rel=1e-6)
    assert scores.held_out[:, 1].max() <= 1 + 1e-9


def test_a_shrinkage_that_leaves_nothing_leaves_an_order():
    random = np.random.default_rng(2)
    axes = np.linalg.qr(random.standard_normal((40, 6)) - 0)[0]
    x = axes - axes.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    y = (x[:, 2] > 0).astype(int)
    scores = score_units(phiscope.diagonalize(x, targets=y), ridge="oas")
    assert scores.order[-1] == 2
    assert 0 < scores.total < 1e-4


SAYS_NOTHING = {
    "one class": ({"targets": np.zeros(300, int)}, {}),
    "values that do not vary": ({"targets": np.ones((300, 2))}, {}),
    "outputs that do not vary": ({"outputs": np.ones((300, 2))}, {"target": "outputs"}),
    "a head of zeros": ({}, {"target": "outputs", "head": (np.zeros((3, 6)), None)}),
    "weights of zeros": ({}, {"rule": "magnitude", "head": (np.zeros((3, 6)), None)}),
    "spread times weights of zeros": ({}, {"rule": "std_magnitude", "head": (np.zeros((3, 6)), None)}),
    "the gradient without a ridge": ({}, {"rule": "gradient", "ridge": 0}),
    "exact, one class": ({"targets": np.zeros(300, int)}, {"rule": "exact"}),
}


@pytest.mark.parametrize("case", SAYS_NOTHING)
def test_an_order_that_says_nothing_is_said_to_be_none(case):
    """Units were removed in the order of the layer, as if that had been found."""
    measured, asked = SAYS_NOTHING[case]
    x = np.random.default_rng(0).standard_normal((300, 6))
    scores = score_units(phiscope.diagonalize(x, **({"targets": np.arange(300) % 3} | measured)), **asked)
    assert [text for text in scores.warnings if text.startswith("every unit scores 0")]
    assert scores.order.tolist() == list(range(6))


@pytest.mark.parametrize("rule", RULES)
def test_an_order_that_says_something_is_not_warned_of(rule):
    _, _, head, m = case()
    assert not [text for text in score_units(m, rule=rule, head=head).warnings if "scores 0" in text]


def test_constant_units_are_refused_as_what_they_are():
    m = phiscope.diagonalize(np.ones((30, 4)), targets=np.arange(30) % 3)
    with pytest.raises(InputError, match="all 4 units are constant on the measured samples"):
        score_units(m)
