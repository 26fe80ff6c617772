"""What the slider shows: curves, maps, gallery ends and regimes of every record, small enough for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.figures import class_map, span_map, spectrum_of, turned, turned_values
from phiscope.figures.classes import obstacle
from phiscope.figures.model import HeatMap
from phiscope.figures.spectra import CURVES, DENSE, FLOOR, band, curve, drawn_indices, feature_marks
from phiscope.figures.why import place_of
from phiscope.page.charts import finite, rounded
from phiscope.page.class_search import class_search
from phiscope.page.gallery import SHOWN_EXTREMES, gallery_frame, gallery_values, looks_frame, restricted_frame
from phiscope.page.planes import Values, plane_frame
from phiscope.page.room import Room
from phiscope.page.tracks import TrackValues
from phiscope.page.turned import turn_from
from phiscope.spectrum.clusters import degenerate_clusters

if TYPE_CHECKING:
    from phiscope.analysis.rotation import Rotated
    from phiscope.measurement.record import Measurement
    from phiscope.runs import Record, Run

MODES = {"raw": False, "centered": True}
"""Name of each operator and whether it is the centered one."""

PICTURES = ("curves", "maps", "gallery", "looks", "restricted", "planes", "turns")
"""What a frame has of each record for each split and operator."""

LIVE_SHARE = 0.9
"""So much of the drawn spectrum decides how far down the axis goes; the rest may run out at the bottom."""

Frame = dict[str, Any]


def run_frames(run: Run, first: int = 0, *, tracked: int | None = None) -> Frame:
    """Every record of a run, ready for JSON.

    Of a long run not all records have maps, galleries and values on single samples: the first, the last and evenly
    spaced ones have.

    Args:
        run: the run.
        first: position of the record to begin with; the lists of what is returned begin there, too.
        tracked: position of the record from which eigenfunctions are followed; None begins with `first`.

    Returns:
        ``curves``, ``maps``, ``gallery``, ``looks`` (gradients by the input), ``restricted`` (the network on its
        leading functions alone), ``planes`` and ``turns`` (what differs when rotated toward the classes) by split and
        operator, one entry a record (None where nothing was measured); ``tracks`` by split, operator and
        ``diagonalized`` or ``rotated``; ``regimes`` and ``intervals`` by split; ``map_specs`` by split and operator;
        by split ``unturned``, why nothing can be rotated, and ``searches``, see `class_search`; ``lowest``, the
        smallest drawn relative eigenvalue, and ``widest``, the largest k.
    """
    frames = _Frames(run)
    start = first if tracked is None else min(tracked, first)
    for position, record in enumerate(run.records[start:], start=start):
        frames.follow(position, record)
        if position >= first:
            frames.add(position, record)
    return frames.result()


class _Frames:
    """Walks the records once, because opening a long run's measurements twice would double the wait."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # Of many classes a map shows the same ones at all records, or nobody could follow them.
        self._searches = {split: class_search(run, split) for split in run.splits}
        self._rows = {split: found.shown for split, found in self._searches.items() if found is not None}
        self._tables: dict[str, Any] = {
            kind: {split: {mode: [] for mode in MODES} for split in run.splits} for kind in PICTURES
        }
        self._tracks = {split: {mode: TrackValues() for mode in MODES} for split in run.splits}
        self._unturned: dict[str, str] = {}
        self._regimes: dict[str, list[Frame | None]] = {split: [] for split in run.splits}
        self._intervals: dict[str, list[Frame]] = {split: [] for split in run.splits}
        self._last_map: dict[tuple[str, str], HeatMap] = {}
        self._lowest, self._widest = 1.0, 1
        self._room = Room(run, len(MODES))
        self._seen: dict[tuple[str, str], tuple[Measurement, Values | None, Rotated | None, Mapping[str, Any]]] = {}

    def follow(self, position: int, record: Record) -> None:
        """Open one record's measurements, and follow its eigenfunctions."""
        self._seen = {}
        for split in (split for split in self._run.splits if split in record.splits):
            measurement, extras = record.measurement(split), record.extras(split)
            for mode, centered in MODES.items():
                values = gallery_values(extras.get(f"gallery_{mode}"))
                rotated = turned(measurement, centered=centered, count=0 if values is None else values.shape[1])
                self._seen[split, mode] = measurement, values, rotated, extras
                if values is not None:
                    moved = None if rotated is None else turned_values(rotated, values)[0]
                    self._tracks[split][mode].add(position, values, moved)

    def add(self, position: int, record: Record) -> None:
        """What the page shows of the record that was opened last."""
        for split in self._run.splits:
            measurement = record.measurement(split) if split in record.splits else None
            self._regimes[split].append(None if measurement is None else evidence_frame(measurement))
            self._intervals[split].append({} if measurement is None else interval_frame(measurement))
            for mode, centered in MODES.items():
                shown: Frame = {}
                if measurement is not None:
                    self._unturned[split] = obstacle(measurement, centered=centered)
                    shown = self._pictures(position, split, mode)
                for kind, table in self._tables.items():
                    table[split][mode].append(shown.get(kind))

    def _pictures(self, position: int, split: str, mode: str) -> Frame:
        """Curves, and map, gallery, plane and what rotating changes as far as there is room for them."""
        measurement, values, rotated, extras = self._seen[split, mode]
        centered = MODES[mode]
        shown: Frame = {
            "curves": self._curves(measurement, centered),
            "restricted": restricted_frame(extras) if centered else None,
        }
        mapped = self._room.has("maps", position)
        ends = self._room.has("gallery", position)
        if mapped:
            shown["maps"] = self._map(split, mode, measurement)
        if ends:
            shown["gallery"] = gallery_frame(values)
            shown["looks"] = looks_frame(extras, 0 if values is None else len(values)) if centered else None
        if values is not None:
            # A byte of a gradient takes a quarter of what a number does.
            self._room.takes(
                "gallery", 4 * SHOWN_EXTREMES * values.shape[1] + np.size(extras.get("look_cells", ())) // 4
            )
            functions = self._room.functions(*values.shape)
            if self._room.has("planes", position):
                shown["planes"] = plane_frame(values[:, :functions], _clusters(measurement, functions, centered))
        if rotated is not None:
            turn = turn_from(rotated, values, rows=self._rows.get(split), cells=mapped, ends=ends)
            shown["turns"] = turn.frame
            self._widen(split, mode, turn.heat)
        return shown

    def _curves(self, measurement: Measurement, centered: bool) -> Frame:
        frame = curve_frame(measurement, centered=centered)
        if frame["k"]:
            # Dead directions at the end of an early spectrum would press the picture into its upper half.
            drawn = [value for value in frame["eigenvalues"] if value]
            drawn = drawn[: max(1, int(LIVE_SHARE * len(drawn)))]
            self._lowest = max(FLOOR, min([self._lowest, *drawn]))
            self._widest = max(self._widest, frame["k"][-1])
        return frame

    def _map(self, split: str, mode: str, measurement: Measurement) -> Frame | None:
        names, rows = self._run.class_names, self._rows.get(split)
        heat = class_map(measurement, centered=MODES[mode], class_names=names, rows=rows)
        heat = heat or span_map(measurement, centered=MODES[mode])
        if heat is None:
            return None
        previous = self._last_map.get((split, mode))
        self._last_map[split, mode] = heat if previous is None else _wider(previous, heat)
        # Rotated toward the classes there is a second one.
        self._room.takes("maps", 2 * len(heat.values) * len(heat.values[0]))
        return map_frame(heat)

    def _widen(self, split: str, mode: str, heat: HeatMap | None) -> None:
        previous = self._last_map.get((split, mode))
        if previous is not None and heat is not None and heat.high > previous.high:
            self._last_map[split, mode] = replace(previous, low=heat.low, high=heat.high)

    def result(self) -> Frame:
        return {
            **self._tables,
            "tracks": {
                split: {m: v.pictures(self._run) for m, v in kept.items()} for split, kept in self._tracks.items()
            },
            "unturned": self._unturned,
            "regimes": self._regimes,
            "intervals": self._intervals,
            "map_specs": self._last_map,
            "searches": {split: None if one is None else one.frame for split, one in self._searches.items()},
            "lowest": self._lowest,
            "widest": self._widest,
        }


