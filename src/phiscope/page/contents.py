"""What follows the first screen: folded sections, each a template of its own, and the table of contents over them.

A new section is one row here and one template ``assets/<key>.html``; it has the variables of the whole page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Folded:
    """One folded section of the page.

    Attributes:
        key: its anchor, and the name of its template.
        title: the heading, which asks or answers something.
        short: one or two words for the table of contents.
        hint: what is inside, in the words that a reader would look for; shown beside the heading.
        measured: whether it needs a measurement.
        classes: the heading where the targets are classes; empty where it is the same.
    """

    key: str
    title: str
    short: str
    hint: str
    measured: bool = True
    classes: str = ""


SECTIONS = (
    Folded(
        key="verdict",
        title="How the word was decided",
        short="Verdict",
        hint="k90, U, cliff, D_LR and S_init on their scales; data, network, training",
        measured=False,
    ),
    Folded(
        key="contrast",
        title="How the runs differ",
        short="Differences",
        hint="settings that differ, last numbers side by side, seeds taken together",
        measured=False,
    ),
    Folded(
        key="shares",
        title="How much target and output the first k hold",
        short="Shares",
        hint="Π*(k), Π̂(k), table of the spectrum",
    ),
    Folded(
        key="maps",
        title="What each eigenfunction holds",
        short="Map",
        hint="heat map, clusters",
        classes="Which class lives on which eigenfunction",
    ),
    Folded(
        key="looks",
        title="What each eigenfunction looks for",
        short="Gallery",
        hint="samples on which it is largest and smallest",
    ),
    Folded(
        key="plane",
        title="Samples in the plane of two eigenfunctions",
        short="Plane",
        hint="one dot a sample, moving through training",
    ),
    Folded(
        key="flow",
        title="What became of each eigenfunction",
        short="Flow",
        hint="bands of squared overlap from record to record",
    ),
    Folded(
        key="restricted",
        title="How many eigenfunctions the network needs",
        short="First k",
        hint="accuracy of the trained head on the first k alone",
    ),
    Folded(
        key="tracks",
        title="Where each eigenfunction came from",
        short="Tracks",
        hint="place, strength and quality of each, followed through training",
    ),
    Folded(
        key="tried",
        title="What was tried on this network",
        short="Tried",
        hint="its layers, units removed, eigenfeatures damaged, as it was drawn then",
        measured=False,
    ),
    Folded(
        key="numbers",
        title="Every number over training",
        short="Numbers",
        hint="accuracy, loss, dimensions, collapse, with definitions and intervals",
        measured=False,
    ),
    Folded(
        key="origin",
        title="Where this comes from",
        short="Origin",
        hint="versions, settings, command, how it was measured",
        measured=False,
    ),
)
"""In reading order."""


def contents(*, measured: bool, regression: bool, **there: bool) -> tuple[Mapping[str, Any], ...]:
    """The sections that a page has, ready for its template.

    Args:
        measured: whether any run has a measurement.
        regression: whether no run has classes.
        there: by key, whether there is anything for a section that not every page has.

    Example:
        >>> without = dict.fromkeys(("numbers", "contrast", "restricted", "tried"), False)
        >>> [section["key"] for section in contents(measured=False, regression=True, **without)]
        ['verdict', 'origin']
    """
    return tuple(
        {
            "key": section.key,
            "title": section.title if regression or not section.classes else section.classes,
            "short": section.short,
            "hint": section.hint,
            "template": f"{section.key}.html",
        }
        for section in SECTIONS
        if (measured or not section.measured) and there.get(section.key, True)
    )
