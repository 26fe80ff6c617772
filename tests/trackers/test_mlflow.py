"""MLflow's client writes into its database, and reads back."""

import numpy as np
import pytest

import phiscope
from phiscope.trackers import Place, Sending
from phiscope.trackers.mlflow import DATABASE, mlflow_of, open_mlflow
from tracker_logs import mlflow_scalars

reason = "mlflow or its database is not installed: pip install 'phiscope[mlflow]'"
mlflow = pytest.importorskip("mlflow", reason=reason)
pytest.importorskip("sqlalchemy", reason=reason)
# MLflow's own use of SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(autouse=True)
def untracked(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    yield
    mlflow.set_tracking_uri(None)


def runs_of(client):
    experiment = client.get_experiment_by_name("phiscope")
    return client.search_runs([experiment.experiment_id])


def test_metrics_pictures_and_settings_come_back(tmp_path):
    tracker = open_mlflow(Place(name="mine", folder=tmp_path))
    tracker.settings({"name": "mine", "rank_tolerance": 1e-4})
    tracker.scalars({"phiscope/train/nc1": 0.25, "phiscope/été #1/nc1": 1.0}, 3)
    tracker.scalars({"phiscope/train/nc1": 0.5}, 7)
    tracker.picture("phiscope/train/spectrum", np.full((4, 6, 3), 200, np.uint8), 7)
    tracker.close("interrupted")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / DATABASE}")
    (run,) = runs_of(client)
    scalars = mlflow_scalars(client, run.info.run_id)
    assert scalars["phiscope/train/nc1"] == [(3, 0.25), (7, 0.5)]
    assert scalars["phiscope/été _x23_1/nc1"] == [(3, 1.0)]
    assert run.data.params == {"phiscope/name": "mine", "phiscope/rank_tolerance": "0.0001"}
    assert (run.info.run_name, run.info.status) == ("mine", "KILLED")
    assert [path.suffix for path in tmp_path.glob("mlflow-artifacts/**/images/*.png")] == [".png"]
    assert not (tmp_path / "mlruns").exists()

    # A parameter is never changed: whoever goes on with the run keeps what it has, and adds what is new.
    again = mlflow_of(client, run.info.run_id)
    again.settings({"name": "other", "every": "log"})
    params = client.get_run(run.info.run_id).data.params
    assert (params["phiscope/name"], params["phiscope/every"]) == ("mine", "log")


def test_the_active_run_is_taken_and_not_ended(tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'theirs.db'}")
    mlflow.create_experiment("theirs", artifact_location=(tmp_path / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("theirs").experiment_id) as active:
        tracker = open_mlflow(Place(name="mine", folder=tmp_path))
        tracker.scalars({"phiscope/epoch": 1.0}, 1)
        tracker.close("completed")
        client = mlflow.MlflowClient()
        assert client.get_run(active.info.run_id).info.status == "RUNNING"
        assert mlflow_scalars(client, active.info.run_id) == {"phiscope/epoch": [(1, 1.0)]}
    assert not (tmp_path / DATABASE).exists()


def test_a_run_object_is_as_good_as_its_id(tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'theirs.db'}")
    client = mlflow.MlflowClient()
    run = client.create_run("0")
    mlflow_of(None, run).scalars({"phiscope/epoch": 2.0}, 2)
    assert mlflow_scalars(client, run.info.run_id) == {"phiscope/epoch": [(2, 2.0)]}


@pytest.mark.parametrize("splits", [("训练", "测试"), ("a#1", "..")])
def test_two_splits_never_become_one(tmp_path, splits):
    """Every letter that MLflow does not take was "_": the numbers of two splits stood in one metric."""
    tracker = open_mlflow(Place(name="mine", folder=tmp_path))
    sending = Sending([tracker], {"name": "mine"})
    measurements = {split: phiscope.diagonalize(np.eye(index + 3)) for index, split in enumerate(splits)}
    sending.record(0, None, measurements, seconds=0.1)
    sending.pictures(0, None, measurements)
    sending.close("completed")
    assert list(sending.complaints) == []
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / DATABASE}")
    (run,) = runs_of(client)
    ratios = mlflow_scalars(client, run.info.run_id)
    ratios = {name: values for name, values in ratios.items() if name.endswith("/participation_ratio")}
    assert sorted(value for values in ratios.values() for _, value in values) == pytest.approx([3.0, 4.0])
    assert len(ratios) == 2
    assert sorted(value for name, value in run.data.params.items() if name.startswith("phiscope/n_")) == ["3", "4"]
    pictures = {path.name.partition("%")[0] for path in tmp_path.glob("mlflow-artifacts/**/images/*.png")}
    assert len(pictures) == 2


def test_names_that_mlflow_takes_stay(tmp_path):
    tracker = open_mlflow(Place(name="mine", folder=tmp_path))
    tracker.scalars({"phiscope/test set_2.b/nc1": 1.0, "phiscope/训练/nc1": 2.0}, 0)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / DATABASE}")
    (run,) = runs_of(client)
    assert set(mlflow_scalars(client, run.info.run_id)) == {"phiscope/test set_2.b/nc1", "phiscope/训练/nc1"}
