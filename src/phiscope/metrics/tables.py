"""Numbers as a table: for the terminal, for a notebook, for the page of definitions and the file of all rows."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from phiscope.glossary import TRANSFORMATIONS
from phiscope.glossary.definition import Definition
from phiscope.glossary.letters import LETTERS
from phiscope.metrics import DEFINITIONS, TERMS, place_of
from phiscope.moments.jackknife import NO_INTERVAL

Notes = Sequence[tuple[str, str]]
"""Kind (regime, warning) and sentence."""


def text_table(header: str, numbers: Mapping[str, float], absent: Mapping[str, str], notes: Notes) -> str:
    """Name, value, range and direction of every number, then what is missing and why."""
    lines = [header, *(f"  {kind}: {text}" for kind, text in notes if kind != "warning")]
    width = max((len(name) for name in numbers), default=0)
    for name, value in numbers.items():
        row = DEFINITIONS[name]
        lines.append(f"  {name:<{width}}  {value:>12.5g}   [{row.range}]  {row.direction}")
    missing: dict[str, list[str]] = {}
    for name, reason in absent.items():
        missing.setdefault(reason, []).append(name)
    lines += [f"  not measured: {', '.join(names)}: {reason}" for reason, names in missing.items()]
    return "\n".join([*lines, *(f"  {kind}: {text}" for kind, text in notes if kind == "warning")])


def html_table(header: str, numbers: Mapping[str, float], notes: Notes) -> str:
    """The same for a notebook; everything is escaped."""
    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><td {left}>{html.escape(DEFINITIONS[name].title)}<br><code>{html.escape(name)}</code></td>"
        f"<td>{value:.5g}</td><td {left}>{html.escape(DEFINITIONS[name].range)}</td>"
        f"<td {left}>{html.escape(DEFINITIONS[name].direction)}</td></tr>"
        for name, value in numbers.items()
    )
    said = "".join(f"<p><b>{html.escape(kind.capitalize())}</b> {html.escape(text)}</p>" for kind, text in notes)
    return (
        f"<p>{html.escape(header)}</p><table><tr><th>number</th><th>value</th><th>range</th><th>direction</th></tr>"
        f"{rows}</table>{said}"
    )


def definitions_page() -> str:
    """The table of every number as Markdown: ``docs/reference/definitions.md`` is this text."""
    parts = [
        "# Every number",
        "",
        "Generated from the definition rows by `make docs`.",
        "",
        "## Letters",
        "",
        "n samples, p features, C outputs or classes, c targets (classes or values), k the rank of an eigenfunction,",
        "E[·] the mean over samples. Rows that say otherwise define their own letters.",
        "",
        *(f"- {words}" for _, words in LETTERS),
    ]
    for row in DEFINITIONS.values():
        parts += [
            "",
            f"## `{row.name}`",
            "",
            f"**{row.title}**, {row.symbol}. {row.meaning}",
            "",
            f"- Formula: {row.equation}",
            f"- Range: {row.range}" + ("" if row.unit == "1" else f", in {row.unit}"),
            f"- Direction: {row.direction}",
            f"- Reads: {row.spectrum_text or 'no spectrum'}. Needs: {', '.join(row.needs)}",
            f"- Invariant to: {row.invariance_text or 'none of the transformations below'}",
            f"- Source: {row.source}" + (" (our definition)" if row.ours else ""),
        ]
        parts += [f"- Interval: {interval_words(row)}"]
        parts += [f"- Caveat: {row.caveat}"] if row.caveat else []
        parts += [f"- Also called: {', '.join(row.aliases)}"] if row.aliases else []
    return "\n".join([*parts, *_invariance_table(), *_term_list()]) + "\n"


def interval_words(row: Definition) -> str:
    """Whether a number has an interval and how it is asked for, in Markdown.

    Args:
        row: of the number.

    Example:
        >>> interval_words(DEFINITIONS["nc1"])
        '`m.interval("nc1")`, even on log(x)'
        >>> interval_words(DEFINITIONS["k90"])
        'none'
    """
    place = place_of(row.name)
    if row.name in NO_INTERVAL:
        return f"none: {NO_INTERVAL[row.name]}"
    if place.startswith("m["):
        return f'`m.interval("{row.name}")`, even on {"the number itself" if row.scale == "x" else row.scale}'
    if place.startswith("m.raw."):
        return f'`m.curve_interval("{row.name}")`, at each k'
    if row.name in ("accuracy_lost", "loss_added"):
        return "the second and third column of the result, over samples"
    return "none"


def _invariance_table() -> list[str]:
    """A line for each number and a column for each transformation."""
    lines = [
        "",
        "## What every number is invariant to",
        "",
        "Declared in the definition rows; `tests/whole/test_invariances.py` draws random cases and tries both what",
        "is declared and what is not. The first five transformations change the features and the head along with",
        "them, so that the outputs stay; the last one changes the outputs. Where ranks of outputs are counted, a",
        "transformation may carry no direction past the rank tolerance.",
        "",
        *(f"- `{name}`: {what}" for name, what in TRANSFORMATIONS.items()),
        "",
        "✓ invariant, (✓) under the condition that the number's own entry names, empty: it moves.",
        "",
        f"| number | {' | '.join(name.replace('_', ' ') for name in TRANSFORMATIONS)} |",
        f"|---|{'---|' * len(TRANSFORMATIONS)}",
    ]
    for row in DEFINITIONS.values():
        marks = (_mark(row.invariances.get(name)) for name in TRANSFORMATIONS)
        lines.append(f"| `{row.name}` | {' | '.join(marks)} |")
    return lines


def _mark(condition: str | None) -> str:
    return "" if condition is None else "(✓)" if condition else "✓"


def _term_list() -> list[str]:
    """Words that are no numbers."""
    lines = [
        "",
        "## Words",
        "",
        "What pages and messages say beside the numbers; `phiscope explain WORD` prints one.",
        "",
    ]
    for term in TERMS.values():
        read = f" Read {term.place}." if term.place else ""
        lines.append(f"- **{term.name}**: {term.meaning}{read}")
    return lines


def definitions_file(studies: Mapping[str, str]) -> str:
    """All rows as JSON: ``glossary/definitions.json`` is this text, which commands read that load no library.

    Args:
        studies: title of each built-in study.
    """
    facts = {
        "definitions": [asdict(row) for row in DEFINITIONS.values()],
        "terms": [asdict(term) for term in TERMS.values()],
        "places": {name: place_of(name) for name in DEFINITIONS},
        "studies": dict(studies),
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


SAMPLES_NEEDED = {
    "readout_r2_held_out": (8, "heads fitted to halves of so few samples lose more than 1 / n of it"),
    **dict.fromkeys(
        ("readout_r2", "discriminant_information", "nc1_bounded"),
        (3, "so few samples are fitted nearly exactly, whatever the targets"),
    ),
    "rankme": (3, "the weakest directions of so few samples are far weaker than those of many"),
    "dynamical_low_rank_random_head": (3, "the spectrum of so few samples falls off faster than that of many"),
}
"""Samples an eigenfunction from which on a number has an interval, and why not before. With 2, those of the readout
were found to hold the truth in 74 to 83 % of samples, with 3 in 92 % and more; held out in 78 % with 5, in 92 % with
8."""

SAMPLES_A_NORM = 2
"""Samples for each centered dimension (PR, corrected) from which on what is divided by the norm of the covariance, and
is not corrected part by part, has an interval. There benchmarks/coverage.py (isotropic, 200 repeats) finds the truth in
94 % of them; below, with 1/2 and 1, it was in 63 and 83 % before they were refused."""

SAMPLES_A_DIMENSION = 4
"""Samples for each effective dimension from which on that has an interval: with 2 or 3, 81 to 89 % held the truth."""

SAMPLES_A_TARGET = 3
"""Samples for each independent target from which on what projects on all of them has an interval."""
