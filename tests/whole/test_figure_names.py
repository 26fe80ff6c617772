"""Lists of the names of figures, in help, docstrings and the guide, are those of the tables that draw them."""

import re
from pathlib import Path

import pytest

from phiscope import Layers, Measurement, Run
from phiscope.cli.options import SUMMARIES, USAGES
from phiscope.figures.paper.animation import MOVING
from phiscope.figures.paper.run_sheets import NAMES, OF_SWEEPS
from phiscope.figures.paper.sheets import OF_LAYERS, OF_MEASUREMENTS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "papers.md"
WHOM = {"Measurement": set(OF_MEASUREMENTS), "Layers": set(OF_LAYERS), "Run": {*NAMES, *OF_SWEEPS}}
BETWEEN = {"of", "a", "one", "the", "or", "and", "record", "training", "sweep", "over"}
"""Words between the names in a sentence that lists them."""


def listed(sentence):
    """The names in a sentence that lists them, without the words between them."""
    return set(re.findall(r"\w+", sentence)) - BETWEEN


def argument(function, name="name"):
    """What a docstring says of one argument, on one line."""
    return re.search(rf"^ +{name}: (.*?)(?=^ +\w+: |^$)", function.__doc__, re.M | re.S)[1]


def quoted(text):
    """Names in quotation marks that begin a list or follow a semicolon."""
    return set(re.findall(r'(?:^|; )"(\w+)":', " ".join(text.split())))


def in_the_guide(page):
    """Whom the guide's table gives each picture, as name -> results."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.M)
    return {name: set(re.findall(r"`(\w+)`", whom)) for name, whom in rows}


def test_the_help_of_the_command_lists_every_figure_of_a_run():
    sentence = re.search(r"NAME is ([^.]+)\.", SUMMARIES["figure"])[1]
    assert listed(sentence) == WHOM["Run"]
    assert "NAME" in USAGES["figure"]


def test_the_docstring_of_a_run_lists_every_figure():
    assert listed(argument(Run.figure)) == WHOM["Run"]


@pytest.mark.parametrize("result", [Measurement, Layers])
def test_the_docstring_of_a_result_lists_every_figure(result):
    assert quoted(argument(result.figure)) == WHOM[result.__name__]


@pytest.mark.parametrize("whom", WHOM)
def test_the_guide_lists_every_figure_of(whom):
    told = in_the_guide(GUIDE.read_text(encoding="utf-8"))
    assert {name for name, results in told.items() if whom in results} == WHOM[whom]


def test_figures_that_move_are_figures_of_a_run():
    assert set(MOVING) <= WHOM["Run"]


def test_control_a_name_too_few_or_too_many_would_be_seen():
    assert listed("spectrum, curves or plane of one record, or widths of a sweep over widths") == {
        "spectrum", "curves", "plane", "widths",
    }  # fmt: skip
    assert listed("spectrum, or blobs of the training") == {"spectrum", "blobs"}
    assert in_the_guide("| `flow` | `Run`, `Layers` | words |\n") == {"flow": {"Run", "Layers"}}
    assert quoted('"numbers": of each; "flow": which is "which"') == {"numbers", "flow"}
