"""Trackers by name, and by what users hand in: a client's own writer or run, a logger, a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError, named_kind
from phiscope.inputs.settings import walked
from phiscope.trackers.mlflow import mlflow_of, open_mlflow
from phiscope.trackers.tensorboard import TensorBoard, open_tensorboard
from phiscope.trackers.tracker import Called, LoggerTracker, Place, Tracker
from phiscope.trackers.trackio import Trackio, open_trackio
from phiscope.trackers.wandb import WandB, open_wandb


@dataclass(frozen=True)
class Opening:
    """A tracker that was chosen, to be made once the run's folder is there.

    Attributes:
        make: makes it.
        draws: it takes pictures.
    """

    make: Callable[[Place], Tracker]
    draws: bool = True

    def __call__(self, place: Place) -> Tracker:
        """Make it."""
        return self.make(place)


_OPENINGS: dict[str, Callable[[Place], Tracker]] = {
    "tensorboard": open_tensorboard,
    "wandb": open_wandb,
    "mlflow": open_mlflow,
    "trackio": open_trackio,
}

NAMES = tuple(_OPENINGS)
"""Trackers that have a name."""

_NEEDED = {"mlflow": ("mlflow", "sqlalchemy")}
# MLflow's small package has no database; who tracks on a server does without, so only a name asks for it.


def chosen_trackers(trackers: Iterable[Any]) -> tuple[Opening, ...]:
    """Read what a user chose; nothing is written yet, so that a refusal leaves nothing behind.

    Args:
        trackers: names (see `NAMES`); a SummaryWriter; a run of wandb, MLflow or Trackio; ``(MlflowClient, run_id)``; a
            logger of Lightning; a `Tracker`; or a function of numbers by name and where they stand.

    Raises:
        MissingDependencyError: the library of a name is not installed.
        UnknownNameError: there is no tracker of that name.
        InputError: something else.

    Example:
        >>> [opening] = chosen_trackers([lambda numbers, at: print(at, numbers)])
        >>> opening(None).scalars({"phiscope/epoch": 2.0}, 2)
        2 {'phiscope/epoch': 2.0}
    """
    listed = walked(trackers)
    if listed is None:
        raise InputError(f"trackers={trackers!r:.80} is no list; pass for example trackers=['tensorboard']")
    return tuple(_named(one) if isinstance(one, str) else _given(one) for one in listed)


def _named(name: str) -> Opening:
    if name not in _OPENINGS:
        raise UnknownNameError("tracker", name, NAMES)
    for package in _NEEDED.get(name, (name,)):
        try:
            import_module(package)
        except ImportError as error:
            raise MissingDependencyError(package, purpose=f"the tracker {name!r}", extra=name) from error
    return Opening(_OPENINGS[name])


def _given(one: Any) -> Opening:
    tracker = one if isinstance(one, Tracker) else _of_client(one)
    if tracker is None:
        raise InputError(
            f"{named_kind(one)} is no tracker; expected a name ({', '.join(NAMES)}), a SummaryWriter, a run of "
            "wandb, MLflow or Trackio, (MlflowClient, run_id), a logger of Lightning, a phiscope.trackers.Tracker, or "
            "a function of (numbers, at)"
        )
    return Opening(lambda place: tracker, draws=tracker.draws)


def _of_client(one: Any) -> Tracker | None:
    """By the library that a class comes from, so that nothing is imported to look at it."""
    homes = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
    if isinstance(one, tuple) and len(one) == 2:
        return mlflow_of(*one) if hasattr(one[0], "log_batch") else None
    if hasattr(one, "add_scalar") and hasattr(one, "add_image"):
        return TensorBoard(one)
    if "wandb" in homes and hasattr(one, "define_metric"):
        return WandB(one)
    if "trackio" in homes and hasattr(one, "log"):
        return Trackio(one)
    if "mlflow" in homes and hasattr(one, "info"):
        return mlflow_of(None, one)
    if hasattr(one, "log_metrics"):
        return _of_logger(one)
    return Called(one) if callable(one) and not isinstance(one, type) else None


def _of_logger(logger: Any) -> Tracker:
    """A logger of Lightning: by its client where that is one of the four, so that pictures arrive, too."""
    client = getattr(logger, "experiment", None)
    run_id = getattr(logger, "run_id", None)
    if hasattr(client, "log_batch") and isinstance(run_id, str):
        return mlflow_of(client, run_id)
    known = None if client is None or hasattr(client, "log_metrics") else _of_client(client)
    return LoggerTracker(logger) if known is None or isinstance(known, Called) else known
