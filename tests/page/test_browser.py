"""The page in a real browser: it opens from disk, draws, moves, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import phiscope
from browsing import NEEDS_BROWSER, Watched, started_browser
from phiscope.page import report
from synthetic_runs import Recipe, write_run
from vocabulary_runs import write_vocabulary_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
SPECTRUM = ".operator[data-panel=eigenvalues]"
# Band, first record and chosen record of each run, in this order.
DRAWN = "node => node.data.filter((_, i) => i % 3 === 2).map(trace => trace.y)"
MARKS = "node => node.layout.annotations.map(one => one.text)"

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


class Visit(Watched):
    """One opened page, drawn as far as it is unfolded."""

    def __init__(self, browser: Browser, path: Path, width: int = 1400, scheme: str = "light") -> None:
        super().__init__(browser, path.as_uri(), width=width, scheme=scheme)
        self.drawn()

    def spectra(self) -> list[list[float]]:
        """The drawn eigenvalues of each run."""
        found: list[list[float]] = self.page.locator(SPECTRUM).evaluate(DRAWN)
        return found

    def elsewhere(self) -> list[str]:
        """Requests that went neither to files nor to data in the page."""
        return self.outside("file:")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    names = [EVIL, "two", "three", "four"]
    evil = {"title": EVIL, "description": EVIL, "class_names": names, "settings": {EVIL: EVIL}, "name": EVIL}
    a = write_run(folder / "a", Recipe(header=evil, scalars={EVIL: 1.0}))
    b = write_run(folder / "b", Recipe(collapse=0.2, status="interrupted"))
    return report([a, b], folder / "page.html")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_opens_without_network_faults_or_overflow(browser: Browser, pair: Path, width: int) -> None:
    visit = Visit(browser, pair, width)
    assert visit.overflow() <= 0
    visit.unfold()
    assert visit.faults == []
    assert visit.elsewhere() == []
    assert visit.overflow() <= 0
    assert visit.page.evaluate("window.broken") is None
    assert visit.page.locator(".history .main-svg").count() > 20
    assert visit.page.locator(".map .main-svg").count() > 0
    assert visit.page.locator(".tile").count() > 20
    visit.close()


def test_user_text_reads_as_typed(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    assert visit.page.locator("h2.run-title").first.inner_text().endswith(EVIL)
    visit.unfold()
    labels = visit.page.locator(".map").first.evaluate("node => node.layout.yaxis.ticktext")
    assert labels[0].startswith("&lt;script")
    visit.close()


def test_the_slider_changes_the_picture_and_obeys_the_keyboard(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    last = visit.spectra()
    slider = visit.page.locator("#position")
    slider.focus()
    visit.page.keyboard.press("Home")
    visit.settle()
    assert visit.page.locator("#moment").inner_text() == "epoch 0"
    assert slider.get_attribute("aria-valuetext") == "epoch 0"
    first = visit.spectra()
    assert first[0] != last[0]
    visit.page.keyboard.press("ArrowRight")
    visit.settle()
    assert visit.page.locator("#moment").inner_text() == "epoch 1"
    visit.page.keyboard.press("End")
    visit.settle()
    assert visit.spectra() == last
    visit.close()


def test_numbers_and_regime_follow_the_slider(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    cell = visit.page.locator("b[data-name=dynamical_low_rank][data-split=train]").first
    before = cell.text_content()
    assert "minimal" in visit.page.locator(".run-now").first.inner_text()
    point = "node => [node.data.at(-1).x, node.data.at(-1).y]"
    ended = visit.page.locator(".why").evaluate(point)
    visit.page.locator("#position").focus()
    visit.page.keyboard.press("Home")
    visit.settle()
    assert cell.text_content() != before
    assert "minimal" not in visit.page.locator(".run-now").first.inner_text()
    used, even = visit.page.locator(".why").evaluate(point)
    assert [used, even] != ended
    lowness = [1 - u * e for u, e in zip(used, even, strict=True)]
    shown = visit.page.locator("#now tr td.number:nth-child(3)").all_inner_texts()
    assert lowness == pytest.approx([float(text) for text in shown], abs=0.005)
    visit.close()


def test_the_switches_change_operator_and_split(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    centered = visit.spectra()
    assert visit.page.locator(SPECTRUM).evaluate(MARKS) == ["4 classes − 1"]
    visit.page.locator("#modes label", has_text="raw").click()
    visit.settle()
    raw = visit.spectra()
    assert raw != centered
    assert visit.page.locator(SPECTRUM).evaluate(MARKS) == ["4 classes"]
    visit.page.locator("#splits label", has_text="test").click()
    visit.settle()
    assert visit.spectra() != raw
    visit.close()


def test_rotating_changes_map_gallery_and_tracks_and_says_so(browser: Browser, tmp_path: Path) -> None:
    visit = Visit(browser, report(write_run(tmp_path / "run", Recipe()), tmp_path / "page.html"))
    visit.unfold()
    cells = "node => node.data[0].z"
    drawn = visit.page.locator(".map").evaluate(cells)
    titles = visit.page.locator(".ends h3").all_inner_texts()
    lines = visit.page.locator(".track[data-panel=place]").evaluate("node => node.data.length")
    assert lines > 4
    assert not any("′" in title for title in titles)
    visit.page.locator("input[name=turn-gallery][value=rotated]").check(force=True)
    visit.settle()
    # The switch beside the map follows the one beside the gallery.
    assert visit.page.locator("input[name=turn-maps][value=rotated]").is_checked()
    for picture in (".map", ".gallery-run", ".track"):
        visit.see(picture)
    turned = visit.page.locator(".map").evaluate(cells)
    assert turned != drawn
    assert [row[3:] != old[3:] or row[:3] != old[:3] for row, old in zip(turned, drawn, strict=True)] == [True] * 4
    assert any("′" in title and "toward kind" in title for title in visit.page.locator(".ends h3").all_inner_texts())
    for selector in (".cluster-note", ".turn-note"):
        assert visit.page.locator(selector).inner_text().startswith("Rotated toward the classes: k = 1 to 3")
    assert "rotated inside clusters" in visit.page.locator(".track-now").inner_text()
    visit.page.locator("input[name=turn-maps][value=diagonalized]").check(force=True)
    visit.settle()
    for picture in (".map", ".gallery-run"):
        visit.see(picture)
    assert visit.page.locator(".map").evaluate(cells) == drawn
    assert visit.page.locator(".ends h3").all_inner_texts() == titles
    assert visit.faults == []
    visit.close()


def test_logarithmic_epochs_keep_a_place_for_epoch_zero(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    visit.unfold()
    first = visit.page.locator(".history").first
    x = "node => [node.layout.xaxis.type, node.data[0].x[0], node.layout.shapes[0].x0]"
    assert first.evaluate(x) == ["linear", 0, 10]
    visit.page.locator("input[name=epochs-history][value=log]").check(force=True)
    visit.settle()
    visit.see(".track")
    visit.see(".history")
    kind, zero, chosen = first.evaluate(x)
    assert (kind, chosen) == ("log", 10)
    assert 0 < zero < 1
    assert first.evaluate("node => [node.layout.xaxis.ticktext[0], node.data[0].customdata[0]]") == ["0", 0]
    assert visit.page.locator(".track").first.evaluate("node => node.layout.xaxis.type") == "log"
    assert "epoch 0" in visit.page.locator(".log-words").first.inner_text()
    visit.page.locator("#position").focus()
    visit.page.keyboard.press("Home")
    visit.settle()
    visit.see(".history")
    assert first.evaluate(x)[2] == zero
    assert visit.faults == []
    visit.close()


def test_what_a_run_cannot_show_is_said(browser: Browser, tmp_path: Path) -> None:
    recipe = Recipe(epochs=(0, 1), classes=None, splits=("probe",), side=0, gallery=False)
    visit = Visit(browser, report(write_run(tmp_path / "run", recipe), tmp_path / "page.html"))
    visit.unfold()
    assert visit.page.locator("input[data-state=turn]").count() == 0
    assert visit.page.locator("input[data-state=epochs]").count() == 0
    assert "gallery=0" in visit.page.locator(".track-note").inner_text()
    assert not visit.page.locator(".track-run .panels").is_visible()
    assert visit.faults == []
    visit.close()


def test_nothing_is_said_of_bands_where_no_curve_is(browser: Browser, tmp_path: Path) -> None:
    rows, classes = np.ones((30, 4)), np.arange(30) % 3
    constant = phiscope.diagonalize(rows, outputs=np.eye(3)[classes], targets=classes)
    run = phiscope.write_run(tmp_path / "run", [(0, constant), (1, constant)])
    visit = Visit(browser, report(run, tmp_path / "page.html"))
    words = visit.page.locator(".band-words").first
    assert words.inner_text() == ""
    assert "U and evenness are not known here" in visit.page.locator("body").inner_text()
    visit.page.locator("label", has_text="raw").click()
    # Control: the second moment of constant features has an eigenvalue.
    visit.until("document.querySelector('.band-words').textContent.includes('Gray: first record.')")
    assert visit.faults == []
    visit.close()


def test_a_mark_belongs_to_a_curve_that_is_drawn(browser: Browser, tmp_path: Path) -> None:
    """The rank of outputs of a run without this split read as the cliff of the other."""
    both = Recipe(epochs=(0, 1))
    a = write_run(tmp_path / "a", both)
    b = write_run(tmp_path / "b", Recipe(epochs=(0, 1), classes=None, splits=("test",), side=0))
    visit = Visit(browser, report([a, b], tmp_path / "page.html"))
    assert visit.page.locator(SPECTRUM).evaluate(MARKS) == ["4 classes − 1"]
    visit.page.locator("label", has_text="test").first.click()
    visit.until(f"document.querySelector('{SPECTRUM}').layout.annotations.length === 2")
    visit.close()


def test_play_walks_to_the_end(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    play = visit.page.locator("#play")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    visit.page.wait_for_selector("#play[aria-pressed=false]")
    assert visit.page.locator("#moment").inner_text() == "epoch 10"
    visit.close()


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=(), status=None),
        pytest.param(
            Recipe(epochs=(0,), outputs=False, status=None, scalars={"train_loss": float("nan")}),
            marks=pytest.mark.slow,
        ),
        Recipe(epochs=(0, 1, 2), classes=None, splits=("probe",), side=0),
        pytest.param(Recipe(epochs=(0, 1), classes=100, p=120, n=300), marks=pytest.mark.slow),
        pytest.param(Recipe(epochs=(0, 1), gallery=False, keep_eigenvectors=0), marks=pytest.mark.slow),
        pytest.param(Recipe(epochs=(0, 1), splits=("train", "y" * 150)), marks=pytest.mark.slow),
    ],
    ids=["nothing", "one-without-outputs", "regression", "hundred-classes", "nothing-kept", "long-split"],
)
def test_unusual_runs_draw_without_faults(browser: Browser, tmp_path: Path, recipe: Recipe) -> None:
    page = report(write_run(tmp_path / "run", recipe), tmp_path / "page.html")
    visit = Visit(browser, page)
    visit.unfold()
    assert visit.overflow() <= 0
    visit.page.set_viewport_size({"width": 390, "height": 844})
    # Pictures take their new width one after the other.
    visit.until("document.documentElement.scrollWidth <= window.innerWidth")
    assert visit.faults == []
    assert visit.elsewhere() == []
    visit.close()


def test_a_watched_page_notices_faults_and_requests(browser: Browser, tmp_path: Path) -> None:
    """The control: a page that breaks and asks for the outside must be caught by the same watcher."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<html data-ready=yes><body style='width:3000px'><img src='http://localhost:9/x.png'>"
        "<script>throw new Error('planned')</script></body></html>"
    )
    visit = Visit(browser, broken, 390)
    assert any("planned" in fault for fault in visit.faults)
    assert visit.elsewhere() == ["http://localhost:9/x.png"]
    assert visit.overflow() > 0
    visit.close()


