"""What happened in a run, in one sentence: the word, since when, the accuracy, and what became of D_LR."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phiscope.findings.findings import is_of_precision
from phiscope.page.words import REGIME_TITLES, moment_words, number_words, results_words, word_meaning

if TYPE_CHECKING:
    from phiscope.metrics.regime import Regime, RegimeEvidence
    from phiscope.runs import Record, Run

LOWNESS = "dynamical_low_rank_centered"

STILL = 0.02
"""A change of D_LR below this is none: it is what the two readings of it may differ by without a warning."""

FLICKERS = 2
"""A word that changed more often than this is told with the number of changes, not with what came before."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """What the first line of a page says of a run.

    Attributes:
        regime: the word at the last measured record; None where none can be given.
        title: the word as a title.
        since: from when on it holds, and what was before; empty where nothing was measured.
        meaning: what the word means, in a sentence or two.
        answers: name and value of the accuracy, or of what takes its place.
        lowness: what became of D_LR, such as "fell from 0.479 to 0.031"; empty where it is not known.
        where: the split and the moment that all this is about.
    """

    regime: str | None
    title: str
    since: str
    meaning: str
    answers: tuple[tuple[str, str], ...]
    lowness: str
    where: str


def happened(run: Run, *, served: bool = False) -> Happened:
    """What happened in a run.

    Args:
        run: the run.
        served: whether the page follows the run, which decides what is said of one that has not begun.
    """
    measured = [record for record in run.records if record.splits]
    answers = tuple((name, value) for name, value, _ in results_words(run, limit=2))
    if not measured:
        soon = "The page will show it as soon as it has." if served else "Make the page again when it has."
        return Happened(
            regime=None,
            title="Nothing measured yet",
            since="",
            meaning=f"This run has no completed measurement. {soon}",
            answers=answers,
            lowness="",
            where="",
        )
    split = measured[-1].splits[0]
    course = [record for record in measured if split in record.splits]
    measurement = course[-1].measurement(split)
    evidence = measurement.evidence
    regime = None if evidence is None or not evidence.output_rank else evidence.regime
    return Happened(
        regime=regime,
        title=REGIME_TITLES[regime],
        since="" if regime is None else since_words(course, split),
        meaning=_meaning(regime, evidence, measurement.absent.get("used_variance", "")),
        answers=answers,
        lowness=lowness_words([record.numbers(split).get(LOWNESS) for record in course]),
        where=f"{split}, {moment_words(course[-1])}",
    )


def since_words(course: Sequence[Record], split: str) -> str:
    """From when on the last word holds, and what was before.

    Args:
        course: the records that measured the split, at least one.
        split: the split.
    """
    words = [record.regime(split) for record in course]
    first = len(words) - 1
    while first > 0 and words[first - 1] == words[-1]:
        first -= 1
    if len(words) == 1:
        return f"at {moment_words(course[0])}, the only record"
    if first == 0:
        return f"at all records, {moment_words(course[0])} to {moment_words(course[-1]).partition(' ')[2]}"
    changes = sum(one != other for one, other in itertools.pairwise(words))
    if changes > FLICKERS:
        return f"since {moment_words(course[first])}, after {changes} changes of the word"
    before = words[first - 1]
    return f"since {moment_words(course[first])}, {before or 'no word'} before"


def lowness_words(values: Sequence[float | None]) -> str:
    """What became of a number between the first record and the last; of a single one, what it is.

    Example:
        >>> lowness_words([0.479, 0.0306]), lowness_words([0.5, 0.51]), lowness_words([0.2])
        ('fell from 0.479 to 0.0306', 'stayed near 0.51', 'is 0.2')
    """
    first, last = values[0], values[-1]
    if last is None:
        return ""
    if first is None or len(values) == 1:
        return f"is {number_words(last)}"
    if abs(first - last) < STILL:
        return f"stayed near {last:.3g}"
    return f"{'fell' if last < first else 'rose'} from {first:.3g} to {last:.3g}"


def _meaning(regime: Regime | None, evidence: RegimeEvidence | None, absent: str = "") -> str:
    """What the word means, or why there is none; `absent` is why nothing is known of outputs, where that is so."""
    if evidence is None or not evidence.output_rank:
        why = absent or "this run recorded no usable outputs"
        return f"A regime compares the features with the network's outputs, and {why}."
    if regime is None:
        # The rest of the sentence stands where the rule is shown.
        said = evidence.sentence().removeprefix("cannot be told: ").partition("; ")[0]
        return f"{said[:1].upper()}{said[1:]}."
    if evidence.is_start:
        return f"{word_meaning(evidence)} This is the initial state: nothing has been learned yet."
    if evidence.initial_regime == regime:
        return f"{word_meaning(evidence)} It did so before training, too, so the word says nothing about learning."
    return word_meaning(evidence)


def told_apart(warnings: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings of what is unusual, and what says how precise the numbers are, which nearly every run has.

    Example:
        >>> told_apart(["a record is left out", "397 samples are few for D_LR: 0.0354 as measured"])
        (('a record is left out',), ('397 samples are few for D_LR: 0.0354 as measured',))
    """
    return (
        tuple(text for text in warnings if not is_of_precision(text)),
        tuple(text for text in warnings if is_of_precision(text)),
    )
