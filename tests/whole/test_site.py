"""The published site: what goes in, what its checks see, and forms and data that go with it. `make site` builds it."""

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from phiscope.glossary import Definition, Term
from phiscope.glossary.words import FILE
from phiscope.metrics import DEFINITIONS

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


@pytest.fixture(scope="module")
def site():
    """The folder of the site's own modules can be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "site"))
        yield
    for path in (ROOT / "docs" / "site").glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_every_page_gets_a_place_and_every_link_leads_to_a_page_or_a_file(site, tmp_path):
    import staging

    stage = staging.Stage(tmp_path)
    staging.stage_pages(stage)
    pages = {path.relative_to(ROOT).as_posix() for path in staging.pages()} - {"README.md"} | {"index.md"}
    assert pages <= {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    listed = set()
    for path in tmp_path.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(), re.S):
            listed |= {line for line in block.splitlines() if line.startswith("/")}
    assert {f"/{page.removesuffix('.md')}" for page in pages} - {"/index"} <= listed
    # The README is the first page, and the examples are the gallery.
    assert "](../gallery/index.rst)" in (tmp_path / "docs" / "index.md").read_text()
    assert "](../index.md)" in (tmp_path / "docs" / "index.md").read_text()


def test_a_page_that_nobody_named_is_the_researchers(site, tmp_path, monkeypatch):
    import staging

    (tmp_path / "docs" / "guide").mkdir(parents=True)
    for name in ("reading", "something_new"):
        (tmp_path / "docs" / "guide" / f"{name}.md").write_text("# A page\n")
    monkeypatch.setattr(staging, "ROOT", tmp_path)
    assert staging._pages_of("researcher") == ["/docs/guide/something_new"]
    assert staging._pages_of("practitioner") == ["/docs/guide/reading"]


def test_every_page_that_is_named_for_a_reader_is_there_or_is_being_written(site):
    from staging import READERS

    there = {path.stem for path in (ROOT / "docs" / "guide").glob("*.md")}
    assert {page for pages in READERS.values() for page in pages} - there <= {"theory"}
    assert {path.stem for path in (ROOT / "docs" / "readers").glob("*.md")} == set(READERS)


def test_what_an_earlier_build_left_is_removed(site, tmp_path):
    from staging import Stage

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "old.md").write_text("old")
    stage = Stage(tmp_path)
    stage.put("docs/new.md", "new")
    (tmp_path / "docs" / "runs" / "mine" / "records").mkdir(parents=True)
    stage.remove_the_rest(["docs"])
    assert not (tmp_path / "docs" / "runs").exists()
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["new.md"]


def test_links_that_lead_nowhere_or_outside_are_seen(site, tmp_path):
    from links import broken_links

    (tmp_path / "a.html").write_text(
        '<p id="here">x</p><a href="b.html#there">1</a><a href="#here">2</a><a href="https://x.org">3</a>'
        '<img src="data:image/png;base64,AA==">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">y</h1>')
    assert broken_links(tmp_path) == []
    (tmp_path / "b.html").write_text(
        '<a href="c.html">1</a><a href="a.html#nowhere">2</a><script src="https://x.org/s.js"></script>'
        '<img src="no.png"><link rel="stylesheet" href="//x.org/s.css">'
    )
    assert broken_links(tmp_path) == [
        "a.html: b.html#there leads to no place on that page",
        "b.html: c.html leads to no file",
        "b.html: a.html#nowhere leads to no place on that page",
        "b.html: https://x.org/s.js is loaded from outside the site",
        "b.html: no.png leads to no file",
        "b.html: //x.org/s.css is loaded from outside the site",
    ]


def test_both_ends_of_numbers_are_those_of_the_closed_forms(site):
    from numbers_pages import CURVES, PAIRS, _ends
    from scenes import MADE, measured

    assert _ends("effective_dimension_centered") == ("unequal", "even")
    assert measured("even")["effective_dimension_centered"] == pytest.approx(24)
    assert _ends("dynamical_low_rank_centered")[0] == "collapsed"
    assert measured("against")["nc3"] == pytest.approx(4)
    # tr(S_W S_B^+) / C with 2² within and 1² between along three directions: 12 / 4.
    assert measured("mixed")["nc1"] == pytest.approx(3)
    assert _ends("cka") is None
    assert {*CURVES, *PAIRS} <= set(DEFINITIONS)
    assert {name for pair in CURVES.values() for name in pair} <= set(MADE)


def test_nearly_every_number_has_a_case_where_it_is_low_and_one_where_it_is_high(site):
    from numbers_pages import CURVES, PAIRS, _ends

    without = {name for name in DEFINITIONS if name not in CURVES and name not in PAIRS and _ends(name) is None}
    # They need a network and its start, a second pass, or are words.
    assert without == {
        "initial_kernel_similarity",
        "initial_kernel_similarity_raw",
        "regime",
        "readout_curve",
        "restricted_accuracy",
        "restricted_loss",
        "nc4",
        "persistence",
        "parameter_norm",
        "parameter_distance",
        "tangent_kernel_distance",
        # Of a cut or of damage done to a network, and of a network beside its theory.
        "ridge_information",
        "information_lost",
        "held_out_information",
        "outputs_change",
        "compressed_head_error",
        "accuracy_lost",
        "loss_added",
        "logit_change",
        "kernel_rescale",
        "kernel_rotate",
        "alignment_gain",
        "signal_slope",
        "map_residual",
        "map_sample_share",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_gets_a_title(site, path):
    from staging import titled

    text = titled(path.read_text())
    title, line = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert set(line) == {"="}
    assert len(title) == len(line) <= 100


def test_the_schema_describes_the_file_of_definitions_and_sees_what_is_missing():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "reference" / "definitions.schema.json").read_text())
    facts = json.loads(FILE.read_text())
    check = jsonschema.Draft202012Validator(schema)
    check.validate(facts)
    for kind, row in (("definition", Definition), ("term", Term)):
        described = schema["$defs"][kind]
        fields = {field.name for field in dataclasses.fields(row)}
        assert set(described["required"]) == set(described["properties"]) == fields
    del facts["definitions"][0]["range"]
    assert not check.is_valid(facts)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_ask_for_the_doctor(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert any("phiscope doctor" in part["attributes"]["label"] for part in fields)
    assert len({part["id"] for part in fields}) == len(fields)


def test_there_are_issue_forms():
    assert len(FORMS) >= 2


def test_names_in_sentences_and_blocks_lead_to_their_entries_and_nothing_else_does(site):
    from name_links import link_names

    known = {"phiscope.view": "v.html", "phiscope.runs.Run": "r.html#run"}
    dot, code = '<span class="o">.</span>', '<code class="docutils literal notranslate"><span class="pre">'

    def name(word):
        return f'<span class="n">{word}</span>'

    block = name("phiscope") + dot + name("view") + dot + name("show")
    assert link_names(block, known) == (
        f'<a class="name" href="v.html">{name("phiscope")}{dot}{name("view")}</a>{dot}{name("show")}'
    )
    assert link_names(f"{code}phiscope.runs.Run(x)", known) == (
        f'{code}<a class="name" href="r.html#run">phiscope.runs.Run</a>(x)'
    )
    # Not a command, not a longer name, not what is a link already.
    for plain in (
        f"{code}phiscope view RUN",
        f"{code}phiscope.viewing",
        name("phiscope") + dot + name("viewing"),
        f'<a href="x.html">{code}phiscope.view</span></code></a>',
    ):
        assert link_names(plain, known) == plain
