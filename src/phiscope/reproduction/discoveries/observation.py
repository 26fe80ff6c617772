"""What one finding shows: sentences and figures, and the few words that all findings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phiscope.reproduction.claims import spread_text
from phiscope.reproduction.family import Results

D = "dynamical_low_rank"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Figures, and whether they show what the finding's title says.

    Attributes:
        text: sentences, with figures where there is no table.
        holds: the title holds in these outcomes.
        heads: headings of the table of figures; empty for none.
        rows: its rows, a text for each heading.
    """

    text: str
    holds: bool
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


Observer = Callable[[Results], Observation | None]
"""From the outcomes of a family to the figures of one finding; None where they have no figure of it."""


def percent(results: Results, label: str, name: str, split: str = "train") -> str:
    """A share at the end of training as percent, mean ± spread over seeds."""
    return spread_text(results.values(label, name, split), percent=True)


def plain(results: Results, label: str, name: str, split: str = "train") -> str:
    """A number at the end of training, mean ± spread over seeds."""
    return spread_text(results.values(label, name, split))


def mean_of(results: Results, label: str, name: str, split: str = "train") -> float:
    """A number at the end of training, mean over seeds."""
    return float(results.values(label, name, split).mean())
