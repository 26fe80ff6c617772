"""Why D_LR is what it is: a plane of how much the outputs use of the features, and how evenly.

Centered D_LR = 1 - U sqrt(PR / r) exactly, so that a network is a point in the plane of U and sqrt(PR / r), curves of
equal D_LR are hyperbolas, and a training is a path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from phiscope.figures.model import Axis, Dots, Line, Mark, Panel
from phiscope.figures.palette import GHOST, INK
from phiscope.metrics.regime import MINIMAL_DISTANCE, MINIMAL_USED_VARIANCE, RegimeEvidence

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9)
"""Values of D_LR whose curves are drawn."""

LEAST = 0.02
"""The plane begins at this used variance: a head that uses less of its features stands at the edge."""


NOWHERE = (
    "U and evenness are not known here: the outputs were not, or they (of classes, the differences of logits) or the "
    "features are constant."
)
"""What stands in the place of the plane where nothing has a point in it. The literal D_LR may be known all the same."""


def why_panel(paths: Sequence[tuple[str, Sequence[RegimeEvidence], str]]) -> Panel:
    """One or several networks in the plane of U and sqrt(PR / r), each with its path through training.

    Args:
        paths: label, evidence of each record in order, and color; one record is a point without a path.

    Returns:
        A panel with curves of equal D_LR, the borders of the minimal regime in this plane (U and D_LR; the cliff and
        k90 are no directions of it), and for each path a line, a ring at its start and a point at its end.

    Source: phiscope's own, from the exact identity of centered D_LR.
    """
    lines, dots, reached = [], [], [1.0]
    for label, evidence, color in paths:
        points = [point for one in evidence if (point := place_of(one)) is not None]
        if not points:
            continue
        x, y = (tuple(column) for column in zip(*points, strict=True))
        reached += list(y)
        if len(points) > 1:
            lines.append(Line(label=label, x=x, y=y, color=color))
            dots.append(Dots(label="" if label else "start", x=x[:1], y=y[:1], color=color, symbol="square"))
        dots.append(Dots(label=label if len(points) < 2 else "" if label else "end", x=x[-1:], y=y[-1:], color=color))
    if not dots:
        return Panel(name="why", title="Why D_LR is what it is", x=_X, y=_Y, note=NOWHERE)
    top = 1.15 * max(reached)
    levels = [_level(level, top) for level in LEVELS]
    return Panel(
        name="why",
        title="Why D_LR is what it is",
        x=_X,
        y=Axis(title=_Y.title, log=True, low=min(0.1, 0.8 * min(min(d.y) for d in dots)), high=top),
        lines=(*lines, *levels),
        dots=tuple(dots),
        marks=(Mark(at=MINIMAL_USED_VARIANCE, label=f"minimal: U ≥ {MINIMAL_USED_VARIANCE:g}", color=INK),),
    )


_X = Axis(title="used variance U", low=0.0, high=1.02)
_Y = Axis(title="evenness √(PR / r)", log=True)


def place_of(evidence: RegimeEvidence) -> tuple[float, float] | None:
    """U and sqrt(PR / r) of a record; None where there are no outputs.

    Example:
        >>> place_of(RegimeEvidence(regime=None, output_rank=2, used_variance=0.5, relative_dimension=0.25))
        (0.5, 0.5)
    """
    used, evenness = evidence.used_variance, evidence.evenness
    if used is None or evenness is None or not evidence.output_rank or not math.isfinite(evenness) or evenness <= 0:
        return None
    return float(used), evenness


def _level(level: float, top: float) -> Line:
    """The curve of one value of D_LR: U sqrt(PR / r) = 1 - level."""
    x = np.linspace(max(LEAST, (1 - level) / top), 1.0, 60)
    border = level == MINIMAL_DISTANCE
    return Line(
        label="",
        tag=f"D_LR = {level:g}" + " (minimal beyond)" * border,
        x=tuple(x.tolist()),
        y=tuple(((1 - level) / x).tolist()),
        color=INK if border else GHOST,
        dash="dotted",
    )
