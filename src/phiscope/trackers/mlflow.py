"""MLflow: the active run, else one of its own in a database in the run's folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from phiscope.trackers.tracker import Pixels, Place, Settings, Tracker, spelled

DATABASE = "mlflow.db"
"""File in the run's folder, where no tracking server or database was set; ``mlflow ui`` opens it."""

LARGEST_BATCH = 1000
"""So many metrics MLflow takes in one call."""

LONGEST_PARAMETER = 500
"""So many letters every MLflow keeps of a parameter."""

_NAMES = r"\w\-. :/"
"""In names of metrics and parameters MLflow takes these, with letters of every alphabet."""

_PICTURES = r"A-Za-z0-9_\-. /"
"""In those of pictures fewer: they are names of files."""

_ENDS = {"completed": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow(Tracker):
    """Writes with a client, which knows no active run, so that any thread may call it.

    Args:
        client: a ``mlflow.MlflowClient``.
        run_id: of the run.
        own: the run was made here.
    """

    name = "mlflow"

    def __init__(self, client: Any, run_id: str, *, own: bool = False) -> None:
        self._client = client
        self._run_id = run_id
        self._own = own

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """One metric a number, in as few calls as MLflow allows."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(spelled(name, _NAMES), float(value), now, at) for name, value in numbers.items()]
        for start in range(0, len(rows), LARGEST_BATCH):
            self._client.log_batch(self._run_id, metrics=rows[start : start + LARGEST_BATCH])

    def settings(self, settings: Settings) -> None:
        """One parameter a setting; MLflow never changes one, so a run that goes on keeps those it has."""
        from mlflow.entities import Param

        there = self._client.get_run(self._run_id).data.params
        text = {spelled(f"phiscope/{name}", _NAMES): str(value)[:LONGEST_PARAMETER] for name, value in settings.items()}
        new = [Param(name, value) for name, value in text.items() if name not in there]
        if new:
            self._client.log_batch(self._run_id, params=new)

    def picture(self, name: str, pixels: Pixels, at: int) -> None:
        """An image among the artifacts."""
        self._client.log_image(self._run_id, pixels, key=spelled(name, _PICTURES), step=at)

    def close(self, status: str) -> None:
        """End a run of our own."""
        if self._own:
            self._client.set_terminated(self._run_id, _ENDS[status])


def open_mlflow(place: Place) -> MLflow:
    """The active run, else one where the caller tracks, else one in a database in the run's folder."""
    import mlflow
    from mlflow import MlflowClient

    active = mlflow.active_run()
    if active is not None:
        return MLflow(MlflowClient(), active.info.run_id)
    elsewhere = mlflow.is_tracking_uri_set()
    folder = place.folder.resolve()
    client = MlflowClient() if elsewhere else MlflowClient(tracking_uri=f"sqlite:///{folder / DATABASE}")
    experiment = client.get_experiment_by_name("phiscope")
    if experiment is None:
        artifacts = None if elsewhere else (folder / "mlflow-artifacts").as_uri()
        number = client.create_experiment("phiscope", artifact_location=artifacts)
    else:
        number = experiment.experiment_id
    return MLflow(client, client.create_run(number, run_name=place.name).info.run_id, own=True)


def mlflow_of(client: Any, run: Any) -> MLflow:
    """A client, or None for the one that MLflow is set to, and a run or its id."""
    from mlflow import MlflowClient

    return MLflow(client or MlflowClient(), run if isinstance(run, str) else run.info.run_id)
