"""One record to every tracker; one that fails costs neither the record on disk nor the training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from phiscope.measurement.record import Measurement
from phiscope.trackers.pixels import pixels_of
from phiscope.trackers.tracker import Pixels, Settings, Tracker

PREFIX = "phiscope/"
"""What the name of every scalar begins with."""


class Sending:
    """Sends records to trackers, in order.

    Args:
        trackers: where to.
        settings: how the run was measured.

    Attributes:
        complaints: sentences about trackers that failed, one a tracker, for whoever may warn.
        failures: what did not arrive, by tracker.

    Example:
        >>> from phiscope.trackers import chosen_trackers
        >>> seen = []
        >>> [opening] = chosen_trackers([lambda numbers, at: seen.append((at, numbers))])
        >>> Sending([opening(None)], {}).record(2, None, {}, seconds=0.5)
        >>> seen
        [(2, {'phiscope/epoch': 2.0, 'phiscope/seconds': 0.5})]
    """

    def __init__(self, trackers: Iterable[Tracker], settings: Settings) -> None:
        self._trackers = tuple(trackers)
        self._settings = dict(settings)
        self._untold = self._trackers
        self.complaints: deque[str] = deque()
        self.failures: dict[str, int] = {}

    @property
    def draws(self) -> bool:
        """Whether anybody takes pictures."""
        return any(tracker.draws for tracker in self._trackers)

    def record(
        self, epoch: float, step: int | None, measurements: Mapping[str, Measurement], *, seconds: float
    ) -> None:
        """Send every number of a record, and before the first one that arrives the settings.

        Args:
            epoch: epochs trained so far.
            step: optimizer steps so far, or None.
            measurements: by split.
            seconds: what the record has cost.
        """
        numbers = {f"{PREFIX}epoch": float(epoch), f"{PREFIX}seconds": float(seconds)}
        if step is not None:
            numbers[f"{PREFIX}step"] = float(step)
        for split, measurement in measurements.items():
            numbers |= {f"{PREFIX}{split}/{name}": value for name, value in measurement.to_dict().items()}
        if self._untold:
            sizes = {f"n_{split}": measurement.n_samples for split, measurement in measurements.items()}
            settings = {**self._settings, **sizes}
            # One that could not take them is told again, as the complaint says.
            told = [self._arrives(one, epoch, lambda tracker: tracker.settings(settings)) for one in self._untold]
            self._untold = tuple(one for one, done in zip(self._untold, told, strict=True) if not done)
        self._each(epoch, lambda tracker: tracker.scalars(numbers, axis_of(epoch, step)))

    def pictures(self, epoch: float, step: int | None, measurements: Mapping[str, Measurement]) -> None:
        """Draw the spectrum of every split, and send it."""
        for split, measurement in measurements.items():
            pixels = pixels_of(measurement)
            name = f"{PREFIX}{split}/spectrum"
            self._each(epoch, partial(_sent_picture, name, pixels, axis_of(epoch, step)))

    def close(self, status: str) -> None:
        """Let go of every tracker."""
        self._each(None, lambda tracker: tracker.close(status))

    def _each(self, epoch: float | None, action: Callable[[Tracker], None]) -> None:
        for tracker in self._trackers:
            self._arrives(tracker, epoch, action)

    def _arrives(self, tracker: Tracker, epoch: float | None, action: Callable[[Tracker], None]) -> bool:
        try:
            action(tracker)
        except Exception as error:  # foreign code and foreign networks: whatever it is, the training goes on
            self._note_failure(tracker.name, epoch, error)
            return False
        return True

    def _note_failure(self, name: str, epoch: float | None, error: Exception) -> None:
        if name not in self.failures:
            where = "at its end" if epoch is None else f"at epoch {epoch:g}"
            self.complaints.append(
                f"the tracker {name} failed {where} ({type(error).__name__}: {str(error)[:300]}); the run on disk has "
                "the record and the training goes on; the next record tries again, and this is said once"
            )
        self.failures[name] = self.failures.get(name, 0) + 1


def _sent_picture(name: str, pixels: Pixels, at: int, tracker: Tracker) -> None:
    tracker.picture(name, pixels, at)


def axis_of(epoch: float, step: int | None) -> int:
    """Where a record stands on a tracker's axis of whole numbers: at its step where that is known, else at its epoch.

    Example:
        >>> axis_of(3, 1200), axis_of(3, None), axis_of(2.5, None)
        (1200, 3, 2)
    """
    return int(epoch) if step is None else step


def is_own(name: str) -> bool:
    """Whether a scalar is one that phiscope sent itself, and a framework hands back among the training's.

    Example:
        >>> is_own("phiscope/train/nc1"), is_own("eval/phiscope/probe/nc1"), is_own("train_loss")
        (True, True, False)
    """
    return name.startswith(PREFIX) or f"/{PREFIX}" in name
