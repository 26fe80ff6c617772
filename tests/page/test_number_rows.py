"""The tables under the pictures: values at the last record, which splits have them, and why a number is missing."""

from __future__ import annotations

from pathlib import Path

from phiscope.figures import history_sections
from phiscope.metrics import DEFINITIONS
from phiscope.page.number_rows import absent_numbers, curve_rows, last_values, section_rows
from phiscope.page.words import number_words
from synthetic_runs import Recipe, write_run


def test_the_picture_is_explained_by_its_definitions() -> None:
    names = [row.name for row in curve_rows()]
    assert set(names) == {"eigenvalues", "quality", "utilization", "cumulative_quality", "cumulative_utilization"}
    assert all(DEFINITIONS[row.name] is row for row in curve_rows())


def test_rows_hold_the_last_value_of_each_split_of_each_run(tmp_path: Path) -> None:
    recipes = {"a": Recipe(epochs=(0, 1)), "b": Recipe(epochs=(0, 1, 2), splits=("train",), classes=None)}
    runs = {name: write_run(tmp_path / name, recipe) for name, recipe in recipes.items()}
    rows = {row.name: row for section in history_sections(runs) for row in section_rows(section, last_values(runs))}
    row = rows["dynamical_low_rank"]
    assert row.definition is DEFINITIONS["dynamical_low_rank"]
    assert [(index, label) for index, label, _ in row.values] == [(0, "a"), (1, "b")]
    assert [cell.caption for _, _, cells in row.values for cell in cells] == ["train", "test", "train"]
    for _, label, cells in row.values:
        for cell in cells:
            last = runs[label].records[-1].numbers(cell.split)["dynamical_low_rank"]
            assert cell.text == number_words(last)
    # Regression has no classes: the second run is not in the row.
    assert [label for _, label, _ in rows["nc1"].values] == ["a"]
    # What the training loop recorded has no definition.
    assert rows["loss"].definition is None
    assert rows["loss"].values[0][2][0].caption == "train"


def test_missing_numbers_share_a_line_with_their_reason(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), outputs=False))
    lines = {reason: titles for titles, reason in absent_numbers({"a": run})}
    reason = run.records[-1].measurement().absent["dynamical_low_rank"]
    assert DEFINITIONS["dynamical_low_rank"].title in lines[reason]
    # Two runs that lack the same say it once.
    assert absent_numbers({"a": run, "again": run}) == absent_numbers({"a": run})
    assert absent_numbers({"empty": write_run(tmp_path / "b", Recipe(epochs=()))}) == ()
