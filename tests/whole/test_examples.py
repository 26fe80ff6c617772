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
