"""What the page says in sentences, taken from the header and the last measurement of each run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phiscope.figures.history import scalar_order
from phiscope.metrics.regime import (
    EXTENDED_RATIO,
    FROZEN_SIMILARITY,
    MINIMAL_CLIFF,
    MINIMAL_COLLAPSE,
    MINIMAL_DISTANCE,
    MINIMAL_USED_VARIANCE,
    RegimeEvidence,
)
from phiscope.runs.units import at_words

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement
    from phiscope.runs import Record, Run

REGIME_TITLES: Mapping[str | None, str] = {
    "minimal": "Minimal-feature regime",
    "extended": "Extended-feature regime",
    "intermediate": "Between the regimes",
    "coefficient": "Coefficient-learning regime",
    None: "Regime cannot be told",
}

REGIME_MEANINGS: Mapping[str, str] = {
    "minimal": "The layer holds about as many features as the outputs need.",
    "extended": "The outputs draw on at least twice as many features as they need.",
    "intermediate": "The layer is neither down to the features that the outputs need, nor do these draw on twice as "
    "many.",
    "coefficient": "The features are (nearly) those of the untrained network; only their weights in the head changed.",
}

"""What is true of every network that reads the word; see `word_meaning` for what a record adds."""


RECORDED = "Recorded"
"""The question whose answer changes while a run goes on."""


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One deciding number on its scale; positions are percent of the scale's width.

    Attributes:
        symbol: letter of the number.
        meaning: the number in words.
        value: the number as text.
        at: position of the number.
        zones: regime, start and end of each colored stretch.
        rule: the thresholds in words.
    """

    symbol: str
    meaning: str
    value: str
    at: float
    zones: tuple[tuple[str, float, float], ...]
    rule: str


def number_words(value: float | None) -> str:
    """A number as a reader wants it: four significant digits, no false ones.

    Example:
        >>> number_words(0.123456), number_words(12.0), number_words(None), number_words(3e-7)
        ('0.1235', '12', '–', '3e-07')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.4g}"


def moment_words(record: Record, *, with_step: bool = False) -> str:
    """The moment of a record: ``epoch 3``, with its step where several records share an epoch, or ``step 500``."""
    step = f", step {record.step}" if with_step and record.step is not None and record.unit == "epoch" else ""
    return at_words(record.unit, record.at) + step


def gauges(evidence: RegimeEvidence) -> tuple[Gauge, ...]:
    """The numbers that decided the regime, each on a scale with the regimes' zones."""
    found = []
    if evidence.k90 is not None:
        found.append(_count_gauge(evidence.k90, evidence.allowed_k90, EXTENDED_RATIO * max(evidence.output_rank, 1)))
    if evidence.used_variance is not None:
        edge = 100 * MINIMAL_USED_VARIANCE
        found.append(
            Gauge(
                symbol="U",
                meaning="of the feature variance is used",
                value=number_words(evidence.used_variance),
                at=_percent(100 * evidence.used_variance),
                zones=(("none", 0.0, edge), ("minimal", edge, 100.0)),
                rule=f"minimal ≥ {MINIMAL_USED_VARIANCE:g}",
            )
        )
    if evidence.cliff is not None:
        found.append(_cliff_gauge(evidence))
    if evidence.dynamical_low_rank is not None:
        edge = 100 * MINIMAL_DISTANCE
        uneven = f" or distance to collapse ≤ {MINIMAL_COLLAPSE:g}" if evidence.collapse_distance is not None else ""
        found.append(
            Gauge(
                symbol="D_LRᶜ",
                meaning="from features that are the outputs",
                value=number_words(evidence.dynamical_low_rank),
                at=_percent(100 * evidence.dynamical_low_rank),
                zones=(("minimal", 0.0, edge), ("none", edge, 100.0)),
                rule=f"minimal ≤ {MINIMAL_DISTANCE:g}{uneven}",
            )
        )
    return (*found, *_start_gauges(evidence.initial_kernel_similarity))


def _start_gauges(similarity: float | None) -> tuple[Gauge, ...]:
    if similarity is None:
        return ()
    edge = 100 * FROZEN_SIMILARITY
    return (
        Gauge(
            symbol="S_init",
            meaning="similarity to the start",
            value=number_words(similarity),
            at=_percent(100 * similarity),
            zones=(("none", 0.0, edge), ("coefficient", edge, 100.0)),
            rule=f"coefficient ≥ {FROZEN_SIMILARITY:g}",
        ),
    )


def _percent(at: float) -> float:
    return min(max(at, 0.0), 100.0)


