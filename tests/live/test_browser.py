"""The list and live pages in a real browser: filter, sort, open, compare, and records that appear without a reload."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import phiscope
from browsing import NEEDS_BROWSER, Watched, started_browser
from phiscope.live import View
from phiscope.runs import RunWriter
from synthetic_runs import Recipe, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = NEEDS_BROWSER

SPECTRUM = ".operator[data-panel=eigenvalues]"
DRAWN = "node => node.data && node.data.length ? node.data[2].y : null"
PATH = "document.querySelector('.why').data?.find(trace => trace.mode === 'lines+markers').x.length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


def shown_rows(page: Page) -> list[str]:
    found: list[str] = page.locator("#runs tbody tr:visible").evaluate_all("rows => rows.map(row => row.dataset.name)")
    return found


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "light"),
        (1280, "dark"),
        *(pytest.param(*look, marks=pytest.mark.slow) for look in [(1280, "light"), (1920, "light"), (390, "dark")]),
    ],
)
def test_the_list_opens_without_faults(browser: Browser, served: View, width: int, scheme: str) -> None:
    visit = Watched(browser, served.url, width=width, scheme=scheme)
    visit.until("document.getElementById('live').textContent.includes('live')")
    assert len(shown_rows(visit.page)) == 5
    assert visit.page.evaluate("window.broken") is None
    assert visit.overflow() <= 0
    paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert visit.violations() == []
    assert visit.faults == []
    assert visit.outside(served.url) == []
    visit.close()


def test_colors_chosen_on_the_list_are_those_of_its_pages(browser: Browser, served: View) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    visit = Watched(browser, served.url)
    visit.page.locator("#theme").select_option("dark")
    assert visit.page.evaluate(paper) != "rgb(255, 255, 255)"
    visit.page.locator("#runs tbody a").first.click()
    visit.page.wait_for_selector("html[data-ready=yes] #theme")
    assert visit.page.locator("#theme").input_value() == "dark"
    visit.page.locator("#theme").select_option("light")
    visit.page.goto(served.url)
    assert visit.page.evaluate(paper) == "rgb(255, 255, 255)"
    assert visit.faults == []
    visit.close()


def test_filter_and_sort(browser: Browser, served: View) -> None:
    visit = Watched(browser, served.url)
    page = visit.page
    page.keyboard.press("/")
    page.keyboard.type("minimal alpha")
    assert shown_rows(page) == ["alpha"]
    assert page.locator("#count").inner_text() == "1 of 5 runs"
    page.locator("#filter").fill("nothing like it")
    assert page.locator("#none").is_visible()
    page.locator("#filter").fill("")
    by_name = sorted(shown_rows(page))
    head = page.locator("th", has=page.locator("button[data-order=name]"))
    head.locator("button").click()
    assert shown_rows(page) == by_name
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert shown_rows(page) == by_name[::-1]
    page.locator("button[data-order=lowness]").click()
    values = page.locator("#runs tbody tr").evaluate_all("rows => rows.map(row => row.dataset.lowness)")
    known = [float(value) for value in values if value]
    assert known == sorted(known)
    assert values[-1] == ""
    assert visit.faults == []
    visit.close()


def test_a_click_opens_a_run_and_the_list_is_a_click_away(browser: Browser, served: View) -> None:
    visit = Watched(browser, served.url)
    page = visit.page
    page.get_by_role("link", name="synthetic alpha").click()
    page.wait_for_selector("html[data-ready=yes]")
    assert page.title().startswith("synthetic alpha")
    visit.until(f"document.querySelector('{SPECTRUM}').data")
    visit.until("document.getElementById('live').textContent === 'live'")
    page.get_by_role("link", name="all runs").click()
    page.wait_for_selector("#runs tbody tr:visible")
    assert len(shown_rows(page)) == 5
    assert visit.faults == []
    assert visit.outside(served.url) == []
    visit.close()


def test_ticked_runs_are_compared_by_keyboard_alone(browser: Browser, served: View) -> None:
    visit = Watched(browser, served.url)
    page = visit.page
    assert page.locator("#compare").is_disabled()
    for name in ("alpha", "sweep/lr 0.1"):
        page.get_by_label(f"Compare {name}", exact=True).focus()
        page.keyboard.press("Space")
    assert page.locator("#compare").inner_text() == "Compare 2 runs"
    page.locator("#compare").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-ready=yes] #verdicts.several")
    assert sorted(page.locator("h2.run-title").all_inner_texts()) == ["alpha", "lr 0.1"]
    assert visit.faults == []
    visit.close()


def test_hostile_names_are_text_on_the_page(browser: Browser, served: View) -> None:
    visit = Watched(browser, served.url)
    visit.page.locator("#runs tbody a", has_text="<script>").click()
    visit.page.wait_for_selector("html[data-ready=yes]")
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("window.broken") is None
    assert "<script>" in visit.page.locator("h1").inner_text()
    assert visit.faults == []
    visit.close()


class Training:
    """A run that is written while somebody watches it.

    Args:
        root: the folder of runs.
        begun: records that are there at the beginning.
    """

    def __init__(self, root: Path, begun: int) -> None:
        self._source = write_run(root.parent / "source", Recipe(epochs=range(8), p=10, n=50, side=3))
        self.path = root / "training"
        shutil.copytree(self._source.path, self.path)
        (self.path / "end.json").unlink()
        self._lines = (self.path / "scalars.jsonl").read_text().splitlines(keepends=True)
        (self.path / "scalars.jsonl").write_text("".join(self._lines[:begun]))
        self._next = begun

    def record(self) -> None:
        """One more record, whose files are there already, as a writer has it before it writes the line."""
        with (self.path / "scalars.jsonl").open("a") as file:
            file.write(self._lines[self._next])
        self._next += 1

    def finish(self) -> None:
        shutil.copyfile(self._source.path / "end.json", self.path / "end.json")


@pytest.fixture
def training(root: Path) -> Training:
    return Training(root, 3)


def opened(browser: Browser, shown: View, query: str = "run=training", width: int = 1280) -> Watched:
    visit = Watched(browser, f"{shown.url}page?{query}", width=width)
    visit.until("document.getElementById('live').textContent === 'live'")
    visit.page.evaluate("window.same = true")
    return visit


def wait_for_records(visit: Watched, count: int) -> None:
    visit.until(f"document.documentElement.dataset.records === '{count}'")
    visit.page.wait_for_selector("html[data-settled=yes]")


def test_a_new_record_appears_without_a_reload(browser: Browser, shown: View, training: Training) -> None:
    visit = opened(browser, shown)
    page = visit.page
    page.evaluate("document.getElementById('picture').scrollIntoView({behavior: 'instant'})")
    visit.until(f"document.querySelector('{SPECTRUM}').data")
    before = page.locator(SPECTRUM).evaluate(DRAWN)
    assert page.locator("#moment").inner_text() == "epoch 2"
    training.record()
    wait_for_records(visit, 4)
    assert page.locator("#moment").inner_text() == "epoch 3"
    assert page.locator("#position").get_attribute("max") == "3"
    assert page.locator(SPECTRUM).evaluate(DRAWN) != before
    assert "epoch 3" in page.locator("#verdicts .answers").inner_text()
    assert "epoch 3" in page.locator("#cards .label").text_content()
    assert page.evaluate(PATH) == 4
    assert page.locator("#now tr .now-run").inner_text() == "epoch 3, train"
    assert "new record" in page.locator("#live").inner_text()
    training.record()
    wait_for_records(visit, 5)
    assert page.evaluate("window.same") is True
    # Below, too: numbers over training, and lines of followed functions.
    page.locator("#toc a[href='#numbers']").click()
    visit.until("document.querySelector('.history').data?.[0].x.length === 5")
    page.locator("#toc a[href='#tracks']").click()
    visit.until("document.querySelector('.track').data?.some(line => line.x.length === 5)")
    assert visit.faults == []
    assert visit.outside(shown.url) == []
    visit.close()


def test_who_looks_at_an_earlier_moment_stays_there(browser: Browser, shown: View, training: Training) -> None:
    visit = opened(browser, shown)
    page = visit.page
    page.locator("#position").focus()
    page.keyboard.press("ArrowLeft")
    training.record()
    wait_for_records(visit, 4)
    assert page.locator("#moment").inner_text() == "epoch 1"
    page.keyboard.press("End")
    page.wait_for_selector("html[data-settled=yes]")
    assert page.locator("#moment").inner_text() == "epoch 3"
    assert visit.faults == []
    visit.close()


def test_a_page_of_two_runs_follows_both(browser: Browser, shown: View, training: Training) -> None:
    visit = opened(browser, shown, "run=alpha&run=training", width=390)
    training.record()
    wait_for_records(visit, 8)
    training.finish()
    visit.until("!document.getElementById('verdicts').textContent.includes('still going')")
    assert visit.page.evaluate("window.same") is True
    assert visit.overflow() <= 0
    assert visit.faults == []
    visit.close()


def test_what_the_page_has_no_place_for_makes_it_anew_where_it_was(
    browser: Browser, shown: View, training: Training
) -> None:
    visit = opened(browser, shown)
    page = visit.page
    page.locator("#modes label", has_text="raw").click()
    page.locator("#position").focus()
    page.keyboard.press("Home")
    lines = training.path / "scalars.jsonl"
    row = json.loads(lines.read_text().splitlines()[-1])
    later = {**row, "index": 3, "epoch": 3.0, "step": 30, "scalars": {**row["scalars"], "margin": 1.5}}
    for file in (training.path / "records").glob("000002.*"):
        shutil.copyfile(file, file.with_name(file.name.replace("000002", "000003")))
    with lines.open("a") as file:
        file.write(json.dumps(later) + "\n")
    page.wait_for_selector("code:text-is('margin')", state="attached")
    page.wait_for_selector("html[data-settled=yes]")
    assert page.evaluate("window.same") is None
    assert page.locator("input[name=mode][value=raw]").is_checked()
    assert page.locator("#moment").inner_text() == "epoch 0"
    assert page.locator("#position").get_attribute("max") == "3"
    assert visit.faults == []
    visit.close()


def test_a_run_that_begins_while_its_page_is_open(browser: Browser, shown: View, root: Path) -> None:
    writer = RunWriter.create(root / "training", {"name": "training", "splits": ["train"]})
    visit = opened(browser, shown)
    assert "as soon as it has" in visit.page.locator(".meaning").inner_text()
    writer.close()
    shutil.rmtree(root / "training")
    Training(root, 3)
    visit.page.wait_for_selector("html[data-ready=yes] .answers")
    visit.page.wait_for_selector(f"{SPECTRUM} .main-svg", state="attached")
    visit.close()


def test_a_deleted_run_is_said_and_what_was_loaded_stays(browser: Browser, shown: View, training: Training) -> None:
    visit = opened(browser, shown)
    shutil.rmtree(training.path)
    visit.page.wait_for_selector("#live.bad")
    assert "what was loaded before stays" in visit.page.locator("#live").inner_text()
    assert visit.page.locator(SPECTRUM).count() == 1
    assert visit.faults == []
    visit.close()


def test_the_list_follows_what_happens(browser: Browser, shown: View, root: Path, training: Training) -> None:
    visit = Watched(browser, shown.url)
    page = visit.page
    page.evaluate("window.same = true")
    page.get_by_label("Compare beta", exact=True).check()
    page.locator("#filter").fill("synthetic")
    row = page.locator("tr[data-name=training]")
    assert row.locator(".size").inner_text().startswith("3 records")
    training.record()
    visit.until("document.querySelector('tr[data-name=training] .size').textContent.includes('4 records')")
    training.finish()
    visit.until("document.querySelector('tr[data-name=training] .status').textContent === 'completed'")
    shutil.copytree(root / "alpha", root / "later")
    page.wait_for_selector("tr[data-name=later]")
    shutil.rmtree(root / "alpha")
    page.wait_for_selector("tr[data-name=alpha]", state="detached")
    assert page.get_by_label("Compare beta", exact=True).is_checked()
    assert page.locator("#filter").input_value() == "synthetic"
    assert page.evaluate("window.same") is True
    assert visit.faults == []
    visit.close()


def test_a_server_that_ends_is_said_and_another_is_found(browser: Browser, root: Path) -> None:
    with phiscope.view(root) as first:
        port = int(first.url.rsplit(":", 1)[1].rstrip("/"))
        visit = Watched(browser, first.url)
        visit.until("document.getElementById('live').textContent === '· live'")
    visit.until("document.getElementById('live').textContent.includes('trying again')")
    shutil.rmtree(root / "beta")
    with phiscope.view(root, port):
        visit.page.wait_for_selector("tr[data-name=beta]", state="detached")
        visit.until("document.getElementById('live').textContent === '· live'")
        visit.close()


def test_a_notebook_shows_the_page_without_any_server(browser: Browser, root: Path, tmp_path: Path) -> None:
    with phiscope.view(root) as shown:
        html = shown._repr_html_()
    cell = tmp_path / "cell.html"
    cell.write_text(f"<!DOCTYPE html><html data-ready=yes><body>{html}</body></html>")
    visit = Watched(browser, cell.as_uri(), width=900)
    table, page = visit.page.frames[1:]
    table.wait_for_selector("html[data-ready=yes]")
    page.wait_for_selector(f"html[data-ready=yes] {SPECTRUM} .main-svg", state="attached")
    table.locator("#filter").fill("alpha")
    assert table.locator("#count").inner_text() == "1 of 5 runs"
    assert visit.faults == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    visit.close()


def test_a_phone_shows_what_a_desk_shows(browser: Browser, served: View) -> None:
    visit = Watched(browser, served.url, width=390)
    page = visit.page
    for cell in (".regime", "svg.course", ".lowness", ".accuracy", "time", ".size"):
        assert page.locator(f"tr[data-name=alpha] {cell}").first.is_visible(), cell
    page.locator("#order").select_option("name")
    assert shown_rows(page) == sorted(shown_rows(page))
    page.get_by_label("Compare alpha", exact=True).check()
    page.get_by_label("Compare beta", exact=True).check()
    assert page.locator("#compare").is_visible()
    page.locator("#compare").click()
    page.wait_for_selector("html[data-ready=yes] #verdicts.several")
    assert visit.overflow() <= 0
    assert visit.faults == []
    visit.close()
