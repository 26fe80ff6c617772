"""The picture of a causal probe: damage over k, and against what the spectrum says of each eigenfeature."""

from __future__ import annotations

from phiscope.figures.captions import MADE
from phiscope.figures.model import Axis, Dots, Line, Panel, Sheet
from phiscope.figures.palette import OKABE_ITO
from phiscope.surgery.damage import Damage

WORDS = {"single": "the k-th eigenfeature alone", "first": "the first k", "last": "all from the k-th on"}
DONE = {"remove": "replaced by its mean", "replace": "replaced by noise of the same energy", "shuffle": "shuffled"}


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
    caption = (
        f"What a network loses when {WORDS[found.of]} of a layer is {DONE[found.kind]}, on n = {found.n_samples:,} "
        f"samples; band: 95 % interval over samples. Before: loss {found.loss_before:.4g}"
        + ("" if found.accuracy_before is None else f", accuracy {found.accuracy_before:.4g}")
        + f". {MADE}"
    )
    return Sheet(name="damage", headline="", parts=tuple(panels), caption=caption, across=min(len(panels), 2))
