"""The measured cases as tables: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from speed_parts.contestant import EIGEN, EIGENS, LETTERS
from speed_parts.contestants import ALL, NOT_TO_BE_HAD

NUMBERS = ("ratio", "to", "CPU s", "wall s", "MiB", "p² doubles", "rel. err", "err/ρ₁", "runs")
"""Columns between a row's name and its words; "How to read it" on the page explains each by this name."""

WALL = NUMBERS.index("wall s")

SAME = 0.02
"""Wall time within this share of the CPU time has no column of its own."""

KINDS = {"floor": "Floors", "ours": "phiscope", "peer": "Peers"}


def seconds(row: dict[str, Any], clock: str = "cpu") -> float | None:
    """Median seconds of a row, None when it has no run."""
    return median(row[clock]) if row.get(clock) else None


def ratio(name: str, rows: dict[str, dict[str, Any]], clock: str = "cpu") -> float | None:
    """A contestant's median over the sum of its floors' medians; None where one of them is missing."""
    own = seconds(rows.get(name, {}), clock)
    floors = [floor_seconds(floor, rows, clock) for floor in ALL[name].floors]
    if own is None or not floors or any(floor is None for floor in floors):
        return None
    return own / sum(floor for floor in floors if floor is not None)


def floor_seconds(name: str, rows: dict[str, dict[str, Any]], clock: str = "cpu") -> float | None:
    """Median seconds of a floor, None when it has no run; of the eigenproblem that of the quickest library.

    Example:
        >>> floor_seconds("floor-eigh", {"floor-eigh": {"cpu": [3.0]}, "floor-eigh-numpy": {"cpu": [2.0]}})
        2.0
    """
    found = [seconds(rows.get(floor, {}), clock) for floor in (EIGENS if name == EIGEN else (name,))]
    return min((each for each in found if each is not None), default=None)


def short(value: float | None, form: str = ".3g") -> str:
    """A number in few characters; empty for none.

    Example:
        >>> short(0.12345), short(12.345), short(1234.5), short(None)
        ('0.123', '12.3', '1234', '')
    """
    if value is None:
        return ""
    return f"{value:.0f}" if form == ".3g" and abs(value) >= 100 else f"{value:{form}}"


