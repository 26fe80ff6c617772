"""Numbers that are no scalars of a measurement: each says where it is found."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from cases import CASES
from phiscope import surgery
from phiscope.errors import MissingNumberError
from phiscope.metrics import COMPARISONS, DEFINITIONS, ELSEWHERE, SCALARS, on_request


def test_numbers_of_two_states_are_defined_and_say_where_they_are():
    assert not set(COMPARISONS) & set(SCALARS)
    assert set(COMPARISONS) <= set(DEFINITIONS)
    m = phiscope.diagonalize(np.eye(4))
    with pytest.raises(MissingNumberError, match=r"phiscope\.compare"):
        m["cka"]
    with pytest.raises(MissingNumberError, match=r"parameter_norm\(model\)"):
        m["parameter_norm"]
    with pytest.raises(MissingNumberError, match=r"m\.raw\.quality"):
        m["quality"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_numbers_that_are_read_elsewhere_say_where(name):
    assert set(on_request.PLACES) == set(ELSEWHERE)
    m = phiscope.diagonalize(**CASES["n > p"])
    with pytest.raises(MissingNumberError, match=re.escape(on_request.PLACES[name])):
        m[name]


def test_places_elsewhere_exist():
    case = CASES["n > p"]
    m = phiscope.diagonalize(**case)
    found = phiscope.restrict(m, (case["features"], case["targets"]), case["head"])
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    data = (torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2)
    cut = SimpleNamespace(
        score_units=lambda _: surgery.score_units(phiscope.measure(net, data)),
        remove_units=lambda *_, keep: surgery.remove_units(net, data, keep=keep),
        compress_head=lambda *_: surgery.compress_head(phiscope.measure(net, data), (net[2].weight, net[2].bias), 2),
        damage=lambda *_: surgery.damage(net, data, phiscope.measure(net, data)),
    )
    scope = {"m": m, "phiscope": SimpleNamespace(restrict=lambda *_: found), "times": [0.0, 1.0], "surgery": cut}
    for place in on_request.PLACES.values():
        assert (
            eval(
                place.split(", ")[0] if "(" not in place else place,
                scope | {"samples": 0, "head": 0, "model": 0, "data": 0, "k": 2},
            )
            is not None
        )
