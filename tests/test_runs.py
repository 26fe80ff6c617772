"""Runs on disk: round trips, kills at any moment, damage, versions, and no pickles."""

import json
import math
import pickletools
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import phiscope
from phiscope.errors import (
    InputError,
    MissingDependencyError,
    RunError,
    RunExistsError,
    RunFormatError,
    UnknownNameError,
)
from phiscope.runs import FORMAT_VERSION, RunWriter, open_run, reading

HEADER = {
    "name": "mine",
    "title": "A run",
    "splits": ["train", "test"],
    "class_names": ["zero", "<b>one</b>"],
}


def measured(seed=0, n=40, p=5):
    """A small real measurement: two classes, a linear head."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    head = (rng.normal(size=(2, p)), rng.normal(size=2))
    return phiscope.diagonalize(features, head=head, targets=np.arange(n) % 2)


@pytest.fixture
def measurement():
    return measured()


@pytest.fixture
def writer(tmp_path):
    return RunWriter.create(tmp_path / "run", HEADER)


def test_round_trip_keeps_every_number_and_array(writer, measurement):
    test = measured(seed=1)
    values = np.arange(12.0).reshape(4, 3)
    extras = {"train": {"gallery_raw": values}}
    writer.append(0, 0, {"train_loss": 2.5}, {"train": measurement, "test": test}, extras)
    run = open_run(writer.path)
    (record,) = run.records
    assert (record.index, record.epoch, record.step, record.splits) == (0, 0.0, 0, ("train", "test"))
    assert record.scalars == {"train_loss": 2.5}
    assert record.numbers("test") == test.to_dict()
    assert record.numbers() == measurement.to_dict()
    assert record.regime("train") == measurement.regime
    back = record.measurement("train")
    assert back.to_dict() == measurement.to_dict()
    np.testing.assert_array_equal(back.centered.eigenvectors, measurement.centered.eigenvectors)
    np.testing.assert_array_equal(back.raw.quality, measurement.raw.quality)
    np.testing.assert_array_equal(record.extras("train")["gallery_raw"], values)
    assert record.extras("test") == {}


def test_header_gets_its_facts_and_the_run_its_properties(writer):
    run = open_run(writer.path)
    assert run.header["format_version"] == FORMAT_VERSION
    assert run.header["phiscope_version"] == phiscope.__version__
    assert run.header["torch_version"].startswith("2.")
    assert run.name == "mine"
    assert run.splits == ("train", "test")
    assert run.class_names == ("zero", "<b>one</b>")
    assert run.records == ()
    assert run.status == "running or killed"


def test_finish_says_how_it_ended(writer):
    writer.finish("interrupted", {"test_accuracy": 0.5})
    run = open_run(writer.path)
    assert run.status == "interrupted"
    assert run.results == {"test_accuracy": 0.5}
    with pytest.raises(InputError, match="'completed', 'interrupted' or 'failed'"):
        writer.finish("done")


def test_losses_that_are_not_finite_are_kept_in_strict_json(writer):
    writer.append(1, 10, {"a": math.nan, "b": math.inf, "c": -math.inf}, {})
    text = (writer.path / "scalars.jsonl").read_text()
    with pytest.raises(ValueError, match="literal"):
        json.loads("[NaN]", parse_constant=refuse)  # the control: this parser does refuse NaN
    json.loads(text, parse_constant=refuse)
    scalars = open_run(writer.path).records[0].scalars
    assert math.isnan(scalars["a"])
    assert (scalars["b"], scalars["c"]) == (math.inf, -math.inf)


def refuse(literal):
    raise ValueError(f"literal {literal}")


def test_measurements_are_read_only_when_asked_for(writer, measurement, monkeypatch):
    for epoch in range(3):
        writer.append(epoch, None, {}, {"train": measurement})
    opened = []
    load = phiscope.Measurement.load
    monkeypatch.setattr(phiscope.Measurement, "load", lambda path: opened.append(path) or load(path))
    run = open_run(writer.path)
    assert [row["epoch"] for row in run.table("train")] == [0, 1, 2]
    run.records[1].numbers("train")
    assert opened == []
    first = run.records[1].measurement("train")
    assert run.records[1].measurement("train") is first
    assert [path.name for path in opened] == ["000001.train.safetensors"]


def test_a_record_of_scalars_alone_says_so(writer, measurement):
    writer.append(1, None, {"train_loss": 1.0}, {})
    record = open_run(writer.path).records[0]
    assert record.splits == ()
    with pytest.raises(RunError, match=r"epoch 1.*scalars only"):
        record.measurement()
    writer.append(2, None, {}, {"train": measurement})
    with pytest.raises(UnknownNameError, match="did you mean train"):
        open_run(writer.path).records[1].measurement("trian")


def test_table_keeps_a_scalar_with_a_taken_name(writer, measurement):
    writer.append(1, 5, {"nc1": 7.0, "epoch": 9.0, "loss": 1.0}, {"train": measurement})
    (row,) = open_run(writer.path).table("train")
    assert row["nc1"] == measurement["nc1"]
    assert row["recorded_nc1"] == 7.0
    assert row["epoch"] == 1
    assert row["recorded_epoch"] == 9.0
    with pytest.raises(UnknownNameError, match="no split named 'valid'"):
        open_run(writer.path).table("valid")


def test_gallery_round_trip(writer):
    inputs = np.arange(24, dtype=np.float32).reshape(3, 1, 2, 4)
    writer.save_gallery("train", inputs, np.array([2, 0, 1]))
    writer.save_gallery("test", inputs)
    run = open_run(writer.path)
    np.testing.assert_array_equal(run.gallery("train").inputs, inputs)
    assert run.gallery("train").inputs.dtype == np.float32
    np.testing.assert_array_equal(run.gallery("train").targets, [2, 0, 1])
    assert run.gallery("test").targets is None
    assert run.gallery("other") is None
    with pytest.raises(InputError, match="3 inputs"):
        writer.save_gallery("train", inputs, np.array([1]))
    with pytest.raises(InputError, match="cannot be stored"):
        writer.save_gallery("train", np.array(["a", "b"]))


@pytest.mark.parametrize("split", ["a/b", "..", "train.extras", "mit Umlaut ä", "", "%2E"])
def test_split_names_never_leave_the_folder_or_collide(tmp_path, measurement, split):
    writer = RunWriter.create(tmp_path / "run", {"splits": [split, "train"]})
    arrays = {"train": {"x": np.ones(2)}, split: {"x": np.zeros(2)}}
    writer.append(0, None, {}, {split: measurement, "train": measured(seed=3)}, arrays)
    writer.save_gallery(split, np.ones((2, 3)))
    record = open_run(writer.path).records[0]
    assert record.measurement(split).to_dict() == measurement.to_dict()
    assert record.measurement("train").to_dict() == measured(seed=3).to_dict()
    assert record.extras(split)["x"].sum() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_an_existing_run_is_not_overwritten(writer, tmp_path):
    with pytest.raises(RunExistsError, match="already holds a run"):
        RunWriter.create(writer.path, HEADER)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExistsError, match="is a file"):
        RunWriter.create(tmp_path / "file", HEADER)


def test_resume_goes_on_where_the_run_stopped(writer, measurement):
    writer.append(0, 0, {}, {"train": measurement})
    writer.append(1, 9, {}, {"train": measurement})
    writer.finish()
    again = RunWriter.create(writer.path, {"name": "other"}, resume=True)
    assert (again.n_records, again.last_epoch, again.header["name"]) == (2, 1.0, "mine")
    assert open_run(writer.path).status == "running or killed"
    again.append(2, 18, {}, {"train": measurement})
    run = open_run(writer.path)
    assert [record.index for record in run.records] == [0, 1, 2]
    seconds = [record.seconds for record in run.records]
    assert seconds == sorted(seconds)
    fresh = RunWriter.create(writer.path.parent / "fresh", {}, resume=True)
    assert (fresh.n_records, fresh.header["name"]) == (0, "fresh")


def test_a_torn_last_line_is_left_out_and_cut_off_on_resume(writer, measurement):
    for epoch in range(3):
        writer.append(epoch, None, {"x": epoch}, {"train": measurement})
    lines = writer.path / "scalars.jsonl"
    whole = lines.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for size in range(start + 1, len(whole)):
        lines.write_bytes(whole[:size])
        run = open_run(writer.path)
        assert [record.epoch for record in run.records] == [0, 1]
        assert "torn" in run.warnings[0]
    writer.close()
    again = RunWriter.create(writer.path, {}, resume=True)
    again.append(2, None, {"x": 2}, {"train": measurement})
    run = open_run(writer.path)
    assert [record.scalars["x"] for record in run.records] == [0, 1, 2]
    assert run.warnings == ()


def test_a_damaged_line_is_named_and_the_others_stay(writer):
    for epoch in range(3):
        writer.append(epoch, None, {}, {})
    lines = writer.path / "scalars.jsonl"
    first, _, last = lines.read_text().splitlines()
    lines.write_text(f'{first}\n{{"index": 1}}\n{last}\n')
    run = open_run(writer.path)
    assert [record.index for record in run.records] == [0, 2]
    assert "line 2 of scalars.jsonl" in run.warnings[0]


def test_a_damaged_or_missing_measurement_is_one_clear_error(writer, measurement):
    writer.append(0, None, {}, {"train": measurement}, {"train": {"x": np.ones(3)}})
    record = open_run(writer.path).records[0]
    for name in ("000000.train.safetensors", "000000.train.extras.safetensors"):
        path = writer.path / "records" / name
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunFormatError, match=r"000000\.train\.safetensors"):
        record.measurement("train")
    with pytest.raises(RunFormatError, match="extras"):
        record.extras("train")
    (writer.path / "records" / "000000.train.safetensors").unlink()
    with pytest.raises(RunFormatError, match="cannot be read"):
        record.measurement("train")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('{"format_version": 99, "phiscope_version": "9.1"}', r"format 99.*phiscope 9\.1.*upgrade"),
        ('{"format_version": "1"}', "no usable format_version"),
        ("{", "cannot be read"),
        ("[]", "should hold a JSON object"),
    ],
)
def test_an_unusable_header_is_one_clear_sentence(writer, content, match):
    writer.close()
    (writer.path / "header.json").write_text(content)
    with pytest.raises(RunFormatError, match=match) as caught:
        open_run(writer.path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunFormatError, match=match):
        RunWriter.create(writer.path, {}, resume=True)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunFormatError, match="does not exist"):
        open_run(tmp_path / "nothing")
    with pytest.raises(RunFormatError, match=r"no header\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("bad", [{"x": object()}, {"x": math.nan}, {"x": b"raw"}])
def test_a_header_that_json_cannot_carry_is_refused(tmp_path, bad):
    with pytest.raises(InputError, match="the header of a run can hold"):
        RunWriter.create(tmp_path / "run", bad)


def test_scalars_must_be_numbers(writer):
    writer.append(0, None, {"loss": np.float32(0.5), "count": 3}, {})
    assert open_run(writer.path).records[0].scalars == {"loss": 0.5, "count": 3.0}
    with pytest.raises(InputError, match="'loss' must be one number, got list"):
        writer.append(1, None, {"loss": [1, 2]}, {})
    assert len(open_run(writer.path).records) == 1


def test_a_failed_append_leaves_the_run_whole(writer, measurement):
    writer.append(0, None, {}, {"train": measurement})
    with pytest.raises(InputError, match="cannot be stored"):
        writer.append(1, None, {}, {"train": measurement}, {"train": {"x": np.array(["a"])}})
    writer.append(1, None, {}, {"train": measurement})
    assert [record.index for record in open_run(writer.path).records] == [0, 1]


def test_no_file_of_a_run_is_a_pickle(writer, measurement):
    writer.append(0, 0, {"x": 1.0}, {"train": measurement}, {"train": {"x": np.ones(3)}})
    writer.save_gallery("train", np.ones((2, 3)))
    writer.finish()
    files = [path for path in writer.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors", ".lock"}
    assert len(files) == 7
    for path in files:
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


def test_to_xarray_labels_everything(writer, measurement):
    wide = measured(seed=2, p=7)
    writer.append(0, 0, {"loss": 2.0, "nc1": 5.0}, {"train": measurement, "test": wide})
    writer.append(1, None, {}, {"train": measurement})
    data = open_run(writer.path).to_xarray()
    assert data.dynamical_low_rank.dims == ("record", "split")
    assert float(data.nc1.sel(split="test")[0]) == wide["nc1"]
    assert np.isnan(data.nc1.sel(split="test", record=1))
    assert float(data.recorded_nc1[0]) == 5.0
    assert data.loss.dims == ("record",)
    assert data.eigenvalues.dims == ("record", "split", "k")
    assert data.eigenvalues.sel(split="test", record=0).notnull().sum() == len(wide.raw.eigenvalues)
    curve = data.cumulative_utilization_centered.sel(split="train", record=1).dropna("k")
    np.testing.assert_array_equal(curve, measurement.centered.cumulative_utilization)
    assert data.k[0] == 1
    assert data.dynamical_low_rank.attrs["equation"]
    assert data.attrs["name"] == "mine"


def test_to_xarray_of_a_run_without_records(writer):
    data = open_run(writer.path).to_xarray()
    assert dict(data.sizes) == {"record": 0, "split": 2, "k": 0}


def test_to_xarray_names_the_missing_library(writer, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'phiscope\[xarray\]'"):
        open_run(writer.path).to_xarray()


def test_the_cache_sees_a_file_that_was_written_anew(writer, measurement):
    writer.append(0, None, {}, {"train": measurement})
    record = open_run(writer.path).records[0]
    before = record.measurement("train")
    other = measured(seed=9)
    time.sleep(0.01)
    other.save(writer.path / "records" / "000000.train.safetensors")
    assert record.measurement("train").to_dict() == other.to_dict() != before.to_dict()
    assert reading._load_measurement.cache_info().maxsize == 32


WRITE_FOREVER = """
import sys, numpy as np, phiscope
from phiscope.runs import RunWriter
rng = np.random.default_rng(0)
m = phiscope.diagonalize(rng.normal(size=(30, 4)), outputs=rng.normal(size=(30, 2)))
arrays = {"train": {"x": np.ones((50, 50))}}
writer = RunWriter.create(sys.argv[1], {"name": "loop"}, resume=True)
while True:
    print(writer.n_records, flush=True)
    writer.append(writer.n_records, None, {"x": 1.0}, {"train": m}, arrays)
"""


@pytest.mark.timeout(240)
def test_a_run_killed_at_any_moment_opens_with_each_completed_record(tmp_path):
    rng = np.random.default_rng(0)
    before = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        announced = int(child.stdout.readline())  # the import is over, records are being written
        assert announced >= before  # the run was resumed, not begun anew
        time.sleep(float(rng.uniform(0.02, 0.25)))
        child.send_signal(signal.SIGKILL)
        announced = max([announced, *(int(line) for line in child.stdout.read().split("\n")[:-1] if line)])
        child.wait()
        child.stdout.close()
        run = open_run(tmp_path / "run")
        # When N was announced, records 0..N-1 had been completed; record N may have been too.
        assert len(run.records) in (announced, announced + 1)
        assert [record.index for record in run.records] == list(range(len(run.records)))
        for record in run.records[before:]:
            assert record.measurement("train").n_samples == 30
            assert record.extras("train")["x"].sum() == 2500
        before = len(run.records)
    assert before > 8  # the control: records were written at all
    RunWriter.create(tmp_path / "run", {}, resume=True)
    suffixes = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".jsonl", ".safetensors", ".lock"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_run(tmp_path / "run")
