"""The picture of scores of units: what is left when fewer are kept, on the same samples and on others."""

from __future__ import annotations

from phiscope.figures.captions import MADE
from phiscope.figures.model import Axis, Line, Panel, Sheet
from phiscope.figures.palette import OKABE_ITO
from phiscope.surgery.scores import UnitScores


def scores_sheet(scores: UnitScores) -> Sheet:
    """Discriminant information against the number of units kept, and the loss of each unit in its order.

    Args:
        scores: from `phiscope.surgery.score_units`.
    """
    p = len(scores.order)
    kept = tuple(float(count) for count in range(p))
    left = tuple((scores.total - scores.cumulative)[::-1].tolist())
    lines = [Line(label="on the samples it was made from", x=kept, y=left, color=OKABE_ITO[0])]
    if len(scores.held_out):
        x, y = (tuple(column) for column in scores.held_out.T.tolist())
        lines.append(Line(label="on others", x=x, y=y, color=OKABE_ITO[1], dash="dashed"))
    losses = tuple(scores.loss[scores.order[::-1]].tolist())
    panels = (
        Panel(
            name="kept",
            title="What the kept units say",
            x=Axis(title="units kept", low=0.0, high=float(p), whole=True),
            y=Axis(title="discriminant information"),
            lines=tuple(lines),
        ),
        Panel(
            name="loss",
            title="What each unit adds",
            x=Axis(title="unit, last removed first", low=0.0, high=float(p) + 0.5, whole=True),
            y=Axis(title="DI lost without it", log=all(loss > 0 for loss in losses)),
            lines=(Line(label="", x=tuple(map(float, range(1, p + 1))), y=losses, color=OKABE_ITO[0]),),
        ),
    )
    caption = (
        f"Discriminant information tr((S + r I)^-1 S_B) of a layer's units toward {scores.target}, removed in the "
        f"order of the rule {scores.rule!r}; r = {scores.added:.3g} in squared feature units, "
        f"n = {scores.n_samples:,.0f} samples. The dashed line is read on samples that the readout was not made from. "
        f"{MADE}"
    )
    return Sheet(name="units", headline="", parts=panels, caption=caption, across=2)
