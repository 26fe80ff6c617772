"""What a list of many runs shows of one: its records with one number each, read in about a millisecond.

A line of a record is some kilobytes of numbers, of which a list needs one. The others are cut out before the line is
parsed, which takes a tenth of the time; a line that does not look as phiscope writes it is parsed as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from phiscope.runs import layout
from phiscope.runs.lines import Lines, read_appended, read_lines
from phiscope.runs.reading import UNFINISHED, Run, run_of

GLANCED = "dynamical_low_rank_centered"
"""The number that is kept, of the first split."""

_SPLIT = re.compile(rb'"numbers": \{("(?:[^"\\]|\\.)*"): \{')
_NUMBER = b'"%s": ' % GLANCED.encode()
_BEHIND = b', "regimes": '


@dataclass(frozen=True, kw_only=True)
class Glance:
    """A run as a list shows it.

    Attributes:
        run: its records have the first split only, and of its numbers only `GLANCED`.
        lines: what to read on from; None once the run has ended.
    """

    run: Run
    lines: Lines | None


def glance(folder: Path, before: Glance | None = None) -> Glance:
    """Look at a run.

    Args:
        folder: the run's folder.
        before: an earlier glance at it, from which lines are read on.

    Raises:
        RunFormatError: it is gone, unreadable, or a newer phiscope wrote it.
    """
    header = layout.read_header(folder)
    known = None if before is None or before.lines is None else read_appended(folder, before.lines, lightened)
    lines = read_lines(folder, lightened) if known is None else known
    run = run_of(folder, header, lines, () if before is None else before.run.records, looks=False)
    # A run that is being written may have ended, but one that has ended seldom goes on.
    return Glance(run=run, lines=lines if run.status == UNFINISHED else None)


def lightened(raw: bytes) -> bytes:
    """A record's line with the first split only, and of its numbers only `GLANCED`.

    Args:
        raw: a line, as phiscope writes it or not.

    Example:
        >>> lightened(b'{"numbers": {"train": {"nc1": 0.5}, "test": {"nc1": 0.7}}, "regimes": {}}')
        b'{"numbers": {"train": {}}, "regimes": {}}'
    """
    split = _SPLIT.search(raw)
    behind = -1 if split is None else raw.find(_BEHIND, split.end())
    if split is None or behind < 0:
        return raw
    end = raw.find(b"}", split.end(), behind)
    start = raw.find(_NUMBER, split.end(), end)
    kept = b"" if start < 0 else raw[start:end].partition(b",")[0]
    return raw[: split.end()] + kept + b"}}" + raw[behind:]
