"""The measured cases as tables: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from speed_parts.contestant import EIGEN, EIGENS, LETTERS
from speed_parts.contestants import ALL, NOT_TO_BE_HAD

HEADS = (
    "", "CPU s", "wall s", "ratio", "to", "extra MiB", "in p² doubles", "worst error above 1e-4 ρ₁",
    "worst error in ρ₁", "runs", "gives",
)  # fmt: skip
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


def cells(name: str, case: dict[str, Any]) -> list[str]:
    """One row of the table, in the order of `HEADS`."""
    rows, p = case["rows"], case["shape"]["p"]
    row, known = rows[name], ALL[name]
    extra = row.get("extra_bytes")
    reason = row.get("reason")
    gives = known.gives if reason is None else f"**not measured: {reason}**"
    if reason is not None and row.get("cpu"):
        gives = f"{known.gives}; **then stopped: {reason}**"
    return [
        known.label,
        short(seconds(row)),
        short(seconds(row, "wall")),
        short(ratio(name, rows), ".2f"),
        "+".join(LETTERS[floor] for floor in known.floors),
        "" if extra is None else f"{extra / 2**20:.0f}",
        "" if extra is None else f"{extra / (8 * p * p):.1f}",
        short(row.get("relative_error"), ".0e"),
        short(row.get("error_of_largest"), ".0e"),
        str(len(row.get("cpu", []))),
        gives,
    ]


def case_title(case: dict[str, Any]) -> str:
    """What a case is, as a heading."""
    shape = case["shape"]
    return f"{case['name']}: n = {shape['n']:,}, p = {shape['p']:,}, C = {shape['classes']:,}"


def case_table(case: dict[str, Any]) -> str:
    """A case as a Markdown table, floors first."""
    lines = [f"### {case_title(case)}", "", _line(HEADS), _line(["---", *["---:"] * 9, "---"])]
    for kind, title in KINDS.items():
        names = [name for name in case["rows"] if ALL[name].kind == kind]
        if names:
            lines.append(_line([f"*{title}*", *[""] * 10]))
            lines += [_line(cells(name, case)) for name in names]
    lines += [_line([name, *[""] * 9, f"**not measured: {why}**"]) for name, why in NOT_TO_BE_HAD.items()]
    return "\n".join(lines)


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"


def plain_table(case: dict[str, Any]) -> str:
    """A case for the terminal: without the words of the last column, reasons instead."""
    rows = [list(HEADS[:-1])]
    reasons = []
    for name in case["rows"]:
        rows.append([name, *cells(name, case)[1:-1]])
        reasons.append(case["rows"][name].get("reason"))
    rows[0] = ["", "CPU s", "wall s", "ratio", "to", "MiB", "/8p²", "rel. err", "err/ρ₁", "runs"]
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
        texts = [ALL[name].label]
        for case in series:
            row = case["rows"].get(name)
            if row is None:
                texts.append("not run")
            elif not row.get("cpu"):
                texts.append(f"**{row['reason']}**")
            else:
                against = ratio(name, case["rows"])
                texts.append(short(seconds(row)) + (f" ({against:.2f})" if against is not None else ""))
        lines.append(_line(texts))
    return "\n".join(lines)


def memory_table(memory: list[dict[str, Any]]) -> str:
    """Memory of phiscope alone, each line a process of its own."""
    lines = [_line(["", "n", "p", "extra MiB", "in p² doubles"]), _line(["---", *["---:"] * 4])]
    for row in memory:
        if "reason" in row:
            texts = [row["label"], f"{row['n']:,}", f"{row['p']:,}", "", f"**not measured: {row['reason']}**"]
        else:
            extra = row["extra_bytes"]
            share = "" if row["case"] == "stream" else f"{extra / (8 * row['p'] ** 2):.2f}"
            texts = [row["label"], f"{row['n']:,}", f"{row['p']:,}", f"{extra / 2**20:.1f}", share]
        lines.append(_line(texts))
    return "\n".join(lines)
