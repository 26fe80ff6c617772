"""The picture of depth as data, and drawn."""

import pytest

import phiscope
from collapsing_network import Collapsing, X, Y
from phiscope.figures.depth import depth_figure


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
