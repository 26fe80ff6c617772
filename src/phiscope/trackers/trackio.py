"""Trackio: the run that is active, else one of its own in Trackio's local database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phiscope.trackers.tracker import Pixels, Place, Settings, Tracker, settings_table


class Trackio(Tracker):
    """Writes with a run of Trackio; whoever made it finishes it.

    Args:
        run: what ``trackio.init`` returned.
        own: it was made here.
    """

    name = "trackio"

    def __init__(self, run: Any, *, own: bool = False) -> None:
        self._run = run
        self._own = own

    def scalars(self, numbers: Mapping[str, float], at: int) -> None:
        """One row."""
        self._run.log(dict(numbers), step=at)

    def settings(self, settings: Settings) -> None:
        """Into the configuration of a run of our own; another's has been sent already, and gets a table in a row."""
        if self._own:
            self._run.config["phiscope"] = dict(settings)
            return
        import trackio

        self._run.log({"phiscope/settings": trackio.Markdown(settings_table(settings))}, step=0)

    def picture(self, name: str, pixels: Pixels, at: int) -> None:
        """An image."""
        import trackio

        self._run.log({name: trackio.Image(pixels)}, step=at)

    def close(self, status: str) -> None:
        """Finish a run of our own."""
        if self._own:
            self._run.finish()


def open_trackio(place: Place) -> Trackio:
    """The active run, else one where TRACKIO_DIR says; nothing of the machine is gathered."""
    import trackio
    from trackio import context_vars

    active = context_vars.current_run.get()
    if active is not None:
        return Trackio(active)
    made = trackio.init(
        project="phiscope", name=place.name, resume="allow", embed=False, auto_log_cpu=False, auto_log_gpu=False
    )
    # What a caller begins later is a run of theirs; Trackio would finish ours for it.
    context_vars.current_run.set(None)
    return Trackio(made, own=True)
