"""Bands of curves: what is kept in a file is what was measured, and what is not kept says so."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import MissingNumberError, RunFormatError
from phiscope.measurement.bands import DRAWN, KEPT
from phiscope.measurement.record import Measurement
from phiscope.runs import RunWriter


def measured(n=600, p=8, **settings):
    random = np.random.default_rng(0)
    features = random.standard_normal((n, p)) * np.geomspace(3, 0.5, p)
    head = (random.standard_normal((3, p)), None)
    return phiscope.diagonalize(features, head=head, targets=np.arange(n) % 3, **settings)


def test_a_file_keeps_the_bands_that_pictures_show(tmp_path):
    m = measured()
    m.save(tmp_path / "m.safetensors")
    again = Measurement.load(tmp_path / "m.safetensors")
    for curve in DRAWN:
        for kept, made in zip(again.curve_interval(curve), m.curve_interval(curve), strict=True):
            assert np.array_equal(kept, made)
    again.save(tmp_path / "twice.safetensors")
    twice = Measurement.load(tmp_path / "twice.safetensors")
    assert np.array_equal(twice.curve_interval("eigenvalues")[0], m.curve_interval("eigenvalues")[0])


@pytest.mark.parametrize("asked", [{"level": 0.9}, {"centered": False}, {"curve": "quality"}])
def test_other_bands_are_not_kept_and_that_is_said(tmp_path, asked):
    m = measured()
    m.save(tmp_path / "m.safetensors")
    again = Measurement.load(tmp_path / "m.safetensors")
    asked = {"curve": "eigenvalues", **asked}
    low, high = m.curve_interval(**asked)
    assert (low <= high).all()
    with pytest.raises(MissingNumberError, match="a stored or resampled record lacks"):
        again.curve_interval(**asked)


def test_without_shards_there_are_none(tmp_path):
    m = measured(intervals=False)
    m.save(tmp_path / "m.safetensors")
    assert Measurement.load(tmp_path / "m.safetensors").bands == {}


def test_without_targets_only_the_other_bands_are_kept(tmp_path):
    random = np.random.default_rng(0)
    phiscope.diagonalize(random.standard_normal((200, 4))).save(tmp_path / "m.safetensors")
    assert set(Measurement.load(tmp_path / "m.safetensors").bands) == {"eigenvalues"}


def test_long_bands_are_kept_up_to_a_length(tmp_path):
    m = measured(n=1400, p=KEPT + 50, intervals=True)
    m.save(tmp_path / "m.safetensors")
    assert Measurement.load(tmp_path / "m.safetensors").bands["eigenvalues"].shape == (2, KEPT)


@pytest.mark.parametrize(
    ("status", "with_bands", "expected"),
    [
        ("completed", False, [False, False, True]),
        ("interrupted", False, [False, False, False]),
        ("interrupted", True, [True, True, True]),
    ],
)
def test_of_a_run_the_last_record_of_a_completed_one_has_them(tmp_path, status, with_bands, expected):
    measurements = [measured(n=400, p=5, intervals=True) for _ in range(3)]
    writer = RunWriter.create(tmp_path / "mine", {"splits": ["train"]})
    for epoch, m in enumerate(measurements):
        writer.append(epoch, None, {}, {"train": m}, with_bands=with_bands)
    writer.append(3, None, {"train_loss": 1.0}, {})  # scalars alone are no record that could have some
    writer.finish(status)
    stored = [record.measurement() for record in phiscope.open_run(tmp_path / "mine").records[:3]]
    assert [bool(m.bands) for m in stored] == expected
    for kept, made in zip(stored, measurements, strict=True):
        assert kept.numbers == pytest.approx(made.to_dict(), nan_ok=True)
        if not kept.bands:
            with pytest.raises(MissingNumberError, match="the last record of a completed run"):
                kept.curve_interval("eigenvalues")


def test_ctrl_c_while_bands_are_made_leaves_a_completed_run(tmp_path, monkeypatch):
    x, y = torch.randn(400, 4), torch.arange(400) % 3

    def observe():
        with phiscope.Observer(nn.Linear(4, 3), (x, y), run=tmp_path / "mine") as observer:
            observer.record(epoch=0)

    def interrupted(measurement):
        raise KeyboardInterrupt

    monkeypatch.setattr("phiscope.measurement.record.kept_bands", interrupted)
    with pytest.raises(KeyboardInterrupt):
        observe()
    run = phiscope.open_run(tmp_path / "mine")
    assert (run.status, run.warnings) == ("completed", ())
    assert run.records[0].measurement().bands == {}
    RunWriter.create(tmp_path / "mine", {}, resume=True)  # nobody holds it any more


def test_a_picture_in_a_hurry_makes_none(monkeypatch):
    m = measured(n=400, p=5, intervals=True)
    assert any(len(axes.collections) for axes in m.figure().axes)
    monkeypatch.setattr(type(m), "curve_interval", None)
    assert "they were not asked for" in m.figure(bands=False).caption


def test_an_observed_run_has_them(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    data = (torch.randn(400, 4), torch.arange(400) % 3)
    with phiscope.Observer(net, data, run=tmp_path / "mine") as observer:
        live = observer.record(epoch=0)
    stored = phiscope.open_run(tmp_path / "mine").records[0].measurement()
    low, high = stored.curve_interval("cumulative_quality")
    assert np.array_equal(low, live.curve_interval("cumulative_quality")[0])
    assert (low <= high).all()


def test_a_damaged_band_is_one_sentence(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "m.safetensors"
    measured().save(path)
    with safe_open(path, "numpy") as opened:
        told = opened.metadata()
    arrays = load_file(path)
    arrays["band.eigenvalues"] = arrays["band.eigenvalues"][:1]
    save_file(arrays, path, told)
    with pytest.raises(RunFormatError, match=r"band\.eigenvalues"):
        Measurement.load(path)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_a_cut_through_a_cluster_leaves_it_a_cluster(k):
    """The last eigenvalue that is held may be one with the next, which the cut once hid."""
    x = np.random.default_rng(0).standard_normal((600, 12)) * np.array([3.0, 2.9, 2.0, 2.0, 1.99, *[1.0] * 7])
    y = np.arange(600) % 3
    cut, whole = (phiscope.diagonalize(x, targets=y, k=one) for one in (k, None))
    for curve in ("eigenvalues", "quality", "cumulative_quality"):
        for part, all_of_it in zip(cut.curve_interval(curve), whole.curve_interval(curve), strict=True):
            if curve == "cumulative_quality":
                # Where the end of the cluster is cut off, 1 takes the place of what it holds.
                assert (np.isclose(part, all_of_it[:k]) | (part == 1.0)).all()
            else:
                np.testing.assert_allclose(part, all_of_it[:k])
