"""Pilots: what is subtracted from rows before they are squared."""

import numpy as np
import pytest

from phiscope.moments.shards import Streams


@pytest.mark.parametrize("size", [1, 8, 64, 3000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pilots_do_not_depend_on_the_size_of_batches(size, dtype):
    """A few rows alone do not tell the spread within 200 classes, and every class would get a pilot of its own."""
    g = np.random.default_rng(0)
    X, y = (g.normal(size=(3000, 40)) + 5).astype(dtype), g.integers(0, 200, 3000)
    streams = Streams((40, 0, 0, True), 1, None, dtype)
    for low in range(0, 3000, size):
        part = slice(low, low + size)
        streams.add([X[part]], y[part], np.ones(len(X[part])), None)
    streams.total()
    pilots = streams._pilots
    assert pilots.uniform
    expected = 0.0 if dtype == np.float64 else X[:512].mean(axis=0)
    np.testing.assert_allclose(pilots.rows[y], np.broadcast_to(expected, (3000, 40)), atol=1e-5)
