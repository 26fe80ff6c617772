"""The first screen in a real browser: short, folded, light and dark, for keyboards, printers and screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import NEEDS_BROWSER, Watched, started_browser
from phiscope.page import report
from synthetic_runs import Recipe, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = NEEDS_BROWSER

EVIL = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
OPEN = "[...document.querySelectorAll('details[open]')].map(node => node.id).filter(Boolean)"
BOTTOMS = "nodes => nodes.map(node => node.getBoundingClientRect().bottom)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    return report(write_run(folder / "run", Recipe(p=12, n=200, epochs=(0, 1, 5), side=4)), folder / "page.html")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in what they are: names that are markup, other classes, one without intervals."""
    folder = tmp_path_factory.mktemp("two")
    evil = {"title": EVIL, "name": EVIL, "description": EVIL}
    a = write_run(folder / "a", Recipe(p=12, n=200, epochs=(0, 1, 5), side=4, header=evil))
    b = write_run(folder / "b", Recipe(p=16, n=90, epochs=(0, 1, 2), side=4, classes=3, intervals=False))
    return report([a, b], folder / "page.html")


def visited(browser: Browser, path: Path, **options: int | str) -> Watched:
    visit = Watched(browser, path.as_uri(), **options)  # type: ignore[arg-type]
    visit.drawn()
    return visit


