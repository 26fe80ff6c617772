"""Pictures that are kept with a run, so that its page shows them: figures as data, one small JSON file each.

A reader that does not know the folder leaves it alone. Files may come from anywhere: sizes are bounded, and what is no
picture is left out with a sentence.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from phiscope.errors import InputError, RunFormatError
from phiscope.figures.model import Axis, Dash, Dots, Line, Mark, Panel, Sheet
from phiscope.runs import layout

FOLDER = "sheets"
"""Folder of the files in a run's folder."""

MOST = 50
"""So many of them a reader opens."""

LARGEST = 2**22
"""Largest file that is read, in bytes."""

MOST_LINES = 600
"""Most lines of a panel that is read: a dozen eigenfunctions through fifty layers."""

_NAME = re.compile(r"\d{4,6}\.json")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_SYMBOLS = ("circle", "square", "triangle", "diamond", "cross")


def keep_sheet(sheet: Sheet, run: str | os.PathLike[str]) -> Path:
    """Keep a picture with a run; its page shows it from then on.

    Args:
        sheet: of panels alone; its headline is the title on the page, its caption the text below.
        run: the run's folder, also while somebody writes the run.

    Returns:
        The file, written as a whole or not at all.

    Raises:
        RunFormatError: there is no run.
        RunWriteError: the file cannot be written.
        InputError: the sheet holds maps or pictures.
    """
    folder = Path(run)
    layout.read_header(folder)
    if not all(isinstance(part, Panel) for part in sheet.parts):
        raise InputError(f"the picture {sheet.name!r} holds parts that are no panels of lines; only those can be kept")
    facts = {
        "format": 1,
        "name": sheet.name,
        "headline": sheet.headline,
        "caption": sheet.caption,
        "across": sheet.across,
        "panels": [_plain(asdict(part)) for part in sheet.parts],
    }
    place = folder / FOLDER
    layout.make_folder(place)
    number = 1 + max((int(path.stem) for path in _files(place)), default=-1)
    path = place / f"{number:04d}.json"
    layout.write_text(path, layout.to_text(facts, "a kept picture") + "\n")
    return path


def kept_sheets(run: str | os.PathLike[str]) -> tuple[tuple[Sheet, ...], tuple[str, ...]]:
    """Pictures kept with a run in the order in which they came, and sentences about files that cannot be read.

    Args:
        run: the run's folder.
    """
    place = Path(run) / FOLDER
    if not place.is_dir() or place.is_symlink():
        return (), ()
    paths = sorted(_files(place), key=lambda path: int(path.stem))
    problems = [f"{place} holds {len(paths)} pictures; the first {MOST} are shown"] if len(paths) > MOST else []
    sheets = []
    for path in paths[:MOST]:
        try:
            if path.stat().st_size > LARGEST:
                raise RunFormatError(f"{path} has {path.stat().st_size:,} bytes, expected at most {LARGEST:,}")
            sheets.append(_sheet(layout.read_object(path)))
        except (RunFormatError, OSError) as error:
            problems.append(f"a kept picture cannot be read: {error}")
        except (TypeError, ValueError, KeyError) as error:
            problems.append(f"{path} is no picture ({error}); it is left out")
    return tuple(sheets), tuple(problems)


def _files(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if _NAME.fullmatch(path.name)]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sheet(facts: Mapping[str, Any]) -> Sheet:
    if facts["format"] != 1:
        raise ValueError(f"its format is {facts['format']!r}, this phiscope reads 1")
    return Sheet(
        name=_text(facts["name"]),
        headline=_text(facts["headline"]),
        caption=_text(facts["caption"]),
        across=int(facts["across"]),
        parts=tuple(_panel(one) for one in _rows(facts["panels"], 40)),
    )


def _panel(facts: Mapping[str, Any]) -> Panel:
    return Panel(
        name=_text(facts["name"]),
        title=_text(facts["title"]),
        x=_axis(facts["x"]),
        y=_axis(facts["y"]),
        lines=tuple(_line(one) for one in _rows(facts["lines"], MOST_LINES)),
        dots=tuple(_dots(one) for one in _rows(facts["dots"], 60)),
        marks=tuple(_mark(one) for one in _rows(facts["marks"], 60)),
        note=_text(facts["note"]),
    )


def _axis(facts: Mapping[str, Any]) -> Axis:
    low, high = (None if facts[end] is None else float(facts[end]) for end in ("low", "high"))
    return Axis(
        title=_text(facts["title"]),
        unit=_text(facts["unit"]),
        log=facts["log"] is True,
        whole=facts["whole"] is True,
        low=low,
        high=high,
        names=tuple(_text(name) for name in _rows(facts["names"], 200)),
    )


def _line(facts: Mapping[str, Any]) -> Line:
    curves = {name: _numbers(facts[name]) for name in ("x", "y", "low", "high")}
    if len({len(curve) for name, curve in curves.items() if curve or name in "xy"}) > 1:
        raise ValueError("a line has curves of several lengths")
    if facts["dash"] not in get_args(Dash):
        raise ValueError(f"a line is {facts['dash']!r:.20}")
    return Line(
        label=_text(facts["label"]),
        color=_color(facts["color"]),
        dash=facts["dash"],
        x=curves["x"],
        y=curves["y"],
        low=curves["low"],
        high=curves["high"],
        tag=_text(facts.get("tag", "")),
    )


def _dots(facts: Mapping[str, Any]) -> Dots:
    x, y = _numbers(facts["x"]), _numbers(facts["y"])
    if len(x) != len(y) or facts["symbol"] not in _SYMBOLS:
        raise ValueError("points have no two coordinates and a symbol")
    return Dots(label=_text(facts["label"]), x=x, y=y, color=_color(facts["color"]), symbol=facts["symbol"])


def _mark(facts: Mapping[str, Any]) -> Mark:
    if facts["axis"] not in ("x", "y"):
        raise ValueError(f"a mark is on axis {facts['axis']!r:.20}")
    return Mark(at=float(facts["at"]), label=_text(facts["label"]), axis=facts["axis"])


def _rows(value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"expected a list of at most {most}")
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(math.nan if one is None else float(one) for one in _rows(value, 20_000))


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 5000:
        raise ValueError(f"expected text, found {value!r:.40}")
    return value


def _color(value: Any) -> str:
    if not _COLOR.fullmatch(_text(value)):
        raise ValueError(f"{value!r:.20} is no color")
    return str(value)
