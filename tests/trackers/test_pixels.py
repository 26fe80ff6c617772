"""The spectrum as pixels, without a word to pyplot."""

import sys

import numpy as np
import pytest

from phiscope.errors import MissingDependencyError
from phiscope.trackers import pixels
from small_runs import measured

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'phiscope[figures]'")


def test_a_picture_has_three_colors_and_something_on_it():
    drawn = pixels.pixels_of(measured())
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[2] == 3
    assert drawn.min() < 100
    assert np.mean(drawn == 255) > 0.5


def test_the_callers_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    pixels.pixels_of(measured())
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_one_sentence(monkeypatch):
    pixels.check_can_draw()
    monkeypatch.setattr(pixels, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pictures for trackers.*pip install 'phiscope\[figures\]'"):
        pixels.check_can_draw()
    assert "matplotlib" in sys.modules
