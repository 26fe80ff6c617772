"""Numbers that are no scalars of a measurement: each says where it is found."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import phiscope
from cases import CASES
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
    scope = {"m": m, "phiscope": SimpleNamespace(restrict=lambda *_: found), "times": [0.0, 1.0]}
    for place in on_request.PLACES.values():
        assert eval(place.split(", ")[0] if "(" not in place else place, scope | {"samples": 0, "head": 0}) is not None
