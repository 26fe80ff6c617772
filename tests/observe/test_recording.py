"""Late words, checkpoints, the end of a training, and what becomes of a record that cannot be written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, RunError
from phiscope.runs import RunWriter
from small_training import X as IMAGES
from small_training import Y as LABELS
from small_training import network

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3
KINDS = [phiscope.Observer, phiscope.PassiveObserver]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def moved(net):
    with torch.no_grad():
        net[0].weight.add_(0.3 * torch.randn_like(net[0].weight))


def similarity(record):
    return record.numbers()["initial_kernel_similarity"]


def test_the_same_epoch_is_not_measured_twice(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        assert observer.record(epoch=1, train_loss=1.0) is not None
        assert observer.record(epoch=1, eval_loss=1.1) is None
        observer.record(epoch=1, step=50)
        observer.record(epoch=1, step=60)
        observer.record(epoch=1, last=2.0)
        assert observer.cost.records == 3
    records = phiscope.open_run(tmp_path / "r").records
    assert [(record.epoch, record.step, record.splits) for record in records] == [
        (1, None, ("probe",)),
        (1, 50, ("probe",)),
        (1, 60, ("probe",)),
    ]
    assert records[0].scalars == {"train_loss": 1.0, "eval_loss": 1.1}
    assert records[2].scalars == {"last": 2.0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("background", [False, True])
def test_notes_come_early_and_late(net, tmp_path, kind, background):
    with kind(net, (X, Y), run=tmp_path / "r", background=background) as observer:
        observer.record(epoch=0)
        observer.note(epoch=1, eval_loss=torch.tensor(0.5))
        observer.record(epoch=1, train_loss=0.25)
        observer.note(epoch=1, eval_accuracy=0.75)
        observer.note(epoch=0, eval_loss=0.125)
        with pytest.raises(InputError, match="not one number"):
            observer.note(epoch=1, eval_loss="low")
    first, second = phiscope.open_run(tmp_path / "r").records
    assert first.scalars == {"eval_loss": 0.125}
    assert second.scalars == {"eval_loss": 0.5, "train_loss": 0.25, "eval_accuracy": 0.75}
    with pytest.raises(InputError, match="closed"):
        observer.note(epoch=1, eval_loss=0.1)


def test_a_passive_observer_measures_what_came_since_although_the_epoch_is_the_same(net, tmp_path):
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        for _ in range(2):
            with observer.batch((X, Y)):
                net(X)
            assert observer.record(epoch=1) is not None
        assert observer.record(epoch=1, loss=1.0) is None
    records = phiscope.open_run(tmp_path / "r").records
    assert [dict(record.scalars) for record in records] == [{}, {"loss": 1.0}]


def test_s_init_goes_on_after_a_resume(net, tmp_path):
    twin = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True) as observer:
        observer.record(epoch=0)
        moved(net)
        observer.record(epoch=1)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(99)
    other = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    other.load_state_dict(state)
    with phiscope.Observer(other, (X, Y), run=tmp_path / "r", resume=True) as observer:
        again = observer.record(epoch=2)
    one, two, three = phiscope.open_run(tmp_path / "r").records
    assert similarity(one) == pytest.approx(1.0)
    assert similarity(two) < 0.999
    # Nothing was trained in between, so the number goes on where it was; against the present weights it would be 1.
    assert similarity(three) == pytest.approx(similarity(two), rel=1e-9)
    assert again["initial_kernel_similarity"] == similarity(three)
    given = phiscope.Observer(other, (X, Y), run=tmp_path / "given", initial=twin).record(epoch=2)
    assert given["initial_kernel_similarity"] == pytest.approx(similarity(two), rel=1e-9)


def test_a_resume_without_the_initial_state_says_nothing_of_it(net, tmp_path):
    for resume in (False, True):
        with phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=resume, initial=None) as observer:
            observer.record(epoch=int(resume))
    assert not (tmp_path / "r" / "initial.safetensors").exists()
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True) as observer:
        # The model of a resumed run has moved: comparing with it would say that nothing has.
        assert "initial_kernel_similarity" not in observer.record(epoch=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_takes_the_observer_along(net, tmp_path, kind):
    with kind(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
        observer.record(epoch=1)
        saved = json.loads(json.dumps(observer.state_dict()))  # plain enough for any checkpoint
        observer.record(epoch=2)
        observer.record(epoch=3)
    observer = kind(net, (X, Y), run=tmp_path / "r", resume=True)
    observer.load_state_dict(saved)
    observer.record(epoch=1, late=1.0)  # the checkpoint's own epoch is there already
    observer.record(epoch=2)
    observer.close()
    run = phiscope.open_run(tmp_path / "r")
    assert [record.index for record in run.records] == [0, 1, 4]
    assert run.records[1].scalars == {"late": 1.0}
    assert [record.epoch for record in run.branch(0).records] == [0, 1, 2, 3]


def test_a_checkpoint_of_the_present_goes_on_without_a_branch(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r", background=True)
    observer.record(epoch=0)
    saved = observer.state_dict()
    assert saved["record"] == 0  # waited for what was on its way
    observer.close("interrupted")
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True)
    observer.load_state_dict(saved)
    observer.record(epoch=1)
    observer.close()
    run = phiscope.open_run(tmp_path / "r")
    assert ([record.epoch for record in run.records], run.branches) == ([0, 1], (0,))


def test_counted_calls_go_on(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    observer.record()
    observer.record()
    saved = observer.state_dict()
    observer.close()
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True)
    observer.load_state_dict(saved)
    observer.record()
    observer.close()
    assert [record.epoch for record in phiscope.open_run(tmp_path / "r").records] == [0, 1, 2]


def test_the_state_of_another_run_is_refused(net, tmp_path):
    states = []
    for name in "ab":
        with phiscope.Observer(net, (X, Y), run=tmp_path / name) as observer:
            observer.record(epoch=0)
            states.append(observer.state_dict())
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "a", resume=True)
    with pytest.raises(RunError, match="belongs to the run with id"):
        observer.load_state_dict(states[1])
    with pytest.raises(RunError, match="no record 5"):
        observer.load_state_dict(states[0] | {"record": 5})
    damaged = [states[0] | {name: "x"} for name in ("format", "calls", "record", "epoch", "step")]
    cut = [{key: value for key, value in states[0].items() if key != name} for name in ("calls", "epoch", "step")]
    for nothing in ({}, {"format": 9, "calls": 1}, None, 5, *damaged, *cut):
        with pytest.raises(InputError, match=r"state_dict\(\)"):
            observer.load_state_dict(nothing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("background", [False, True])
def test_a_run_says_how_it_ended_and_why(net, tmp_path, kind, background):
    def ended_by(name, error):
        try:
            with kind(net, (X, Y), run=tmp_path / name, background=background) as observer:
                observer.record(epoch=0)
                if error is not None:
                    raise error
        except type(error):
            pass
        run = phiscope.open_run(tmp_path / name)
        return run.status, run.reason, len(run.records)

    assert ended_by("a", None) == ("completed", "", 1)
    assert ended_by("b", RuntimeError("boom")) == ("failed", "RuntimeError: boom", 1)
    assert ended_by("c", KeyboardInterrupt()) == ("interrupted", "", 1)
    assert ended_by("d", SystemExit(3)) == ("interrupted", "", 1)


def test_a_training_is_closed_as_failed_by_hand(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    observer.record(epoch=0)
    with pytest.raises(InputError, match="'completed', 'interrupted' or 'failed'"):
        observer.close("crashed")
    observer.close("failed", {"steps": 7}, reason="out of memory")
    run = phiscope.open_run(tmp_path / "r")
    assert (run.status, run.reason, run.results["steps"]) == ("failed", "out of memory", 7)
    page = phiscope.report([run], tmp_path / "page.html").read_text()
    assert "This run failed (out of memory); all that was recorded up to epoch 0 is shown (1 record)." in page


def recorded_and_waited_for(observer):
    observer.record(epoch=1)
    observer.state_dict()


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("damage", ["deleted folder", "records is a file", "lines are gone"])
def test_a_record_that_cannot_be_written_is_raised_or_said(net, tmp_path, background, damage):
    def damaged(folder):
        if damage == "deleted folder":
            shutil.rmtree(folder)
        elif damage == "records is a file":
            shutil.rmtree(folder / "records")
            (folder / "records").write_text("x")
        else:
            (folder / "scalars.jsonl").unlink()

    for on_error in ("raise", "warn"):
        folder = tmp_path / on_error
        observer = phiscope.Observer(net, (X, Y), run=folder, background=background, on_error=on_error)
        observer.record(epoch=0)
        observer.state_dict()
        damaged(folder)
        expected = pytest.raises(RunError) if on_error == "raise" else pytest.warns(UserWarning, match="not stored")
        with expected as caught:
            recorded_and_waited_for(observer)
        said = str(caught.value if on_error == "raise" else caught[0].message)
        assert str(folder) in said
        assert "the training" in said
        assert net(X).requires_grad  # the training is untouched


def test_a_full_disk_is_a_sentence_with_the_file(net, tmp_path, monkeypatch):
    folder = tmp_path / "r"
    observer = phiscope.Observer(net, (X, Y), run=folder, on_error="warn")
    observer.record(epoch=0)
    plain = os.fsync

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"000001\.probe\.safetensors cannot be written \(No space left on device\)"):
        assert observer.record(epoch=1) is not None
    monkeypatch.setattr(os, "fsync", plain)
    observer.record(epoch=2)
    observer.close()
    assert [record.epoch for record in phiscope.open_run(folder).records] == [0, 2]


def test_what_ended_the_training_says_more_than_the_disk(net, tmp_path):
    def failing():
        with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
            observer.record(epoch=0)
            shutil.rmtree(tmp_path / "r")
            raise ZeroDivisionError

    with pytest.warns(UserWarning, match="the end of the run is not stored"), pytest.raises(ZeroDivisionError):
        failing()


def test_control_c_in_the_wait_loses_no_record(net, tmp_path, monkeypatch):
    plain = RunWriter.append

    def slow(self, *record):
        time.sleep(1.0)
        plain(self, *record)

    monkeypatch.setattr(RunWriter, "append", slow)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    def stopped():
        with phiscope.Observer(net, (X, Y), run=tmp_path / "r", background=True) as observer:
            observer.record(epoch=0)
            timer.start()
            observer.record(epoch=1)

    with pytest.raises(KeyboardInterrupt):
        stopped()
    timer.join()
    monkeypatch.undo()
    run = phiscope.open_run(tmp_path / "r")
    assert run.records[0].epoch == 0
    assert run.status == "interrupted"
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True) as observer:
        observer.record(epoch=7)
    assert [record.epoch for record in phiscope.open_run(tmp_path / "r").records][-1] == 7


def test_an_observer_that_could_not_begin_holds_no_lock(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
    (tmp_path / "r" / "initial.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"initial\.safetensors"):
        phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True)
    phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True, initial=None).close()


def test_no_thread_of_ours_is_left():
    code = """
