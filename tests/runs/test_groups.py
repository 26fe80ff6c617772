"""Seeds of one experiment are one: which belong together, their interval, and how two groups differ."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phiscope
from phiscope.runs.groups import difference_of, differing_settings, groups_of, last_of, spread_of
from small_runs import written_run


def run_of(tmp_path, name, **settings):
    run = phiscope.open_run(written_run(tmp_path / name, name, seed=settings.get("seed", 0)))
    return replace(run, header={**run.header, "settings": settings})


def test_runs_that_differ_by_their_seed_belong_together(tmp_path):
    runs = [
        run_of(tmp_path, f"r{i}", lr=lr, seed=seed) for i, (lr, seed) in enumerate([(1, 0), (2, 0), (1, 1), (2, 1)])
    ]
    groups = groups_of(runs)
    assert [[run.name for run in group.runs] for group in groups] == [["r0", "r2"], ["r1", "r3"]]
    values = groups[0].values("effective_dimension", "train")
    assert values == tuple(last_of(run, "train").numbers("train")["effective_dimension"] for run in (runs[0], runs[2]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"lr": 1, "seed": 0}, {"lr": 1, "seed": 0}),  # the same run again
        ({"lr": 1}, {"lr": 1}),  # no seed: nobody knows how they differ
        ({"lr": 1, "seed": 0}, {"lr": 2, "seed": 1}),
        ({"lr": 1, "seed": 0}, {"lr": 1, "decay": 0, "seed": 1}),
    ],
)
def test_others_stay_alone(tmp_path, first, second):
    assert len(groups_of([run_of(tmp_path, "a", **first), run_of(tmp_path, "b", **second)])) == 2


def test_another_network_or_data_is_another_experiment(tmp_path):
    one, other = run_of(tmp_path, "a", lr=1, seed=0), run_of(tmp_path, "b", lr=1, seed=1)
    assert len(groups_of([one, other])) == 1
    for name in ("model", "data", "task", "framework"):
        assert len(groups_of([one, replace(other, header={**other.header, name: "else"})])) == 2


def test_runs_without_settings_stay_alone(tmp_path):
    runs = [phiscope.open_run(written_run(tmp_path / name, name)) for name in "ab"]
    assert [len(group.runs) for group in groups_of(runs)] == [1, 1]


def test_the_interval_is_students():
    values = [0.2, 0.4, 0.9]
    spread = spread_of(values)
    # t of 97.5 % with two degrees of freedom.
    reach = 4.302652729911275 * np.std(values, ddof=1) / math.sqrt(3)
    assert (spread.mean, spread.low, spread.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    assert spread_of(values, 0.0, 1.0).low == 0.0
    assert spread_of(values, 0.0, 1.0).high == 1.0
    assert math.isnan(spread_of([1.0]).low)


def test_the_interval_holds_the_mean_in_19_of_20_cases():
    random = np.random.default_rng(0)
    spreads = [spread_of(random.normal(3, 2, 4)) for _ in range(4000)]
    assert np.mean([one.low <= 3 <= one.high for one in spreads]) == pytest.approx(0.95, abs=0.012)


def test_welchs_test_by_its_definition():
    a, b = np.array([1.0, 2.0, 4.0, 3.5]), np.array([5.0, 9.0, 4.0])
    told = difference_of(a, b)
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    from scipy.stats import t

    assert told.value == pytest.approx(b.mean() - a.mean())
    assert told.p == pytest.approx(2 * t.sf(abs(told.value) / math.sqrt(va + vb), freedom))
    reach = t.ppf(0.975, freedom) * math.sqrt(va + vb)
    assert (told.low, told.high) == pytest.approx((told.value - reach, told.value + reach))


def test_equal_means_are_told_apart_in_one_of_twenty_cases():
    random = np.random.default_rng(1)
    p = [difference_of(random.normal(0, 1, 6), random.normal(0, 3, 6)).p for _ in range(4000)]
    assert np.mean(np.less(p, 0.05)) == pytest.approx(0.05, abs=0.012)


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=6),
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=6),
)
def test_the_difference_changes_sign_with_the_order(first, second):
    told, turned = difference_of(first, second), difference_of(second, first)
    assert told.value == -turned.value
    assert told.p == pytest.approx(turned.p, nan_ok=True)
    assert told.low == pytest.approx(-turned.high, nan_ok=True)


@pytest.mark.parametrize(
    ("first", "second"), [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0]), ([0.1 + 0.2, 0.3], [0.3, 0.3])]
)
def test_without_spread_there_is_no_test(first, second):
    assert math.isnan(difference_of(first, second).p)


def test_what_differs_in_the_settings(tmp_path):
    runs = [run_of(tmp_path, "a", lr=0.1, seed=0, same=1), run_of(tmp_path, "b", lr=0.2, width=[1, 2], seed=1, same=1)]
    assert differing_settings(runs) == {"lr": ["0.1", "0.2"], "width": ["-", "[1, 2]"], "seed": ["0", "1"]}
    assert list(differing_settings(runs))[-1] == "seed"
