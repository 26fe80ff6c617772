"""What happened in a run, in one sentence, and which warnings are of something unusual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phiscope
from phiscope.findings.findings import Findings, is_of_precision, warn_of_bias
from phiscope.page.build import page_text
from phiscope.page.verdicts import happened, lowness_words, since_words, told_apart
from phiscope.page.words import gathered_warnings
from phiscope.runs import open_run
from synthetic_runs import Recipe, write_run

SMALL = {"p": 10, "n": 60, "side": 0, "gallery": False, "splits": ("train",)}


class Told:
    """A record with a word and nothing else."""

    def __init__(self, epoch: int, word: str | None) -> None:
        self.unit, self.at, self.step, self._word = "epoch", epoch, None, word

    def regime(self, split: str) -> str | None:
        return self._word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["minimal"], "at epoch 0, the only record"),
        (["extended", "extended"], "at all records, epoch 0 to 1"),
        (["extended", "minimal", "minimal"], "since epoch 1, extended before"),
        ([None, "minimal"], "since epoch 1, no word before"),
        (["extended", "minimal", "extended", "minimal"], "since epoch 3, after 3 changes of the word"),
    ],
)
def test_since_when_a_word_holds(words: list[str | None], said: str) -> None:
    course = [Told(epoch, word) for epoch, word in enumerate(words)]
    assert since_words(course, "train") == said  # type: ignore[arg-type]


def test_what_became_of_a_number() -> None:
    assert lowness_words([0.2, 0.7]) == "rose from 0.2 to 0.7"
    assert lowness_words([0.2, None]) == ""
    # A value that had no time to move did not stay anywhere.
    assert lowness_words([0.4713]) == "is 0.4713"
    assert lowness_words([0.471, 0.9, 0.475]) == "stayed near 0.475"
    assert lowness_words([None]) == ""


def test_the_only_record_is_told_as_what_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0,), **SMALL))
    assert happened(run).lowness.startswith("is ")
    assert happened(run).since == "at epoch 0, the only record"


def test_the_sentence_of_a_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0, 1, 2, 10), **SMALL))
    said = happened(run)
    assert (said.regime, said.title) == ("minimal", "Minimal-feature regime")
    assert said.since == "since epoch 2, extended before"
    assert said.answers == (("test accuracy", "0.8953"),)
    ends = [run.records[place].numbers("train")["dynamical_low_rank_centered"] for place in (0, -1)]
    assert said.lowness == f"fell from {ends[0]:.3g} to {ends[1]:.3g}"
    assert said.where == "train, epoch 10"


def test_runs_of_which_little_is_known(tmp_path: Path) -> None:
    nothing = write_run(tmp_path / "nothing", Recipe(epochs=(), status=None))
    assert happened(nothing).meaning.endswith("Make the page again when it has.")
    assert happened(nothing, served=True).meaning.endswith("as soon as it has.")
    silent = happened(write_run(tmp_path / "silent", Recipe(epochs=(0, 1), outputs=False, **SMALL)))
    assert (silent.regime, silent.title, silent.since, silent.lowness) == (None, "Regime cannot be told", "", "")
    assert silent.meaning.endswith("outputs, and neither outputs nor a head were given.")
    many = happened(write_run(tmp_path / "many", Recipe(epochs=(0, 1), classes=9, **SMALL)))
    assert many.meaning.startswith("Output rank r = 8 is more than half of p' = 10 (units that vary, at most n - 1)")
    # One clause; the rest of the rule is shown in its own section.
    assert ";" not in many.meaning


def test_what_nearly_every_run_has_is_no_warning(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0, 5), **SMALL))
    warnings = run.records[-1].measurement().warnings
    assert [text for text in warnings if is_of_precision(text)]
    page = page_text({"run": run})
    assert "How precise the numbers are" in page
    assert '<a class="unusual"' not in page
    torn = write_run(tmp_path / "torn", Recipe(epochs=(0, 1, 2), **SMALL)).path
    lines = (torn / "scalars.jsonl").read_text().splitlines(keepends=True)
    (torn / "scalars.jsonl").write_text(lines[0] + "\0" * 20 + "\n" + lines[2])
    page = page_text({"torn": open_run(torn)})
    unusual, usual = told_apart(gathered_warnings(open_run(torn)))
    assert "line 2 of scalars.jsonl cannot be read; that record is left out" in unusual
    assert usual
    assert f'<a class="unusual" href="#verdict">{len(unusual)} warning' in page


def test_words_of_precision_are_those_that_are_said() -> None:
    found = Findings(numbers={"participation_ratio": 5.0, "participation_ratio_corrected": 9.0})
    warn_of_bias(found, 40, 8, ("participation_ratio",))
    (said,) = found.warnings
    assert told_apart([said, "x"]) == (("x",), (said,))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"head": None}, "neither outputs nor a head were given"),
        ({"head": None, "outputs": np.ones((60, 3))}, "the outputs are constant on these samples"),
        ({"features": np.ones((60, 5))}, "the features are constant on these samples, so their covariance is zero"),
        ({"head": (np.ones((3, 5)), None)}, "the outputs differ from one another by constants only, and classes"),
    ],
)
def test_why_there_is_no_word_is_said_as_it_is(changed: dict[str, Any], why: str, tmp_path: Path) -> None:
    """The page asked for outputs that had been given, where they or the features do not vary."""
    rng = np.random.default_rng(1)
    known = {
        "features": rng.normal(size=(60, 5)),
        "head": (rng.normal(size=(3, 5)), None),
        "targets": np.arange(60) % 3,
    }
    run = phiscope.write_run(tmp_path / "run", [(0, phiscope.diagonalize(**(known | changed)))])
    assert happened(run).meaning.startswith(f"A regime compares the features with the network's outputs, and {why}")
    text = page_text({"run": run})
    assert text.count(f"the network&#39;s outputs, and {why}") == 2
    assert "a regime needs the network" not in text