def _clusters(measurement: Measurement, functions: int, centered: bool) -> tuple[tuple[int, int], ...]:
    strengths = spectrum_of(measurement, centered=centered).eigenvalues[:functions]
    return degenerate_clusters(strengths, n_samples=measurement.independent_samples)


def _wider(one: HeatMap, other: HeatMap) -> HeatMap:
    """The map with the larger color range: colors must mean the same at every epoch."""
    return one if one.high >= other.high else other


def curve_frame(measurement: Measurement, *, centered: bool) -> Frame:
    """The three curves at the drawn k, to less than a pixel, with 95 % bands by curve where there are any.

    A curve that was not measured is None. ``quality`` and ``utilization`` of single eigenfunctions end where no table
    and no line shows them.
    """
    spectrum = spectrum_of(measurement, centered=centered)
    kept = drawn_indices(spectrum.eigenvalues.size, feature_marks(measurement, centered=centered))
    bands = {name: band(measurement, name, centered=centered) for name, _, _ in CURVES}
    frame: Frame = {"k": (kept + 1).tolist()}
    known = {
        name: [[finite(float(end[k]), 3) if k < end.size else None for k in kept.tolist()] for end in ends]
        for name, ends in bands.items()
        if ends is not None
    }
    if known:
        frame["bands"] = known
    for name, _, _ in CURVES:
        values = curve(spectrum, name)
        frame[name] = None if values is None else [finite(value, 3) for value in values[kept].tolist()]
    for name in ("quality", "utilization"):
        values = getattr(spectrum, name)
        frame[name] = None if values is None else [finite(value, 3) for value in values[kept[:DENSE]].tolist()]
    return frame


def map_frame(heat: HeatMap) -> Frame:
    """Cells with two decimals, and the clusters of nearly equal eigenvalues, with whether the last one goes on."""
    clusters = [[start + 1, stop] for start, stop in heat.clusters]
    return {"z": rounded(heat.values), "clusters": clusters, **({"goes_on": True} if heat.goes_on else {})}


def evidence_frame(measurement: Measurement) -> Frame | None:
    """The regime with the numbers that decided."""
    evidence = measurement.evidence
    if evidence is None or evidence.output_rank == 0:
        return None
    place = place_of(evidence)
    return {
        "regime": evidence.regime,
        "even": None if place is None else finite(place[1], 3),
        "rank": evidence.output_rank,
        "k90": evidence.k90,
        "used": finite(evidence.used_variance, 3),
        "cliff": finite(evidence.cliff, 3),
        "distance": finite(evidence.dynamical_low_rank, 3),
        "similarity": finite(evidence.initial_kernel_similarity, 3),
        "sentence": evidence.sentence(),
    }


def interval_frame(measurement: Measurement) -> Frame:
    """The 95 % interval of every number that has one."""
    names = [name for name in measurement.numbers if name.removesuffix("_corrected") in measurement.estimates]
    ends = {name: [finite(end, 3) for end in measurement.interval(name)] for name in names}
    return {name: pair for name, pair in ends.items() if None not in pair}
