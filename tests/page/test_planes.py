"""Eigenfunctions on single samples: what the page keeps of them, and the plane in a real browser."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from browsing import NEEDS_BROWSER, Watched, started_browser
from phiscope.page import report
from phiscope.page.planes import group_data, plane_frame
from phiscope.runs import Run, open_run
from phiscope.spectrum.clusters import degenerate_clusters
from synthetic_runs import Recipe, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def decoded(frame: dict[str, Any]) -> np.ndarray:
    steps = np.frombuffer(base64.b64decode(frame["cells"]), np.int8).reshape(-1, frame["n"]).astype(float)
    return (np.where(steps == -128, np.nan, steps) / 127 * np.array(frame["scale"])[:, None]).T


def test_what_is_kept_is_within_half_a_step() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3)) * [1, 10, 0.01]
    values[4, 1] = np.nan
    frame = plane_frame(values, ((1, 5),))
    assert frame is not None
    # Half a step, and what the scale loses beyond four digits.
    error = np.abs(decoded(frame) - values) / np.nanmax(np.abs(values), axis=0)
    assert np.nanmax(error) < 0.5 / 127 + 1e-3
    assert np.isnan(decoded(frame)).tolist() == np.isnan(values).tolist()
    assert frame["clusters"] == [[1, 3]]


def test_nothing_stored_and_nothing_but_zeros() -> None:
    assert plane_frame(None) is None
    frame = plane_frame(np.zeros((3, 2)))
    assert frame is not None
    assert decoded(frame).tolist() == np.zeros((3, 2)).tolist()


def test_dots_are_told_apart_by_class_or_by_value() -> None:
    groups = group_data(np.array([7, 2, 7]), tuple(f"kind {i}" for i in range(8)))
    assert groups is not None
    assert (groups["of"], groups["names"]) == ([1, 0, 1], ["kind 2", "kind 7"])
    many = group_data(np.arange(40), None)
    assert many is not None
    assert len(set(zip(many["colors"], many["symbols"], strict=True))) == 35
    assert group_data(np.array([[1.0], [3.0], [2.0]]), None) == {"levels": [0.0, 1.0, 0.5], "low": 1.0, "high": 3.0}
    assert group_data(np.ones(3), None) is None
    assert group_data(np.ones((3, 2)), None) is None
    assert group_data(None, None) is None


# ---- in a browser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.fixture(scope="module")
def script(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.add_script_tag(content=(files("phiscope.page") / "assets" / "align.js").read_text("utf-8"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plane")
    a = write_run(folder / "a", Recipe(epochs=(0, 1, 2, 4), p=12, n=60, splits=("train",)))
    b = write_run(folder / "b", Recipe(epochs=(0, 1), p=12, n=60, classes=None, side=0, splits=("train",)))
    c = write_run(folder / "c", Recipe(epochs=(0,), p=12, n=60, gallery=False, splits=("train",)))
    return report([a, b, c], folder / "page.html").as_uri()


def pixels(visit: Watched, place: int = 0) -> str:
    text: str = visit.page.locator(".plane canvas").nth(place).evaluate("node => node.toDataURL()")
    return text


def settled(visit: Watched) -> None:
    visit.until("document.documentElement.dataset.settled === 'yes'")
    # Dots move for 0.16 s after the slider has.
    visit.page.wait_for_timeout(220)


def redrawn(visit: Watched, before: str) -> str:
    """The picture when it is another one than before, and still: a busy machine draws late."""
    for _ in range(200):
        if pixels(visit) != before:
            break
        visit.page.wait_for_timeout(50)
    settled(visit)
    return pixels(visit)


def clusters_of(run: Run, records: tuple[int, ...]) -> list[tuple[int, int]]:
    found = []
    for place in records:
        measured = run.records[place].measurement()
        found += degenerate_clusters(measured.centered.eigenvalues[:8], n_samples=measured.independent_samples)
    return found


def read_title(text: str) -> tuple[int, int, float]:
    """Both functions, counted from 0, and their squared overlap."""
    plain = text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    j, k = (int(one) - 1 for one in re.findall(r"e(\d+) at", plain))
    return j, k, float(plain.rsplit(" ", 1)[1])


class TestInTheBrowser:
    pytestmark = NEEDS_BROWSER

    @pytest.mark.parametrize("size", [2, 3, 7])
    def test_the_nearest_rotation_is_that_of_the_singular_values(self, script: Page, size: int) -> None:
        matrix = np.random.default_rng(size).normal(size=(size, size))
        found = np.array(script.evaluate("m => nearestRotation(m)", matrix.tolist()))
        left, _, right = np.linalg.svd(matrix)
        # The little of the identity moves it by a millionth of the matrix.
        assert np.abs(found - left @ right).max() < 1e-4

    def test_without_overlap_nothing_is_turned(self, script: Page) -> None:
        assert np.allclose(script.evaluate("m => nearestRotation(m)", [[0, 0], [0, 0]]), np.eye(2))

    def test_signs_and_clusters_come_back_to_the_record_before(self, script: Page) -> None:
        rng = np.random.default_rng(3)
        before = np.linalg.qr(rng.normal(size=(60, 5)))[0].T * 7.7
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        later = before.copy()
        later[1:4] = turn @ before[1:4]
        later[0] *= -1
        aligned = script.evaluate("([a, b, c]) => alignedTo(a, b, c)", [before.tolist(), later.tolist(), [[1, 4]]])
        rows = [list(row.values()) if isinstance(row, dict) else row for row in aligned]
        assert np.abs(np.array(rows) - before).max() < 1e-4
        # The control: without the cluster its functions stay turned.
        kept = script.evaluate("([a, b, c]) => alignedTo(a, b, c)", [before.tolist(), later.tolist(), []])
        assert np.abs(np.array(kept) - before)[1:4].max() > 0.5

    def test_bytes_are_read_as_they_were_written(self, script: Page) -> None:
        values = np.random.default_rng(4).normal(size=(30, 2))
        values[3, 0] = np.nan
        frame = plane_frame(values)
        assert frame is not None
        read = script.evaluate(
            "frame => decodedPlane(frame).map(one => Array.from(one, v => isNaN(v) ? null : v))", frame
        )
        assert np.allclose(np.array(read, dtype=float).T, decoded(frame), atol=1e-6, equal_nan=True)

    def test_it_follows_the_slider_the_axes_and_the_class(self, browser: Browser, address: str) -> None:
        visit = Watched(browser, address)
        visit.unfold()
        visit.page.locator(".plane").first.scroll_into_view_if_needed()
        settled(visit)
        last = pixels(visit)
        assert visit.page.locator(".plane-axes select").first.locator("option").count() == 8
        visit.page.locator("#position").focus()
        visit.page.keyboard.press("Home")
        first = redrawn(visit, last)
        assert first != last
        assert visit.page.locator(".plane-now").first.inner_text() == "epoch 0, train, centered"
        visit.page.locator(".plane-axes select[data-axis=y]").first.select_option("3")
        other = redrawn(visit, first)
        assert other != first
        label = visit.page.locator(".plane").first.get_attribute("aria-label") or ""
        assert "eigenfunctions 1 and 4" in label
        assert "40 samples of 4 classes" in label
        button = visit.page.locator(".dots-key button", has_text="kind 2")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        chosen = pixels(visit)
        assert chosen != other
        button.click()
        assert pixels(visit) == other
        assert visit.faults == []
        visit.close()

    def test_values_of_a_regression_have_a_scale_and_a_run_without_values_says_so(
        self, browser: Browser, address: str
    ) -> None:
        visit = Watched(browser, address, width=390)
        visit.unfold()
        visit.page.locator(".plane-run").nth(1).scroll_into_view_if_needed()
        settled(visit)
        assert visit.page.locator(".dots-key").nth(1).inner_text().startswith("target")
        assert visit.page.locator(".plane-now").nth(2).inner_text().startswith("no values on single samples")
        assert not visit.page.locator(".plane").nth(2).is_visible()
        assert visit.overflow() <= 0
        visit.close()

    def test_the_sample_under_the_pointer_is_shown(self, browser: Browser, address: str) -> None:
        visit = Watched(browser, address)
        visit.unfold()
        chart = visit.page.locator(".plane").first
        chart.scroll_into_view_if_needed()
        settled(visit)
        tip = visit.page.locator(".plane-tip").first
        chart.evaluate(
            """node => {
              const { left, top, width, height } = node.getBoundingClientRect();
              const tip = node.querySelector(".plane-tip");
              for (let x = 40; x < width && tip.hidden; x += 10)
                for (let y = 12; y < height && tip.hidden; y += 10)
                  node.dispatchEvent(new PointerEvent("pointermove", { clientX: left + x, clientY: top + y }));
            }"""
        )
        assert tip.inner_text().startswith("sample ")
        assert "kind" in tip.inner_text()
        assert tip.locator(".tile").count() == 1
        visit.close()

    def test_a_dark_page_paints_its_axes_light(self, browser: Browser, address: str, tmp_path: Path) -> None:
        """The ink of the canvas is the text's, whatever that is."""
        visit = Watched(browser, address)
        visit.unfold()
        visit.page.locator(".plane").first.scroll_into_view_if_needed()
        settled(visit)
        dark = pixels(visit)
        visit.page.locator(".plane").first.evaluate("node => { node.style.color = '#ffffff'; }")
        visit.page.locator(".plane-axes select").first.dispatch_event("change")
        settled(visit)
        assert pixels(visit) != dark
        visit.close()

    def test_gradients_lie_over_the_samples_when_asked_for(self, browser: Browser, tmp_path: Path) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 6), nn.Tanh(), nn.Linear(6, 3))
        data = torch.randn(40, 1, 6, 6), torch.arange(40) % 3
        with phiscope.Observer(net, data, run=tmp_path / "run", gradients=2, restricted=True) as observer:
            observer.record(epoch=0)
        visit = Watched(browser, report(tmp_path / "run", tmp_path / "page.html").as_uri())
        visit.unfold()
        block = visit.page.locator(".gallery-run")
        block.scroll_into_view_if_needed()
        visit.until("document.querySelectorAll('.ends').length > 3")
        assert block.locator(".look").count() == 0
        assert block.locator(".spread").count() == visit.page.locator(".ends").count()
        assert "means: 0 " in (block.locator(".spread").first.get_attribute("aria-label") or "")
        block.locator(".look-switch input").check()
        assert block.locator(".look").count() == 2 * 12
        kept = visit.page.locator(".restricted")
        kept.scroll_into_view_if_needed()
        visit.until("document.querySelector('.restricted').data !== undefined")
        assert kept.evaluate("node => node.data[1].x") == list(range(7))
        assert "99 % of it with the first" in visit.page.locator(".restricted-now").inner_text()
        assert block.locator(".look").first.evaluate("node => [node.width, node.height]") == [6, 6]
        visit.page.locator("#modes input[value=raw]").check(force=True)
        settled(visit)
        block.scroll_into_view_if_needed()
        visit.until("document.querySelector('.look-switch').hidden")
        assert block.locator(".look").count() == 0
        assert visit.faults == []
        visit.close()

    def test_the_flow_has_the_squared_overlaps_of_records(self, browser: Browser, address: str) -> None:
        visit = Watched(browser, address)
        visit.unfold()
        chart = visit.page.locator(".flow").first
        chart.scroll_into_view_if_needed()
        visit.until("document.querySelector('.flow svg') !== null")
        titles = chart.locator("title").all_text_contents()
        run = open_run(Path(address.removeprefix("file://")).parent / "a")
        last = [decoded(plane_frame(run.records[i].extras()["gallery_centered"])) for i in (2, 3)]  # type: ignore[arg-type]
        unit = [one / np.linalg.norm(one, axis=0) for one in last]
        # Those outside clusters are compared as they were stored.
        alone = [k for k in range(8) if not any(start <= k < stop for start, stop in clusters_of(run, (2, 3)))]
        found = [text for text in titles if "at epoch 2 and" in text]
        assert len(found) >= 3
        for text in found:
            j, k, overlap = read_title(text)
            if j in alone and k in alone:
                assert overlap == pytest.approx(float(unit[0][:, j] @ unit[1][:, k]) ** 2, abs=0.01)
        assert (chart.get_attribute("aria-label") or "").startswith("Flow of eigenfunctions of")
        assert not visit.page.locator("#kept").is_visible()
        without = visit.page.locator(".flow-run").nth(2)
        assert "two records or more" in without.inner_text() or without.locator("svg").count() == 0
        assert visit.faults == []
        visit.close()
