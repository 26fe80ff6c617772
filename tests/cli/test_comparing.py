"""Runs side by side as text: what differs, means over seeds, differences."""

import json

import pytest

import phiscope
from phiscope.cli.comparing import comparison_text
from small_runs import measured, written_run


def with_settings(folder, **settings):
    path = folder / "header.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps({**header, "settings": settings}))
    return phiscope.open_run(folder)


@pytest.fixture
def runs(tmp_path):
    made = []
    for index, (lr, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]):
        folder = written_run(tmp_path / str(index), f"lr {lr}", seed=index)
        made.append(with_settings(folder, learning_rate=lr, seed=seed))
    return made


def row(text, name, table="train"):
    part = text[text.index(f"\n{table} ") :]
    return next(line for line in part.splitlines() if line.split() and line.split()[0] == name)


def test_two_groups_have_means_and_a_test(runs):
    text = comparison_text(runs)
    assert "lr 0.1 (2 seeds)" in text
    assert text.splitlines()[2].split() == ["learning_rate", "0.1", "0.2"]
    line = row(text, "effective_dimension")
    values = [run.records[-1].numbers("train")["effective_dimension"] for run in runs]
    assert f"{sum(values[:2]) / 2:.4g} [" in line
    assert f"{sum(values[2:]) / 2 - sum(values[:2]) / 2:+.3g} [" in line
    assert ", p 0." in line or ", p 1" in line
    assert "one has p < 0.05" in text


def test_two_runs_have_a_difference_with_the_samples_error(runs):
    text = comparison_text([runs[0], runs[2]])
    first, second = (run.records[-1].numbers("train")["nc1"] for run in (runs[0], runs[2]))
    assert f"{second - first:+.3g}" in row(text, "nc1")
    assert "another seed would move it is not in there" in text


def test_one_run_and_a_group_have_a_difference_without_a_test(runs):
    line = row(comparison_text(runs[:3]), "effective_dimension")
    assert ", p " not in line


def test_three_columns_have_no_difference(tmp_path):
    made = [phiscope.open_run(written_run(tmp_path / name, name, seed=i)) for i, name in enumerate("abc")]
    text = comparison_text(made)
    assert "difference" not in text
    assert "settings that differ" not in text


def test_runs_that_share_no_split_are_said_to(tmp_path):
    runs = [
        phiscope.write_run(tmp_path / split, [(0, {split: measured(seed)})])
        for seed, split in enumerate(("train", "val"))
    ]
    assert "The runs share no split (train; val): none of their numbers can be compared" in comparison_text(runs)
    assert "share no split" not in comparison_text([runs[0], runs[0]])
    assert "share no split" not in comparison_text([*runs, runs[0]])
