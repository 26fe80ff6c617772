"""Rows of the classes that occur alone, in memory and in the file."""

import numpy as np
import pytest

from phiscope import diagonalize
from phiscope.archive import read_arrays, write_arrays
from phiscope.errors import RunFormatError
from phiscope.measurement.record import Measurement


def vocabulary(n_classes=5_000):
    g = np.random.default_rng(0)
    y = g.choice([4_999, 3, 700, 12], size=200)
    return diagonalize(g.normal(size=(200, 5)), targets=y, num_classes=n_classes, intervals=False), y


def test_of_a_vocabulary_the_classes_that_occur_are_stored(tmp_path):
    measured, y = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    assert arrays["class_means"].shape == (4, 5)
    assert facts["format"] == 2
    loaded = Measurement.load(tmp_path / "m")
    assert loaded.class_means.shape == (5_000, 5)
    np.testing.assert_array_equal(loaded.class_means, measured.class_means)
    np.testing.assert_array_equal(loaded.class_weights, measured.class_weights)
    assert loaded.occurring().labels.tolist() == [3, 12, 700, 4_999]
    assert loaded.class_weights[700] == np.mean(y == 700)
    np.testing.assert_allclose(
        loaded.occurring_profile(3, centered=True), measured.class_profile(3, centered=True)[[3, 12, 700, 4_999]]
    )


def test_where_most_classes_occur_the_file_is_as_it_was(tmp_path):
    measured = diagonalize(np.random.default_rng(0).normal(size=(60, 3)), targets=np.arange(60) % 4)
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    assert (facts["format"], "class_labels" in arrays) == (1, False)
    assert Measurement.load(tmp_path / "m").occurring().labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "labels", [[3, 12, 700, 5_000], [3, 3, 12, 13], [3, 2, 5, 9], [-1, 2, 3, 4], [0, 1, 2, 2.5], [0, 1, 2, np.nan]]
)
def test_class_labels_that_cannot_be_are_refused(labels, tmp_path):
    measured, _ = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    write_arrays(tmp_path / "m", {**arrays, "class_labels": np.array(labels, dtype=float)}, facts)
    with pytest.raises(RunFormatError, match="class_labels that are no ascending classes below 5000"):
        Measurement.load(tmp_path / "m")


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path):
    measured, _ = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    write_arrays(tmp_path / "m", arrays, {**facts, "n_classes": 2**40})
    with pytest.raises(RunFormatError, match="names 1099511627776 classes of 5 features"):
        Measurement.load(tmp_path / "m")
