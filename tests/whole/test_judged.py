"""What others assert of such numbers: facts and exact values of docs/evidence/judged.md, from the same functions."""

import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
EVIDENCE = ROOT / "docs" / "evidence"

# The keys stand here so that a suite that gets lost is a failing test; `test_the_keys_are_all` compares.
SUITES = {
    "similarity-repository": 9,
    "cka-packages": 4,
    "netrep": 8,
    "repsim": 16,
    "resi": 13,
    "stable-pretraining": 3,
    "monai": 9,
    "neural-collapse": 4,
    "traintools": 6,
    "neural-tangents": 4,
    "neural-tangents-nngp": 4,
    "hard-data": 15,
}
CASES = (
    "constant-offset",
    "last-batch",
    "shuffling-loader",
    "few-samples",
    "singular-values",
    "repeated-data",
    "weak-direction",
)
# Trains 25 networks.
SLOW = {"resi"}


@pytest.fixture
def part(monkeypatch):
    """One of the benchmark's own modules, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return lambda name: importlib.import_module(f"judged_parts.{name}")


def test_the_keys_are_all(part):
    assert list(part("suites").BY_KEY) == list(SUITES)
    assert list(part("cases").BY_KEY) == list(CASES)


@pytest.mark.parametrize("key", [pytest.param(key, marks=pytest.mark.slow) if key in SLOW else key for key in SUITES])
def test_what_others_assert_holds(part, key):
    suite = part("suites").BY_KEY[key]
    if suite.missing():
        pytest.skip(f"{', '.join(suite.missing())}: not here")
    facts = list(suite.facts())
    assert [fact for fact in facts if not fact.holds] == []
    assert len(facts) == SUITES[key]


@pytest.mark.parametrize("key", CASES)
def test_phiscopes_values_are_the_exact_ones(part, key):
    case = part("cases").BY_KEY[key]
    # As if nobody else were installed: what others give is for the page.
    rows = [case._row(row) for row in case.rows(lambda name: False)]
    assert len(rows) >= 2
    assert [row for row in rows if not row["ours_agrees"]] == []


def test_a_fact_that_does_not_hold_is_seen(part):
    fact = part("facts").Fact
    facts = [
        fact(asserts="", call="", figure=figure, low=low, high=high)
        for figure, low, high in ((2.0, -math.inf, 1.0), (0.5, 1.0, math.inf), (math.nan, -math.inf, math.inf))
    ]
    assert [one.holds for one in facts] == [False, False, False]
    assert fact(asserts="", call="", figure=1.0, low=1.0, high=1.0).holds


def test_a_value_that_is_not_the_exact_one_is_seen(part):
    case = part("cases.case")
    assert case.close(1 + 1e-10, 1.0, 1e-9)
    assert not case.close(1.1, 1.0, 1e-3)
    assert not case.close(math.nan, 1.0, 1e3)
    assert not case.close(math.inf, 1.0, 1e3)
    # An exact 0 has no share: the difference itself counts.
    assert case.close(1e-4, 0.0, 1e-3)
    assert not case.close(1e-2, 0.0, 1e-3)


def test_what_another_package_raises_is_its_value(part):
    theirs = part("cases.case").theirs
    assert theirs(lambda: 2) == 2.0
    assert theirs(lambda: int("two")) == "raises ValueError"


def test_unbiased_cka_of_shared_columns_on_paper(part):
    exact, alignment = part("exact"), part("alignment")
    X, Y = exact.sharing(4, 2)
    assert alignment.by_song(X, Y) == pytest.approx(exact.unbiased_cka(4, 2), rel=1e-12)
    assert alignment.by_gram(X, Y) == pytest.approx(0.5, rel=1e-12)


def test_classes_on_axes_on_paper(part):
    exact, collapse = part("exact"), part("collapse")
    lengths = (1.0, 0.5, 0.25)
    X, labels = exact.classes_on_axes(lengths, 0.125, 16)
    assert collapse.nc1(X, labels) == pytest.approx(exact.nc1_on_axes(lengths, 0.125), rel=1e-12)
    assert collapse.cdnv(X, labels) == pytest.approx(exact.cdnv_on_axes(lengths, 0.125, 16), rel=1e-12)


@pytest.fixture
def kept():
    """What the page in docs was made of."""
    return json.loads((EVIDENCE / "judged.json").read_text(encoding="utf-8"))


def test_the_page_is_made_of_its_data_and_all_holds_there(part, kept):
    page = part("page")
    assert (EVIDENCE / "judged.md").read_text(encoding="utf-8") == page.page(kept)
    assert page.problems(kept) == []
    assert [one["key"] for one in kept["suites"]] == list(SUITES)
    # What phiscope itself has has to be on the page; what other packages it takes was there when the page was made.
    own = {key for key, one in part("suites").BY_KEY.items() if any("phiscope" in name for name in one.missing())}
    found = {one["key"]: len(one["facts"]) for one in kept["suites"] if one["key"] not in own}
    assert found == {key: count for key, count in SUITES.items() if key not in own}, "make judged makes the page anew"
    assert [one["key"] for one in kept["cases"]] == list(CASES)
    assert all(all(one["versions"].values()) for one in kept["cases"])


def test_what_is_wrong_is_said_on_the_page_and_in_the_end(part, kept):
    page = part("page")
    first, second, *_ = kept["suites"]
    first["facts"][0]["holds"] = False
    second["facts"], second["missing"] = [], ["ckatorch"]
    case = kept["cases"][0]
    case["rows"][0]["ours_agrees"] = False
    case["versions"]["torch-cka"] = None
    told = " ".join(page.page(kept).split())
    assert "**1 of them do not hold**" in told
    assert "**does not hold**" in told
    assert "not run: ckatorch not installed" in told
    assert "Not installed where this was measured: torch-cka." in told
    assert len(page.problems(kept)) == 4


def test_a_packages_value_that_differs_is_bold(part, kept):
    told = part("page").page(kept)
    for case in kept["cases"]:
        values = [found for row in case["rows"] for found in row["others"].values()]
        bold = [value if isinstance(value, str) else f"{value:.4g}" for value, agrees in values if not agrees]
        assert bold, f"{case['key']}: nothing differs any more, the case has to be looked at"
        assert all(f"**{text}**" in told for text in bold)


def test_one_suite_is_printed_and_nothing_written(part, capsys, monkeypatch):
    part("page")  # the folder is on the path now
    monkeypatch.setattr(Path, "write_text", lambda *given, **more: pytest.fail("nothing is to be written"))
    assert importlib.import_module("judged").main(["--only", "stable-pretraining", "singular-values"]) in (0, 1)
    told = capsys.readouterr().out
    assert told.startswith("### galilai-group/stable-pretraining")
    assert re.search(r"\| RankMe \| 8 singular values, halved each time \| 3.899 \| 3.899 \|", told)


@pytest.mark.slow
def test_the_page_again_from_its_data(tmp_path):
    command = [
        sys.executable,
        str(FOLDER / "judged.py"),
        "--render",
        str(EVIDENCE / "judged.json"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "judged.md").read_text() == (EVIDENCE / "judged.md").read_text()
