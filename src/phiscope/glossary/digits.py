"""How many digits a number is printed with: enough for the side of a threshold, and as TeX sets them."""

from __future__ import annotations

FEWEST = 3
"""Digits of a number in a sentence or a table, where more would say nothing."""

MOST = 17
"""With so many digits two different numbers are never printed alike."""


def beside(value: float | None, threshold: float, digits: int = FEWEST) -> str:
    """A number for a sentence that says on which side of a threshold it is.

    Rounded like any other it may land on the threshold, and the sentence contradicts itself: "0.2 is above 0.2".

    Args:
        value: None where it is not known.
        threshold: what it was compared with.
        digits: the fewest.

    Example:
        >>> beside(0.2004, 0.2), beside(0.2, 0.2), beside(0.12345, 0.2), beside(None, 0.2)
        ('0.2004', '0.2', '0.123', 'not known')
    """
    if value is None:
        return "not known"
    said = f"{value:.{digits}g}"
    while digits < MOST and _side(float(said), threshold) != _side(value, threshold):
        digits += 1
        said = f"{value:.{digits}g}"
    return said


def _side(value: float, threshold: float) -> int:
    return (value > threshold) - (value < threshold)


def in_tex(value: float, *, whole: bool = False) -> str:
    r"""A number as TeX sets it in math mode, where "1.2e+04" would be a product of letters and a sum.

    Args:
        value: finite.
        whole: whether it counts something, and so has all its digits.

    Example:
        >>> in_tex(0.12345), in_tex(12345.6), in_tex(1234.0, whole=True)
        ('0.123', '1.23 \\times 10^{4}', '1234')
    """
    if whole:
        return f"{value:.0f}"
    digits, _, power = f"{value:.{FEWEST}g}".partition("e")
    return rf"{digits} \times 10^{{{int(power)}}}" if power else digits
