"""What the slider shows: curves, maps, gallery ends and regimes of every record, small enough for a page."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phiscope.figures import class_map, span_map, spectrum_of
from phiscope.figures.classes import obstacle
from phiscope.figures.model import HeatMap
from phiscope.figures.spectra import CURVES, FLOOR, curve, drawn_indices, feature_marks
from phiscope.page.charts import finite, rounded
from phiscope.page.class_search import class_search
from phiscope.page.gallery import gallery_frame, gallery_values
from phiscope.page.planes import BYTE_BUDGET, Values, plane_frame, thinned
from phiscope.page.tracks import TrackValues
from phiscope.page.turned import Turn, turn_of
from phiscope.spectrum.clusters import degenerate_clusters

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement
    from phiscope.runs import Record, Run

MODES = {"raw": False, "centered": True}
"""Name of each operator and whether it is the centered one."""

CELL_BUDGET = 300_000
"""At most about so many heat-map cells of one run go into the page; beyond, only some epochs have a map."""

LIVE_SHARE = 0.9
"""So much of the drawn spectrum decides how far down the axis goes; the rest may run out at the bottom."""

Frame = dict[str, Any]


def run_frames(run: Run, first: int = 0) -> Frame:
    """Every record of a run, ready for JSON.

    Args:
        run: the run.
        first: position of the record to begin with; the lists of what is returned begin there, too.

    Returns:
        ``curves``, ``maps``, ``gallery``, ``planes`` and ``turns`` (what differs when rotated toward the classes) by
        split and operator, one entry a record (None where nothing was measured); ``tracks`` by split, operator and
        ``diagonalized`` or ``rotated``; ``regimes`` and ``intervals`` by split; ``map_specs`` by split and operator;
        by split ``unturned``, why nothing can be rotated, and ``searches``, see `class_search`; ``lowest``, the
        smallest drawn relative eigenvalue, and ``widest``, the largest k.
    """
    frames = _Frames(run)
    for position, record in enumerate(run.records[first:], start=first):
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
            kind: {split: {mode: [] for mode in MODES} for split in run.splits}
            for kind in ("curves", "maps", "gallery", "planes", "turns")
        }
        self._tracks = {split: {mode: TrackValues() for mode in MODES} for split in run.splits}
        self._unturned: dict[str, str] = {}
        self._regimes: dict[str, list[Frame | None]] = {split: [] for split in run.splits}
        self._intervals: dict[str, list[Frame]] = {split: [] for split in run.splits}
        self._last_map: dict[tuple[str, str], HeatMap] = {}
        self._lowest, self._widest, self._cells = 1.0, 1, 0

    def add(self, position: int, record: Record) -> None:
        for split in self._run.splits:
            measurement = record.measurement(split) if split in record.splits else None
            self._regimes[split].append(None if measurement is None else evidence_frame(measurement))
            self._intervals[split].append({} if measurement is None else interval_frame(measurement))
            extras = record.extras(split) if measurement is not None else {}
            for mode, centered in MODES.items():
                self._add_curves(split, mode, measurement, centered)
                self._add_map(split, mode, measurement, centered)
                values = gallery_values(extras.get(f"gallery_{mode}"))
                self._tables["gallery"][split][mode].append(gallery_frame(values))
                self._add_plane(split, mode, measurement, values)
                turn = (
                    None
                    if measurement is None
                    else turn_of(measurement, values, centered=centered, rows=self._rows.get(split))
                )
                self._add_turn(split, mode, turn)
                if measurement is not None:
                    self._unturned[split] = obstacle(measurement, centered=centered)
                if values is not None:
                    self._tracks[split][mode].add(position, values, None if turn is None else turn.values)

    def _add_curves(self, split: str, mode: str, measurement: Measurement | None, centered: bool) -> None:
        frame = None if measurement is None else curve_frame(measurement, centered=centered)
        self._tables["curves"][split][mode].append(frame)
        if frame is not None and frame["k"]:
            # Dead directions at the end of an early spectrum would press the picture into its upper half.
            drawn = [value for value in frame["eigenvalues"] if value]
            drawn = drawn[: max(1, int(LIVE_SHARE * len(drawn)))]
            self._lowest = max(FLOOR, min([self._lowest, *drawn]))
            self._widest = max(self._widest, frame["k"][-1])

    def _add_map(self, split: str, mode: str, measurement: Measurement | None, centered: bool) -> None:
        heat = None
        if measurement is not None:
            names, rows = self._run.class_names, self._rows.get(split)
            heat = class_map(measurement, centered=centered, class_names=names, rows=rows)
            heat = heat or span_map(measurement, centered=centered)
        if heat is not None:
            previous = self._last_map.get((split, mode))
            self._last_map[split, mode] = heat if previous is None else _wider(previous, heat)
            self._cells += len(heat.values) * len(heat.values[0])
        self._tables["maps"][split][mode].append(None if heat is None else map_frame(heat))

    def _add_plane(self, split: str, mode: str, measurement: Measurement | None, values: Values | None) -> None:
        clusters: tuple[tuple[int, int], ...] = ()
        if measurement is not None and values is not None:
            strengths = spectrum_of(measurement, centered=MODES[mode]).eigenvalues[: values.shape[1]]
            clusters = degenerate_clusters(strengths, n_samples=measurement.independent_samples)
        self._tables["planes"][split][mode].append(plane_frame(values, clusters))

    def _add_turn(self, split: str, mode: str, turn: Turn | None) -> None:
        if turn is not None:
            previous = self._last_map.get((split, mode))
            if previous is not None and turn.heat.high > previous.high:
                self._last_map[split, mode] = replace(previous, low=turn.heat.low, high=turn.heat.high)
            self._cells += turn.cells
        self._tables["turns"][split][mode].append(None if turn is None else turn.frame)

    def result(self) -> Frame:
        keep_every = max(1, -(-self._cells // CELL_BUDGET))
        count = max(map(len, self._regimes.values()), default=0)
        dropped = {i for i in range(count - 1) if i % keep_every}
        for split, mode in itertools.product(self._run.splits, MODES):
            self._drop_maps(split, mode, dropped)
            share = BYTE_BUDGET // (len(self._run.splits) * len(MODES))
            self._tables["planes"][split][mode] = thinned(self._tables["planes"][split][mode], share)
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

    def _drop_maps(self, split: str, mode: str, dropped: set[int]) -> None:
        for i in dropped:
            self._tables["maps"][split][mode][i] = None
            turn = self._tables["turns"][split][mode][i]
            if turn is not None:
                turn["columns"] = {}


def _wider(one: HeatMap, other: HeatMap) -> HeatMap:
    """The map with the larger color range: colors must mean the same at every epoch."""
    return one if one.high >= other.high else other


def curve_frame(measurement: Measurement, *, centered: bool) -> Frame:
    """The three curves at the drawn k; a curve that was not measured is None."""
    spectrum = spectrum_of(measurement, centered=centered)
    kept = drawn_indices(spectrum.eigenvalues.size, feature_marks(measurement, centered=centered))
    frame: Frame = {"k": (kept + 1).tolist()}
    for name, _, _ in CURVES:
        values = curve(spectrum, name)
        frame[name] = None if values is None else [finite(value, 4) for value in values[kept].tolist()]
    for name in ("quality", "utilization"):
        values = getattr(spectrum, name)
        frame[name] = None if values is None else [finite(value, 3) for value in values[kept].tolist()]
    return frame


def map_frame(heat: HeatMap) -> Frame:
    """Cells with two decimals, and the clusters of nearly equal eigenvalues."""
    return {"z": rounded(heat.values), "clusters": [[start + 1, stop] for start, stop in heat.clusters]}


def evidence_frame(measurement: Measurement) -> Frame | None:
    """The regime with the numbers that decided."""
    evidence = measurement.evidence
    if evidence is None or evidence.output_rank == 0:
        return None
    return {
        "regime": evidence.regime,
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
