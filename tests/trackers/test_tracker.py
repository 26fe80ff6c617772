"""What every tracker has, and trackers made of functions and loggers."""

import pytest

from phiscope.trackers import Tracker
from phiscope.trackers.tracker import Called, LoggerTracker


class Minimal(Tracker):
    def scalars(self, numbers, at):
        pass


class Drawn(Minimal):
    def picture(self, name, pixels, at):
        pass


def test_only_scalars_have_to_be_written():
    tracker = Minimal()
    tracker.settings({"name": "mine"})
    tracker.picture("phiscope/train/spectrum", None, 0)
    tracker.close("completed")
    with pytest.raises(TypeError, match="abstract"):
        Tracker()


def test_whether_it_draws_is_seen_from_its_class():
    assert Drawn().draws
    assert not Minimal().draws
    assert not Called(print).draws


def test_a_function_is_called_with_numbers_and_place():
    calls = []

    def keep(numbers, at):
        calls.append((dict(numbers), at))

    tracker = Called(keep)
    tracker.scalars({"phiscope/epoch": 1.0}, 1)
    assert calls == [({"phiscope/epoch": 1.0}, 1)]
    assert tracker.name.endswith("keep")


class Logger:
    def __init__(self):
        self.told = []

    def log_metrics(self, metrics, step=None):
        self.told.append((metrics, step))

    def log_hyperparams(self, params):
        self.told.append(params)


def test_a_logger_gets_numbers_and_settings():
    logger = Logger()
    tracker = LoggerTracker(logger)
    tracker.settings({"name": "mine"})
    tracker.scalars({"phiscope/epoch": 1.0}, 4)
    assert logger.told == [{"name": "mine"}, ({"phiscope/epoch": 1.0}, 4)]
    assert tracker.name == "Logger"
