"""Pictures kept with a run: what goes in comes out, readers of runs see no change, and foreign files do no harm."""

import json
import math

import numpy as np
import pytest

import phiscope
from phiscope.errors import InputError, RunFormatError
from phiscope.figures.kept import FOLDER, LARGEST, keep_sheet, kept_sheets
from phiscope.figures.model import Axis, Dots, HeatMap, Line, Mark, Panel, Sheet


def picture(name="trial", headline="A trial"):
    line = Line(
        label="a", x=(1.0, 2.0), y=(0.5, math.nan), color="#112233", dash="dashed", low=(0.4, math.nan), high=(0.6, 0.7)
    )
    panel = Panel(
        name="one",
        title="One",
        x=Axis(title="k", log=True, low=0.9, whole=True),
        y=Axis(title="lost"),
        lines=(line,),
        dots=(Dots(label="b", x=(1.0,), y=(2.0,), color="#445566", symbol="diamond"),),
        marks=(Mark(at=1.5, label="here"),),
        note="a note",
    )
    return Sheet(name=name, headline=headline, parts=(panel,), caption="What it shows.", across=2)


@pytest.fixture
def run(tmp_path):
    m = phiscope.diagonalize(np.eye(4) + 0.1)
    phiscope.write_run(tmp_path / "run", [(0, m)])
    return tmp_path / "run"


def test_what_goes_in_comes_out_in_order(run):
    assert kept_sheets(run) == ((), ())
    first, second = keep_sheet(picture(), run), keep_sheet(picture("other", "Another"), run)
    assert [path.name for path in (first, second)] == ["0000.json", "0001.json"]
    sheets, problems = kept_sheets(run)
    assert problems == ()
    assert [sheet.headline for sheet in sheets] == ["A trial", "Another"]
    # NaN is unequal to itself, so the pictures are compared as text.
    assert repr(sheets[0]) == repr(picture())
    assert phiscope.open_run(run).warnings == ()


def test_what_cannot_be_kept_is_refused(run, tmp_path):
    with pytest.raises(RunFormatError, match="there is no run at"):
        keep_sheet(picture(), tmp_path / "nowhere")
    heat = HeatMap(title="m", row_title="r", column_title="c", row_labels=("a",), values=((1.0,),), low=0, high=1)
    with pytest.raises(InputError, match="holds parts that are no panels"):
        keep_sheet(Sheet(name="map", headline="", parts=(heat,), caption=""), run)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda facts: facts.update(format=9), "its format is 9"),
        (lambda facts: facts.update(headline=3), "expected text"),
        (lambda facts: facts["panels"][0]["lines"][0].update(color="red;}</style>"), "is no color"),
        (lambda facts: facts["panels"][0]["lines"][0].update(x=[1]), "several lengths"),
        (lambda facts: facts["panels"][0]["lines"][0].update(y=["a", 1]), "is no picture"),
        (lambda facts: facts["panels"][0]["lines"][0].update(dash="wavy"), "a line is 'wavy'"),
        (lambda facts: facts["panels"][0]["dots"][0].update(symbol="cat"), "no two coordinates and a symbol"),
        (lambda facts: facts["panels"][0]["marks"][0].update(axis="z"), "a mark is on axis 'z'"),
        (lambda facts: facts.update(panels={}), "expected a list"),
        (lambda facts: facts.pop("caption"), "caption"),
    ],
)
def test_a_damaged_file_is_a_sentence(run, change, why):
    path = keep_sheet(picture(), run)
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    keep_sheet(picture("whole"), run)
    sheets, problems = kept_sheets(run)
    assert [sheet.name for sheet in sheets] == ["whole"]
    assert len(problems) == 1
    assert why in problems[0]


def test_no_file_is_read_that_is_too_large_or_no_json(run):
    place = run / FOLDER
    place.mkdir()
    (place / "0000.json").write_text("{" * 10)
    (place / "0001.json").write_bytes(b" " * (LARGEST + 1))
    (place / "notes.txt").write_text("no picture")
    sheets, problems = kept_sheets(run)
    assert sheets == ()
    assert len(problems) == 2
    assert "expected at most" in problems[1]
