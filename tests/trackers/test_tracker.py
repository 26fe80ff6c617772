"""What every tracker has, and trackers made of functions and loggers."""

import itertools

import pytest

from phiscope.trackers import Tracker
from phiscope.trackers.tracker import Called, LoggerTracker, spelled


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


LETTERS = r"A-Za-z0-9_\-. /"


def test_no_two_names_are_spelled_alike():
    """All short names of what is dangerous, escapes among it, and some of those that came up."""
    short = ("".join(name) for n in range(5) for name in itertools.product("_x4./é", repeat=n))
    names = {*short, "训练", "测试", "a#1", "a@1", "a_x23_1", "a_x5F_x23_1", "a//b", "a/b", "a/", "a_x2F_"}
    assert len({spelled(name, LETTERS) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["phiscope/train/participation_ratio", "test set-2.b/nc1", "a_x/b", "..."])
def test_names_of_such_letters_stay(name):
    assert spelled(name, LETTERS) == name


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a/.", "a/./b", "a/"])
def test_a_path_is_never_another_path(name):
    parts = spelled(name, LETTERS).split("/")
    assert not {"", ".", ".."} & set(parts)
