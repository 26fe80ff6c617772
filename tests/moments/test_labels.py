"""Class rows only for classes that occur: the same numbers as with a row for each, in the memory of a few."""

import tracemalloc
from functools import reduce

import numpy as np
import pytest

import phiscope
from phiscope.distributed.dask_arrays import DaskTable
from phiscope.errors import TargetError
from phiscope.moments import labels as labels_module
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.labels import what_to_do
from phiscope.moments.moments import merge, with_all_classes

N, P, CLASSES = 60, 5, 50
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(N, P))
NAMED = RNG.choice([3, 17, 18, 49], N)
OUTPUTS = RNG.normal(size=(N, CLASSES))
HEAD = (RNG.normal(size=(CLASSES, P)), RNG.normal(size=CLASSES))


@pytest.fixture
def sparse(monkeypatch):
    """From more than four classes on, only those that occur have rows."""
    monkeypatch.setattr(labels_module, "DENSE_CLASSES", 4)


def measured(**parts):
    return phiscope.diagonalize(FEATURES, targets=NAMED, **parts)


CASES = {
    "outputs": {"outputs": OUTPUTS},
    "head": {"head": HEAD},
    "classes": {"num_classes": CLASSES + 7},
    "weights": {"weights": RNG.random(N)},
    "head and outputs": {"head": HEAD, "outputs": FEATURES @ HEAD[0].T + HEAD[1]},
}


@pytest.mark.parametrize("case", list(CASES))
def test_every_number_is_that_of_a_row_for_each_class(case, monkeypatch):
    expected = measured(**CASES[case])
    monkeypatch.setattr(labels_module, "DENSE_CLASSES", 4)
    found = measured(**CASES[case])
    assert set(found.to_dict()) == set(expected.to_dict())
    for name, value in expected.to_dict().items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert dict(found.absent) == dict(expected.absent)
    assert found.warnings == expected.warnings
    assert found.n_classes == expected.n_classes
    np.testing.assert_allclose(found.class_means, expected.class_means, atol=1e-12)
    np.testing.assert_allclose(found.class_weights, expected.class_weights, atol=1e-15)
    for name in ("between_class_variance", "readout_r2", "readout_r2_held_out", "nc2_equiangular"):
        assert found.interval(name) == pytest.approx(expected.interval(name), rel=1e-6)


@pytest.mark.parametrize("cuts", [(20, 40), (1, 2, 3), (30,)])
@pytest.mark.parametrize("order", [1, -1])
def test_batches_and_merges_name_the_same_classes(cuts, order, monkeypatch):
    whole = MomentAccumulator()
    whole.update(FEATURES, None, NAMED)
    expected = whole.result()
    # The first few batches stay below the limit, and later ones pass it.
    monkeypatch.setattr(labels_module, "DENSE_CLASSES", 18)
    rows = np.argsort(NAMED, kind="stable")[::order]
    batched, parts = MomentAccumulator(n_shards=3), []
    for part in np.split(rows, cuts):
        batched.update(FEATURES[part], None, NAMED[part])
        alone = MomentAccumulator()
        alone.update(FEATURES[part], None, NAMED[part])
        parts += list(alone.shards())
    total, shards = batched.result_with_shards()
    for found in (total, reduce(merge, shards), reduce(merge, parts)):
        every = with_all_classes(found)
        assert every.labels is None
        np.testing.assert_array_equal(every.group_counts, expected.group_counts)
        np.testing.assert_allclose(every.group_means, expected.group_means, atol=1e-12)
        np.testing.assert_allclose(every.group_squares, expected.group_squares, atol=1e-12)
        np.testing.assert_allclose(
            found.covariance("features").dense(), expected.covariance("features").dense(), atol=1e-12
        )
    assert len(total.group_counts) < CLASSES


def test_chunks_of_dask_agree_on_classes(sparse):
    array = pytest.importorskip("dask.array")
    table = DaskTable({"features": array.from_array(FEATURES, chunks=(7, P)), "targets": array.from_array(NAMED, 7)})
    moments = table.gather(num_classes=CLASSES).moments
    np.testing.assert_array_equal(with_all_classes(moments).group_counts, np.bincount(NAMED, minlength=CLASSES))


@pytest.mark.parametrize("given", [{"top": 999_999}, {"num_classes": 10**7}], ids=["label", "num_classes"])
def test_a_million_classes_take_the_memory_of_those_that_occur(given):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(10, 30)), np.arange(10) % 3
    expected = phiscope.diagonalize(features, targets=targets)["nc1"]
    if "top" in given:
        targets[targets == 2] = given.pop("top")
    tracemalloc.start()
    m = phiscope.diagonalize(features, targets=targets, **given)
    assert m["nc1"] == pytest.approx(expected, rel=1e-9)
    assert m.to_dict()
    m.interval("nc2_equiangular", 0.9)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A row for each class would be 240 MB for each of 20 shards.
    assert most < 2**24
    (said,) = (text for text in m.warnings if "never occur" in text)
    assert said.startswith(f"{m.n_classes - 3} of {m.n_classes} classes never occur")


OUTSIDE = {
    # name: labels, number of classes, words that are there, words that are not
    "numbered from 1": ([1, 2, 3], 3, "if they are numbered from 1, subtract 1", None),
    "a single label": ([0, 1, 255], 3, "the label 255, 1 times, is the only one outside", "numbered from 1"),
    "the number of classes, beside 0": (
        [0, 1, 3],
        3,
        "the label 3, 1 times, is the only one outside",
        "numbered from 1",
    ),
    "minus one beside 0": ([-1, 0, 1], 3, "the label -1, 1 times, is the only one outside", "-1 and 1 are"),
    "two classes by their sign": ([-1, 1, 1], 2, "if -1 and 1 are the two classes", "leave out"),
    "ignored": ([-100, 0, 1], 2, "drop these rows, those where targets == -100", "make it"),
    "two labels": ([0, 7, 8], 3, "", "label"),
    "far away": ([0, 10**9], 3, "", "label"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_labels_outside_are_told_what_they_may_mean(name):
    labels, bound, words, never = OUTSIDE[name]
    told = what_to_do(np.array(labels), bound)
    assert words in told
    assert bool(told) == bool(words)
    assert never is None or never not in told


def test_what_the_message_says_reads_all_classes():
    with pytest.raises(TargetError, match="subtract 1; if 3 marks"):
        phiscope.diagonalize(FEATURES, targets=NAMED % 3 + 1, num_classes=3)
    assert phiscope.diagonalize(FEATURES, targets=NAMED % 3 + 1 - 1, num_classes=3).n_classes == 3
