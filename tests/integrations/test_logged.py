"""Numbers go where the framework logs, by its own clients, and do not come back as scalars of the training."""

import sys
import warnings

import pytest

import phiscope
from phiscope.trackers import is_own
from tracker_logs import mlflow_scalars, tensorboard_scalars, wandb_rows

pytest.importorskip("lightning")
pytest.importorskip("transformers")
pytest.importorskip("tensorboard")

from lit import fitted, made
from phiscope.integrations import LightningObserver, TransformersObserver
from texts import trainer


@pytest.fixture(autouse=True)
def calm(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'flow.db'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if "wandb" in sys.modules:
        # Its settings are read from the environment once, until it is taken down.
        sys.modules["wandb"].teardown()


NUMBER = "effective_dimension"


def check(path, split, found):
    """What arrived is what the run holds, and the run's scalars hold none of it."""
    run = phiscope.open_run(path)
    expected = [record.numbers()[NUMBER] for record in run.records]
    assert found[f"phiscope/{split}/{NUMBER}"] == pytest.approx(expected, rel=1e-6)
    assert "phiscope/seconds" in found
    assert not any(is_own(name) for record in run.records for name in record.scalars)


def values(scalars):
    return {name: [value for _, value in row] for name, row in scalars.items()}


@pytest.mark.slow
def test_lightnings_tensorboard(tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path / "board")
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, observer, logger=logger, log_every_n_steps=1)
    scalars = tensorboard_scalars(logger.log_dir)
    check(observer.path, "validation", values(scalars))
    assert [at for at, _ in scalars[f"phiscope/validation/{NUMBER}"]] == [0, 6, 12]
    assert "val_loss" in scalars


def test_lightnings_csv_and_no_trackers(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path / "table")
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, observer, logger=logger)
    assert f"phiscope/validation/{NUMBER}" in (tmp_path / "table/lightning_logs/version_0/metrics.csv").read_text()
    silent = CSVLogger(tmp_path / "silent")
    fitted(made(), tmp_path, LightningObserver(run=tmp_path / "other", trackers=()), logger=silent)
    assert "phiscope" not in (tmp_path / "silent/lightning_logs/version_0/metrics.csv").read_text()


@pytest.mark.slow
def test_lightnings_wandb_and_mlflow(tmp_path):
    wandb, mlflow = pytest.importorskip("wandb"), pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

    flow = MLFlowLogger(tracking_uri=f"sqlite:///{tmp_path / 'flow.db'}", experiment_name="mine")
    loggers = [WandbLogger(save_dir=tmp_path, offline=True), flow]
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, observer, logger=loggers)
    wandb.finish()
    rows = wandb_rows(tmp_path)
    name = f"phiscope/validation/{NUMBER}"
    check(observer.path, "validation", {name: [r[name] for r in rows if name in r], "phiscope/seconds": []})
    assert any("val_loss" in row for row in rows)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'flow.db'}")
    check(observer.path, "validation", values(mlflow_scalars(client, flow.run_id)))


def test_report_to_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, report_to=["tensorboard"]).train()
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    scalars = tensorboard_scalars(folder)
    check(observer.path, "evaluation", values(scalars))
    assert "eval/loss" in scalars


@pytest.mark.slow
def test_report_to_wandb_and_mlflow(tmp_path):
    wandb, mlflow = pytest.importorskip("wandb"), pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'flow.db'}")
    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, report_to=["wandb", "mlflow"]).train()
    wandb.finish()
    rows = wandb_rows(tmp_path)
    name = f"phiscope/evaluation/{NUMBER}"
    check(observer.path, "evaluation", {name: [r[name] for r in rows if name in r], "phiscope/seconds": []})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'flow.db'}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    check(observer.path, "evaluation", values(mlflow_scalars(client, run.info.run_id)))
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_report_to_trackio(tmp_path):
    pytest.importorskip("trackio")
    from tracker_logs import trackio_scalars

    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, report_to=["trackio"], project="mine", run_name="one").train()
    check(observer.path, "evaluation", values(trackio_scalars("mine", "one")))


@pytest.mark.slow
def test_accelerates_trackers(tmp_path):
    import torch
    from accelerate import Accelerator
    from torch import nn

    from phiscope.integrations import AccelerateObserver

    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path / "board")
    accelerator.init_trackers("mine")
    network = accelerator.prepare(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    data = (torch.randn(40, 4), torch.arange(40) % 3)
    with AccelerateObserver(accelerator, network, data, run=tmp_path / "mine") as observer:
        observer.record(epoch=0, step=0)
        observer.record(epoch=1, step=5)
    accelerator.end_training()
    check(observer.path, "probe", values(tensorboard_scalars(tmp_path / "board" / "mine")))
