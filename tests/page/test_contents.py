"""The table of contents over the folded sections."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from phiscope.page.build import SCRIPTS, page_text
from phiscope.page.contents import SECTIONS, contents
from synthetic_runs import Recipe, write_run

SMALL = {"p": 10, "n": 60, "side": 0, "gallery": False, "splits": ("train",)}

WITHOUT = dict.fromkeys(("contrast", "restricted", "tried"), False)
"""What a page of one run has nothing for, when nothing but the training was asked for."""


def test_the_contents_list_what_the_page_has(tmp_path: Path) -> None:
    whole = contents(measured=True, regression=False)
    assert [section["key"] for section in whole] == [section.key for section in SECTIONS]
    whole = contents(measured=True, regression=False, **WITHOUT)
    assert {section.key for section in SECTIONS} - {section["key"] for section in whole} == set(WITHOUT)
    assert next(section for section in whole if section["key"] == "maps")["title"].startswith("Which class")
    page = page_text({"run": write_run(tmp_path / "run", Recipe(epochs=(0,), **SMALL))})
    for section in whole:
        assert f'<details class="fold" id="{section["key"]}">' in page
        assert f'<a href="#{section["key"]}">{section["short"]}</a>' in page


def test_what_is_not_measured_has_no_section() -> None:
    few = [section["key"] for section in contents(measured=False, regression=True, **WITHOUT)]
    assert few == ["verdict", "numbers", "origin"]
    held = next(section for section in contents(measured=True, regression=True) if section["key"] == "maps")
    assert held["title"] == "What each eigenfunction holds"


def test_every_section_and_script_has_its_file() -> None:
    assets = files("phiscope.page") / "assets"
    for name in (*SCRIPTS, *(f"{section.key}.html" for section in SECTIONS)):
        assert (assets / name).is_file(), name
    assert len({section.key for section in SECTIONS}) == len(SECTIONS)
