"""Several runs on a page: what differs on top, means over seeds with intervals, and a test between two groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import phiscope
from browsing import NEEDS_BROWSER, Watched, started_browser
from phiscope.figures.contrast import contrast_of
from phiscope.page import report
from phiscope.page.build import Served, told_texts
from phiscope.runs import Run
from synthetic_runs import Recipe, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SERVED = Served(library="", script="", theme="", home="", events="", marks="")
EVIL = "<script>window.broken = 1</script>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("contrast")
    made = []
    for rate in (0.1, 0.2):
        for seed in range(2):
            header = {"settings": {"learning_rate": rate, "seed": seed, "note": EVIL if rate > 0.1 else "none"}}
            recipe = Recipe(
                epochs=(0, 1), p=6, n=50, side=0, collapse=rate + seed / 4, header=header, splits=("train",)
            )
            made.append(write_run(folder / f"{rate}-{seed}", recipe))
    return made


def test_two_groups_have_a_test_and_seeds_are_no_difference(runs: list[Run]) -> None:
    found = contrast_of(runs)
    assert [name for name, _ in found.settings] == ["learning_rate", "note"]
    rows = dict(found.measured["train"])
    assert "p " in rows["used_variance"][2]
    assert any("Welch" in note for note in found.notes)
    text = told_texts({str(place): run for place, run in enumerate(runs)}, SERVED)["differences"]
    assert "<td>0.1</td><td>0.2</td>" in text
    assert "&lt;script&gt;" in text
    assert ">used variance<" in text


def test_one_run_is_compared_with_nothing(runs: list[Run]) -> None:
    assert "differences" not in told_texts({"a": runs[0]}, SERVED)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


class TestInTheBrowser:
    pytestmark = NEEDS_BROWSER

    def test_seeds_are_one_line_with_a_band(self, browser: Browser, runs: list[Run], tmp_path: Path) -> None:
        visit = Watched(browser, report(runs, tmp_path / "page.html").as_uri(), width=390)
        visit.unfold()
        chart = visit.page.locator(".history").nth(2)
        chart.scroll_into_view_if_needed()
        visit.until("document.querySelectorAll('.history')[2].data !== undefined")
        traces = chart.evaluate("node => node.data.map(one => [one.name || '', one.fill || ''])")
        assert sorted(fill for _, fill in traces) == ["", "", "toself", "toself"]
        assert all("(2 seeds)" in name for name, fill in traces if not fill)
        assert visit.page.locator("#contrast table").first.inner_text().startswith("Settings that differ")
        assert visit.overflow() <= 0
        assert visit.faults == []
        assert visit.page.evaluate("window.broken") is None
        visit.close()


def test_a_difference_is_explained_only_where_one_is_shown(tmp_path):
    """Of runs without a split in common no number was compared, and the note spoke of the difference."""
    from phiscope.figures.contrast import NOTE_SAMPLES

    m = phiscope.diagonalize(np.random.default_rng(0).normal(size=(40, 5)))
    runs = [phiscope.write_run(tmp_path / name, [(0, {name: m})]) for name in ("one", "other")]
    assert [note.partition(" (")[0] for note in contrast_of(runs).notes] == ["The runs share no split"]
    same = [phiscope.write_run(tmp_path / f"{name} same", [(0, {"train": m})]) for name in ("one", "other")]
    assert contrast_of(same).notes == (NOTE_SAMPLES,)
