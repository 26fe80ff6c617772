"""Pictures of surgery: what is left when fewer units are kept, and what the network loses without eigenfeatures."""

from __future__ import annotations

from phiscope.figures.model import Axis, Dots, Line, Panel, Sheet
from phiscope.figures.palette import INK, OKABE_ITO
from phiscope.figures.paper.captions import MADE
from phiscope.runs.groups import reach_of
from phiscope.surgery.curves import EIGENFEATURES, CutCurve, CutCurves
from phiscope.surgery.damage import Damage
from phiscope.surgery.scores import UnitScores
from phiscope.typing import IntArray

WORDS = {"single": "the k-th eigenfeature alone", "first": "the first k", "last": "all from the k-th on"}
DONE = {"remove": "replaced by its mean", "replace": "replaced by noise of the same energy", "shuffle": "shuffled"}


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
    others = " The dashed line is read on samples that the readout was not made from." if len(scores.held_out) else ""
    toward = {
        "labels": "the labels; S_B is the scatter between classes, of values that of the cross moments with them",
        "outputs": "the network's outputs; S_B is the scatter of the cross moments with them",
    }[scores.target]
    caption = (
        f"Discriminant information tr((S + r I)^-1 S_B) of a layer's units toward {toward}. Units are removed in the "
        f"order of the rule {scores.rule!r}; r = {scores.added:.3g} in squared feature units, "
        f"n = {scores.n_samples:,.0f} samples.{others} {MADE}"
    )
    return Sheet(name="units", headline="", parts=panels, caption=caption, across=2)


def damage_sheet(found: Damage) -> Sheet:
    """Damage over k with its band; for single eigenfeatures also against strength, utilization and quality.

    Args:
        found: from `phiscope.surgery.damage`.
    """
    lost = found.loss_added if found.accuracy_lost is None else found.accuracy_lost
    what = "loss added" if found.accuracy_lost is None else "accuracy lost"
    x = tuple(map(float, found.k.tolist()))
    value, low, high = (tuple(column) for column in lost.T.tolist())
    line = Line(label="", x=x, y=value, color=OKABE_ITO[0], low=low, high=high)
    panels = [
        Panel(
            name="damage",
            title=what.capitalize(),
            x=Axis(title="k", log=True, low=0.9, whole=True),
            y=Axis(title=what),
            lines=(line,),
        )
    ]
    beside = (
        ("eigenvalues", "strength ρₖ", True),
        ("utilization", "utilization Q̂ₖ", False),
        ("quality", "quality Q*ₖ", False),
    )
    for index, (name, title, log) in enumerate(beside):
        values = getattr(found, name)
        if found.of != "single" or values is None:
            continue
        dots = Dots(label="", x=tuple(values.tolist()), y=value, color=OKABE_ITO[index])
        panels.append(
            Panel(name=name, title=f"Against {title}", x=Axis(title=title, log=log), y=Axis(title=what), dots=(dots,))
        )
    inputs = "" if found.n_inputs == found.n_samples else f" of {found.n_inputs:,} inputs"
    caption = (
        f"What a network loses when {WORDS[found.of]} of a layer ({found.reading}) is {DONE[found.kind]}, on "
        f"n = {found.n_samples:,} samples{inputs}; band: 95 % interval over {'inputs' if inputs else 'samples'}. "
        f"Before: loss {found.loss_before:.4g}"
        + ("" if found.accuracy_before is None else f", accuracy {found.accuracy_before:.4g}")
        + f". {MADE}"
    )
    return Sheet(name="damage", headline="", parts=tuple(panels), caption=caption, across=min(len(panels), 2))


def curves_sheet(curves: CutCurves, headline: str = "") -> Sheet:
    """Accuracy against units kept, without compensation and with it, one line a rule, and the leading eigenfeatures.

    Args:
        curves: from `phiscope.surgery.cut_curves`, of one network or several.
        headline: above the picture.
    """
    networks = len(curves.whole)
    measure = "R²" if curves.of_values else "accuracy"
    names = list(dict.fromkeys(one.label for one in curves.curves if one.rule != EIGENFEATURES))
    colors = {name: OKABE_ITO[place % len(OKABE_ITO)] for place, name in enumerate(names)}
    panels = [
        Panel(
            name="accuracy",
            title=title,
            x=Axis(title="units or eigenfeatures kept", whole=True, low=0.0, high=1.03 * float(curves.kept[-1])),
            y=Axis(title=measure, high=1.0),
            lines=tuple(
                _over_networks(one, curves.kept, colors.get(one.label, INK))
                for one in curves.curves
                if one.compensated == compensated or one.rule == EIGENFEATURES
            ),
        )
        for compensated, title in ((False, "Means in the place of what goes"), (True, "What stays takes over"))
    ]
    band = f"; bands: 95 % intervals over {networks} networks" if networks > 1 else ""
    caption = (
        f"{measure[0].upper()}{measure[1:]} on n = {curves.n_samples:,} samples with fewer units of the head's input, "
        f"removed by each rule, or with the leading eigenfeatures alone (dotted); nothing is trained again{band}. "
        f"Whole: {float(curves.whole.mean()):.4g}. {MADE}"
    )
    return Sheet(name="curves", headline=headline, parts=tuple(panels), caption=caption, across=2)


def _over_networks(curve: CutCurve, kept: IntArray, color: str) -> Line:
    mean, reach = curve.accuracy.mean(axis=0), reach_of(curve.accuracy)
    low, high = (tuple((mean + sign * reach).tolist()) for sign in (-1, 1)) if len(curve.accuracy) > 1 else ((), ())
    return Line(
        label=curve.label,
        x=tuple(map(float, kept.tolist())),
        y=tuple(mean.tolist()),
        color=color,
        dash="dotted" if curve.rule == EIGENFEATURES else "dashed" if curve.rule == "random" else "solid",
        low=low,
        high=high,
    )
