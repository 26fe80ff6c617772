"""Trackers by name and by client; a missing library and a wrong object are one sentence."""

import sys

import pytest

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError
from phiscope.trackers import NAMES, Place, Tracker, chosen_trackers
from phiscope.trackers.mlflow import MLflow
from phiscope.trackers.tensorboard import TensorBoard
from phiscope.trackers.tracker import Called, LoggerTracker


def made(one, folder=None):
    (opening,) = chosen_trackers([one])
    return opening(Place(name="mine", folder=folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_library_is_named_with_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf"'{name}'.*pip install 'phiscope\[{name}\]'"):
        chosen_trackers([name])


def test_mlflow_without_its_database_is_named_with_the_extra(monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'phiscope[mlflow]'")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingDependencyError, match=r"'sqlalchemy'.*pip install 'phiscope\[mlflow\]'"):
        chosen_trackers(["mlflow"])


def test_a_name_that_is_none_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="no tracker named 'tensorbord'; did you mean tensorboard"):
        chosen_trackers(["tensorbord"])


@pytest.mark.parametrize("wrong", ["tensorboard", 3])
def test_trackers_are_a_list(wrong):
    with pytest.raises(InputError, match="is no list"):
        chosen_trackers(wrong)


@pytest.mark.parametrize("wrong", [3, object(), TensorBoard, ("client", "id"), None])
def test_what_is_no_tracker_is_refused(wrong):
    with pytest.raises(InputError, match="is no tracker; expected a name"):
        chosen_trackers([wrong])


class Own(Tracker):
    def scalars(self, numbers, at):
        pass


def test_an_own_tracker_is_taken_as_it_is():
    own = Own()
    assert made(own) is own


def test_functions_and_writers_are_told_apart():
    class Writer:
        def add_scalar(self): ...
        def add_image(self): ...

        def __call__(self): ...

    assert isinstance(made(print), Called)
    assert isinstance(made(Writer()), TensorBoard)


def test_a_summary_writer_is_taken(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'phiscope[tensorboard]'")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        assert isinstance(made(writer), TensorBoard)


def test_a_client_of_mlflow_comes_with_the_id_of_a_run():
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'phiscope[mlflow]'")

    class Client:
        def log_batch(self): ...

    assert isinstance(made((Client(), "abc")), MLflow)


class PlainLogger:
    def log_metrics(self, metrics, step=None): ...


def test_a_lightning_logger_is_taken_by_its_client_where_that_is_known(tmp_path):
    class Writer:
        def add_scalar(self): ...
        def add_image(self): ...

    class TensorBoardLogger(PlainLogger):
        experiment = Writer()

    class CsvLogger(PlainLogger):
        experiment = PlainLogger()

    assert isinstance(made(TensorBoardLogger()), TensorBoard)
    assert isinstance(made(CsvLogger()), LoggerTracker)
    assert isinstance(made(PlainLogger()), LoggerTracker)


def test_lightnings_own_loggers_are_taken(tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers", reason="lightning is not installed")
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'phiscope[tensorboard]'")
    board = loggers.TensorBoardLogger(tmp_path)
    assert isinstance(made(board), TensorBoard)
    board.experiment.close()
    assert isinstance(made(loggers.CSVLogger(tmp_path)), LoggerTracker)
