"""Make the pictures of README and docs from real runs: python docs/make_pictures.py (needs Chromium).

The picture of a network beside its theory alone: python docs/make_pictures.py --kernels
Those of a view alone: python docs/make_pictures.py --viewing
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright

import phiscope
from phiscope.figures.kept import kept_sheets
from phiscope.figures.paper.animation import animated
from phiscope.figures.paper.draw import drawn
from phiscope.studies import run_study
from phiscope.studies.architectures import build_network
from phiscope.studies.datasets.images import load_images
from phiscope.theory import KernelReport, kernel_report

IMAGES = Path(__file__).parent / "guide" / "images"


def screenshot(page_file: Path, target: Path) -> None:
    """The first screen of a report page, one and a half pixels a point."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760}, device_scale_factor=1.5)
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        page.wait_for_timeout(2000)
        page.screenshot(path=str(target))
        browser.close()


def training_pictures(epochs: int = 15) -> None:
    """Depth, and two states of one network, trained here in a plain loop."""
    images = load_images("digits")
    network = build_network("cnn", input_shape=images.input_shape, num_outputs=images.num_classes)
    data = (images.train_x, images.train_y)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        if epoch == epochs // 3:
            earlier = features_of(network, data)
        for rows in torch.randperm(len(data[0]), generator=order).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(data[0][rows]), data[1][rows]).backward()
            optimizer.step()
    layers = phiscope.measure_layers(network, data, maps="pooled")
    layers.figure().savefig(IMAGES / "depth.png", dpi=110)
    phiscope.compare(earlier, features_of(network, data), k=10).figure().savefig(IMAGES / "overlap.png", dpi=110)


def kernels_picture(steps: int = 300) -> KernelReport:
    """A network's kernels after a training, beside those of the prior that it was drawn from."""
    torch.manual_seed(0)
    inputs = torch.randn(40, 20)
    targets = inputs[:, 0] * inputs[:, 1]
    layers = {
        "first": torch.nn.Linear(20, 300),
        "after first": torch.nn.ReLU(),
        "second": torch.nn.Linear(300, 300),
        "after second": torch.nn.ReLU(),
        "outputs": torch.nn.Linear(300, 1),
    }
    network = torch.nn.Sequential(OrderedDict(layers))
    # After the training the weights' variances are no longer those of the prior.
    start = kernel_report(network, inputs, targets)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(inputs)[:, 0], targets).backward()
        optimizer.step()
    report = kernel_report(
        network,
        inputs,
        targets,
        weight_variance=start.weight_variances,
        bias_variance=start.bias_variances,
        noise=0.1,
    )
    report.figure().savefig(IMAGES / "theory_kernels.png", dpi=110)
    return report


def widths_picture(folder: Path) -> None:
    """The theory's own sweep over widths."""
    sweep = phiscope.open_run(run_study("width-theory", out=folder, progress=False))
    sweep.figure("widths").savefig(IMAGES / "theory_widths.png", dpi=110)


def features_of(network: torch.nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """What the head reads, in eval mode."""
    was_training = network.training
    feature_map, _ = phiscope.split(network.eval(), data)
    with torch.no_grad():
        features = feature_map(data[0])
    network.train(was_training)
    return features


def kept_pictures(runs: list[Path]) -> None:
    """Pictures that studies keep with their runs: damage, cuts, and arms of a comparison."""
    names = {"damage": "damage.png", "curves": "cuts.png", "arms": "arms.png"}
    for run in runs:
        for sheet in kept_sheets(run)[0]:
            drawn(sheet, purpose="the pictures of the guide").savefig(IMAGES / names[sheet.name], dpi=110)


def viewing_pictures(folder: Path, epochs: int = 20) -> None:
    """Runs of a plain loop on digits: their list in a browser, and the figures of one that move there."""
    images = load_images("digits")
    data = (images.train_x, images.train_y)
    for seed in (0, 1):
        network = build_network("cnn", input_shape=images.input_shape, num_outputs=images.num_classes, seed=seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        order = torch.Generator().manual_seed(seed)
        probe = {"test": (images.test_x, images.test_y)}
        with phiscope.Observer(network, probe, run=folder / f"digits-{seed}", every="log", gradients=3) as observer:
            observer.record(epoch=0)
            for epoch in range(1, epochs + 1):
                for rows in torch.randperm(len(data[0]), generator=order).split(64):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(network(data[0][rows]), data[1][rows]).backward()
                    optimizer.step()
                with torch.no_grad():
                    right = (network(images.test_x).argmax(dim=1) == images.test_y).float().mean()
                observer.record(epoch=epoch, test_accuracy=right)
    run = phiscope.open_run(folder / "digits-0")
    for name in ("plane", "flow", "gradients"):
        run.figure(name).savefig(IMAGES / f"viewing_{name}.png", dpi=90)
    with phiscope.view(folder) as shown, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 330}, device_scale_factor=1.5)
        page.goto(shown.url)
        page.wait_for_timeout(2000)
        page.screenshot(path=str(IMAGES / "viewing_list.png"))
        browser.close()


def main() -> None:
    """Train four studies and one network in a plain loop, then draw."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = [phiscope.open_run(run_study(name, out=folder, progress=False)) for name in ("digits-cnn", "digits-fcn")]
        page = phiscope.report(runs, str(Path(folder) / "page.html"))
        screenshot(Path(page), IMAGES / "report.png")
        animated(runs[0], "spectrum", IMAGES / "spectrum.gif", columns=2)
        for run, record, name in ((runs[0], 0, "start"), (runs[0], -1, "minimal"), (runs[1], -1, "spread")):
            figure = run.records[record].measurement("train").figure()
            figure.savefig(IMAGES / f"{name}.png", dpi=110)
        kernels_picture()
        widths_picture(Path(folder))
        viewing_pictures(Path(folder) / "viewing" / "runs")
        kept_pictures([run_study(name, out=folder, progress=False) for name in ("pruning", "distortion")])
    training_pictures()


if __name__ == "__main__":
    if sys.argv[1:] == ["--kernels"]:
        print(kernels_picture())
    elif sys.argv[1:] == ["--viewing"]:
        with tempfile.TemporaryDirectory() as place:
            viewing_pictures(Path(place) / "runs")
    else:
        main()
