"""The picture of depth as data, and drawn."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from collapsing_network import Collapsing, X, Y
from phiscope.errors import InputError, UnknownNameError
from phiscope.figures.depth import FOLLOWED, depth_figure, depth_flow
from phiscope.figures.kept import kept_sheets
from phiscope.measurement.layer_moments import SAMPLES


@pytest.fixture(scope="module")
def layers():
    return phiscope.measure_layers(Collapsing(), [(X, Y)], ["wide", "narrow", "still", "head"])


def test_the_picture_as_data(layers):
    told = depth_figure(layers)
    dimension, shares, held = told.figure.panels
    assert told.layers == tuple(layers)
    assert told.headline == "Minimal from layer narrow on (depth 2 of 4)."
    assert [mark.at for mark in dimension.marks] == [2]
    assert dimension.lines[0].y == tuple(one["effective_dimension_centered"] for one in layers.values())
    assert dimension.lines[0].y[1:] == pytest.approx((2, 2, 2))
    assert [line.label for line in shares.lines] == ["D_LR", "used variance U", "target alignment", "readout R²"]
    first, all_of_them = held.lines
    assert first.y[1:] == pytest.approx((1, 1, 1))
    assert first.x == (1, 2, 3, 4)
    # No head on the first layer gives the outputs: it has no regime, and its share is drawn all the same.
    assert layers["wide"].regime is None
    assert 0 <= first.y[0] < all_of_them.y[0] < 0.5
    assert layers.output_rank == 2


def test_the_picture_without_targets_or_layers(layers):
    bare = phiscope.measure_layers(Collapsing(), [X], ["narrow", "head"])
    assert [line.label for line in depth_figure(bare).figure.panels[1].lines] == ["D_LR", "used variance U"]
    nothing = depth_figure(phiscope.Layers(measurements={}, head="head"))
    assert all(panel.lines == () for panel in nothing.figure.panels)
    assert "not in the minimal regime" in nothing.headline


def test_it_is_drawn(layers, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    drawing = layers.figure()
    assert len(drawing.axes) == 3
    ticks = [tick.get_text() for tick in drawing.axes[0].get_xticklabels()]
    assert ticks == list(layers)
    many = {f"blocks.{index}.a_long_name_$of$_a_block": layers["narrow"] for index in range(60)}
    drawing = phiscope.Layers(measurements=many, head="head").figure()
    assert len(drawing.axes[0].get_xticklabels()) <= 24
    drawing.savefig(tmp_path / "depth.png")
    phiscope.Layers(measurements={}, head="head").figure().savefig(tmp_path / "empty.png")


class Turning(nn.Module):
    """Independent features of falling strength; the second layer turns the order of two, the third is another one's."""

    def __init__(self):
        super().__init__()
        strengths = torch.diag(torch.logspace(0, -1, 6))
        self.first, self.second, self.third = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.head = nn.Linear(6, 2)
        with torch.no_grad():
            self.first.weight.copy_(strengths)
            # The strongest becomes the weakest, all others stay.
            self.second.weight.copy_(torch.diag(torch.tensor([0.05, 1, 1, 1, 1, 1.0])))
            self.third.weight.copy_(torch.eye(6))

    def forward(self, x):
        return self.head(self.third(self.second(self.first(x))))


WHITE = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((400, 7)))[0][:, :6] * 20).float()


def test_eigenfunctions_are_followed_through_layers_by_their_overlap():
    layers = phiscope.measure_layers(Turning(), WHITE, ["first", "second", "third"])
    names, picture = depth_flow(layers)
    assert names == ("first", "second", "third")
    assert picture.n_samples == SAMPLES
    # In the first layer it is number 1, behind the second layer it is the last of six; all others move up by one.
    followed = {line.places for line in picture.lines}
    assert followed == {(1, 6, 6), *((k + 1, k, k) for k in range(1, 6))}
    assert min(min(line.overlaps) for line in picture.lines) > 0.9
    assert "recognized one layer earlier (layer second), 6 all the way back to layer first" in picture.note


def test_control_functions_of_other_samples_are_not_recognized():
    layers = phiscope.measure_layers(Turning(), WHITE, ["first", "second"])
    order = np.random.default_rng(1).permutation(SAMPLES)
    shuffled = {"first": layers.samples["first"], "second": layers.samples["second"][order]}
    mixed = phiscope.Layers(measurements=layers.measurements, head="head", samples=shuffled)
    assert all(len(line.places) == 1 for line in depth_flow(mixed)[1].lines)


def test_samples_are_the_first_ones_of_layers_with_one_row_a_sample():
    batches = [WHITE[:100], WHITE[100:330], WHITE[330:]]
    layers = phiscope.measure_layers(Turning(), batches, ["first", "third"])
    expected = WHITE[:SAMPLES].numpy() * np.logspace(0, -1, 6, dtype=np.float32)
    np.testing.assert_allclose(layers.samples["first"], expected, rtol=1e-6)
    maps = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    pictures = torch.rand(50, 1, 4, 4)
    pooled = phiscope.measure_layers(maps, pictures, ["1", "3"], maps="pooled")
    assert {name: rows.shape for name, rows in pooled.samples.items()} == {"1": (50, 3), "3": (50, 27)}
    positions = phiscope.measure_layers(maps, pictures, ["1", "3"], maps="positions")
    assert set(positions.samples) == {"3"}
    with pytest.raises(InputError, match=r'1 of 2 layers have one row a sample.*maps="pooled"'):
        positions.figure("flow")


def test_the_flow_is_drawn_and_kept_with_a_run(tmp_path):
    layers = phiscope.measure_layers(Turning(), WHITE, ["first", "second", "third"])
    drawing = layers.figure("flow")
    assert [tick.get_text() for tick in drawing.axes[0].get_xticklabels()] == ["first", "second", "third"]
    assert "n = 256 samples" in drawing.caption
    phiscope.write_run(tmp_path / "run", [(0, layers["third"])])
    layers.keep(tmp_path / "run", "flow")
    layers.keep(tmp_path / "run", title="Of the trained network")
    (flow, numbers), problems = kept_sheets(tmp_path / "run")
    assert problems == ()
    assert (flow.headline, numbers.headline) == ("Eigenfunctions from layer to layer", "Of the trained network")
    (panel,) = flow.parts
    assert panel.x.names == ("first", "second", "third")
    assert {(line.tag, line.y) for line in panel.lines} >= {("e6", (1.0, 6.0, 6.0)), ("e1", (2.0, 1.0, 1.0))}
    page = phiscope.report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "Eigenfunctions from layer to layer" in page
    with pytest.raises(UnknownNameError, match="did you mean flow"):
        layers.figure("flwo")


def test_as_many_functions_as_samples_are_not_followed():
    layers = phiscope.measure_layers(Turning(), WHITE[:20], ["first", "second"])
    assert depth_flow(layers)[1].functions == 5
    assert FOLLOWED < SAMPLES // 4
