"""A course as a small picture: where points lie, what is a gap, and that it stays small."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from phiscope.live.sparkline import HEIGHT, WIDTH, sparkline


def points(text: str) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, pair.split(","))) for pair in line.split()]  # type: ignore[misc]
        for line in re.findall(r'points="([^"]*)"', text)
    ]


def test_shares_run_from_the_bottom_to_the_top() -> None:
    (line,) = points(sparkline([("lowness", [(0, 0.0), (5, 0.5), (10, 1.0)])], (0, 10), "words"))
    assert line == [(3, HEIGHT - 3), (WIDTH / 2, HEIGHT / 2), (WIDTH - 3, 3)]


def test_percent_shrinks_its_own_line_only() -> None:
    text = sparkline([("accuracy", [(0, 50.0), (1, 100.0)]), ("lowness", [(0, 0.5), (1, 1.0)])], (0, 1), "words")
    first, second = points(text)
    assert first == second


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_gap(gap: float) -> None:
    values = [(0, 0.1), (1, 0.2), (2, gap), (3, 0.3)]
    text = sparkline([("lowness", values)], (0, 3), "words")
    assert (text.count("<polyline"), text.count("<circle")) == (1, 1)
    assert sparkline([("lowness", [(0, gap)])], (0, 0), "words") == ""


def test_a_single_record_is_a_dot_and_values_out_of_range_stay_inside() -> None:
    assert '<circle class="lowness" cx="3.0" cy="15.0"' in sparkline([("lowness", [(4, 0.5)])], (4, 4), "words")
    (line,) = points(sparkline([("lowness", [(-9, -5.0), (99, 0.5)])], (0, 1), "words"))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


def test_a_long_run_has_as_few_points_as_a_short_one_and_its_last() -> None:
    values = [(at, at / 5000) for at in range(5001)]
    text = sparkline([("lowness", values)], (0, 5000), "words")
    (line,) = points(text)
    assert len(line) <= 122
    assert line[-1] == (WIDTH - 3, 3)
    assert ElementTree.fromstring(text).get("aria-label") == "words"
