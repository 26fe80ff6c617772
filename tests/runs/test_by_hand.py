"""Runs from measurements made by hand: the same as an observer's, with a page, and never half of one."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, PhiscopeError, RunExistsError
from phiscope.runs import RunWriter
from small_runs import measured

ITEMS = [(epoch, measured(seed)) for seed, epoch in enumerate((0, 1, 2.5, 10))]


def test_a_run_of_measurements_is_a_run_like_any_other(tmp_path):
    header = {"title": "from JAX", "model": "MLP", "class_names": ["zero", "one"]}
    run = phiscope.write_run(tmp_path / "mine", ITEMS, header=header)
    again = phiscope.open_run(tmp_path / "mine")
    for opened in (run, again):
        assert [record.epoch for record in opened.records] == [0, 1, 2.5, 10]
        assert (opened.status, opened.splits, opened.warnings) == ("completed", ("probe",), ())
        assert opened.header["title"] == "from JAX"
        assert opened.header["task"] == "classification"
        assert opened.name == "mine"
        assert opened.class_names == ("zero", "one")
    for record, (_, expected) in zip(run.records, ITEMS, strict=True):
        assert record.numbers("probe") == expected.to_dict()
        assert record.measurement("probe").to_dict() == expected.to_dict()
        np.testing.assert_array_equal(record.measurement("probe").raw.eigenvalues, expected.raw.eigenvalues)
    assert list(run.to_xarray().epoch) == [0, 1, 2.5, 10]


def test_its_page_has_every_record(tmp_path):
    run = phiscope.write_run(tmp_path / "mine", ITEMS, header={"title": "by hand & mine"})
    other = phiscope.write_run(tmp_path / "other", [(0, phiscope.diagonalize(np.eye(5)))])
    for runs in ([run], [other], [run, other]):
        page = phiscope.report(runs, tmp_path / "page.html").read_text()
        assert ("by hand &amp; mine" in page) == (run in runs)


def test_splits_and_scalars(tmp_path):
    items = [
        (0, {"train": measured(0), "test": measured(1)}, {"test_accuracy": 0.5, "loss": math.inf}),
        (np.int64(1), {"test": measured(2)}, {"test_accuracy": np.float32(0.75)}),
        [torch.tensor(2.0).item(), measured(3), {"test_accuracy": torch.tensor(1.0)}],
        (3, {"extra": measured(4)}),
    ]
    run = phiscope.write_run(tmp_path / "mine", items)
    assert run.splits == ("train", "test", "probe", "extra")
    assert [record.splits for record in run.records] == [("train", "test"), ("test",), ("probe",), ("extra",)]
    assert [record.scalars.get("test_accuracy") for record in run.records] == [0.5, 0.75, 1.0, None]
    assert run.records[0].scalars["loss"] == math.inf


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "without any measurement"),
        (ITEMS[0][1], "came as a Measurement, expected a list"),
        ({0: ITEMS[0][1]}, "came as a dict, expected a list"),
        (None, "came as a NoneType"),
        ([ITEMS[0][1]], "item 0 is a Measurement, expected .epoch, measurement"),
        ([(0,)], "item 0 is a tuple of 1"),
        ([(0, ITEMS[0][1], {}, 1)], "item 0 is a tuple of 4"),
        ([*ITEMS, (11, {"accuracy": 0.5})], "item 4 holds a float for 'accuracy', expected a Measurement"),
        ([(0, ITEMS[0][1].to_dict())], "item 0 holds a float for"),
        ([(0, np.eye(3))], "item 0 holds an ndarray for 'probe'"),
        (
            [(0, phiscope.measure_layers(nn.Sequential(nn.Linear(3, 2)), torch.randn(9, 3)))],
            "holds a Layers for 'probe'",
        ),
        ([(0, {})], "item 0 holds no measurement"),
        ([(0, {3: ITEMS[0][1]})], "names a split 3"),
        ([*ITEMS, (5, ITEMS[0][1])], "item 4 has epoch 5 after 10, expected epochs that grow"),
        ([*ITEMS, (10, ITEMS[0][1])], "item 4 has epoch 10 after 10"),
        ([(math.nan, ITEMS[0][1])], "item 0: epoch=nan, expected a finite number"),
        ([(math.inf, ITEMS[0][1])], "item 0: epoch=inf"),
        ([("1", ITEMS[0][1])], "item 0: epoch='1'"),
        ([(True, ITEMS[0][1])], "item 0: epoch=True"),
        ([(None, ITEMS[0][1])], "item 0: epoch=None"),
        ([*ITEMS, (11, ITEMS[0][1], 0.5)], "item 4 has a float as scalars"),
        ([*ITEMS, (11, ITEMS[0][1], {"accuracy": "high"})], "item 4: the scalar 'accuracy' must be one number"),
    ],
)
def test_a_list_with_a_mistake_is_one_sentence_and_nothing_is_written(tmp_path, items, words):
    with pytest.raises(InputError, match=words) as caught:
        phiscope.write_run(tmp_path / "mine", items)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_cannot_be_stored_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="the header of a run can hold text"):
        phiscope.write_run(tmp_path / "mine", ITEMS, header={"data": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path):
    run = phiscope.write_run(tmp_path / "mine", ITEMS[:1])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("mine", "notes", "file"):
        with pytest.raises(RunExistsError, match="choose another"):
            phiscope.write_run(tmp_path / name, ITEMS)
    assert len(phiscope.open_run(run.path).records) == 1
    (tmp_path / "empty").mkdir()
    assert len(phiscope.write_run(tmp_path / "empty", ITEMS).records) == 4


@pytest.mark.parametrize(
    ("last", "kind", "reason"),
    [
        (lambda: (0, ITEMS[0][1]), InputError, "InputError: item 2 has epoch 0 after 1"),
        (lambda: 1 / 0, ZeroDivisionError, "ZeroDivisionError: division by zero"),
        (lambda: (_ for _ in ()).throw(KeyboardInterrupt), KeyboardInterrupt, "KeyboardInterrupt: "),
    ],
)
def test_a_generator_that_fails_leaves_a_run_that_failed(tmp_path, last, kind, reason):
    def made():
        yield from ITEMS[:2]
        yield last()

    with pytest.raises(kind):
        phiscope.write_run(tmp_path / "mine", made())
    run = phiscope.open_run(tmp_path / "mine")
    assert (run.status, [record.epoch for record in run.records]) == ("failed", [0, 1])
    assert run.reason.startswith(reason)


def test_a_generator_that_fails_at_once_leaves_nothing(tmp_path):
    with pytest.raises(PhiscopeError):
        phiscope.write_run(tmp_path / "mine", (item for item in [(math.nan, ITEMS[0][1])]))
    assert list(tmp_path.iterdir()) == []


def test_the_run_can_be_gone_on_with(tmp_path):
    phiscope.write_run(tmp_path / "mine", ITEMS)
    writer = RunWriter.create(tmp_path / "mine", {}, resume=True)
    writer.append(11, None, {"loss": 0.1}, {"probe": ITEMS[0][1]})
    writer.finish()
    net, data = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), (torch.randn(40, 4), torch.arange(40) % 2)
    with phiscope.Observer(net, data, run=tmp_path / "mine", resume=True) as observer:
        observer.record(epoch=12)
    run = phiscope.open_run(tmp_path / "mine")
    assert [record.epoch for record in run.records] == [0, 1, 2.5, 10, 11, 12]
    assert (run.status, run.splits) == ("completed", ("probe",))
    again = phiscope.write_run(tmp_path / "again", [(12, run.records[-1].measurement("probe"))])
    assert again.splits == ("probe",)


@pytest.mark.parametrize("kept", [3, None])
def test_so_many_eigenvectors_are_kept(tmp_path, kept):
    run = phiscope.write_run(tmp_path / "mine", ITEMS, keep_eigenvectors=kept)
    assert run.records[0].measurement("probe").raw.eigenvectors.shape[1] == (kept or 5)
