"""Which class lives on which eigenfunction, diagonalized or rotated: the maps as data."""

from __future__ import annotations

import math

import numpy as np
import pytest

import phiscope
from collapsed import CLASSES, collapsed
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import ShapeError
from phiscope.figures import (
    class_map,
    span_map,
    turned,
    turned_map,
    turned_values,
)
from rotated_features import EQUAL, measured


def test_class_map_of_collapsed_classes_has_unit_mean_squares() -> None:
    heat = class_map(collapsed(), centered=True, class_names=tuple("abcd"))
    assert heat is not None
    assert heat.row_labels == tuple("abcd")
    values = np.asarray(heat.values)
    np.testing.assert_allclose((values**2).mean(axis=0), 1.0, atol=1e-9)
    assert heat.clusters == ((0, 3),)
    assert heat.low == -heat.high


def test_class_names_of_another_length_are_not_used() -> None:
    heat = class_map(collapsed(), class_names=("only one",))
    assert heat is not None
    assert heat.row_labels[0] == "class 0"


def test_an_empty_class_is_an_empty_row() -> None:
    y = np.repeat([0, 1, 3], 10)
    measured = phiscope.diagonalize(np.random.default_rng(1).normal(size=(30, 5)), targets=y, num_classes=4)
    heat = class_map(measured)
    assert heat is not None
    assert all(math.isnan(value) for value in heat.values[2])
    assert not any(math.isnan(value) for value in heat.values[3])


def test_regression_maps_quality_and_utilization_instead() -> None:
    features = np.random.default_rng(0).normal(size=(60, 5))
    measured = phiscope.diagonalize(features, features[:, :1], targets=features[:, 0])
    assert class_map(measured) is None
    heat = span_map(measured)
    assert heat is not None
    assert len(heat.values) == 2
    assert not heat.diverging
    assert span_map(phiscope.diagonalize(features)) is None


def test_the_leading_part_is_rotated_as_the_whole_is() -> None:
    measurement, _ = measured(EQUAL)
    part, whole = turned(measurement, centered=True, count=4), rotate_to_classes(measurement, centered=True)
    assert part is not None
    kept = part.rotation.shape[0]
    # Wanted were the ten of a class map, and the cluster that the tenth begins goes on to the end.
    assert kept == len(EQUAL)
    np.testing.assert_allclose(part.rotation, whole.rotation[:kept, :kept], atol=1e-12)
    apart, _ = measured([*EQUAL[:9], *(0.1 * 0.7**k for k in range(9))])
    early = turned(apart, centered=True)
    assert early is not None
    # As many as a class map shows: the classes and six.
    assert early.rotation.shape == (10, 10)
    np.testing.assert_allclose(early.rotation, rotate_to_classes(apart, centered=True).rotation[:10, :10], atol=1e-12)


def test_collapsed_classes_become_one_column_each() -> None:
    y = np.repeat(np.arange(CLASSES), 10)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(CLASSES, CLASSES)))[0]
    rotated = turned(phiscope.diagonalize(rotation[y], targets=y, num_classes=CLASSES), centered=False)
    assert rotated is not None
    heat = turned_map(rotated, class_names=tuple("abcd"))
    # Each function is one class's indicator over the root of its share.
    np.testing.assert_allclose(heat.values, math.sqrt(CLASSES) * np.eye(CLASSES), atol=1e-9)
    assert heat.clusters == ((0, CLASSES),)
    assert heat.row_labels == tuple("abcd")


def test_stored_values_turn_as_the_functions_do_and_a_cut_cluster_stays() -> None:
    measurement, features = measured(EQUAL)
    rotated = turned(measurement, centered=True)
    assert rotated is not None
    plain = measurement.eigenfunctions(features[:50], centered=True)
    naive = rotated.eigenfunctions(features[:50])
    values, beyond = turned_values(rotated, plain[:, :6])
    assert (1, 6) in rotated.rotated
    assert beyond == ()
    np.testing.assert_allclose(values, naive[:, :6], atol=1e-9)
    assert np.abs(values - plain[:, :6]).max() > 0.1
    cut, beyond = turned_values(rotated, plain[:, :4])
    assert beyond == ((1, 6),)
    np.testing.assert_array_equal(cut, plain[:, :4])
    with pytest.raises(ShapeError, match=r"\(g, k\)"):
        turned_values(rotated, plain[:, 0])


def _of_strengths(strengths: list[float], targets: np.ndarray, **settings: object) -> phiscope.Measurement:
    """Features whose centered eigenvalues are these, times a number."""
    x = np.random.default_rng(0).normal(size=(len(targets), len(strengths)))
    axes = np.linalg.qr(x - x.mean(axis=0))[0]
    return phiscope.diagonalize(axes * np.sqrt(strengths), targets=targets, **settings)


APART = [2.0**-place for place in range(20)]
"""Strengths of which no two are nearly equal."""

TWO_CLASSES, TWO_VALUES = np.arange(4000) % 2, np.random.default_rng(1).normal(size=(4000, 2))


@pytest.mark.parametrize(("targets", "draw", "columns"), [(TWO_CLASSES, class_map, 8), (TWO_VALUES, span_map, 12)])
def test_a_cluster_that_goes_on_behind_the_map_is_no_whole(targets, draw, columns) -> None:
    """Clusters were looked for among the columns shown alone: the part of one was called safe as a whole, and a last
    column that is nearly equal to the next was in none."""

    def shown(start: int, stop: int, **settings: object):
        strengths = [*APART[: start + 1], *[APART[start]] * (stop - start - 1), *APART[start + 1 :]][:20]
        heat = draw(_of_strengths(strengths, targets, **settings), centered=True)
        assert len(heat.values[0]) == columns
        return heat.clusters, heat.goes_on

    assert shown(2, 5) == (((2, 5),), False)
    assert shown(columns - 3, columns) == (((columns - 3, columns),), False)
    assert shown(columns - 3, columns + 2) == (((columns - 3, columns),), True)
    assert shown(columns - 1, columns + 2) == (((columns - 1, columns),), True)
    assert shown(columns, columns + 2) == ((), False)
    # What follows a cut is known where the whole spectrum was computed.
    assert shown(columns - 3, columns, k=columns) == (((columns - 3, columns),), False)
    assert shown(columns - 3, columns + 2, k=columns) == (((columns - 3, columns),), True)


def test_of_leading_eigenfunctions_nobody_knows_where_the_last_cluster_ends() -> None:
    m = phiscope.diagonalize(np.random.default_rng(0).normal(size=(60, 2200)), targets=np.arange(60) % 2, k=5)
    heat = class_map(m, centered=True)
    assert heat is not None
    assert (heat.clusters, heat.goes_on) == (((0, 5),), True)
