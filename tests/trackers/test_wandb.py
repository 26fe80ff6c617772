"""A run of wandb writes without a network, and its log is read back record by record."""

import numpy as np
import pytest

from phiscope.trackers import Place
from phiscope.trackers.wandb import WandB, open_wandb
from tracker_logs import wandb_config, wandb_records, wandb_rows

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'phiscope[wandb]'")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


@pytest.fixture
def theirs(tmp_path):
    run = wandb.init(mode="offline", dir=tmp_path, project="p", settings=wandb.Settings(console="off", silent=True))
    yield run
    run.finish()


def test_rows_pictures_and_settings_come_back(tmp_path):
    tracker = open_wandb(Place(name="mine", folder=tmp_path))
    tracker.settings({"name": "mine", "rank_tolerance": 1e-4})
    tracker.scalars({"phiscope/epoch": 3.0, "phiscope/train/nc1": 0.25}, 3)
    tracker.scalars({"phiscope/epoch": 7.0, "phiscope/train/nc1": 0.5}, 7)
    tracker.picture("phiscope/train/spectrum", np.full((4, 6, 3), 200, np.uint8), 7)
    tracker.close("completed")
    rows = wandb_rows(tmp_path)
    assert [row["phiscope/train/nc1"] for row in rows if "phiscope/train/nc1" in row] == [0.25, 0.5]
    (picture,) = [row for row in rows if "phiscope/train/spectrum/path" in row]
    assert [picture[f"phiscope/train/spectrum/{side}"] for side in ("width", "height")] == [6, 4]
    assert picture["phiscope/epoch"] == 7
    assert wandb_config(tmp_path)["phiscope"] == {"name": "mine", "rank_tolerance": 1e-4}


def test_a_run_of_ours_is_offline_and_gathers_nothing_of_the_machine(tmp_path):
    tracker = open_wandb(Place(name="mine", folder=tmp_path))
    assert wandb.run is None
    tracker.scalars({"phiscope/epoch": 0.0}, 0)
    tracker.close("completed")
    kinds = {record.WhichOneof("record_type") for record in wandb_records(tmp_path)}
    assert "environment" not in kinds
    assert "stats" not in kinds
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names & {"requirements.txt", "wandb-metadata.json", "output.log"} == set()


def test_the_active_run_is_taken_and_not_finished(tmp_path, theirs):
    tracker = open_wandb(Place(name="mine", folder=tmp_path / "elsewhere"))
    tracker.scalars({"phiscope/epoch": 0.0}, 0)
    tracker.close("completed")
    theirs.log({"loss": 1.0})
    theirs.finish()
    assert any("loss" in row for row in wandb_rows(tmp_path))


@pytest.mark.parametrize("explicit", [True, False])
def test_the_trainings_own_rows_keep_their_steps(tmp_path, theirs, explicit):
    tracker = WandB(theirs)
    for epoch in range(3):
        theirs.log({"loss": float(epoch)}, **({"step": epoch} if explicit else {}))
        tracker.scalars({"phiscope/epoch": float(epoch), "phiscope/train/nc1": epoch / 4}, epoch)
    # Two in a row, with nothing of the training in between.
    tracker.scalars({"phiscope/epoch": 3.0, "phiscope/train/nc1": 0.75}, 3)
    theirs.finish()
    rows = wandb_rows(tmp_path)
    assert [(row["_step"], row["loss"]) for row in rows if "loss" in row] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [row["phiscope/train/nc1"] for row in rows if "phiscope/train/nc1" in row] == [0.0, 0.25, 0.5, 0.75]


def test_curves_stand_over_an_axis_of_their_own(tmp_path):
    tracker = open_wandb(Place(name="mine", folder=tmp_path))
    tracker.scalars({"phiscope/epoch": 1.0, "phiscope/step": 40.0, "phiscope/train/nc1": 0.25}, 40)
    tracker.close("completed")
    axes = [record.metric for record in wandb_records(tmp_path) if record.WhichOneof("record_type") == "metric"]
    assert ("phiscope/*", "phiscope/step") in {(axis.glob_name, axis.step_metric) for axis in axes}
