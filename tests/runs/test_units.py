"""A run that counts optimizer steps says steps, and never calls a step an epoch."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import phiscope
from phiscope.errors import InputError
from phiscope.figures import history_sections
from phiscope.runs import RunWriter
from phiscope.runs.units import at_words, read_epoch, read_moment, read_step, unit_of
from small_runs import written_run


@contextmanager
def writing_to(folder):
    writer = RunWriter.create(folder, {"name": "mine"})
    yield writer
    writer.close()


@pytest.mark.parametrize(
    ("header", "moments", "expected"),
    [
        ({}, [(0.0, 0), (1.0, 100)], "epoch"),
        ({}, [(0.0, None), (1.0, None)], "epoch"),
        ({"axis": "step"}, [(0.0, 0), (0.5, 100)], "step"),
        ({"axis": "step"}, [(0.0, 0), (0.5, None)], "epoch"),
        ({"axis": "nonsense"}, [(0.0, 0), (0.5, 50)], "epoch"),
        ({}, [(0.0, 0), (500.0, 500)], "step"),
        ({}, [(0.0, 0), (1.0, 1)], "epoch"),
        ({}, [], "epoch"),
        ({"axis": "width"}, [(10.0, None), (20.0, None)], "width"),
        ({"axis": "width"}, [], "width"),
    ],
)
def test_what_a_run_counts(header, moments, expected):
    assert unit_of(header, [{"epoch": epoch, "step": step} for epoch, step in moments]) == expected


def test_moments_in_words():
    assert at_words("epoch", 0.25) == "epoch 0.25"
    assert at_words("step", 1_000_000.0) == "step 1,000,000"
    assert at_words("width", 1000.0) == "width 1,000"


def run_of_steps(folder, net, data):
    with phiscope.Observer(net, data, run=folder, every_steps=10, gallery=0) as observer:
        for step in range(21):
            if observer.is_due(step=step):
                observer.record(epoch=step / 7, step=step, loss=1.0)
    return phiscope.open_run(folder)


@pytest.fixture
def parts():
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), (torch.randn(40, 4), torch.arange(40) % 3)


def test_an_observer_of_steps_writes_such_a_run(tmp_path, parts):
    run = run_of_steps(tmp_path / "a", *parts)
    assert run.unit == "step"
    assert [(record.at, record.step) for record in run.records] == [(0.0, 0), (10.0, 10), (20.0, 20)]
    assert run.records[1].epoch == pytest.approx(10 / 7)
    assert [record.at for record in run.in_epochs().records] == [record.epoch for record in run.records]


def test_the_page_says_steps_and_beside_a_run_of_epochs_epochs(tmp_path, parts):
    steps = run_of_steps(tmp_path / "a", *parts)
    assert {panel.x.title for section in history_sections({"a": steps}) for panel in section.panels} == {"step"}
    assert "step 20" in phiscope.report([steps], tmp_path / "a.html").read_text()
    epochs = written_run(tmp_path / "b", "b")
    both = phiscope.report([steps, epochs], tmp_path / "b.html").read_text()
    assert "step 20" not in both
    assert "epoch 2.857" in both


def test_a_record_without_its_step_is_one_sentence(tmp_path, parts):
    net, data = parts
    with (
        phiscope.Observer(net, data, run=tmp_path / "a", every_steps=10) as observer,
        pytest.raises(phiscope.errors.InputError, match="every_steps counts optimizer steps; pass step="),
    ):
        observer.record(epoch=1)


@pytest.mark.parametrize(
    "step", [5, 5.0, np.float64(5), np.int64(5), np.array([5]), torch.tensor(5), torch.tensor([5.0])]
)
def test_a_whole_step_is_read_whatever_holds_it(tmp_path, step):
    assert type(read_step(step)) is int
    with writing_to(tmp_path / "run") as writer:
        writer.append(1.0, step, {"loss": 1.0}, {})
        writer.note(1.0, step, {"late": 2.0})
    (record,) = phiscope.open_run(tmp_path / "run").records
    assert (record.step, record.scalars) == (5, {"loss": 1.0, "late": 2.0})


NO_STEPS = [-1, 1.5, True, np.True_, torch.tensor(True), "t", "5", math.nan, math.inf, 2**60, torch.ones(2), [5], 5j]


@pytest.mark.parametrize("step", NO_STEPS, ids=repr)
def test_what_is_no_step_is_refused_before_anything_is_written(tmp_path, step):
    with writing_to(tmp_path / "run") as writer:
        for act in (writer.append, writer.note):
            with pytest.raises(InputError, match=r"step=.*, expected a whole number, 0 or more: the optimizer steps"):
                act(1.0, step, {"loss": 1.0}, *[{}] * (act == writer.append))
    assert phiscope.open_run(tmp_path / "run").records == ()


@pytest.mark.parametrize("epoch", [2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0), torch.tensor([2])])
def test_an_epoch_is_read_whatever_holds_it(epoch):
    assert type(read_epoch(epoch)) is float
    assert read_moment(epoch, None) == (2.0, None)


@pytest.mark.parametrize(
    "epoch", [-1, -0.5, "a", "3", True, math.nan, math.inf, -math.inf, 1e300, torch.ones(2), None, 1j], ids=repr
)
def test_what_is_no_epoch_is_refused_before_anything_is_written(tmp_path, epoch):
    with (
        writing_to(tmp_path / "run") as writer,
        pytest.raises(InputError, match=r"epoch=.*, expected a finite number, 0 or more: the epochs trained so far"),
    ):
        writer.append(epoch, None, {"loss": 1.0}, {})
    assert phiscope.open_run(tmp_path / "run").records == ()
