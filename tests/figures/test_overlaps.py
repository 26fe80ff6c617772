"""Which eigenfunctions live on in another feature map, as a map."""

import numpy as np
import pytest

import phiscope
from phiscope.figures import overlap_map


def maps(n=120, p_a=7, p_b=5, seed=0):
    g = np.random.default_rng(seed)
    a = g.normal(size=(n, p_a)) * np.linspace(2, 0.3, p_a) + g.normal(size=p_a)
    b = np.tanh(a @ g.normal(size=(p_a, p_b))) + 0.5 * g.normal(size=(n, p_b))
    return a, b


def test_heat_map_is_data_and_is_drawn():
    c = phiscope.compare(*maps())
    heat = overlap_map(c)
    np.testing.assert_allclose(heat.values, c.overlap**2)
    assert (heat.low, heat.high, heat.diverging) == (0.0, 1.0, False)
    assert (heat.row_clusters, heat.clusters) == c.clusters
    pytest.importorskip("matplotlib")
    assert c.figure().axes[0].get_xlabel() == "eigenfunction k of b"
