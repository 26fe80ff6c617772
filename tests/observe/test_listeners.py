"""Trackers and alerts beside the run: what they are told, on which thread, and what becomes of their failures."""

import json
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

import phiscope
from phiscope.errors import AlertError, InputError, MissingDependencyError, UnknownNameError
from phiscope.trackers import Tracker
from small_training import X, Y, network
from tracker_logs import mlflow_scalars, tensorboard_log, tensorboard_scalars, trackio_scalars, wandb_rows
from untouched import untouched

NAME = "effective_dimension_centered"
DATA = {"train": (X, Y), "test": (X[:30], Y[:30])}


class Kept(Tracker):
    """Remembers what it was told, and on which thread."""

    name = "kept"

    def __init__(self):
        self.rows, self.settled, self.shown, self.ended = [], [], [], None
        self.threads = set()

    def scalars(self, numbers, at):
        self.rows.append((at, dict(numbers)))
        self.threads.add(threading.current_thread())

    def settings(self, settings):
        self.settled.append(dict(settings))

    def picture(self, name, pixels, at):
        assert threading.current_thread() is threading.main_thread()
        self.shown.append((name, at))

    def close(self, status):
        self.ended = status


@pytest.fixture
def net():
    torch.manual_seed(0)
    return network()


def observed(kind, net, path, **options):
    """An observer of either kind, and a function that makes it record."""
    data = (X, Y) if kind is phiscope.PassiveObserver else DATA
    observer = kind(net, data, run=path, **options)

    def record(epoch, **words):
        if kind is phiscope.PassiveObserver:
            with observer.batch((X, Y)):
                net(X)
        return observer.record(epoch=epoch, **words)

    return observer, record


KINDS = (phiscope.Observer, phiscope.PassiveObserver)


def test_pictures_that_are_given_once_are_drawn(net, tmp_path):
    kept = Kept()
    observer, record = observed(phiscope.Observer, net, tmp_path / "r", trackers=[kept], pictures=iter([0, 2]))
    with observer:
        for epoch in range(4):
            record(epoch)
    assert {at.epoch if hasattr(at, "epoch") else at for _, at in kept.shown} == {0, 2}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_gets_what_the_run_has(net, tmp_path, kind, background):
    kept = Kept()
    observer, record = observed(kind, net, tmp_path / "r", background=background, trackers=[kept], pictures=2)
    with observer:
        for epoch in range(3):
            record(epoch, train_loss=1.0)
    run = phiscope.open_run(tmp_path / "r")
    assert [at for at, _ in kept.rows] == [0, 1, 2]
    for (_, row), stored in zip(kept.rows, run.records, strict=True):
        numbers = {f"phiscope/{split}/{n}": v for split in stored.splits for n, v in stored.numbers(split).items()}
        assert row.pop("phiscope/seconds") > 0
        assert row == {**numbers, "phiscope/epoch": stored.epoch}
    assert [at for name, at in kept.shown if name == "phiscope/train/spectrum"] == [0, 2]
    assert kept.ended == "completed"
    # Numbers come as soon as they are there; a picture waits for the training's thread (see Kept.picture).
    assert (threading.main_thread() in kept.threads) != background


def test_settings_are_those_of_the_observer_and_no_more(net, tmp_path):
    kept = Kept()
    header = {"title": "Mine", "settings": {"path": "/home/me", "token": "secret"}, "description": "long"}
    with phiscope.Observer(net, DATA, run=tmp_path / "r", header=header, trackers=[kept]) as observer:
        observer.record(epoch=0)
    (settings,) = kept.settled
    assert set(settings) == {
        "name", "title", "model", "head", "task", "initial_parameters", "splits", "every", "rank_tolerance",
        "corrected", "gallery", "n_train", "n_test",
    }  # fmt: skip
    assert (settings["name"], settings["splits"], settings["n_test"]) == ("r", "train, test", 30)
    assert str(tmp_path) not in json.dumps(settings)


@pytest.mark.parametrize("kind", KINDS)
def test_own_numbers_do_not_come_back(net, tmp_path, kind):
    observer, record = observed(kind, net, tmp_path / "r")
    with observer:
        record(1, train_loss=1.0, **{"phiscope/train/nc1": 0.5, "eval/phiscope/train/nc1": "no number"})
        observer.note(epoch=1, eval_loss=2.0, **{"phiscope/seconds": 0.1})
    (stored,) = phiscope.open_run(tmp_path / "r").records
    assert stored.scalars == {"train_loss": 1.0, "eval_loss": 2.0}


