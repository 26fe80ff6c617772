"""TensorBoard: event files, written by a SummaryWriter of torch or of tensorboardX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phiscope.trackers.tracker import Pixels, Place, Settings, Tracker, settings_table

FOLDER = "tensorboard"
"""Folder of the event files in a run's folder; ``tensorboard --logdir runs`` finds it."""


class TensorBoard(Tracker):
    """Writes with a SummaryWriter; whoever made it closes it.

    Args:
        writer: a SummaryWriter.
        own: it was made here.
    """

    name = "tensorboard"

    def __init__(self, writer: Any, *, own: bool = False) -> None:
        self._writer = writer
        self._own = own

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """One scalar a number; flushed, so that a kill takes none."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, global_step=at)
        self._writer.flush()

    def settings(self, settings: Settings) -> None:
        """A table among the texts; in event files of our own also hyperparameters."""
        self._writer.add_text("phiscope/settings", settings_table(settings), global_step=0)
        if self._own:
            # A run has one table of hyperparameters: in somebody's own files it is theirs. "." is this very folder.
            self._writer.add_hparams(dict(settings), {}, run_name=".")

    def picture(self, name: str, pixels: Pixels, at: int) -> None:
        """An image."""
        self._writer.add_image(name, pixels, global_step=at, dataformats="HWC")
        self._writer.flush()

    def close(self, status: str) -> None:
        """Close the files that were opened here, flush the others."""
        if self._own:
            self._writer.close()
        else:
            self._writer.flush()


def open_tensorboard(place: Place) -> TensorBoard:
    """Event files in the run's folder."""
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoard(SummaryWriter(log_dir=str(place.folder / FOLDER)), own=True)
