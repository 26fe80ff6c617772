"""Studies that go on after their training: pictures kept with the run, and intervals that are what they say."""

import dataclasses

import numpy as np
import pytest

from phiscope.figures.kept import kept_sheets
from phiscope.runs import open_run
from phiscope.studies import STUDIES, afterwards
from phiscope.studies.afterwards import ARMS, arms_sheet
from phiscope.studies.datasets.bundled import DigitsSettings
from phiscope.studies.networks import ConvNetSettings, FullyConnectedSettings
from phiscope.studies.training import run_training


@pytest.mark.slow
def test_pruning_keeps_damage_and_curves_of_all_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(afterwards, "NETWORKS", 2)
    study = dataclasses.replace(
        STUDIES["pruning"], data=DigitsSettings(n_train=100), network=FullyConnectedSettings(widths=(12,))
    )
    run_training(study, folder=tmp_path / "run", epochs=1, seed=3, progress=lambda done: None)
    sheets, problems = kept_sheets(tmp_path / "run")
    assert problems == ()
    assert [sheet.name for sheet in sheets] == ["damage", "curves"]
    assert "over 2 networks" in sheets[1].caption
    assert open_run(tmp_path / "run").status == "completed"


@pytest.mark.slow
def test_distortion_compares_three_arms_over_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(afterwards, "SEEDS", 2)
    study = dataclasses.replace(
        STUDIES["distortion"], data=DigitsSettings(n_train=100), network=ConvNetSettings(stages=((2,), (2,)))
    )
    run_training(study, folder=tmp_path / "run", epochs=2, seed=0, progress=lambda done: None)
    (sheet,), problems = kept_sheets(tmp_path / "run")
    assert problems == ()
    assert [line.label for line in sheet.parts[0].lines] == list(ARMS)
    assert len(sheet.parts[0].lines[0].x) == 2
    header = open_run(tmp_path / "run").header
    assert header["settings"]["distortion"] == "distortion"


def test_a_difference_is_told_only_where_its_interval_shows_one():
    noise = np.random.default_rng(0).standard_normal((5, 1))
    accuracy = {name: np.full((5, 3), 0.8) for name in ARMS}
    accuracy["distortion"] = accuracy["distortion"] + 0.01 + 0.001 * noise
    clear = arms_sheet(accuracy, {"DropBlock": 0.045, "distortion": 0.045})
    assert clear.caption.endswith(": a difference.")
    assert "4.50 % (DropBlock)" in clear.caption
    accuracy["distortion"] = accuracy["distortion"] + 0.05 * noise
    assert arms_sheet(accuracy, {}).caption.endswith("no difference that this many seeds show.")
    line = clear.parts[1].lines[2]
    assert line.label == "distortion − DropBlock"
    assert line.y[0] == pytest.approx(0.01 + 0.001 * noise.mean())
    assert line.low[0] < line.y[0] < line.high[0]
