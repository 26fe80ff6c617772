"""Help that a new user can type from: usage lines, examples, defaults."""

import re
import shlex

import pytest

from phiscope.cli.main import COMMANDS, run_command
from phiscope.cli.options import USAGES, command_parser


def help_of(capsys, *words):
    assert run_command([*words, "--help"]) == 0
    return capsys.readouterr().out


def test_every_command_has_its_usage():
    assert list(USAGES) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_begins_as_it_is_typed_and_names_every_option(capsys, command):
    text = help_of(capsys, command)
    usage, _, rest = text.partition("\n\n")
    assert usage.startswith(f"usage: phiscope {command}")
    options = set(re.findall(r"^  (?:-\w(?: \w+)?, )?(--[a-z_-]+)", rest, re.M))
    shown = options - {"--help", "--print_config"}
    short = {"--output": "-o"}
    assert all(option in usage or short.get(option, "!") in usage for option in shown), usage
    # And none that there is not.
    assert set(re.findall(r"--[a-z-]+", usage)) <= shown


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_speaks_of_what_is_typed_not_of_the_parser(capsys, command):
    text = help_of(capsys, *command)
    assert not re.search(r"type: |null|PositiveInt|\[options\]|True|False", text)
    assert max(map(len, text.splitlines())) <= 120


def test_defaults_are_said_where_there_is_one(capsys):
    text = " ".join(help_of(capsys, "run").split())
    assert "seed of everything random (default: 0)" in text
    assert "where to make the run's folder (default: runs)" in text
    assert "epochs; the study has its own --seed" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_of_the_help_parses(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("epochs: 3\n")
    lines = re.findall(r"^  (phiscope .*)$", help_of(capsys, command), re.M)
    assert lines
    for line in lines:
        words = shlex.split(line)[1:]
        assert command_parser().parse_args(words).command == command


def test_measure_says_what_each_file_adds_and_which_is_needed(capsys):
    text = " ".join(help_of(capsys, "measure").split())
    assert "measure --features PATH [--outputs PATH | --head FILE [--bias FILE]]" in text
    assert "the only file that has to be given" in text
    assert "one row for each of the same n samples" in text