class Broken(Kept):
    name = "broken"

    def scalars(self, numbers, at):
        raise ConnectionError("no route to host")


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_that_fails_warns_once_and_costs_nothing(net, tmp_path, kind, background):
    kept = Kept()
    told = {"trackers": [Broken(), kept], "pictures": None}
    observer, record = observed(kind, net, tmp_path / "r", background=background, **told)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with observer:
            for epoch in range(3):
                record(epoch)
    assert [str(one.message).split(" (")[0] for one in caught if "tracker" in str(one.message)] == [
        "the tracker broken failed at epoch 0"
    ]
    run = phiscope.open_run(tmp_path / "r")
    assert len(run.records) == len(kept.rows) == 3
    assert run.status == "completed"
    assert run.results["tracker_failures"] == {"broken": 3}


def test_a_record_that_the_disk_refuses_still_reaches_the_tracker(net, tmp_path):
    kept = Kept()
    observer = phiscope.Observer(net, DATA, run=tmp_path / "r", trackers=[kept], pictures=None, on_error="warn")
    observer.record(epoch=0)
    (tmp_path / "r").rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match="is not stored"):
        observer.record(epoch=1)
    assert [at for at, _ in kept.rows] == [0, 1]
    with pytest.warns(UserWarning, match="not stored"):
        observer.close()


def test_a_refusal_leaves_no_run_behind(net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    refusals = [
        ({"trackers": ["trackio"]}, MissingDependencyError),
        ({"trackers": ["tensorbord"]}, UnknownNameError),
        ({"trackers": [Kept()], "pictures": "sometimes"}, InputError),
        ({"alerts": [phiscope.Alert(NAME, below=1.0, split="validation")]}, UnknownNameError),
        ({"alerts": ["nc1"]}, InputError),
    ]
    for options, error in refusals:
        with pytest.raises(error):
            phiscope.Observer(net, DATA, run=tmp_path / "r", **options)
        with pytest.raises(error):
            phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def read_tensorboard(folder):
    return tensorboard_scalars(folder / "tensorboard")


def read_wandb(folder):
    rows = wandb_rows(folder)
    names = {name for row in rows for name in row}
    return {name: [(row["phiscope/epoch"], row[name]) for row in rows if name in row] for name in names}


def read_mlflow(folder):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("phiscope").experiment_id])
    return mlflow_scalars(client, run.info.run_id)


def read_trackio(folder):
    return trackio_scalars("phiscope", folder.name)


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow, "trackio": read_trackio}


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["tensorboard", "trackio", *(pytest.param(name, marks=pytest.mark.slow) for name in ("wandb", "mlflow"))]
)
def test_a_tracker_by_name_has_the_runs_numbers_and_disturbs_nothing(net, tmp_path, monkeypatch, name):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install 'phiscope[{name}]'")
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / f"observed-{name}"
    with untouched(net):
        options = {"trackers": [name], "background": True, "pictures": [1]}
        with phiscope.Observer(net, DATA, run=path, **options) as observer:
            for epoch in range(2):
                observer.record(epoch=epoch)
    run = phiscope.open_run(path)
    assert run.results.get("tracker_failures") is None
    scalars = READERS[name](path)
    # TensorBoard keeps float32.
    for number in (NAME, "nc1", "dynamical_low_rank_corrected"):
        expected = [stored.numbers("test")[number] for stored in run.records]
        rows = scalars[f"phiscope/test/{number}"]
        assert [value for _, value in rows] == pytest.approx(expected, rel=1e-6)
        assert [at for at, _ in rows] == [0, 1]
    assert len(scalars["phiscope/seconds"]) == 2


