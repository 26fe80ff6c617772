"""Weights & Biases: the run that is active, else one of its own that stays on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from phiscope.trackers.tracker import Pixels, Place, Settings, Tracker

# What wandb would gather by itself: the machine, the environment, the code. Of a training none of it is asked for here.
_QUIET = {
    "console": "off",
    "disable_git": True,
    "reinit": "create_new",  # another run of the caller's stays the active one
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandB(Tracker):
    """Writes with a run of wandb; whoever made it finishes it.

    Args:
        run: what ``wandb.init`` returned.
        own: it was made here.
    """

    name = "wandb"

    def __init__(self, run: Any, *, own: bool = False) -> None:
        self._run = run
        self._own = own
        self._axis = ""
        self._waiting_at: int | None = None

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """One row of history, over an axis of its own, so that nobody's steps have to agree with ours."""
        axis = "phiscope/step" if "phiscope/step" in numbers else "phiscope/epoch"
        if axis != self._axis:
            self._run.define_metric("phiscope/*", step_metric=axis)
            self._axis = axis
        self._log(dict(numbers))

    def settings(self, settings: Settings) -> None:
        """Into the run's configuration, under one key."""
        self._run.config.update({"phiscope": dict(settings)}, allow_val_change=True)

    def picture(self, name: str, pixels: Pixels, at: int) -> None:
        """An image, with the axis beside it."""
        import wandb

        self._log({name: wandb.Image(pixels), self._axis or "phiscope/epoch": at})

    def close(self, status: str) -> None:
        """Finish a run of our own."""
        if self._own:
            self._run.finish(exit_code=1 if status == "failed" else 0)

    def _log(self, row: dict[str, Any]) -> None:
        if self._own:
            self._run.log(row)
            return
        # wandb drops what comes with a step that is over. Joining the row that the training has open leaves its steps
        # as they are; a row of ours that nobody closed since is closed, or this one would write over it.
        if self._waiting_at == self._run.step:
            self._run.log({}, commit=True)
        self._run.log(row, commit=False)
        self._waiting_at = self._run.step


def open_wandb(place: Place) -> WandB:
    """The active run, else one in the run's folder: offline, unless WANDB_MODE says otherwise."""
    import wandb

    if wandb.run is not None:
        return WandB(wandb.run)
    known = wandb.Settings.model_fields
    quiet = wandb.Settings(**{name: value for name, value in _QUIET.items() if name in known})
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    return WandB(
        wandb.init(project="phiscope", name=place.name, dir=str(place.folder), mode=mode, settings=quiet), own=True
    )
