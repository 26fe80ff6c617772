"""Trackio's run writes into its local database, and its own storage reads back."""

import numpy as np
import pytest

from phiscope.trackers import Place
from phiscope.trackers.trackio import Trackio, open_trackio
from tracker_logs import trackio_scalars

trackio = pytest.importorskip("trackio", reason="trackio is not installed: pip install 'phiscope[trackio]'")


@pytest.fixture(autouse=True)
def local(monkeypatch):
    for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)


def config_of(project, name):
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage.get_run_config(project, name)


def test_rows_pictures_and_settings_come_back(tmp_path):
    tracker = open_trackio(Place(name="mine-trackio", folder=tmp_path))
    tracker.settings({"name": "mine", "rank_tolerance": 1e-4})
    tracker.scalars({"phiscope/train/nc1": 0.25}, 3)
    tracker.scalars({"phiscope/train/nc1": 0.5}, 7)
    tracker.picture("phiscope/train/spectrum", np.full((4, 6, 3), 200, np.uint8), 7)
    tracker.close("completed")
    scalars = trackio_scalars("phiscope", "mine-trackio")
    assert scalars["phiscope/train/nc1"] == [(3, 0.25), (7, 0.5)]
    ((at, picture),) = scalars["phiscope/train/spectrum"]
    assert (at, picture["_type"]) == (7, "trackio.image")
    assert config_of("phiscope", "mine-trackio")["phiscope"] == {"name": "mine", "rank_tolerance": 1e-4}


def test_a_run_that_goes_on_is_the_same_run(tmp_path):
    for epoch in range(2):
        tracker = open_trackio(Place(name="goes-on", folder=tmp_path))
        tracker.scalars({"phiscope/train/nc1": float(epoch)}, epoch)
        tracker.close("completed")
    assert trackio_scalars("phiscope", "goes-on")["phiscope/train/nc1"] == [(0, 0.0), (1, 1.0)]


def test_the_active_run_is_taken_and_not_finished(tmp_path):
    theirs = trackio.init(project="theirs", name="mine", embed=False, auto_log_cpu=False)
    tracker = open_trackio(Place(name="other", folder=tmp_path))
    tracker.settings({"name": "mine"})
    tracker.scalars({"phiscope/epoch": 1.0}, 1)
    tracker.close("completed")
    theirs.log({"loss": 2.0}, step=2)
    trackio.finish()
    scalars = trackio_scalars("theirs", "mine")
    assert (scalars["phiscope/epoch"], scalars["loss"]) == ([(1, 1.0)], [(2, 2.0)])
    assert "phiscope/settings" in scalars


def test_a_run_of_ours_is_not_the_active_one(tmp_path):
    tracker = open_trackio(Place(name="apart", folder=tmp_path))
    with pytest.raises(RuntimeError, match="init"):
        trackio.log({"loss": 1.0})
    assert isinstance(tracker, Trackio)
    tracker.close("completed")
