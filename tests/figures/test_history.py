"""Every scalar over the epochs, as data."""

from __future__ import annotations

import math
from pathlib import Path

from phiscope.figures import (
    history_sections,
)
from phiscope.figures.history import TRAINING
from synthetic_runs import Recipe, write_run


def test_histories_group_splits_and_put_accuracy_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1, 2), scalars={"test_loss": 3.0, "lr": 0.1}))
    sections = history_sections({"a": run})
    training = sections[0]
    assert training.title == TRAINING
    assert [panel.name for panel in training.panels] == ["accuracy", "loss", "lr"]
    assert [line.dash for line in training.panels[1].lines] == ["solid", "dashed"]
    drawn = {panel.name: panel for section in sections[1:] for panel in section.panels}
    assert set(run.number_names()) == set(drawn)
    last = run.records[-1]
    assert drawn["dynamical_low_rank"].lines[1].y[-1] == last.numbers("test")["dynamical_low_rank"]
    assert drawn["dynamical_low_rank"].lines[0].x == (0.0, 1.0, 2.0)


def test_a_diverged_scalar_leaves_counted_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={"train_error": math.inf}))
    panel = next(panel for panel in history_sections({"a": run})[0].panels if panel.name == "error")
    assert panel.lines[0].gaps == 2
    assert "2 values are NaN or infinite" in panel.note


def test_an_accuracy_from_chance_on_stays_on_a_linear_axis(tmp_path: Path) -> None:
    from phiscope.figures import history_sections
    from phiscope.page.charts import history_spec

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={}))
    lines = [{"train_accuracy": 0.001, "train_loss": 0.001}, {"train_accuracy": 1.0, "train_loss": 1.0}]
    for record, scalars in zip(run.records, lines, strict=True):
        record.scalars.update(scalars)  # type: ignore[attr-defined]
    panels = {panel.name: panel for panel in history_sections({"a": run})[0].panels}
    assert not panels["accuracy"].y.log
    assert panels["loss"].y.log
    assert history_spec(panels["loss"])["layout"]["yaxis"]["ticktext"][-1] == "1"
