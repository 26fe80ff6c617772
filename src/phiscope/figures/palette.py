"""Colors that stay apart for color-blind readers and in gray print.

Source: Okabe and Ito 2008, "Color universal design" (the eight-color set, here in the order in which
neighbors differ most), and ColorBrewer's blue-white-brown diverging map.
"""

from __future__ import annotations

from collections.abc import Mapping

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

ON_DARK: Mapping[str, str] = {
    "#0072B2": "#45A5E6",
    "#D55E00": "#F58A45",
    "#009E73": "#35C79C",
    "#AA4499": "#DC8BD0",
    "#E69F00": "#F0BC4E",
    "#56B4E9": "#A9DCFA",
    "#000000": "#E4E7EB",
    GHOST: "#69727D",
    INK: "#E4E7EB",
    "#9AA0A8": "#7D8690",
    "#8A8F98": "#78818C",
    "#57606A": "#A3ABB5",
    "#B8BDC4": "#59626C",
    "#E8EAED": "#2A2F36",
    "#0B3C6F": "#CBE6FA",
    "#2F79B5": "#6DB4E8",
    "#8DC0DD": "#2F6E9C",
    "#DCEAF2": "#1D3242",
    "#FBFBFA": "#1B1F24",
    "#F8E3CF": "#3B2A1B",
    "#F0AE72": "#8F5A28",
    "#C8641B": "#E0954F",
    "#7A3005": "#FBDCBD",
}
"""What takes the place of each color where the paper is dark: the same hue, at least as far from the paper."""


def run_color(index: int) -> str:
    """The color of the ``index``-th run.

    Example:
        >>> run_color(0), run_color(7) == run_color(0)
        ('#0072B2', True)
    """
    return OKABE_ITO[index % len(OKABE_ITO)]
