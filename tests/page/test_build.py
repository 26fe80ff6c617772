"""The page as text: what it says, and that nothing from outside gets in or out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import phiscope
from phiscope.errors import EmptyDataError, InputError, MissingDependencyError, RunFormatError
from phiscope.metrics import definition_of
from phiscope.page import report
from phiscope.page.build import page_text
from phiscope.page.payload import page_data
from phiscope.runs import RunWriter, open_run
from synthetic_runs import Recipe, write_run

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def page_json(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    loaded: dict[str, object] = json.loads(found[1])
    return loaded


def without_library(text: str) -> str:
    return re.sub(r'<script type="text/plain" id="library">.*?</script>', "", text, flags=re.DOTALL)


def test_the_page_says_what_came_out_and_by_which_numbers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(header={"data": "numbers by formula", "settings": {"optimizer": "none"}}))
    text = report(run, tmp_path / "pages" / "a.html").read_text("utf-8")
    evidence = run.records[-1].measurement().evidence
    assert evidence is not None
    assert evidence.regime == "minimal"
    assert "Minimal-feature regime" in text
    assert f"<strong>{evidence.k90}</strong>" in text
    assert "numbers by formula" in text
    assert "optimizer none" in text
    assert "synthetic a" in text
    assert "epochs 0 to 10" in text


@pytest.mark.parametrize("classes", [None, 3])
def test_regression_is_told_nothing_of_classes_in_the_plane(tmp_path: Path, classes: int | None) -> None:
    text = report(write_run(tmp_path / "a", Recipe(classes=classes)), tmp_path / "a.html").read_text("utf-8")
    assert "placed by what two eigenfunctions say of it" in text
    assert ("a class becomes one point" in text) == (classes is not None)


def test_every_number_has_definition_direction_range_and_source(tmp_path: Path) -> None:
    import html

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1)))
    text = html.unescape(report(run, tmp_path / "a.html").read_text("utf-8"))
    assert len(run.number_names()) > 20
    for name in run.number_names():
        row = definition_of(name)
        for fact in (row.title, row.meaning, row.equation, row.direction, row.range, row.source):
            assert fact in text, (name, fact)
    assert text.count('class="ours"') == sum(definition_of(name).ours for name in run.number_names())


def test_text_from_users_is_escaped_everywhere(tmp_path: Path) -> None:
    header = {
        "name": EVIL,
        "title": EVIL,
        "description": EVIL,
        "data": EVIL,
        "model": EVIL,
        "settings": {EVIL: EVIL},
        "class_names": [EVIL] * 4,
        "command": EVIL,
    }
    runs = [write_run(tmp_path / name, Recipe(epochs=(0, 1), header=header, scalars={EVIL: 1.0})) for name in "ab"]
    text = report(runs, tmp_path / "a.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert page_json(text)["runs"][0]["label"] == EVIL  # type: ignore[index]


def test_the_page_asks_no_network(tmp_path: Path) -> None:
    text = without_library(report(write_run(tmp_path / "a", Recipe(epochs=(0, 1))), tmp_path / "a.html").read_text())
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!#|https://arxiv\.org/abs/)[^"]+"', text)
    assert "url(" not in text.replace("url(${spriteAddress(samples.sprite)})", "")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(epochs=(0, 1), status="interrupted"), "interrupted by its user; all that was recorded up to epoch 1"),
        (Recipe(epochs=(0,), status=None), "still going or was killed"),
        (Recipe(epochs=(), status=None), "Nothing measured yet"),
        (Recipe(epochs=(0,)), "one measurement only"),
        (Recipe(epochs=(0, 1), outputs=False), "Regime cannot be told"),
        (Recipe(epochs=(0, 1), classes=None, splits=("probe",), side=0), "rank of the outputs"),
        (Recipe(epochs=(0, 1), classes=1), "synthetic"),
    ],
)
def test_unusual_runs_have_a_page(tmp_path: Path, recipe: Recipe, words: str) -> None:
    text = report(write_run(tmp_path / "run", recipe), tmp_path / "a.html").read_text("utf-8")
    assert words in text
    page_json(text)


def test_a_record_with_scalars_only_is_in_the_histories_but_not_on_the_slider(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0, 1), status=None))
    writer = RunWriter.create(tmp_path / "run", {}, resume=True)
    writer.append(2, 20, {"train_loss": 0.5}, {})
    run = open_run(tmp_path / "run")
    data = page_data({"run": run})
    assert [position["epoch"] for position in data["positions"]] == [0, 1]
    text = report(run, tmp_path / "a.html").read_text("utf-8")
    assert 2 in page_json(text)["history"][1]["data"][0]["x"]  # type: ignore[index]


@pytest.mark.slow
def test_a_long_run_with_many_classes_stays_small_enough(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=range(60), classes=30, p=64, n=150, splits=("train",)))
    page = report(run, tmp_path / "a.html")
    assert page.stat().st_size < 6e6


def test_wrong_use_and_missing_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmptyDataError, match="at least one run"):
        report([], tmp_path / "a.html")
    with pytest.raises(RunFormatError):
        report(tmp_path / "nothing", tmp_path / "a.html")
    run = write_run(tmp_path / "a", Recipe(epochs=(0,)))
    for name in ("a.pdf", "a.PNG"):
        with pytest.raises(InputError, match=r"a report is a page, as a\.html"):
            report(run, tmp_path / name)
        assert not (tmp_path / name).exists()
    assert report(run, tmp_path / "a.v2").exists()  # what promises nothing else is a page
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[report\]"):
        report(run, tmp_path / "a.html")
    assert list(tmp_path.glob("*.html*")) == []


def test_an_existing_page_is_replaced_whole(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("old")
    run = write_run(tmp_path / "a", Recipe(epochs=(0,)))
    assert report([str(run.path)], str(page)) == page
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.html"]


@pytest.mark.parametrize(("targets", "classes"), [("classes", True), ("values", False), ("none", False)])
def test_a_page_speaks_of_classes_where_there_are_some(targets: str, classes: bool, tmp_path: Path) -> None:
    """Of a run without targets it asked which class lives on which eigenfunction, and explained cells of classes."""
    rng = np.random.default_rng(0)
    given = {"classes": np.arange(60) % 3, "values": rng.normal(size=(60, 3)), "none": None}[targets]
    m = phiscope.diagonalize(rng.normal(size=(60, 5)), head=(rng.normal(size=(3, 5)), None), targets=given)
    text = page_text({"run": phiscope.write_run(tmp_path / "run", [(0, m)])})
    for said in ("Which class lives on which eigenfunction", "within each class. An", "colored by its class"):
        assert (said in text) == classes
    assert ("How much of each leading eigenfunction lies in the span" in text) == (not classes)
