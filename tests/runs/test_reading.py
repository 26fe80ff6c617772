"""Reading runs back: every number and array, damage, versions."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import phiscope
from phiscope.cli import run_command
from phiscope.errors import InputError, RunError, RunFormatError, UnknownNameError
from phiscope.figures.contrast import contrast_of
from phiscope.runs import RunWriter, open_run, reading
from phiscope.runs.glance import glance
from small_runs import measured


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


def test_who_goes_on_in_a_run_with_a_damaged_gallery_is_told_a_way_out(writer):
    inputs = np.arange(24, dtype=np.float32).reshape(3, 8)
    writer.save_gallery("train", inputs)
    writer.append(0, None, {}, {})
    assert writer.save_gallery("train", inputs)
    assert not writer.save_gallery("train", inputs + 1)
    file = writer.path / "gallery.train.safetensors"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(RunFormatError, match=r"gallery\.train.*; delete it, and the samples that come now are kept"):
        writer.save_gallery("train", inputs)
    file.unlink()
    assert writer.save_gallery("train", inputs)
    np.testing.assert_array_equal(open_run(writer.path).gallery("train").inputs, inputs)


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


@pytest.mark.parametrize("path", [None, 5, b"runs/mine", ["runs/mine"]], ids=repr)
def test_what_is_no_path_is_one_sentence(path):
    with pytest.raises(InputError, match=r"the path of a run is .*, expected text or a pathlib.Path"):
        open_run(path)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunFormatError, match="does not exist"):
        open_run(tmp_path / "nothing")
    with pytest.raises(RunFormatError, match=r"no header\.json"):
        open_run(tmp_path)


def test_the_cache_sees_a_file_that_was_written_anew(writer, measurement):
    writer.append(0, None, {}, {"train": measurement})
    record = open_run(writer.path).records[0]
    before = record.measurement("train")
    other = measured(seed=9)
    time.sleep(0.01)
    other.save(writer.path / "records" / "000000.train.safetensors")
    assert record.measurement("train").to_dict() == other.to_dict() != before.to_dict()
    assert reading._load_measurement.cache_info().maxsize == 32


def _halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = {"deleted": Path.unlink, "halved": _halved, "zeroed": _zeroed}


@pytest.fixture
def with_arrays(writer):
    """Three records of two splits, with what a gallery's samples give, and the gallery."""
    writer.save_gallery("train", np.arange(12.0).reshape(4, 3))
    for epoch in range(3):
        values = {"train": {"gallery_raw": np.ones((4, 2)), "gallery_centered": np.ones((4, 2))}}
        writer.append(epoch, None, {"loss": 1.0}, {"train": measured(epoch), "test": measured(epoch + 9)}, values)
    writer.finish()
    return writer.path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("kind", ["train", "test", "train.extras"])
def test_one_damaged_record_takes_nothing_else_away(with_arrays, index, kind, damage):
    path = with_arrays / "records" / f"00000{index}.{kind}.safetensors"
    damage(path)
    run = open_run(with_arrays)
    (warning,) = run.warnings
    assert warning.startswith(f"record {index} is left out: {path}")
    assert [bool(record.splits) for record in run.records] == [number != index for number in range(3)]
    assert [record.scalars for record in run.records] == [{"loss": 1.0}] * 3
    # Asked for by name, the numbers are there, and of the arrays it is said what to do.
    assert run.records[index].numbers("train")["effective_dimension"] > 0
    split, _, extras = kind.partition(".")
    with pytest.raises(RunFormatError, match="copy this file of the run back from where it is whole"):
        getattr(run.records[index], extras or "measurement")(split)


@pytest.mark.parametrize("kind", ["train", "test", "train.extras"])
def test_page_comparison_and_figures_go_on_without_a_damaged_record(with_arrays, tmp_path, kind):
    _halved(with_arrays / "records" / f"000002.{kind}.safetensors")
    run = open_run(with_arrays)
    assert "record 2 is left out" in phiscope.report([run], tmp_path / "page.html").read_text()
    assert run_command(["compare", str(with_arrays), str(with_arrays)]) == 0
    run.figure("spectrum")
    run.to_xarray()


@pytest.mark.parametrize("damage", [_halved, _zeroed])
def test_a_damaged_gallery_takes_nothing_else_away(with_arrays, tmp_path, damage):
    damage(with_arrays / "gallery.train.safetensors")
    run = open_run(with_arrays)
    (warning,) = run.warnings
    assert warning.startswith("the gallery of 'train' is left out: ")
    assert [record.splits for record in run.records] == [("train", "test")] * 3
    phiscope.report([run], tmp_path / "page.html")
    with pytest.raises(RunFormatError, match="copy this file of the run back"):
        run.gallery("train")


def test_damage_of_many_records_is_said_in_short(writer):
    for epoch in range(25):
        writer.append(epoch, None, {}, {"train": measured()})
    for path in (writer.path / "records").iterdir():
        path.unlink()
    warnings = open_run(writer.path).warnings
    assert len(warnings) == 21
    assert warnings[-1] == "5 more records are left out like these"


def test_a_list_of_runs_looks_at_no_file_of_a_record(with_arrays, monkeypatch):
    monkeypatch.setattr("phiscope.runs.layout.check_arrays", None)
    assert len(glance(with_arrays).run.records) == 3


def test_a_run_that_goes_on_keeps_the_damaged_record_in_its_place(with_arrays):
    _halved(with_arrays / "records" / "000001.train.safetensors")
    writer = RunWriter.create(with_arrays, {}, resume=True)
    writer.append(3, None, {}, {"train": measured()})
    writer.finish()
    assert [(record.index, bool(record.splits)) for record in open_run(with_arrays).records] == [
        (0, True),
        (1, False),
        (2, True),
        (3, True),
    ]


def test_numbers_of_a_damaged_record_are_compared_like_all_others(with_arrays, tmp_path):
    """The file of the last record is gone, the line that has its numbers is not."""
    other = tmp_path / "other"
    shutil.copytree(with_arrays, other)
    whole = contrast_of([open_run(with_arrays), open_run(other)])
    files = [with_arrays / "records" / f"00000{index}.train.safetensors" for index in range(3)]
    files[2].unlink()
    last = open_run(with_arrays).records[-1]
    assert (last.splits, last.measured) == ((), ("train", "test"))
    assert last.measurement("test").n_samples > 0
    damaged = contrast_of([open_run(with_arrays), open_run(other)])
    assert [row[1][:2] for row in damaged.measured["train"]] == [row[1][:2] for row in whole.measured["train"]]
    for file in files[:2]:
        file.unlink()
    assert not [
        note for note in contrast_of([open_run(with_arrays), open_run(other)]).notes if "share no split" in note
    ]


def test_another_branch_says_what_of_it_is_damaged(with_arrays):
    (with_arrays / "records" / "000001.test.safetensors").unlink()
    run = open_run(with_arrays, looks=False)
    assert not run.warnings
    assert "record 1 is left out" in " ".join(run.branch(0).warnings)
    assert open_run(with_arrays).branch(0).warnings == open_run(with_arrays).warnings
