"""The samples on which an eigenfunction is largest and smallest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phiscope.errors import ShapeError
from phiscope.figures import (
    extreme_samples,
)


def test_extremes_of_a_ramp() -> None:
    (ends,) = extreme_samples(np.arange(10.0)[:, None], count=2)
    assert (ends.largest, ends.smallest) == ((9, 8), (0, 1))
    assert ends.largest_values == (9.0, 8.0)


def test_no_sample_is_on_both_ends_and_nan_is_left_out() -> None:
    (ends,) = extreme_samples(np.array([[1.0], [math.nan], [3.0], [2.0]]), count=6)
    assert ends.largest == (2,)
    assert ends.smallest == (0,)
    with pytest.raises(ShapeError, match=r"\(g, k\)"):
        extreme_samples([1.0, 2.0])
