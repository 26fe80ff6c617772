"""Angles, persistence and similarity of two sets of functions, against their definitions."""

import numpy as np

from phiscope.metrics.comparison import principal_angles


def test_angles_of_empty_spans():
    assert principal_angles(np.zeros((0, 3))).shape == (0,)
