"""Layers: a mapping, a table, and where features become minimal."""

import pytest

import phiscope
from collapsing_network import Collapsing, X, Y
from phiscope.errors import UnknownNameError


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
