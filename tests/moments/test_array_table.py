"""Arrays in memory as a table: what it says of them, and what it refuses before anything is read."""

import numpy as np
import pytest
import torch

from phiscope.errors import InputError, ShapeError, TargetError
from phiscope.moments.array_table import ArrayTable, device_of, doubts_about

X = np.random.default_rng(0).normal(size=(20, 3))


def test_it_says_what_there_is():
    table = ArrayTable({"features": X, "outputs": X[:, :2], "targets": X[:, 0], "weights": None})
    assert (table.n_features, table.n_outputs, table.has_classes) == (3, 2, False)
    assert set(table.parts()) == {"features", "outputs", "targets"}
    assert ArrayTable({"features": X, "targets": [0, 1] * 10}).has_classes
    assert ArrayTable({"features": X}).n_outputs == 0


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        ({"features": X[0]}, ShapeError, r"expected \(n, p\)"),
        ({"features": X, "outputs": X[:, 0]}, ShapeError, r"expected \(n, C\)"),
        ({"features": X, "targets": np.zeros((20, 2), dtype=int)}, TargetError, "class indices"),
        ({"features": np.array([["a", "b"]])}, InputError, "expected real numbers"),
    ],
)
def test_what_is_no_table_is_refused_at_once(parts, error, words):
    with pytest.raises(error, match=words):
        ArrayTable(parts)


def test_lengths_that_differ_are_refused_when_gathered():
    with pytest.raises(ShapeError, match="features have 20 samples but targets have 19"):
        ArrayTable({"features": X, "targets": np.zeros(19, dtype=int)}).gather()


def test_whole_numbers_as_floats_are_doubted():
    (said,) = doubts_about(np.arange(20.0)[:, None] % 3)
    assert "whole numbers 0 to 2" in said
    assert doubts_about(np.arange(20) % 3) == ()
    assert doubts_about(X[:, :1]) == ()
    assert doubts_about(None) == ()


def test_only_tensors_on_a_device_stay_there():
    assert device_of(X) is None
    assert device_of(torch.zeros(2)) is None
    assert device_of(torch.zeros(2, device="meta")) is None
