"""Moments: their merge, whatever the batches and their order, and the covariances read off them."""

import numpy as np
import pytest

from phiscope.moments.accumulator import MomentAccumulator
from positive_forms import RNG


@pytest.mark.parametrize("n_classes", [2, 3, 9])
def test_covariance_with_few_and_with_many_classes(n_classes):
    """Few classes stay rows beside the scatter within them, which is not copied; many are added to it."""
    x, y = RNG.standard_normal((600, 12)), np.arange(600) % n_classes
    x += 3 * RNG.standard_normal((n_classes, 12))[y]
    accumulator = MomentAccumulator(num_classes=n_classes)
    accumulator.update(x, targets=y)
    moments = accumulator.result()
    found = moments.covariance("features")
    assert (found.rows is not None) == (n_classes <= 3)
    assert np.shares_memory(found.matrix, moments.within) == (n_classes <= 3)
    np.testing.assert_allclose(found.dense(), np.cov(x.T, bias=True), atol=1e-12)
