"""The course of D_LR and accuracy in a picture as high as a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 132, 30
"""Size in pixels."""

_EDGE = 3.0
_MOST = 120
"""So many points of a line are drawn; of more, every second, third, and so on, and the last."""

Points = Sequence[tuple[float, float]]


def sparkline(lines: Sequence[tuple[str, Points]], ends: tuple[float, float], words: str) -> str:
    """One picture as SVG text, without anything a run says.

    Args:
        lines: class of each line and its points, time and value: shares from 0 at the bottom to 1 at the top. NaN and
            infinite values are gaps; values beyond 1 shrink their own line.
        ends: first and last time of the run.
        words: what the picture shows, for who cannot see it; numbers and words of phiscope's own.

    Returns:
        An ``<svg>`` element; empty where there is nothing to draw.

    Example:
        >>> sparkline([("lowness", [(0, 0.0), (1, 1.0)])], (0, 1), "from 0 to 1").count("<polyline")
        1
        >>> sparkline([("lowness", [])], (0, 1), "nothing")
        ''
    """
    drawn = "".join(_line(name, points, ends) for name, points in lines)
    if not drawn:
        return ""
    return (
        f'<svg class="course" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}">{drawn}</svg>'
    )


def _line(name: str, points: Points, ends: tuple[float, float]) -> str:
    span = (ends[1] - ends[0]) or 1.0
    scale = max((value for _, value in points if math.isfinite(value)), default=1.0)
    scale = max(scale, 1.0)
    pieces: list[list[str]] = [[]]
    step = max(1, math.ceil(len(points) / _MOST))
    for time, value in [*points[:-1:step], *points[-1:]]:
        if not math.isfinite(value):
            pieces.append([])
            continue
        across = _EDGE + (WIDTH - 2 * _EDGE) * min(max((time - ends[0]) / span, 0.0), 1.0)
        up = HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * min(max(value / scale, 0.0), 1.0)
        pieces[-1].append(f"{across:.1f},{up:.1f}")
    return "".join(_piece(name, piece) for piece in pieces if piece)


def _piece(name: str, points: list[str]) -> str:
    if len(points) == 1:
        across, up = points[0].split(",")
        return f'<circle class="{name}" cx="{across}" cy="{up}" r="2"/>'
    return f'<polyline class="{name}" points="{" ".join(points)}"/>'