def title(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """A row's name, behind its letter where it is a floor that ratios are taken against.

    Example:
        >>> title("floor-eigh", {"floor-eigh": {"cpu": [3.0]}, "floor-eigh-numpy": {"cpu": [2.0]}}), title("pass", {})
        ('`floor-eigh`', '`pass`')
        >>> title("floor-eigh-numpy", {"floor-eigh": {"cpu": [3.0]}, "floor-eigh-numpy": {"cpu": [2.0]}})
        '**E** `floor-eigh-numpy`'
    """
    letter = LETTERS.get(name)
    if name in EIGENS:
        own = seconds(rows.get(name, {}))
        letter = LETTERS[EIGEN] if own is not None and own == floor_seconds(EIGEN, rows) else None
    return f"`{name}`" if letter is None else f"**{letter}** `{name}`"


def whole(reason: str) -> str:
    """A reason without the beginning of a sentence or bracket that its length cut off.

    Example:
        >>> whole("no answer within 300 s"), whole("Error: no memory: 20 bytes. Error code 12 (")
        ('no answer within 300 s', 'Error: no memory: 20 bytes')
    """
    if reason.count("(") > reason.count(")"):
        reason = reason[: reason.rindex("(")]
        reason = reason.rpartition(". ")[0] or reason
    return reason.rstrip(" .:")


def numbers(name: str, case: dict[str, Any]) -> list[str]:
    """What was measured of one row, in the order of `NUMBERS`."""
    rows, p = case["rows"], case["shape"]["p"]
    row, extra = rows[name], rows[name].get("extra_bytes")
    measured = bool(row.get("cpu"))
    return [
        short(ratio(name, rows), ".2f"),
        "+".join(LETTERS[floor] for floor in ALL[name].floors) if measured else "",
        short(seconds(row)),
        short(seconds(row, "wall")),
        "" if extra is None else f"{extra / 2**20:.0f}",
        "" if extra is None else f"{extra / (8 * p * p):.1f}",
        short(row.get("relative_error"), ".0e"),
        short(row.get("error_of_largest"), ".0e"),
        str(len(row.get("cpu", []))),
    ]


def words(name: str, row: dict[str, Any]) -> str:
    """What a row is and gives, and why it was not measured or not to the end."""
    known, reason = ALL[name], row.get("reason")
    if reason is not None and not row.get("cpu"):
        return f"{known.label}; **not measured: {whole(reason)}**"
    stopped = "" if reason is None else f"; **then stopped: {whole(reason)}**"
    return f"{known.label}; gives {known.gives}{stopped}"


def walls_differ(rows: dict[str, dict[str, Any]]) -> bool:
    """Whether wall time says anything beside CPU time."""
    pairs = [(seconds(row), seconds(row, "wall")) for row in rows.values()]
    return any(abs(wall - cpu) > SAME * cpu for cpu, wall in pairs if cpu is not None and wall is not None)


def case_title(case: dict[str, Any]) -> str:
    """What a case is, as a heading."""
    shape = case["shape"]
    return f"{case['name']}: n = {shape['n']:,}, p = {shape['p']:,}, C = {shape['classes']:,}"


def case_table(case: dict[str, Any]) -> str:
    """A case as a Markdown table, floors first; what a phone shows first stands first."""
    rows = case["rows"]
    shown = [at for at in range(len(NUMBERS)) if at != WALL or walls_differ(rows)]
    blank = [""] * (len(shown) + 1)
    lines = [f"### {case_title(case)}", "", _line(["row", *(NUMBERS[at] for at in shown), "what it is and gives"])]
    lines.append(_line(["---", *["---:"] * len(shown), "---"]))
    for kind, heading in KINDS.items():
        names = [name for name in rows if ALL[name].kind == kind]
        if names:
            lines.append(_line([f"*{heading}*", *blank]))
        for name in names:
            found = numbers(name, case)
            lines.append(_line([title(name, rows), *(found[at] for at in shown), words(name, rows[name])]))
    lines += [_line([f"`{name}`", *blank[1:], f"**not measured: {why}**"]) for name, why in NOT_TO_BE_HAD.items()]
    if WALL not in shown:
        lines += ["", f"Wall time is CPU time in every row, to {100 * SAME:g} %."]
    return "\n".join(lines)


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"


def plain_table(case: dict[str, Any]) -> str:
    """A case for the terminal: without words, but with reasons."""
    rows = [["", *NUMBERS]]
    reasons = []
    for name in case["rows"]:
        rows.append([name, *numbers(name, case)])
        reasons.append(case["rows"][name].get("reason"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [case_title(case)]
    for row, reason in zip(rows, [None, *reasons], strict=True):
        texts = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(texts) + (f"  {reason}" if reason else ""))
    return "\n".join(lines)


def growth_table(series: list[dict[str, Any]], along: str) -> str:
    """CPU seconds and ratios of a growth series, one column a size."""
    sizes = [case["shape"][along] for case in series]
    names = list(dict.fromkeys(name for case in series for name in case["rows"]))
    fixed = "p" if along == "n" else "n"
    head = f"CPU s (ratio), {fixed} = {series[0]['shape'][fixed]:,}"
    lines = [_line([head, *(f"{along} = {size:,}" for size in sizes)]), _line(["---", *["---:"] * len(sizes)])]
    for name in names:
        texts = [_grown_title(name, series)]
        for case in series:
            row = case["rows"].get(name)
            if row is None:
                texts.append("not run")
            elif not row.get("cpu"):
                texts.append(f"**{whole(row['reason'])}**")
            else:
                against = ratio(name, case["rows"])
                texts.append(short(seconds(row)) + (f" ({against:.2f})" if against is not None else ""))
        lines.append(_line(texts))
    return "\n".join(lines)


def _grown_title(name: str, series: list[dict[str, Any]]) -> str:
    """A row's name; of a solver that is the quickest at some size only, the letter says so."""
    told = {title(name, case["rows"]) for case in series if seconds(case["rows"].get(name, {})) is not None}
    return told.pop() if len(told) == 1 else f"`{name}` (**E** where least)" if told else f"`{name}`"


def memory_table(memory: list[dict[str, Any]]) -> str:
    """Memory of phiscope alone, each line a process of its own."""
    lines = [_line(["", "MiB", "p² doubles", "n", "p"]), _line(["---", *["---:"] * 4])]
    for row in memory:
        if "reason" in row:
            texts = [f"{row['label']}; **not measured: {whole(row['reason'])}**", "", ""]
        else:
            extra = row["extra_bytes"]
            share = "" if row["case"] == "stream" else f"{extra / (8 * row['p'] ** 2):.2f}"
            texts = [row["label"], f"{extra / 2**20:.1f}", share]
        lines.append(_line([*texts, f"{row['n']:,}", f"{row['p']:,}"]))
    return "\n".join(lines)