@pytest.mark.parametrize("page", ["one", "two"])
def test_the_answer_fits_on_one_screen(browser: Browser, page: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(page)
    visit = visited(browser, path, width=1280, height=800)
    assert max(visit.page.locator(".pictures .chart").evaluate_all(BOTTOMS)) < 800
    assert visit.page.evaluate(OPEN) == []
    assert visit.page.evaluate("document.documentElement.scrollHeight") < 3000
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.wait_for_timeout(200)
    assert max(visit.page.locator(".pictures .chart").evaluate_all(BOTTOMS)) < 2 * 844
    assert visit.page.evaluate("document.documentElement.scrollHeight") < 6000
    assert visit.overflow() <= 0
    assert visit.faults == []
    visit.close()


def test_runs_share_the_plane_and_the_spectrum(browser: Browser, two: Path) -> None:
    visit = visited(browser, two)
    page = visit.page
    paths = page.locator(".why").evaluate("node => node.data.filter(one => one.mode === 'lines+markers').length")
    assert paths == 2
    spectrum = page.locator(".operator[data-panel=eigenvalues]")
    traces = spectrum.evaluate("node => node.data.map(one => one.x.length)")
    # Band, first record, chosen record: the second run has no shards, so no band.
    assert [bool(count) for count in traces] == [True, True, True, False, True, True]
    assert spectrum.evaluate("node => node.layout.annotations.map(one => one.text)") == [
        "4 classes − 1",
        "3 classes − 1",
    ]
    words = page.locator(".band-words").first.inner_text()
    assert "95 % bands" in words
    assert "No 95 % band for some" in words
    assert page.locator("#now tr").count() == 2
    # Strips have names, and the names are text.
    assert page.locator(".strip-name").all_inner_texts() == [EVIL, "b"]
    assert page.locator("h2.run-title").all_inner_texts() == [EVIL, "b"]
    assert page.evaluate("window.broken") is None
    assert "extended" in page.locator("#ribbon-key").inner_text()
    visit.close()


def test_a_band_holds_the_curve(browser: Browser, one: Path) -> None:
    visit = visited(browser, one)
    visit.page.locator("#toc a[href='#numbers']").click()
    visit.page.evaluate("document.querySelectorAll('.group').forEach(node => (node.open = true))")
    visit.drawn()
    band, _, now = visit.page.locator(".operator").first.evaluate(
        "node => node.data.slice(0, 3).map(one => [one.x, one.y])"
    )
    for k, value in zip(*now, strict=True):
        ends = [y for x, y in zip(*band, strict=True) if x == k]
        assert min(ends) <= value * 1.001, k
        assert max(ends) >= value * 0.999, k
    shaded = visit.page.locator(".history").evaluate_all(
        "nodes => nodes.filter(node => node.data.some(one => one.fill === 'toself')).length"
    )
    assert shaded > 10
    assert "95 % intervals" in visit.page.locator(".interval-words").inner_text()
    visit.close()


def test_the_keyboard_alone_opens_moves_and_chooses(browser: Browser, one: Path) -> None:
    visit = visited(browser, one, height=800)
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('href') || ''"))
        if reached[-1] == "#maps":
            break
    page.keyboard.press("Enter")
    # The section opens when the address has changed, which comes a moment after the key.
    page.wait_for_selector("#maps[open]")
    assert page.evaluate(OPEN) == ["maps"]
    page.wait_for_selector(".map .main-svg")
    page.locator("#tracks > summary").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(OPEN) == ["maps", "tracks"]
    page.locator("#position").focus()
    page.keyboard.press("Home")
    visit.settle()
    assert page.locator("#now .now-run").inner_text() == "epoch 0, train"
    page.locator("input[name=mode][value=centered]").focus()
    page.keyboard.press("ArrowRight")
    visit.settle()
    assert page.locator(".operator").first.evaluate("node => node.layout.annotations[0].text") == "4 classes"
    page.locator("#unfold").focus()
    page.keyboard.press("Space")
    assert page.locator("details.fold:not([open])").count() == 0
    assert visit.faults == []
    visit.close()


def test_links_and_words_that_are_searched_open_their_section(browser: Browser, one: Path) -> None:
    visit = Watched(browser, f"{one.as_uri()}#tracks")
    assert visit.page.evaluate(OPEN) == ["tracks"]
    visit.close()
    # What find-in-page does, a link to words does, too: the browser itself opens what it finds them in.
    visit = Watched(browser, f"{one.as_uri()}#:~:text=Signs%20are%20arbitrary")
    visit.until("document.getElementById('maps').open")
    visit.close()


def test_paper_is_white_unfolded_and_complete(browser: Browser, one: Path) -> None:
    visit = visited(browser, one, scheme="dark")
    page = visit.page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("document.documentElement.dataset.shade") == "light"
    empty = "nodes => nodes.filter(node => !node.data && !node.parentNode.querySelector('.empty')).length"
    assert page.locator(".history, .operator, .why, .map").evaluate_all(empty) == 0
    # As wide as there is room: two pictures side by side on paper of 700 pixels.
    wide = "nodes => nodes.filter(node => node.querySelector('.main-svg').clientWidth > node.clientWidth).length"
    assert page.locator(".history, .operator, .why").evaluate_all(wide) == 0
    assert page.locator(".why").evaluate("node => node.clientWidth") < 350
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(OPEN) == []
    assert page.evaluate("document.documentElement.dataset.shade") == "dark"
    assert len(page.pdf(format="A4")) > 50_000
    assert visit.faults == []
    visit.close()


def test_dark_and_light_are_those_of_the_system_unless_chosen(browser: Browser, one: Path) -> None:
    visit = visited(browser, one, scheme="dark")
    page = visit.page
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "node => node.querySelector('.xtick text').style.fill"
    chart = page.locator(".operator").first
    assert page.evaluate(paper) == "rgb(21, 24, 28)"
    assert chart.evaluate(ink) == "rgb(228, 231, 235)"
    page.locator("#theme").select_option("light")
    visit.drawn()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert chart.evaluate(ink) == "rgb(31, 35, 40)"
    # The choice is kept, also where the system says otherwise.
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.locator("#theme").select_option("auto")
    assert page.evaluate(paper) == "rgb(21, 24, 28)"
    page.emulate_media(color_scheme="light")
    visit.until(f"{paper} === 'rgb(255, 255, 255)'")
    assert visit.faults == []
    visit.close()


@pytest.mark.parametrize(("page", "width", "scheme"), [("one", 1280, "light"), ("two", 390, "dark")])
def test_axe_finds_nothing(
    browser: Browser, page: str, width: int, scheme: str, request: pytest.FixtureRequest
) -> None:
    visit = visited(browser, request.getfixturevalue(page), width=width, scheme=scheme)
    assert visit.violations() == []
    visit.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["one", "two"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing_when_all_is_unfolded(
    browser: Browser, page: str, width: int, scheme: str, request: pytest.FixtureRequest
) -> None:
    visit = visited(browser, request.getfixturevalue(page), width=width, scheme=scheme)
    visit.unfold()
    assert visit.violations() == []
    assert visit.overflow() <= 0
    visit.close()


def test_axe_sees_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    """The control: gray on gray, and a picture without words."""
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        "<html data-ready=yes><body style='background:#888'><p style='color:#999'>gray</p><img src='data:,'>"
    )
    found = Watched(browser, wrong.as_uri()).violations()
    assert {"color-contrast", "image-alt"} <= {one.partition(":")[0] for one in found}


def test_without_scripts_the_words_and_tables_are_there(browser: Browser, one: Path) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(one.as_uri())
    assert "Minimal-feature regime" in page.locator("#verdicts").inner_text()
    assert "need JavaScript" in page.locator("noscript").inner_text()
    page.locator("#numbers > summary").click()
    assert page.locator("#numbers .group").first.is_visible()
    context.close()


def test_ticks_of_a_map_have_room_and_the_last_class_is_named(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=(0, 1), classes=62, p=70, n=300, splits=("train",), gallery=False))
    visit = visited(browser, report(run, tmp_path / "page.html"), width=390)
    visit.page.evaluate("['maps', 'shares'].forEach(name => (document.getElementById(name).open = true))")
    visit.drawn()
    rows, ticks, columns = visit.page.locator(".map").evaluate(
        "node => [node.layout.yaxis.ticktext, node.layout.xaxis.tickvals, node.data[0].z[0].length]"
    )
    assert rows[-1] == "kind 61"
    assert (ticks[0], ticks[-1]) == (1, columns)
    assert len(ticks) < 20
    turned = "nodes => nodes.filter(one => /rotate\\((?!0)/.test(one.getAttribute('transform') || '')).length"
    assert visit.page.locator(".xtick text").evaluate_all(turned) == 0
    right = "getBoundingClientRect().right"
    edge = f"nodes => nodes.filter(one => one.{right} > one.closest('.chart').{right} + 1).length"
    assert visit.page.locator(".operator .annotation-text").count() == 3
    assert visit.page.locator(".operator .annotation-text").evaluate_all(edge) == 0
    visit.close()
