"""Where eigenfunctions look, stored beside a record: gradients at the extreme samples, small, and only when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.analysis.gradients import input_gradients
from phiscope.observe.looks import smaller_gradients
from untouched import untouched


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 6), nn.Linear(6, 3)
    )


def test_a_record_holds_the_gradients_of_its_extreme_samples(tmp_path: Path) -> None:
    net = network()
    x, y = torch.randn(30, 1, 8, 8), torch.randint(3, (30,))
    with phiscope.Observer(net, (x, y), run=tmp_path / "run", gallery=20, gradients=2) as observer, untouched(net):
        measured = observer.record(epoch=0)
    record = phiscope.open_run(tmp_path / "run").records[0]
    extras = record.extras()
    assert extras["look_samples"].shape == (2, 12)
    assert extras["look_cells"].shape == (2, 12, 8, 8)
    order = np.argsort(extras["gallery_centered"][:, 1])
    assert extras["look_samples"][1].tolist() == [*order[::-1][:6], *order[:6]]
    assert measured is not None
    exact = input_gradients(net, x[extras["look_samples"][1].tolist()], measured, k=(2,)).gradients[0][:, 0]
    stored = extras["look_cells"][1] / 127 * extras["look_scale"][1]
    # Half a step, and what float32 rounds.
    assert np.abs(stored - exact).max() <= 0.51 / 127 * np.abs(exact).max()


def test_nothing_is_stored_unasked(tmp_path: Path) -> None:
    with phiscope.Observer(network(), torch.randn(30, 1, 8, 8), run=tmp_path / "run") as observer:
        observer.record(epoch=0)
    assert set(phiscope.open_run(tmp_path / "run").records[0].extras()) == {"gallery_raw", "gallery_centered"}


def test_texts_have_the_length_at_each_position(tmp_path: Path) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(20, 5), nn.Linear(5, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.embedding(ids).mean(dim=1))  # type: ignore[no-any-return]

    ids = torch.randint(20, (30, 7))
    with phiscope.Observer(Words(), ids, run=tmp_path / "run", gradients=1) as observer:
        observer.record(epoch=0)
    cells = phiscope.open_run(tmp_path / "run").records[0].extras()["look_cells"]
    assert cells.shape == (1, 12, 7)
    assert (cells == 127).all()


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(5000, 4), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="no gradients by the samples of 'probe' are stored"):
        observer = phiscope.Observer(net, torch.randn(12, 5000), run=tmp_path / "run", gradients=1)
    observer.record(epoch=0)
    observer.close()


def test_large_images_are_averaged_and_colors_summed() -> None:
    gradients = np.random.default_rng(0).normal(size=(2, 3, 64, 96))
    small = smaller_gradients(gradients, texts=False)
    assert small.shape == (2, 32, 32)
    assert small[1, 0, 0] == pytest.approx(gradients[1, :, :2, :3].sum(axis=0).mean())
    assert smaller_gradients(np.ones((2, 5, 8, 8)), texts=False).shape == (2, 320)


def test_the_network_on_its_leading_functions_alone(tmp_path: Path) -> None:
    net = network()
    x, y = torch.randn(30, 1, 8, 8), torch.randint(3, (30,))
    y[3] = -100
    with phiscope.Observer(net, (x, y), run=tmp_path / "run", restricted=True) as observer, untouched(net):
        measured = observer.record(epoch=0)
    extras = phiscope.open_run(tmp_path / "run").records[0].extras()
    assert measured is not None
    there = y >= 0
    whole = phiscope.restrict(measured, (x[there], y[there]), net)
    assert extras["restricted_k"].tolist() == list(range(len(whole.loss)))
    assert whole.accuracy is not None
    np.testing.assert_allclose(extras["restricted_accuracy"], whole.accuracy)
    np.testing.assert_allclose(extras["restricted_loss"], whole.loss, rtol=1e-6)


def test_without_targets_there_is_nothing_to_be_right_about(tmp_path: Path) -> None:
    with phiscope.Observer(network(), torch.randn(30, 1, 8, 8), run=tmp_path / "run", restricted=True) as observer:
        observer.record(epoch=0)
    assert "restricted_k" not in phiscope.open_run(tmp_path / "run").records[0].extras()
