"""What the theory is asked: read, or refused in one sentence."""

import numpy as np
import pytest
import torch

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, PhiscopeError, ShapeError, TargetError
from phiscope.theory import map_kernels, nngp
from phiscope.theory.setting import rows_of, setting_of, values_of, widths_of

X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.arange(6.0)


def put(array, value):
    array = np.array(array, dtype=float)
    array.flat[1] = value
    return array


BAD = {
    "an unknown activation": ({"activation": "tanh"}, InputError, "activation='tanh'; the theory knows erf"),
    "no depth": ({"depth": 0}, InputError, "depth is 0"),
    "half a layer": ({"depth": 1.5}, InputError, "depth is 1.5"),
    "no width": ({"width": 0}, InputError, "width is 0"),
    "two widths for one layer": ({"width": (3, 4)}, InputError, "width has 2 numbers for 1 hidden layers"),
    "no noise": ({"noise": 0.0}, InputError, "noise=0.0; expected a number above 0"),
    "negative noise": ({"noise": -1.0}, InputError, "noise=-1.0"),
    "noise that is NaN": ({"noise": np.nan}, InputError, "noise=nan"),
    "noise as a word": ({"noise": "0.1"}, InputError, "noise='0.1'"),
    "no weight variance": ({"weight_variance": 0.0}, InputError, "weight_variance=0.0; expected a number above 0"),
    "one of two missing": ({"weight_variance": [1.0]}, InputError, "weight_variance has 1 numbers for 2 linear layers"),
    "negative bias variance": (
        {"bias_variance": -0.1},
        InputError,
        "bias_variance=-0.1; expected a number of at least",
    ),
    "an unknown order": ({"order": "second"}, PhiscopeError, "order named 'second'"),
    "few samples": ({"samples": 10}, InputError, "samples=10 for 6 inputs; expected at least 24"),
    "a vector of inputs": ({"inputs": X[0]}, ShapeError, r"expected \(P, D\)"),
    "one input": ({"inputs": X[:1], "targets": Y[:1]}, EmptyDataError, "one input alone"),
    "inputs that are zero": ({"inputs": 0 * X}, InputError, "zero everywhere"),
    "NaN in inputs": ({"inputs": put(X, np.nan)}, NonFiniteError, "inputs hold NaN or Inf"),
    "Inf in inputs": ({"inputs": put(X, np.inf)}, NonFiniteError, "inputs hold NaN or Inf"),
    "fewer targets": ({"targets": Y[:5]}, ShapeError, "targets are of 5 samples and inputs of P = 6"),
    "targets with three axes": ({"targets": np.ones((6, 1, 1))}, TargetError, "float targets have shape"),
    "NaN in targets": ({"targets": put(Y, np.nan)}, NonFiniteError, "targets hold NaN"),
    "whole numbers below 0": (
        {"targets": np.array([-1, 1] * 3)},
        TargetError,
        "pass values such as -1 and 1 as floats",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case):
    changed, kind, words = BAD[case]
    given = {"inputs": X, "targets": Y, "width": 10, "depth": 1, **changed}
    with pytest.raises(kind, match=words) as caught:
        map_kernels(**given)
    assert "\n" not in str(caught.value)


def test_infinite_width_refuses_the_same():
    with pytest.raises(InputError, match="bias_variance"):
        nngp(X, bias_variance=np.nan)
    with pytest.raises(NonFiniteError):
        nngp(put(X, np.nan))


def test_one_number_or_one_for_each_layer():
    setting = setting_of(X, 2, "erf", [1.0, 2.0, 3.0], 0.5)
    assert (setting.weight_variances, setting.bias_variances) == ((1.0, 2.0, 3.0), (0.5, 0.5, 0.5))
    np.testing.assert_allclose(setting.input_kernel, X @ X.T / 3 + 0.5)
    assert widths_of(4, 3) == (4, 4, 4)
    assert widths_of([4, 5], 2) == (4, 5)


def test_pictures_are_flattened_and_tensors_read():
    pictures = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert rows_of(pictures).tolist() == np.arange(24.0).reshape(2, 12).tolist()


def test_classes_become_columns():
    assert values_of(np.array([0, 2, 2]), 3).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    assert values_of([0.5, -1.0], 2).tolist() == [[0.5], [-1.0]]