def test_pictures_reach_tensorboard_at_their_pace(net, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'phiscope[tensorboard]'")
    with phiscope.Observer(net, DATA, run=tmp_path / "r", trackers=["tensorboard"], pictures=2) as observer:
        for epoch in range(4):
            observer.record(epoch=epoch, step=100 * epoch)
    log = tensorboard_log(tmp_path / "r" / "tensorboard")
    assert [picture.step for picture in log.Images("phiscope/test/spectrum")] == [0, 200]


# A network whose features shrink to a line: its dimension falls.
def collapsing(net, epoch):
    with torch.no_grad():
        net[-1].weight.mul_(1.0)
        net[0].weight[1:] *= 0.0 if epoch else 1.0
        net[0].bias[1:] = 0.0


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_alert_asks_to_stop_and_leaves_its_evidence(net, tmp_path, kind, background):
    alert = phiscope.Alert(NAME, below=0.9, relative_to="initial", then="stop", split="train")
    observer, record = observed(kind, net, tmp_path / "r", background=background, alerts=[alert])
    asked = []

    def train():
        with observer:
            for epoch in range(4):
                collapsing(net, epoch)
                record(epoch)
                observer.state_dict()  # waits for what is on its way
                asked.append(observer.should_stop)

    with pytest.warns(UserWarning, match=r"alert: .*; the training is asked to stop"):
        train()
    assert asked == [False, False, True, True]
    run = phiscope.open_run(tmp_path / "r")
    (evidence,) = run.alerts
    assert (evidence["epoch"], evidence["record"], evidence["split"]) == (2, 2, "train")
    values = [stored.numbers("train")[NAME] for stored in run.records[:3]]
    assert [row["value"] for row in evidence["values"]] == values
    assert evidence["threshold"] == 0.9 * values[0]
    assert evidence["draw"] == f"phiscope report {tmp_path / 'r'}"
    assert f"alert: {evidence['sentence']}" in run.warnings


def test_control_without_an_alert_nothing_asks(net, tmp_path):
    with phiscope.Observer(net, DATA, run=tmp_path / "r") as observer:
        for epoch in range(3):
            collapsing(net, epoch)
            observer.record(epoch=epoch)
        assert not observer.should_stop
    assert phiscope.open_run(tmp_path / "r").alerts == ()


@pytest.mark.parametrize("background", [False, True])
def test_an_alert_raises_after_its_record_is_stored(net, tmp_path, background):
    alert = phiscope.Alert(NAME, below=1e9, patience=1, then="raise")
    epochs = []
    observer = phiscope.Observer(net, DATA, run=tmp_path / "r", background=background, alerts=[alert])

    def train():
        with observer:
            for epoch in range(4):
                observer.record(epoch=epoch)
                epochs.append(epoch)

    with pytest.raises(AlertError, match=r"below 1e\+09, on 'train'") as caught:
        train()
    assert caught.value.evidence["record"] == 0
    run = phiscope.open_run(tmp_path / "r")
    assert run.status == "failed"
    assert run.reason.startswith("AlertError: alert: effective_dimension_centered")
    # At once, or with the next record at the latest.
    assert len(epochs) <= (1 if background else 0)
    assert len(run.records) >= 1


def test_an_alert_calls_a_function_with_the_evidence(net, tmp_path):
    calls = []
    alert = phiscope.Alert(NAME, below=1e9, patience=1, then=calls.append)
    with phiscope.Observer(net, DATA, run=tmp_path / "r", background=True, alerts=[alert]) as observer:
        observer.record(epoch=0)
    (evidence,) = calls
    assert evidence["alert"]["then"].endswith("append")
    assert evidence["value"] == phiscope.open_run(tmp_path / "r").records[0].numbers("train")[NAME]


def test_a_number_that_is_absent_is_said_once(net, tmp_path):
    alert = phiscope.Alert("nc1", below=1e9, patience=1)

    def train():
        with phiscope.Observer(net, X, run=tmp_path / "r", alerts=[alert]) as observer:
            for epoch in range(3):
                observer.record(epoch=epoch)

    with pytest.warns(UserWarning, match=r"nc1 cannot be judged where it is not measured .*do not count") as caught:
        train()
    assert len([one for one in caught if "cannot be judged" in str(one.message)]) == 1


def told_by(net, path, epochs, **options):
    """Epochs at which alerts fired in one part of a training."""
    seen = []
    alert = phiscope.Alert(NAME, below=1e9, patience=3, then=lambda evidence: seen.append(evidence["epoch"]))
    with phiscope.Observer(net, DATA, run=path, alerts=[alert], **options) as observer:
        for epoch in epochs:
            observer.record(epoch=epoch)
        state = observer.state_dict()
    return seen, state


def test_patience_goes_on_after_a_resume_without_a_state(net, tmp_path):
    assert told_by(net, tmp_path / "r", [0, 1])[0] == []
    assert told_by(net, tmp_path / "r", [2, 3], resume=True)[0] == [2]


def test_patience_counts_only_what_lies_before_where_the_training_goes_on(net, tmp_path):
    assert told_by(net, tmp_path / "r", [0, 1])[0] == []
    # Epoch 1 is trained anew: the old record of it lies on another branch.
    assert told_by(net, tmp_path / "r", [1, 2], resume=True)[0] == [2]


def test_patience_travels_in_the_state(net, tmp_path):
    _, state = told_by(net, tmp_path / "r", [0, 1])
    json.dumps(state, allow_nan=False)
    seen = []
    alert = phiscope.Alert(NAME, below=1e9, patience=3, then=lambda evidence: seen.append(evidence["epoch"]))
    with phiscope.Observer(net, DATA, run=tmp_path / "r", alerts=[alert], resume=True) as observer:
        observer.load_state_dict(state)
        observer.record(epoch=2)
    assert seen == [2]


def test_weights_are_the_same_bits_with_trackers_and_alerts(tmp_path):
    def trained(**options):
        torch.manual_seed(0)
        net = network()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        alert = phiscope.Alert(NAME, below=1e9, then=lambda evidence: None)
        name = f"r{len(options)}"
        more = {"trackers": [Kept()], "alerts": [alert], "pictures": "epoch"} if options else {}
        with phiscope.Observer(net, DATA, run=tmp_path / name, **more) as observer:
            for epoch in range(3):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(X), Y).backward()
                optimizer.step()
                observer.record(epoch=epoch + 1)
        return [tensor.numpy().copy() for tensor in net.state_dict().values()]

    for a, b in zip(trained(), trained(told=True), strict=True):
        np.testing.assert_array_equal(a, b)
