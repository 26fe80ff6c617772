"""A figure moving through training, as one file that any page shows."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from phiscope.errors import InputError, MissingDependencyError, RunError, RunWriteError, UnknownNameError
from phiscope.figures.model import Panel, Sheet
from phiscope.figures.paper.draw import Columns, drawn
from phiscope.figures.paper.run_sheets import run_sheet
from phiscope.figures.spectra import FLOOR
from phiscope.runs import Run
from phiscope.runs.units import at_words

MOVING = ("spectrum", "curves", "why")
"""Figures that can move."""

FORMATS = {".gif": "GIF", ".png": "PNG", ".apng": "PNG", ".webp": "WEBP"}
"""Endings of animated pictures, in Pillow's words."""

DPI = 110
"""Pixels an inch: a column is about 370 wide, as a page on a phone shows it."""

LAST = 4
"""The last moment stays so many times as long as the others."""


def animated(
    run: Run,
    name: str,
    path: Path,
    *,
    split: str | None = None,
    columns: Columns | None = None,
    seconds: float = 0.4,
) -> Path:
    """Write a figure as it moves through training, every measured record one picture, on axes that stand still.

    Args:
        run: opened.
        name: one of `MOVING`.
        path: ends in .gif, .png, .apng or .webp; folders above it are made.
        split: None takes the first.
        columns: 1 or 2, the width; None takes the figure's own.
        seconds: of each picture.

    Raises:
        UnknownNameError: that figure cannot move, or there is no such split.
        InputError: another ending, or no time.
        RunError: fewer than two records were measured.
        MissingDependencyError: matplotlib or Pillow is not installed.
        RunWriteError: the file cannot be written.
    """
    if name not in MOVING:
        raise UnknownNameError("figure that moves", name, MOVING)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path.name!r} ends in no animated format; known are {', '.join(FORMATS)}")
    if not seconds > 0 or not math.isfinite(seconds):
        raise InputError(f"seconds={seconds!r}; expected how long a picture stays, above 0")
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", purpose="an animated figure", extra="report") from error

    split = (run.splits[0] if run.splits else "") if split is None else split
    records = [record for record in run.records if split in record.splits]
    if len(records) < 2:
        raise RunError(f"{len(records)} records were measured on {split!r} in {run.path}, and a movement takes two")
    sheets = [run_sheet(run, name, epoch=record.at, split=split) for record in records]
    moments = [at_words(record.unit, record.at) for record in records]
    pictures = []
    for sheet, moment in zip(_still(sheets), moments, strict=True):
        buffer = io.BytesIO()
        shown = replace(sheet, headline=f"{run.header.get('title') or run.name}: {moment}")
        drawn(shown, columns=columns, purpose="an animated figure").savefig(buffer, format="png", dpi=DPI)
        pictures.append(Image.open(buffer).convert("RGB"))
    lasting = [round(1000 * seconds)] * len(pictures)
    lasting[-1] *= LAST
    first, *others = pictures
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        first.save(
            path,
            format=FORMATS[path.suffix.lower()],
            save_all=True,
            append_images=others,
            duration=lasting,
            loop=0,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunWriteError(f"{path} cannot be written: {reason}", path=str(path), reason=reason) from error
    return path


def _still(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The same sheets on common axes: a movement on axes that move cannot be seen."""
    columns = [
        [part for part in parts if isinstance(part, Panel)] for parts in zip(*(s.parts for s in sheets), strict=True)
    ]
    ends = [_ends(panels) for panels in columns]
    stilled = []
    for index, sheet in enumerate(sheets):
        parts = []
        for panels, (low, high) in zip(columns, ends, strict=True):
            panel = panels[index]
            top = panel.y.high if panel.name != "why" else high
            parts.append(replace(panel, y=replace(panel.y, low=low if panel.y.log else panel.y.low, high=top)))
        stilled.append(replace(sheet, parts=tuple(parts)))
    return stilled


def _ends(panels: Sequence[Panel]) -> tuple[float, float]:
    heights = [y for panel in panels for line in panel.lines for y in line.y if y > 0]
    tops = [panel.y.high for panel in panels if panel.y.high is not None]
    bottoms = [panel.y.low for panel in panels if panel.y.low is not None]
    lowest = min(bottoms) if bottoms else max(min(heights, default=FLOOR) / 2, FLOOR)
    return lowest, max(tops, default=1.0)
