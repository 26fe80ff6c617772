"""The lines of a run: records, notes to them, and the branches they lie on; a line nobody can read is left out.

A record's line names its branch and where that branch left the others, so that each line can be understood when
others are damaged::

    {"index": 7, "epoch": 3, ..., "branch": 1, "lineage": [[0, 2]]}    branch 1, which left branch 0 after record 2
    {"note": 7, "scalars": {"eval_loss": 0.2}}                         scalars that came after record 7

Lines without a branch, which is all of format 1, lie on branch 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phiscope.archive import parsed, read_bytes
from phiscope.runs import layout

Line = dict[str, Any]


LARGEST = 2**32
"""Largest file of lines that is read, in bytes."""


FARTHEST = 2**53
"""No index, step, epoch or branch lies beyond."""


_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What stands in the file of lines.

    Attributes:
        records: one line a record in file order, notes included.
        warnings: what was left out, in sentences.
        size: bytes up to the end of the last completed line.
        last: the last completed line, with its end.
        torn: what follows it.
        damaged: number of completed lines that cannot be read.
    """

    records: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    size: int = 0
    last: bytes = b""
    torn: bytes = b""
    damaged: int = 0

    @property
    def next_index(self) -> int:
        """An index that no readable record has."""
        return max((line["index"] + 1 for line in self.records), default=0)


Lighten = Callable[[bytes], bytes]
"""Takes out of a line, before it is parsed, what its reader does not want."""


def _whole_line(raw: bytes) -> bytes:
    return raw


def read_lines(folder: Path, lighten: Lighten = _whole_line) -> Lines:
    """The completed lines of a run.

    Args:
        folder: the run's folder.
        lighten: applied to each line.

    Raises:
        RunFormatError: the file is there and cannot be read at all.
    """
    try:
        content = read_bytes(folder / layout.LINES, limit=LARGEST)
    except FileNotFoundError:
        return Lines()
    size = content.rfind(b"\n") + 1
    records, notes, bad = _read(content[:size], lighten)
    shown = layout.SHOWN_WARNINGS
    warnings = [f"line {n} of {layout.LINES} cannot be read; that record is left out" for n in bad[:shown]]
    if len(bad) > shown:
        warnings.append(f"{len(bad) - shown} more lines of {layout.LINES} cannot be read")
    if size < len(content):
        warnings.insert(0, f"the last line of {layout.LINES} was torn while it was written; that record is left out")
    warnings += _apply(notes, records)
    absorbed = {index for line in records for index in line["absorbs"]}
    return Lines(
        records=[line for line in records if line["index"] not in absorbed],
        warnings=warnings,
        size=size,
        last=content[content.rfind(b"\n", 0, max(size - 1, 0)) + 1 : size],
        torn=content[size:],
        damaged=len(bad),
    )


def read_appended(folder: Path, known: Lines, lighten: Lighten = _whole_line) -> Lines | None:
    """The lines as they are now, read from where they ended before; what is torn at the end is left for the next time.

    Args:
        folder: the run's folder.
        known: what was read before; its records are not changed, and those that a note belongs to are replaced.
        lighten: applied to each line.

    Returns:
        None where the file is not what was known with more behind it, or has lines that cannot be read: read it anew.

    Raises:
        RunFormatError: the file cannot be read at all.
    """
    start = known.size - len(known.last)
    try:
        content = read_bytes(folder / layout.LINES, limit=LARGEST, start=start)
    except FileNotFoundError:
        return None if known.size else known
    if not content.startswith(known.last):
        return None
    size = content.rfind(b"\n") + 1
    news, notes, bad = _read(content[len(known.last) : size], lighten)
    noted = {note["note"] for note in notes}
    old = [{**line, "scalars": dict(line["scalars"])} if line["index"] in noted else line for line in known.records]
    records = [*old, *news]
    if bad or _apply(notes, records):
        return None
    absorbed = {index for line in news for index in line["absorbs"]}
    return Lines(
        records=[line for line in records if line["index"] not in absorbed],
        warnings=known.warnings,
        size=start + size,
        last=content[content.rfind(b"\n", 0, max(size - 1, 0)) + 1 : size],
    )


def _read(content: bytes, lighten: Lighten) -> tuple[list[Line], list[Line], list[int]]:
    """Records, notes, and the numbers of completed lines that nobody can read."""
    records: list[Line] = []
    notes: list[Line] = []
    bad: list[int] = []
    # Not splitlines(): that also splits at characters which JSON allows inside a text.
    for number, raw in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = parsed(lighten(raw))
            if "note" in line:
                notes.append(_checked_note(line))
            else:
                records.append(_checked(line))
        except _UNREADABLE:
            bad.append(number)
    return records, notes, bad


def _apply(notes: Iterable[Line], records: Iterable[Line]) -> list[str]:
    """Add late scalars to their records."""
    by_index = {line["index"]: line for line in records}
    lost = 0
    for note in notes:
        if note["note"] in by_index:
            by_index[note["note"]]["scalars"] |= note["scalars"]
        else:
            lost += 1
    return [f"{lost} notes in {layout.LINES} belong to records that cannot be read"] if lost else []


def _checked(line: Line) -> Line:
    line["index"] = _whole(line["index"])
    line["epoch"], line["seconds"] = _finite(line["epoch"]), _finite(line["seconds"])
    line["step"] = None if line["step"] is None else _whole(line["step"], least=-FARTHEST)
    line["scalars"] = layout.unpack_numbers(line["scalars"])
    line["numbers"] = {split: layout.unpack_numbers(packed) for split, packed in line["numbers"].items()}
    line["regimes"] = {split: str(word) for split, word in line.get("regimes", {}).items()}
    line["extras"] = _names(line.get("extras", []))
    line["branch"] = _whole(line.get("branch", 0))
    line["lineage"] = [(_whole(branch), _whole(last)) for branch, last in line.get("lineage", [])]
    line["absorbs"] = [_whole(index, below=line["index"]) for index in line.get("absorbs", [])]
    line["early"] = bool(line.get("early", False))
    return line


def _checked_note(line: Line) -> Line:
    return {"note": _whole(line["note"]), "scalars": layout.unpack_numbers(line["scalars"])}


def _whole(value: Any, *, least: int = 0, below: int = FARTHEST) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < below:
        raise ValueError(f"{value!r:.40} is no index")
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -FARTHEST <= value <= FARTHEST:
        raise ValueError(f"{value!r:.40} is no moment")  # also NaN and infinity
    return float(value)


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("expected names")
    return value


def on_branch(records: Iterable[Mapping[str, Any]], branch: int) -> list[Mapping[str, Any]]:
    """The records of one line of training: those of a branch, and of the branches it left up to where it left them.

    Args:
        records: of all branches, in file order.
        branch: its number.

    Example:
        >>> rows = [{"index": i, "branch": int(i > 3), "lineage": [(0, 1)] * (i > 3)} for i in range(6)]
        >>> [row["index"] for row in on_branch(rows, 1)]
        [0, 1, 4, 5]
    """
    records = list(records)
    ends: Mapping[int, int] = next((dict(line["lineage"]) for line in records if line["branch"] == branch), {})
    ends = {**ends, branch: FARTHEST}
    return [line for line in records if line["index"] <= ends.get(line["branch"], -1)]
