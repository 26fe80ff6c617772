"""A logarithmic axis for epochs, with a place for epoch 0."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from phiscope.figures import log_epochs


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-6), min_size=1, max_size=30))
def test_every_epoch_has_its_own_place_in_order(epochs: list[float]) -> None:
    axis = log_epochs(epochs)
    positive = sorted({epoch for epoch in epochs if epoch > 0})
    assert (axis is None) == (len(positive) < 2)
    if axis is None:
        return
    drawn = positive if axis.zero is None else [axis.zero, *positive]
    assert (axis.zero is None) == (0 not in epochs)
    assert axis.low < drawn[0]
    assert drawn[-1] < axis.high
    assert drawn == sorted(set(drawn))
    assert len(axis.ticks) == len(axis.labels) >= 1
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    if axis.zero is not None:
        assert axis.gap is not None
        assert axis.zero < axis.gap < positive[0]
        assert (axis.ticks[0], axis.labels[0]) == (axis.zero, "0")


def test_a_negative_epoch_has_no_logarithm() -> None:
    assert log_epochs([-1, 1, 10]) is None
    assert log_epochs([math.nan, 1, 10]) == log_epochs([1, 10])
    assert log_epochs([]) is None