import tempfile, threading, torch, phiscope
from torch import nn
net, data = nn.Linear(4, 3), (torch.randn(30, 4), torch.arange(30) % 3)
for kind in (phiscope.Observer, phiscope.PassiveObserver):
    with kind(net, data, run=tempfile.mkdtemp() + "/r", background=True) as observer:
        if kind is phiscope.PassiveObserver:
            with observer.batch(data):
                net(data[0])
        observer.record(epoch=0)
phiscope.measure(net, data)
print([thread.name for thread in threading.enumerate()])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "['MainThread']\n"


def test_a_run_keeps_the_eigenvectors_that_pictures_show(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 100), nn.ReLU(), nn.Linear(100, 3))
    data = (torch.randn(300, 8), torch.arange(300) % 3)
    for kept, stored in ((None, 100), (64, 64), (5, 5)):
        options = {} if kept == 64 else {"keep_eigenvectors": kept}
        with phiscope.Observer(net, data, run=tmp_path / str(kept), **options) as observer:
            observer.record(epoch=0)
        back = phiscope.open_run(tmp_path / str(kept)).records[0].measurement()
        assert back.raw.eigenvectors.shape == (100, stored)
        assert len(back.raw.eigenvalues) == 100
    assert np.isfinite(back.raw.eigenvalues).all()


