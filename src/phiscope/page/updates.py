"""What a page that is open has to be told when its runs have grown: the new records, and nothing it has already.

The page's `grow.js` puts it where a page made anew would have it; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phiscope.figures import history_sections
from phiscope.figures.classes import MOST_CLASSES, has_many
from phiscope.figures.seeds import seeds_of
from phiscope.page.charts import escaped, finite, history_spec
from phiscope.page.frames import run_frames
from phiscope.page.payload import (
    Extremes,
    Shared,
    extremes_of,
    log_epoch_data,
    position_data,
    position_of,
    record_data,
    shared_by,
    summary_data,
    unit_shown,
)

if TYPE_CHECKING:
    from phiscope.runs import Run


def page_update(
    runs: Mapping[str, Run], firsts: Sequence[int], known: Sequence[Extremes]
) -> tuple[dict[str, Any], list[Extremes]]:
    """What is new on a page.

    Args:
        runs: the runs by the label under which they are shown, on one axis of time.
        firsts: for each run the position of its first record that is new or has changed.
        known: for each run how far its pictures reached before.

    Returns:
        A dictionary of JSON types, and how far the pictures reach now.
    """
    frames: list[dict[str, Any] | None] = []
    extremes = []
    for run, first, before in zip(runs.values(), firsts, known, strict=True):
        start = _start(run, first)
        frame = run_frames(run, first, tracked=start) if first < len(run.records) else None
        extremes.append(before if frame is None else before.wider(extremes_of(frame, first)))
        frames.append(frame)
    shared = shared_by(list(runs.values()), extremes)
    grown = {label: _restricted(run, first) for (label, run), first in zip(runs.items(), firsts, strict=True)}
    update = {
        "several": shared.several,
        "unit": unit_shown(runs.values()),
        "positions": _new_positions(grown, shared),
        "log_epochs": log_epoch_data(runs),
        "history": history_points(runs, grown),
        "runs": [
            _grown(run, grown[label], first, frame, reach, shared)
            for (label, run), first, frame, reach in zip(runs.items(), firsts, frames, extremes, strict=True)
        ],
    }
    return update, extremes


def has_chosen_rows(runs: Mapping[str, Run]) -> bool:
    """Whether a page shows some of many classes: which ones follows from the last record, so it has to be made anew."""
    if any(len(run.class_names or ()) > MOST_CLASSES for run in runs.values()):
        return True
    lasts = [(record, split) for run in runs.values() for record in run.records[-1:] for split in record.splits]
    return any(has_many(record.measurement(split)) for record, split in lasts)


def history_key(section: str, panel: str) -> str:
    """Name of a panel among all of them: a training loop may record a number that is measured, too."""
    return f"{section}/{panel}"


def history_points(runs: Mapping[str, Run], grown: Mapping[str, Run]) -> dict[str, dict[str, Any]]:
    """Points of every scalar by panel and line; the page has their axes and colors.

    Args:
        runs: with all their records.
        grown: the same with the new ones alone. A line of several seeds comes as a whole all the same: a new record of
            one of them moves means that were drawn before.
    """
    joint = [escaped(seeds.label) for seeds in seeds_of(runs) if seeds.several]

    def is_joint(name: str) -> bool:
        return any(name == label or name.startswith(f"{label} · ") for label in joint)

    points = _points(grown, lambda name: not is_joint(name))
    if joint and any(run.records for run in grown.values()):
        for key, lines in _points(runs, is_joint).items():
            points.setdefault(key, {}).update({name: line | {"whole": True} for name, line in lines.items()})
    return points


def _points(runs: Mapping[str, Run], wanted: Callable[[str], bool]) -> dict[str, dict[str, Any]]:
    kept = ("x", "y", "low", "high")
    return {
        history_key(section.title, panel.name): {
            trace["name"]: {end: trace[end] for end in kept if end in trace}
            for trace in history_spec(panel)["data"]
            if wanted(trace["name"])
        }
        for section in history_sections(runs)
        for panel in section.panels
    }


def _start(run: Run, first: int) -> int:
    """Where to begin, so that eigenfunctions are recognized from the record before the first new one."""
    start = min(first, len(run.records))
    missing = set(run.splits)
    while start > 0 and missing:
        start -= 1
        missing -= set(run.records[start].splits)
    # Where a split was never measured before, nothing of it can be followed, and the walk was for nothing.
    return start if not missing else max(min(first, len(run.records)) - 1, 0)


def _restricted(run: Run, first: int) -> Run:
    # All splits by name: colors and dashes follow their order in the whole run.
    return replace(run, records=run.records[first:], header={**run.header, "splits": list(run.splits)})


def _new_positions(runs: Mapping[str, Run], shared: Shared) -> list[dict[str, Any]]:
    keys = {position_of(record, shared.several) for run in runs.values() for record in run.records if record.splits}
    return position_data(sorted(keys), unit_shown(runs.values()), shared.several)


def _grown(
    run: Run, grown: Run, first: int, frame: dict[str, Any] | None, extremes: Extremes, shared: Shared
) -> dict[str, Any]:
    fresh: dict[str, Any] = {"first": first, **summary_data(run, extremes, shared)}
    if frame is None:
        return fresh
    return fresh | record_data(grown, frame, shared.several) | {"limits": _limits(frame)}


def _limits(frame: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Ends of the colors of each map, and its columns; the page widens its own to them."""
    limits: dict[str, dict[str, Any]] = {}
    for (split, mode), heat in frame["map_specs"].items():
        columns = max((len(m["z"][0]) for m in frame["maps"][split][mode] if m), default=1)
        ends = {"low": heat.low, "high": heat.high, "limit": finite(heat.high, 3), "columns": columns}
        limits.setdefault(split, {})[mode] = ends
    return limits