def _count_gauge(k90: int, minimal: float, extended: float) -> Gauge:
    """A logarithmic scale: outputs may draw on a hundred times more features than they need."""
    low = math.log(max(min(k90, minimal) / 2, 0.5))
    high = math.log(2 * max(k90, extended))

    def percent(position: float) -> float:
        return round(100 * (math.log(max(position, 1e-9)) - low) / (high - low), 2)

    # With r = 1 the two thresholds meet, and a number on both belongs to the minimal side, tested first.
    edges = (0.0, percent(minimal), max(percent(minimal), percent(extended)), 100.0)
    names = ("minimal", "intermediate", "extended")
    return Gauge(
        symbol="k_90",
        meaning="hold 90 % of the output",
        value=f"{k90:.3g}",
        at=_percent(percent(k90)),
        zones=tuple((name, edges[i], edges[i + 1]) for i, name in enumerate(names)),
        rule=f"minimal ≤ {minimal:g}, extended ≥ {max(extended, minimal + 1):g}",
    )


def _cliff_gauge(evidence: RegimeEvidence) -> Gauge:
    """From 1, no cliff at all, to ten times the threshold on a logarithmic scale."""
    value, top = float(evidence.cliff or 1.0), math.log(10 * MINIMAL_CLIFF)
    edge = round(100 * math.log(MINIMAL_CLIFF) / top, 2)
    symbol, shown = cliff_words(evidence)
    return Gauge(
        symbol=symbol,
        meaning="what the outputs need" if evidence.nothing_follows else "fall behind what the outputs need",
        value=shown,
        at=_percent(round(100 * math.log(max(value, 1.0)) / top, 2)),
        zones=(("none", 0.0, edge), ("minimal", edge, 100.0)),
        rule=f"minimal ≥ {MINIMAL_CLIFF:g}",
    )


def word_meaning(evidence: RegimeEvidence) -> str:
    """What the word of a record says, with what its numbers add; there has to be a word.

    Minimal features are equally strong, or as unequal as classes or targets are. An earlier rule counted them alone.
    """
    if evidence.regime != "minimal" or evidence.rule:
        return REGIME_MEANINGS[str(evidence.regime)]
    strength = "about equally strong" if evidence.is_even() else "as unequal as the classes or targets are"
    counted = REGIME_MEANINGS["minimal"].removesuffix(".")
    return f"{counted}: they dominate, are set apart from all others, and are {strength}."


def regime_meaning(measurement: Measurement) -> str:
    """What the regime says in one or two sentences; where it cannot be told, why."""
    evidence = measurement.evidence
    if evidence is None:
        return ""
    if evidence.regime is None:
        return _capitalized(evidence.sentence().removeprefix("cannot be told: ")) + "."
    meaning = word_meaning(evidence)
    if evidence.regime == "intermediate" and not evidence.rule:
        return f"{meaning} Not minimal because {'; '.join(evidence.failed())}."
    if evidence.is_start:
        return f"{meaning} This is the initial state: nothing has been learned yet."
    return meaning


def _capitalized(text: str) -> str:
    # Not str.capitalize, which would make D_LR of d_lr.
    return text[:1].upper() + text[1:]


