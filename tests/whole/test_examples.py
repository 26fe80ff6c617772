import re
import runpy
import sys
from pathlib import Path

import pytest

import phiscope

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_script(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


def test_plain_loop(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "circles"
    run_script("plain_loop.py", folder, monkeypatch=monkeypatch)
    run = phiscope.open_run(folder)
    assert [record.epoch for record in run.records] == list(range(11))
    assert run.records[-1].scalars["test_accuracy"] > 0.9
    assert run.status == "completed"
    assert (folder / "report.html").stat().st_size > 10_000
    assert "epoch 10" in capsys.readouterr().out


def test_arrays(monkeypatch, capsys):
    run_script("arrays.py", monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    collapsed, spread = (float(value) for value in re.findall(r"D_LR ([\d.]+)", printed))
    assert collapsed < 0.01 < 0.1 < spread
    # eigenfunctions are normalized on the samples they come from
    assert printed.count("mean square 1.000") == 2


def test_language_model(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    folder = tmp_path / "words"
    run_script("language_model.py", folder, monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    shares = [[float(share) for share in re.findall(r"step \d+: ([\d.]+)", line)] for line in printed.splitlines()]
    shares = [row for row in shares if row]
    assert [len(row) for row in shares] == [4, 4, 4, 4]
    # What a reader finds grows with training, and at its end with depth.
    assert all(row[0] < row[-1] for row in shares)
    assert shares[0][-1] < shares[-1][-1]
    run = phiscope.open_run(folder)
    assert [record.epoch for record in run.records] == [0, 50, 100, 200]
    assert run.records[-1].scalars["train_loss"] < run.records[0].scalars["train_loss"]
    assert "labels shifted by one" in run.records[-1].measurement().provenance["targets"]
    assert len(run.gallery("probe").words) == 256
    assert (folder / "report.html").stat().st_size < 3_000_000
