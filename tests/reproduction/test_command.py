"""The command: what it refuses, runs, prints, writes, and how it goes on."""

import pytest

from made_outcomes import made
from phiscope.cli.main import run_command
from phiscope.errors import InputError
from phiscope.reproduction import engine
from phiscope.reproduction.run import reproduce
from phiscope.studies.datasets import fashion_mnist
from published_images import write_mnist


def _refused(capsys, *arguments):
    assert run_command(["reproduce", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["groking"], "did you mean grokking"),
        (["--jobs", "0"], "--jobs"),
        (["--seeds", "2"], "3 seeds or more"),
        (["--scale", "huge"], "--scale"),
        (["code", "--scale", "full"], "--data"),
        (["code", "--scale", "full", "--data", "nowhere"], "nowhere/mnist"),
        (["grokking", "--scale", "medium"], "grokking has no medium scale"),
        (["code", "--docs", "docs"], "leave FAMILY out"),
    ],
)
def test_wrong_use_is_one_sentence(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in _refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quick(monkeypatch, everything):
    """No training takes time: outcomes are made up."""
    monkeypatch.setattr(engine, "train", lambda setup, **_: everything[setup.key])


def test_the_command_runs_prints_and_writes(quick, capsys, tmp_path):
    assert run_command(["reproduce", "e", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "10.0 % against 74.4 %" in printed
    assert f"page: {tmp_path}/reproduction-e.html" in printed
    assert len(list((tmp_path / "outcomes").iterdir())) == 39
    assert run_command(["reproduce", "e", "--out", str(tmp_path), "--judge"]) == 0
    assert capsys.readouterr().out == printed


def test_the_command_stops_and_goes_on(monkeypatch, everything, capsys, tmp_path):
    def stops(setup, **_):
        if setup.seed == 1:
            raise KeyboardInterrupt
        return everything[setup.key]

    monkeypatch.setattr(engine, "train", stops)
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 130
    printed = capsys.readouterr()
    assert "NOT RUN" in printed.out
    assert "goes on from here" in printed.err
    monkeypatch.setattr(engine, "train", lambda setup, **_: everything[setup.key])
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 0
    assert "NOT RUN" not in capsys.readouterr().out


def test_a_fault_gives_exit_code_1_and_the_other_trainings(monkeypatch, everything, capsys, tmp_path):
    def broken(setup, **_):
        if setup.seed == 2:
            raise ZeroDivisionError("ours")
        return everything[setup.key]

    monkeypatch.setattr(engine, "train", broken)
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "ZeroDivisionError: ours" in printed.err
    assert "8 trainings" in printed.out
    assert "4 not run" in printed.out


def test_the_door_for_python_checks_its_arguments(tmp_path):
    with pytest.raises(InputError, match="small, medium or full"):
        reproduce(scale="middle", out=tmp_path)
    with pytest.raises(InputError, match="regression has no medium scale; those with one are minimal"):
        reproduce("regression", scale="medium", out=tmp_path)
    with pytest.raises(InputError, match="no folder"):
        reproduce("batch-norm", scale="full", data=tmp_path, out=tmp_path)


def test_more_seeds_can_be_asked_for(quick, tmp_path, monkeypatch, everything):
    monkeypatch.setattr(engine, "train", lambda setup, **_: made(setup, {"test_accuracy": 0.1}))
    found = reproduce("poor", seeds=4, out=tmp_path, progress=False)
    assert found.progress.done == 16
    assert found.summaries[0].seeds == (0, 1, 2, 3)


def test_medium_scale_without_its_pictures_is_one_sentence_before_any_training(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(fashion_mnist, "places", lambda: iter([tmp_path / "absent"]))
    sentence = _refused(capsys, "shuffled", "--scale", "medium", "--out", str(tmp_path / "out"))
    assert fashion_mnist.PACKAGE in sentence
    assert list(tmp_path.iterdir()) == []


def test_medium_scale_is_resumed_and_shown_beside_the_small_one(quick, monkeypatch, capsys, tmp_path):
    write_mnist(tmp_path / "data" / "fashion-mnist")
    command = ["reproduce", "poor", "--out", str(tmp_path), "--data", str(tmp_path / "data")]
    assert run_command(command) == 0
    page = tmp_path / "reproduction-poor.html"
    assert page.read_text(encoding="utf-8").count("Medium scale") == 2  # the line on top and the family's heading
    assert "not run" in page.read_text(encoding="utf-8")
    trained = []
    made_up = engine.train
    monkeypatch.setattr(engine, "train", lambda setup, **more: trained.append(setup.seed) or made_up(setup, **more))
    assert run_command([*command, "--scale", "medium"]) == 0
    assert trained == sorted(trained)
    assert len(trained) == 15
    assert run_command([*command, "--scale", "medium"]) == 0
    assert len(trained) == 15
    assert "verdict, small" in page.read_text(encoding="utf-8")
    assert "shuffled labels, no decay" in page.read_text(encoding="utf-8")
    assert "shuffled labels without weight decay" in capsys.readouterr().out


def test_renewing_trains_only_what_lacks_numbers(quick, tmp_path):
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 0
    assert reproduce("poor", out=tmp_path, progress=False).progress.done == 0
    assert reproduce("poor", out=tmp_path, progress=False, renew=True).progress.done == 12