def lowness_value(measurement: Measurement) -> str:
    """Centered D_LR as text, empty where there is none."""
    value = measurement.numbers.get("dynamical_low_rank_centered")
    return "" if value is None else number_words(value)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What D_LR is to be read against.

    Attributes:
        label: which values these are, such as "at start; random head".
        value: the values, in the same order; empty where none is known.
        missing: a sentence for each that is not known, with the reason.
    """

    label: str
    value: str
    missing: tuple[str, ...]


def reference_words(first: Measurement, last: Measurement) -> Reference:
    """D_LR at the first record, and of a random head on the last features; a bare dash would say nothing."""
    asked = (
        ("at start", first, "dynamical_low_rank_centered"),
        ("random head", last, "dynamical_low_rank_random_head"),
    )
    known = [(label, one.numbers[name]) for label, one, name in asked if name in one.numbers]
    return Reference(
        label="; ".join(label for label, _ in known),
        value="; ".join(f"{value:.3g}" for _, value in known),
        missing=tuple(
            f"D_LR {'of a ' * label.startswith('random')}{label} is not known: {one.absent.get(name, 'not recorded')}."
            for label, one, name in asked
            if name not in one.numbers
        ),
    )


def cliff_words(evidence: RegimeEvidence) -> tuple[str, str]:
    """How far the centered spectrum falls behind the features that the outputs need: (``"ρ₉ / ρ₁₀"``, ``"41"``).

    Where nothing but rounding follows there is no number to say: ``"nothing follows"``.
    """
    k, below = evidence.output_rank, str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return f"ρ{k} / ρ{k + 1}".translate(below), "nothing follows" if evidence.nothing_follows else number_words(
        evidence.cliff
    )


def status_words(run: Run) -> str:
    """One sentence when the run did not end by itself, else empty."""
    if run.status == "completed":
        return ""
    until = f" up to {moment_words(run.records[-1])}" if run.records else ""
    count = f"{len(run.records)} record{'s' if len(run.records) != 1 else ''}"
    why = f" ({run.reason})" if run.reason else ""
    if run.status == "interrupted":
        return f"This run was interrupted by its user{why}; all that was recorded{until} is shown ({count})."
    if run.status == "failed":
        return f"This run failed{why}; all that was recorded{until} is shown ({count})."
    return f"This run is still going or was killed; all that was recorded{until} is shown ({count})."


def results_words(run: Run, limit: int = 4) -> tuple[tuple[str, str, str], ...]:
    """Last accuracy (or R²), losses only where there is none: name, value and the moment it belongs to."""
    last: dict[str, tuple[float, str]] = {}
    for record in run.records:
        for name, value in record.scalars.items():
            last[name] = (value, moment_words(record))
    return tuple((words, number_words(last[name][0]), last[name][1]) for name, words in _answers(last)[:limit])


def answer_names(run: Run, limit: int = 2) -> tuple[tuple[str, str], ...]:
    """The scalars that say how well a network answers, each with its words: what `results_words` has the values of."""
    names = dict.fromkeys(name for record in run.records for name in record.scalars)
    return _answers(names)[:limit]


def _answers(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    order = sorted(names, key=lambda name: scalar_order(name.split("_", 1)[-1]))
    ranks = {name: scalar_order(name.split("_", 1)[-1])[0] for name in order}
    best = min(ranks.values(), default=2)
    return tuple((name, name.replace("_", " ").replace("r2", "R²")) for name in order if ranks[name] == best < 2)


USUAL_WEIGHTS = "those in training"
"""What callbacks say of the weights they measured, unless there is more to say."""


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """What was trained on what, as (question, answer) pairs; unknown answers are left out."""
    header = run.header
    names = run.class_names
    task = str(header.get("task") or "")
    if names:
        task = f"{task or 'classification'}, {len(names)} classes"
    count = header.get("initial_parameters")
    parameters = f", {count:,} parameters" if isinstance(count, int) else ""
    rows = (
        ("Task", task),
        ("Data", str(header.get("data") or "")),
        ("Network", f"{header.get('model') or ''}{parameters}".removeprefix(", ")),
        ("Training", settings_words(header.get("settings"))),
        ("Framework", str(header.get("framework") or "")),
        # Where an average is kept beside them, which weights these are is a question.
        ("Weights", "" if header.get("weights") == USUAL_WEIGHTS else str(header.get("weights") or "")),
        (RECORDED, recorded_words(run)),
    )
    return tuple((question, answer) for question, answer in rows if answer)


def shared_facts(runs: Sequence[Run]) -> tuple[tuple[str, str], ...]:
    """The facts that all of several runs have in common, so that a page can say them once."""
    if len(runs) < 2:
        return ()
    others = [set(facts(run)) for run in runs[1:]]
    return tuple(fact for fact in facts(runs[0]) if all(fact in other for other in others))


def settings_words(settings: Any) -> str:
    """The settings that say how training went, in one line.

    Settings that are off (zero, False, None) and nested ones are left to the end of the page, which lists all.

    Example:
        >>> settings_words({"optimizer": "Adam", "learning_rate": 1e-3, "weight_decay": 0.0})
        'optimizer Adam, learning rate 0.001'
    """
    if not isinstance(settings, Mapping):
        return str(settings or "")
    told = {
        name: value
        for name, value in settings.items()
        if not str(name).startswith(("data_", "network_"))
        and (name == "seed" or (value not in (None, False, 0, "") and isinstance(value, str | int | float)))
    }
    return ", ".join(f"{str(name).replace('_', ' ')} {_plain(value)}" for name, value in list(told.items())[:9])


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "/".join(_plain(one) for one in value)
    return str(value)


def recorded_words(run: Run) -> str:
    """How many records there are, over which epochs and on which splits."""
    if not run.records:
        return "nothing yet"
    first, last = run.records[0], run.records[-1]
    count = f"{len(run.records)} record{'s' if len(run.records) != 1 else ''}"
    span = moment_words(first)
    if first is not last:
        span = f"{run.unit}s {span.partition(' ')[2]} to {moment_words(last).partition(' ')[2]}"
    left = f"; {run.hidden} more on branches that the training left" if run.hidden else ""
    return f"{count}, {span}" + (f", on {' and '.join(run.splits)}" if run.splits else "") + left


def unique_labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """One label for each run: its name, numbered when several share it.

    Raises nothing; a run without a name is called after its folder.
    """
    taken: dict[str, int] = {}
    labels = []
    for run in runs:
        taken[run.name] = taken.get(run.name, 0) + 1
        labels.append(run.name if taken[run.name] == 1 else f"{run.name} ({taken[run.name]})")
    return tuple(labels)


def gathered_warnings(run: Run) -> tuple[str, ...]:
    """Warnings of the run and of its last measurements, with where each comes from."""
    found = dict.fromkeys(run.warnings)
    measured = [record for record in run.records if record.splits]
    for split in run.splits:
        with_split = [record for record in measured if split in record.splits]
        if with_split:
            last = with_split[-1]
            where = f"{split}, {moment_words(last)}"
            found.update(dict.fromkeys(f"{text} ({where})" for text in last.measurement(split).warnings))
    return tuple(found)
