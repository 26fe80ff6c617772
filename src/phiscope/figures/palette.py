"""Colors that stay apart for color-blind readers and in gray print.

Source: Okabe and Ito 2008, "Color universal design" (the eight-color set, here in the order in which
neighbors differ most), and ColorBrewer's blue-white-brown diverging map.
"""

from __future__ import annotations

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#000000")
"""One color for each run, repeated when there are more runs."""

GHOST = "#B5B5B5"
"""The first record, drawn behind the chosen one."""

INK = "#1F2328"
"""Text and marks."""

DIVERGING = (
    "#0B3C6F",
    "#2F79B5",
    "#8DC0DD",
    "#DCEAF2",
    "#FBFBFA",
    "#F8E3CF",
    "#F0AE72",
    "#C8641B",
    "#7A3005",
)
"""Negative to positive, blue to brown through near-white."""

SEQUENTIAL = ("#FBFBFA", "#DCEAF2", "#8DC0DD", "#2F79B5", "#0B3C6F")
"""Zero to one, white to blue."""


def run_color(index: int) -> str:
    """The color of the ``index``-th run.

    Example:
        >>> run_color(0), run_color(7) == run_color(0)
        ('#0072B2', True)
    """
    return OKABE_ITO[index % len(OKABE_ITO)]
