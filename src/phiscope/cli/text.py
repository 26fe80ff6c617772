"""What the commands print: definitions, studies, measurements and comparisons as plain text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from phiscope.glossary import TRANSFORMATIONS, Definition, Term
from phiscope.glossary.words import Glossary

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement

WIDTH = 100
"""Text is wrapped at this many columns."""

_CURVES = ("eigenvalues", "quality", "utilization", "cumulative_quality", "cumulative_utilization")


def explanation(word: str, glossary: Glossary) -> str:
    """What a number or a word means, as a person reads it.

    Args:
        word: name, symbol, title, or another word for it.
        glossary: where to look it up.

    Raises:
        UnknownNameError: there is no such number or word; the message offers the nearest names.
        AmbiguousNameError: it may mean several; the message lists them.

    Example:
        >>> from phiscope.glossary.words import stored
        >>> explanation("sr", stored()).splitlines()[0]
        'stable_rank: stable rank'
    """
    row = glossary.words.meaning(word)
    if isinstance(row, Term):
        facts = {"meaning": row.meaning, "read it": row.place, "also said": ", ".join(row.aliases)}
        return _facts(f"{row.name}: a word", facts | {"goes with": ", ".join(row.numbers)})
    return definition_text(row, place=glossary.places[row.name], beside=glossary.words.beside(row.name))


def definition_text(row: Definition, *, place: str, beside: Iterable[str] = ()) -> str:
    """One definition row as a person reads it.

    Args:
        row: the row.
        place: what to type to read the number.
        beside: names of its variants.
    """
    facts = {
        "meaning": row.meaning,
        "symbol": row.symbol,
        "formula": row.equation,
        "range": row.range,
        "direction": row.direction,
        "unit": "" if row.unit == "1" else row.unit,
        "read from": row.spectrum_text,
        "needs": ", ".join(row.needs),
        "read it": place,
        "invariant": row.invariance_text or "to none of: " + ", ".join(TRANSFORMATIONS),
        "source": row.source,
        "note": "this definition is phiscope's own" if row.ours else "",
        "beware": row.caveat,
        "also said": ", ".join(row.aliases),
        "beside it": ", ".join(beside),
    }
    return _facts(f"{row.name}: {row.title}", facts)


def _facts(head: str, facts: Mapping[str, str]) -> str:
    lines = [head, ""]
    for label, text in facts.items():
        if text:
            lines += textwrap.wrap(
                text, WIDTH, initial_indent=f"  {label:<11}", subsequent_indent=" " * 13, break_long_words=False
            )
    return "\n".join(lines)


def all_words(glossary: Glossary) -> str:
    """Every number with its symbol and title, one line each, then the words."""
    rows = glossary.words.definitions.values()
    width = max(len(row.symbol) for row in rows)
    numbers = name_list({row.name: f"{row.symbol:<{width}}  {row.title}" for row in rows})
    return f"{numbers}\n\nwords: {', '.join(glossary.words.terms)}"


def name_list(titles: Mapping[str, str]) -> str:
    """Names with what they mean, one line each.

    Example:
        >>> print(name_list({"a": "first", "long": "second"}))
        a     first
        long  second
    """
    width = max((len(name) for name in titles), default=0)
    return "\n".join(f"{name:<{width}}  {title}".rstrip() for name, title in titles.items())


def measurement_facts(measurement: Measurement) -> dict[str, Any]:
    """A measurement as text, numbers, lists and mappings that strict JSON can carry; no eigenvectors.

    A number that is not finite becomes the text ``"inf"``, ``"-inf"`` or ``"nan"``.
    """
    spectra = {"raw": measurement.raw, "centered": measurement.centered}
    return {
        "numbers": {name: _strict(value) for name, value in measurement.to_dict().items()},
        "absent": dict(measurement.absent),
        "regime": measurement.regime,
        "evidence": None if measurement.evidence is None else asdict(measurement.evidence),
        "n_samples": measurement.n_samples,
        "n_features": measurement.n_features,
        "n_outputs": measurement.n_outputs,
        "n_classes": measurement.n_classes,
        "rank_tolerance": measurement.rank_tolerance,
        "spectra": {
            name: {
                curve: [_strict(value) for value in getattr(spectrum, curve).tolist()]
                for curve in _CURVES
                if getattr(spectrum, curve) is not None
            }
            for name, spectrum in spectra.items()
        },
        "warnings": list(measurement.warnings),
        "provenance": dict(measurement.provenance),
    }


def _strict(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text as aligned columns, the first to the left, the others to the right; a line under the head.

    Example:
        >>> print(columns([["train", "a"], ["nc1", "0.25"]]))
        train     a
        -----------
        nc1    0.25
    """
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = [
        "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]).rstrip()
        for first, *rest in table
    ]
    return "\n".join([lines[0], "-" * max(len(line) for line in lines), *lines[1:]])
