"""Layers: a mapping, a table, and a picture of depth as data."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import UnknownNameError
from phiscope.figures.depth import depth_figure

N = 90
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
# Eight features vary and three directions do: with three features alone there would be no word for two outputs.
MEANS = torch.eye(3, 8) @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]


class Collapsing(nn.Module):
    """Random features first, then exactly the three class directions."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow, self.still, self.head = nn.Identity(), nn.Identity(), nn.Identity(), nn.Linear(8, 3)
        with torch.no_grad():
            self.head.weight.copy_(MEANS)
            self.head.bias.zero_()

    def forward(self, x):
        self.wide(x)
        classes = (torch.eye(3) @ MEANS)[x.new_tensor(np.arange(len(x)) % 3).long()]
        return self.head(self.still(self.narrow(classes) * 2))


@pytest.fixture(scope="module")
def layers():
    return phiscope.measure_layers(Collapsing(), [(X, Y)], ["wide", "narrow", "still", "head"])


def test_it_is_a_mapping_in_forward_order(layers):
    assert list(layers) == ["wide", "narrow", "still", "head"]
    assert len(layers) == 4
    assert "wide" in layers
    assert "width" not in layers
    assert layers.get("width") is None
    assert layers.get("wide") is layers["wide"]
    assert set(layers.to_dict()["head"]) == set(layers["head"].numbers)
    with pytest.raises(UnknownNameError, match="wide"):
        layers["widee"]


def test_it_is_frozen(layers):
    with pytest.raises(AttributeError):
        layers.head = "other"


def test_where_features_become_minimal(layers):
    assert layers.minimal_from == "narrow"
    assert layers["narrow"]["dynamical_low_rank"] == pytest.approx(0, abs=1e-9)
    only = phiscope.Layers(measurements={"wide": layers["wide"]}, head="head")
    assert only.minimal_from is None
    back = {name: layers[name] for name in ("narrow", "wide", "still")}
    assert phiscope.Layers(measurements=back, head="head").minimal_from == "still"
    assert phiscope.Layers(measurements={}, head="head").minimal_from is None


def test_the_table(layers):
    table = layers.table(["dynamical_low_rank", "nc3"]).splitlines()
    assert table[0].split()[:4] == ["layer", "p", "n", "regime"]
    assert table[1].split()[0] == "wide"
    assert table[1].split()[-1] == "-"
    assert table[4].split()[:2] == ["head", "(input)"]
    assert f"{layers['head']['nc3']:.4g}" in table[4]
    assert "dynamical_low_rank [0 .. 1]" in table[5]
    with pytest.raises(UnknownNameError, match="dynamical_low_rank"):
        layers.table(["dynamical_low_rang"])
    assert "minimal from layer narrow on (outputs have rank r = 2)" in str(layers)
    assert "minimal from narrow" in repr(layers)


def test_the_notebook_table_escapes_names(layers):
    odd = phiscope.Layers(measurements={"<b>": layers["wide"]}, head="head", left_out={"<i>": "a & b"})
    shown = odd._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "&lt;i&gt;: a &amp; b" in shown


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
