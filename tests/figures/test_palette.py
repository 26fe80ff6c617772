"""Colors: written as a page reads them, apart from each other, and no more lightness at the ends than in the middle."""

import re

import pytest

from phiscope.figures.palette import DIVERGING, GHOST, INK, OKABE_ITO, SEQUENTIAL, run_color


def lightness(color):
    """Relative luminance, WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [*OKABE_ITO, *DIVERGING, *SEQUENTIAL, GHOST, INK])
def test_colors_are_six_digits_in_capitals(color):
    assert re.fullmatch("#[0-9A-F]{6}", color)


def test_runs_have_colors_of_their_own_and_start_again_after_the_last():
    assert len(set(OKABE_ITO)) == len(OKABE_ITO)
    assert [run_color(index) for index in range(len(OKABE_ITO))] == list(OKABE_ITO)
    assert run_color(len(OKABE_ITO) + 2) == run_color(2)


def test_maps_are_in_order_of_lightness_also_in_gray_print():
    shades = [lightness(color) for color in SEQUENTIAL]
    assert shades == sorted(shades, reverse=True)
    middle = len(DIVERGING) // 2
    shades = [lightness(color) for color in DIVERGING]
    assert shades[: middle + 1] == sorted(shades[: middle + 1])
    assert shades[middle:] == sorted(shades[middle:], reverse=True)
