"""Numbers as a table: for the terminal and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from phiscope.metrics import DEFINITIONS

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