def test_slides_are_quick(browser: Browser, pair: Path) -> None:
    visit = Visit(browser, pair)
    spent = visit.page.evaluate(
        """async () => {
            const slider = document.getElementById("position");
            const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const start = performance.now();
            for (let i = 0; i < 20; i += 1) {
                slider.value = String(i % 6);
                slider.dispatchEvent(new Event("input"));
                await frame();
            }
            return (performance.now() - start) / 20;
        }"""
    )
    # Measured at about 100 ms with two runs on a busy two-core machine; a slide of a second is no slider.
    assert spent < 1000
    visit.close()


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_a_class_is_found_by_its_name(browser: Browser, tmp_path: Path, width: int) -> None:
    names = [f"{EVIL}{c}" if c == 7 else f"word {c}" for c in range(600)]
    options = {"words": 600, "occur": 300, "n": 1_500, "p": 12, "names": names}
    run, samples = write_vocabulary_run(tmp_path / "words", **options)
    visit = Visit(browser, report([run], tmp_path / "page.html"), width)
    visit.unfold()
    field = visit.page.locator(".class-search input")
    wanted = int(samples["train"][1][-1])
    field.fill(f"WORD {wanted}")
    visit.page.locator(".matches button").first.click()
    visit.page.wait_for_selector("html[data-found='1']")
    heat = visit.page.locator(".map").evaluate(
        "node => [node.data[0].text[0][0], node.data[0].z[0], node.data[0].z.length]"
    )
    measured = run.records[-1].measurement("train")
    assert heat[0] == f"word {wanted}"
    assert heat[2] == 41
    expected = measured.class_profile(len(heat[1]), centered=True)[wanted]
    assert heat[1] == pytest.approx(expected.tolist(), abs=1e-3)
    assert "Of 600 classes 300 occur" in visit.page.locator(".search-note").inner_text()
    # A second click takes it away again; a name that nobody has is said.
    visit.page.locator(".matches button[aria-pressed=true]").click()
    visit.page.wait_for_selector("html[data-found='0']")
    assert visit.page.locator(".map").evaluate("node => node.data[0].z.length") == 40
    field.fill("no such word")
    assert "No other class" in visit.page.locator(".search-more").inner_text()
    assert visit.overflow() <= 0
    assert visit.faults == []
    assert visit.page.evaluate("window.broken") is None
