"""The sweep over widths: its data, its run, its picture, and how it ends."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from phiscope import open_run, report
from phiscope.errors import InputError
from phiscope.metrics.width import centered_alignment
from phiscope.studies import STUDIES, run_study
from phiscope.studies.recipes import WidthSweep
from phiscope.studies.width import noisy_xor, run_sweep, two_digits
from phiscope.theory import nngp

SWEEP = dataclasses.replace(STUDIES["width-theory"], widths=(20, 80), draws=10_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "run"
    run_sweep(SWEEP, folder=folder, epochs=2, seed=0, progress=lambda done: None)
    return open_run(folder)


def test_noisy_xor_is_no_linear_function_and_its_draw_was_chosen_by_a_rule():
    x, y = noisy_xor()
    assert (x.shape, y.shape) == ((8, 20), (8,))
    assert np.array_equal(y, x[:, 0] * x[:, 1])
    assert not (x[:, :2].T @ y).any()
    goal = np.outer(y, y)
    known = [centered_alignment(nngp(noisy_xor(seed)[0], 1).kernels[1], goal) for seed in range(31)]
    assert [seed for seed, one in enumerate(known) if one < 0.15] == [30]


def test_two_digits_are_centered():
    x, y = two_digits(32)
    assert x.shape == (32, 64)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    assert np.square(x).mean() == pytest.approx(1.0)
    assert set(y) == {-1.0, 1.0}


def test_its_records_stand_at_widths(run):
    assert (run.unit, run.status, run.splits) == ("width", "completed", ("sampled", "theory"))
    assert [record.at for record in run.records] == [20.0, 80.0]
    assert run.header["settings"]["noise"] == 0.1
    for record in run.records:
        assert record.measurement("theory").n_samples == 8
        assert record.scalars["theory_residual"] < 1e-5


def test_rotation_falls_like_one_over_the_width_with_the_theory_through_it(run):
    scalars = [record.scalars for record in run.records]
    for name in ("rotate", "alignment_gain"):
        for one in scalars:
            error = one[f"sampled_{name}_error"]
            # The saddle point is off by a second order in 1/N; at N = 20 that is 15 % here.
            assert abs(one[f"sampled_{name}"] - one[f"theory_{name}"]) < 4 * error + 0.2 * one[f"theory_{name}"]
            assert one[f"first_{name}"] < one[f"theory_{name}"]
        ratio = scalars[0][f"sampled_{name}"] / scalars[1][f"sampled_{name}"]
        assert 3.2 < ratio < 5.2
        assert 3.0 < scalars[0][f"theory_{name}"] / scalars[1][f"theory_{name}"] < 4.2


def test_it_has_a_picture_and_a_page(run, tmp_path):
    assert len(run.figure("widths").axes) == 2
    page = report([run], tmp_path / "page.html")
    text = Path(page).read_text(encoding="utf-8")
    assert "width 80" in text
    assert "epoch 80" not in text


def test_as_a_study_it_takes_a_name_and_fewer_widths(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("phiscope.studies.STUDIES", {"width-theory": SWEEP})
    path = run_study("width-theory", out=tmp_path, epochs=1)
    assert path.name == "width-theory-seed0"
    assert [record.at for record in open_run(path).records] == [20.0]
    assert "1/1" in capfd.readouterr().err


def test_ctrl_c_keeps_what_is_there(tmp_path):
    told = []

    def stop(done):
        told.append((done.epoch, done.epochs))
        raise KeyboardInterrupt

    run_sweep(SWEEP, folder=tmp_path / "run", epochs=3, seed=0, progress=stop)
    run = open_run(tmp_path / "run")
    assert (run.status, len(run.records), told) == ("interrupted", 1, [(1, 2)])


def test_widths_that_do_not_grow_are_refused():
    for widths in ((), (20, 20), (40, 20), (0, 20)):
        with pytest.raises(InputError, match="widths that grow"):
            WidthSweep(name="a", title="b", description="c", widths=widths)
