"""Runs that differ by their seed alone: one color, one line, an interval that is Student's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from phiscope.figures.history import TRAINING, history_sections
from phiscope.figures.model import Line
from phiscope.figures.seeds import color_of_each, mean_line, seeds_of
from phiscope.runs import Run
from synthetic_runs import Recipe, write_run

LINE = Line(label="train", x=(0.0, 1.0, 2.0), y=(1.0, 2.0, 3.0), color="#000000")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("seeds")
    made = {}
    for rate in (0.1, 0.2):
        for seed in range(2):
            settings = {"learning_rate": rate, "seed": seed}
            recipe = Recipe(
                epochs=(0, 1), p=6, n=30, side=0, gallery=False, collapse=rate + seed / 4, header={"settings": settings}
            )
            made[f"{rate} {seed}"] = write_run(folder / f"{rate}-{seed}", recipe)
    return made


def test_a_mean_has_students_interval() -> None:
    mean = mean_line([LINE, replace(LINE, y=(2.0, 4.0, 3.0)), replace(LINE, y=(3.0, 0.0, 3.0))])
    assert mean.y == (2.0, 2.0, 3.0)
    for place, values in ((0, (1, 2, 3)), (1, (2, 4, 0))):
        low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
        assert (mean.low[place], mean.high[place]) == pytest.approx((low, high))
    assert mean.low[2] == mean.high[2] == 3.0


def test_an_interval_stays_where_the_number_can_be() -> None:
    mean = mean_line([LINE, replace(LINE, y=(9.0, 2.0, 3.0))], low=0.0, high=10.0)
    assert (mean.low[0], mean.high[0]) == (0.0, 10.0)


def test_a_seed_that_ended_early_counts_as_long_as_it_ran() -> None:
    mean = mean_line([LINE, replace(LINE, y=(3.0, 4.0, 5.0)), replace(LINE, x=(0.0,), y=(2.0,))])
    assert (mean.x, mean.y) == ((0.0, 1.0, 2.0), (2.0, 3.0, 4.0))


def test_a_moment_that_a_seed_left_out_or_where_it_is_not_finite_is_no_mean() -> None:
    other = replace(LINE, x=(0.0, 1.5, 2.0), y=(1.0, 1.0, float("nan")))
    assert mean_line([LINE, other]).x == (0.0,)
    assert mean_line([LINE]).x == ()


def test_seeds_share_a_color_and_a_line(runs: dict[str, Run]) -> None:
    groups = seeds_of(runs)
    assert [one.members for one in groups] == [("0.1 0", "0.1 1"), ("0.2 0", "0.2 1")]
    colors = color_of_each(runs)
    assert colors[0] == colors[1] != colors[2] == colors[3]
    training, used = history_sections(runs)[:2]
    assert training.title == TRAINING
    assert [line.label for line in used.panels[0].lines] == [
        f"{groups[place].label} · {split}" for place in (0, 1) for split in ("train", "test")
    ]
    panel = next(panel for panel in used.panels if panel.name == "used_variance")
    found = [run.records[-1].numbers("train")["used_variance"] for run in runs.values()]
    assert panel.lines[0].y[-1] == pytest.approx(np.mean(found[:2]))
    assert 0 <= panel.lines[0].low[-1] <= min(found[:2])


def test_runs_of_other_settings_stay_alone(runs: dict[str, Run]) -> None:
    some = {label: runs[label] for label in ("0.1 0", "0.2 1")}
    assert not any(one.several for one in seeds_of(some))
    assert next(line.label for line in history_sections(some)[1].panels[0].lines) == "0.1 0 · train"


def test_one_run_that_came_twice_has_two_labels(tmp_path):
    """report([run, run]) ended in a KeyError."""
    run = write_run(tmp_path / "a", Recipe(epochs=(0,)))
    assert {label for seeds in seeds_of({"a": run, "a (2)": run}) for label in seeds.members} == {"a", "a (2)"}
