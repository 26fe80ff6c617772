"""Make the pictures of README and docs from real runs: python docs/make_pictures.py (needs Chromium)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import phiscope
from phiscope.studies import run_study

IMAGES = Path(__file__).parent / "images"


def screenshot(page_file: Path, target: Path) -> None:
    """The top of a report page, two pixels a point."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1330}, device_scale_factor=1.5)
        page.goto(page_file.as_uri())
        page.wait_for_timeout(5000)
        page.screenshot(path=str(target))
        browser.close()


def main() -> None:
    """Train two studies, then draw."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = [phiscope.open_run(run_study(name, out=folder, progress=False)) for name in ("digits-cnn", "digits-fcn")]
        page = phiscope.report(runs, str(Path(folder) / "page.html"))
        screenshot(Path(page), IMAGES / "report.png")
        for run, record, name in ((runs[0], 0, "start"), (runs[0], -1, "minimal"), (runs[1], -1, "spread")):
            figure = run.records[record].measurement("train").figure()
            figure.savefig(IMAGES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
