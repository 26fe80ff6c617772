"""What is written below a figure: n, p, split, moment, bands or why there are none, and the version."""

import numpy as np
import pytest

import phiscope
from phiscope.figures.paper.captions import of_whom
from phiscope.figures.paper.sheets import OF_MEASUREMENTS, measurement_sheet


@pytest.fixture(scope="module")
def m():
    random = np.random.default_rng(0)
    features = random.standard_normal((400, 12)) * np.geomspace(3, 0.5, 12)
    return phiscope.diagonalize(features, head=(random.standard_normal((3, 12)), None), targets=np.arange(400) % 3)


@pytest.mark.parametrize("name", OF_MEASUREMENTS)
def test_captions_say_n_p_moment_and_version(m, name):
    caption = measurement_sheet(m, name, moment="epoch 3", split="test").caption
    assert "n = 400 samples, split 'test', p = 12 features, 3 classes, epoch 3." in caption
    assert caption.endswith(f"phiscope {phiscope.__version__}.")


def test_what_is_not_known_is_not_said():
    bare = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), intervals=False)
    assert of_whom(bare) == "n = 60 samples, p = 4 features."


def test_bands_are_named_or_their_absence(m):
    assert "pointwise 95 %" in measurement_sheet(m).caption
    bare = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), intervals=False)
    assert "No bands: it needs the shards of samples" in measurement_sheet(bare).caption