def test_a_resumed_run_keeps_its_gallery(net, tmp_path):
    def resumed(data, epoch):
        with phiscope.Observer(net, data, run=tmp_path / "r", resume=True, gallery=10) as observer:
            observer.record(epoch=epoch)

    resumed((X, Y), 0)
    resumed((X, Y), 1)
    with pytest.warns(UserWarning, match="the first samples of 'probe' are others"):
        resumed((X.flip(0), Y.flip(0)), 2)
    run = phiscope.open_run(tmp_path / "r")
    np.testing.assert_array_equal(run.gallery("probe").inputs, X[:10].numpy())
    assert [len(record.extras()) for record in run.records] == [2, 2, 0]


@pytest.fixture
def image_net():
    torch.manual_seed(0)
    return network()


def test_the_header(image_net, tmp_path):
    told = {"title": "mine", "settings": {"lr": 0.1}, "class_names": ["a", "b", "c"]}
    phiscope.Observer(image_net, (IMAGES, LABELS), run=tmp_path / "r", header=told).close()
    header = phiscope.open_run(tmp_path / "r").header
    assert header["title"] == "mine"
    assert header["settings"] == {"lr": 0.1}
    assert header["class_names"] == ["a", "b", "c"]
    assert (header["task"], header["input_shape"], header["image"]) == ("classification", [1, 6, 6], True)
    assert header["initial_parameters"] == sum(p.numel() for p in image_net.parameters())
    assert header["head"].startswith("6 (Linear")


def test_cost_is_reported(image_net, tmp_path):
    observer = phiscope.Observer(image_net, (IMAGES, LABELS), run=tmp_path / "r")
    observer.record(epoch=0)
    busy = observer.cost.seconds
    time.sleep(0.2)  # the training's own time
    after = observer.cost
    assert after.seconds == busy > 0
    assert after.share < busy / (busy + 0.19)
    observer.close()
