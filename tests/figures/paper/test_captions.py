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


def _measured(n=60, p=6, **other):
    rng = np.random.default_rng(0)
    known = {"head": (rng.standard_normal((3, p)), None), "targets": np.arange(n) % 3}
    return phiscope.diagonalize(rng.standard_normal((n, p)), **(known | other))


@pytest.mark.parametrize("kind", ["values", "no targets", "no outputs, values"])
def test_a_map_of_shares_is_not_said_to_count_units(kind):
    values = np.random.default_rng(1).standard_normal((60, 3))
    m = _measured(
        targets=None if kind == "no targets" else values,
        **({"head": None} if kind.startswith("no outputs") else {}),
    )
    caption = m.figure("classes").caption
    held = {"values": "target and output", "no targets": "output", "no outputs, values": "target"}[kind]
    assert caption.startswith(f"How much {held} each eigenfunction holds, centered. A cell is the share")
    assert "units" not in caption
    assert "a cell counts such units" in _measured().figure("classes").caption


def test_a_caption_speaks_of_what_is_drawn():
    """Of the null level without targets, of the first record of one measurement, of a spectrum that was cut."""
    null, ends, cut = "targets that say nothing", "Square: first record", "leading eigenfunctions alone"
    for m, has in (
        (_measured(), True),
        (_measured(targets=None), False),
        (_measured(targets=np.zeros(60, int)), False),
    ):
        assert (null in m.figure().caption) == has
        assert ends not in m.figure("why").caption
        assert cut not in m.figure().caption
    wide = _measured(p=2200, k=5)
    for name in OF_MEASUREMENTS:
        assert "the 5 leading eigenfunctions alone" in measurement_sheet(wide, name).caption


@pytest.mark.parametrize("n", [2, 5, 7])
def test_too_few_samples_for_bands_are_not_laid_on_the_features(n, tmp_path):
    """Two samples were said to be in two shards "because 9 features make each of them large"."""
    m = _measured(n=n, p=9)
    said = f"it needs at least 8 shards of samples, and {n} samples came"
    assert f"No bands: {said}." in m.figure().caption
    run = phiscope.write_run(tmp_path / "run", [(0, m)])
    assert f"No bands: {said}." in run.records[0].measurement().figure().caption
