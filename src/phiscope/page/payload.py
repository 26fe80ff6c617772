"""Everything the page's script needs, as JSON-ready data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from phiscope.analysis.rotation import NEARLY_EQUAL
from phiscope.figures import as_images, log_epochs, operator_figure
from phiscope.figures.classes import MOST_CLASSES
from phiscope.figures.palette import GHOST, OKABE_ITO, ON_DARK
from phiscope.figures.seeds import color_of_each
from phiscope.figures.spectra import band_reason
from phiscope.figures.tracks import GONE
from phiscope.figures.why import LEAST, LEVELS, NOWHERE, why_panel
from phiscope.metrics import DEFINITIONS
from phiscope.metrics.regime import MINIMAL_DISTANCE, MINIMAL_USED_VARIANCE
from phiscope.page.charts import finite, map_spec, panel_layout, visible
from phiscope.page.frames import MODES, run_frames
from phiscope.page.gallery import Sprite, input_names, input_words, sprite_of, target_words
from phiscope.page.planes import group_data
from phiscope.page.tracks import lowest_strength, track_layouts
from phiscope.page.turned import gap_words
from phiscope.page.words import REGIME_TITLES, answer_names, moment_words
from phiscope.runs.units import Unit, at_words

if TYPE_CHECKING:
    from phiscope.runs import Record, Run

Key = tuple[float, int]


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """How far the pictures of one run reach, which decides their axes.

    Attributes:
        lowest: smallest relative eigenvalue that a spectrum shows.
        widest: largest k.
        functions: most eigenfunctions followed at one record, 0 where none are.
        faintest: smallest relative eigenvalue on a line of a followed eigenfunction.
    """

    lowest: float = 1.0
    widest: float = 1.0
    functions: int = 0
    faintest: float = 1.0

    def wider(self, other: Extremes) -> Extremes:
        """What holds both."""
        return Extremes(
            lowest=min(self.lowest, other.lowest),
            widest=max(self.widest, other.widest),
            functions=max(self.functions, other.functions),
            faintest=min(self.faintest, other.faintest),
        )


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all runs of a page have in common, so that their pictures can be compared.

    Attributes:
        positions: where the slider can stand.
        several: whether epochs alone do not tell the positions apart.
        top: right end of the axis of k.
        lowest: lower end of the axis of strength.
    """

    positions: list[Key]
    several: bool
    top: float
    lowest: float


def page_data(runs: Mapping[str, Run]) -> dict[str, Any]:
    """Frames of all runs, the slider's positions, and the layouts of the picture.

    Args:
        runs: the runs by the label under which they are shown.

    Returns:
        A dictionary of JSON types only: NaN and infinite values are None.
    """
    frames = [run_frames(run) for run in runs.values()]
    shared = shared_by(list(runs.values()), [extremes_of(frame) for frame in frames])
    unit = unit_shown(runs.values())
    return {
        "positions": position_data(shared.positions, unit, shared.several),
        "several": shared.several,
        "splits": list(dict.fromkeys(split for run in runs.values() for split in run.splits)),
        "ghost": GHOST,
        "dark": dict(ON_DARK),
        "why": why_data(),
        "regimes": {name: title for name, title in REGIME_TITLES.items() if name is not None},
        "gone": GONE,
        "flow_colors": OKABE_ITO,
        "wide": 1 / NEARLY_EQUAL,
        "log_epochs": log_epoch_data(runs),
        "unit": unit,
        "runs": [
            _run_data(color, label, run, frame, shared)
            for color, (label, run), frame in zip(color_of_each(runs), runs.items(), frames, strict=True)
        ],
    }


def why_data() -> dict[str, Any]:
    """The plane of used variance and evenness without its points, which the page has with its regimes.

    How far the axis of evenness reaches follows from the points, so that it is left to the page, too.
    """
    return {
        "layout": panel_layout(why_panel([])),
        "levels": list(LEVELS),
        "nowhere": NOWHERE,
        "least": LEAST,
        "distance": MINIMAL_DISTANCE,
        "used": MINIMAL_USED_VARIANCE,
    }


def unit_shown(runs: Iterable[Run]) -> Unit:
    """What the page's one axis of time counts."""
    return next((run.unit for run in runs if run.records), "epoch")


def shared_by(runs: Sequence[Run], extremes: Sequence[Extremes]) -> Shared:
    """What these runs have in common, from how far the pictures of each reach."""
    positions, several = slider_positions(runs)
    return Shared(
        positions=positions,
        several=several,
        top=1.15 * max((one.widest for one in extremes), default=1),
        # At least a decade and a half, so that a flat early spectrum looks flat.
        lowest=min(0.03, 0.5 * min((one.lowest for one in extremes), default=1.0)),
    )


def extremes_of(frame: Mapping[str, Any], before: int = 0) -> Extremes:
    """How far the pictures of one run reach.

    Args:
        frame: from `run_frames`.
        before: so many records of the run come before those of the frame.
    """
    functions, faintest = 0, 1.0
    for split, by_mode in frame["tracks"].items():
        for mode, pictures in by_mode.items():
            curves = [None] * before + frame["curves"][split][mode]
            functions = max([functions, *(picture["functions"] for picture in pictures.values())])
            faintest = min([faintest, *(lowest_strength(picture, curves) for picture in pictures.values())])
    return Extremes(lowest=frame["lowest"], widest=frame["widest"], functions=functions, faintest=faintest)


def position_data(positions: Iterable[Key], unit: Unit, several: bool) -> list[dict[str, Any]]:
    """Where the slider can stand, each with its words; the step only where epochs do not tell them apart."""
    return [
        {"epoch": at, "step": step, "label": f"{at_words(unit, at)}, step {step}"}
        if several
        else {"epoch": at, "label": at_words(unit, at)}
        for at, step in positions
    ]


def log_epoch_data(runs: Mapping[str, Run]) -> dict[str, Any] | None:
    """The logarithmic axis of time, None where it does not help."""
    axis = log_epochs(record.at for run in runs.values() for record in run.records)
    return None if axis is None else asdict(axis)


def slider_positions(runs: Sequence[Run]) -> tuple[list[Key], bool]:
    """Every measured moment of all runs in order, and whether epochs alone do not tell them apart."""
    several = any(len({r.at for r in _measured(run)}) < len(_measured(run)) for run in runs)
    keys = {position_of(record, several) for run in runs for record in _measured(run)}
    return sorted(keys), several


def _measured(run: Run) -> list[Record]:
    return [record for record in run.records if record.splits]


def position_of(record: Record, several: bool) -> Key:
    """Where the slider stands for a record."""
    return (float(record.at), int(record.step or 0) if several else 0)


def _latest(run: Run, shared: Shared) -> list[int]:
    """For each slider position the run's latest measured record by then, -1 before its first."""
    moments = sorted((position_of(record, shared.several), i) for i, record in enumerate(run.records) if record.splits)
    # A run of an older format may step back: of the records up to a moment, the last one stored counts.
    latest = list(accumulate((i for _, i in moments), max))
    keys = [key for key, _ in moments]
    places = [bisect_right(keys, position) for position in shared.positions]
    return [latest[place - 1] if place else -1 for place in places]


def _run_data(color: str, label: str, run: Run, frame: dict[str, Any], shared: Shared) -> dict[str, Any]:
    return {
        "label": label,
        "color": color,
        "at": _latest(run, shared),
        "splits": list(run.splits),
        "classes": _named_classes(run, frame),
        "searches": frame["searches"],
        "samples": {split: sample_data(run, split) for split in run.splits},
        "map_specs": _map_specs(frame),
        "columns": input_names(run),
        **record_data(run, frame, shared.several),
        **summary_data(run, extremes_of(frame), shared),
    }


RECORD_TABLES = ("curves", "maps", "gallery", "looks", "restricted", "planes", "turns", "regimes", "intervals")
"""What a frame says of each record."""


def record_data(run: Run, frame: Mapping[str, Any], several: bool) -> dict[str, Any]:
    """What the page is told of every record, one entry a record.

    Args:
        run: with the records of the frame and no others.
        frame: from `run_frames`.
        several: whether epochs alone do not tell records apart.
    """
    return {
        **{name: frame[name] for name in (*RECORD_TABLES, "tracks", "unturned")},
        "moments": [moment_words(record, with_step=several) for record in run.records],
        "epochs": [record.at for record in run.records],
        **({"steps": [record.step or 0 for record in run.records]} if several else {}),
        "numbers": _numbers(run),
        "scalars": _scalars(run),
    }


def _named_classes(run: Run, frame: dict[str, Any]) -> Any:
    """Names of classes; of many, those alone that functions are turned to: a vocabulary would be half of the page."""
    names = run.class_names
    if names is None or len(names) <= MOST_CLASSES:
        return names
    turns = [turn for by_mode in frame["turns"].values() for kept in by_mode.values() for turn in kept if turn]
    used = {one["toward"] for turn in turns for one in turn["functions"].values()}
    return {str(label): visible(names[label]) for label in sorted(used - {None}) if label < len(names)}


def summary_data(run: Run, extremes: Extremes, shared: Shared) -> dict[str, Any]:
    """What the page is told of a run as a whole, and what its last record decides."""
    sizes = _sizes(run)
    reach = extremes.functions
    return {
        "sizes": sizes,
        "gaps": {split: gap_words(size) for split, size in sizes.items()},
        # For both operators and all splits, so that a switch moves the lines and not the axes.
        "track_layouts": track_layouts(reach, extremes.faintest, run.unit) if reach else {},
        "layouts": _layouts(run, shared),
        "answers": [[name, words] for name, words in answer_names(run)],
        "bandless": bandless(run),
        "extremes": asdict(extremes),
    }


def bandless(run: Run) -> dict[str, str]:
    """By split why the last spectrum has no 95 % band; empty where it has one."""
    last = {split: record for record in run.records for split in record.splits}
    return {split: band_reason(record.measurement(split)) for split, record in last.items()}


def _sizes(run: Run) -> dict[str, int]:
    """Samples measured of each split, for the level that quality reaches by chance."""
    last = {split: record for record in run.records for split in record.splits}
    return {split: record.measurement(split).n_samples for split, record in last.items()}


def _map_specs(frame: dict[str, Any]) -> dict[str, dict[str, Any]]:
    specs: dict[str, dict[str, Any]] = {}
    for (split, mode), heat in frame["map_specs"].items():
        columns = max((len(m["z"][0]) for m in frame["maps"][split][mode] if m), default=1)
        specs.setdefault(split, {})[mode] = map_spec(heat, columns=columns) | {
            "diverging": heat.diverging,
            "limit": finite(heat.high, 3),
            "columns": columns,
        }
    return specs


def _layouts(run: Run, shared: Shared) -> dict[str, Any]:
    """Layouts of the three panels by operator, from the last measurement: marks are the same at all epochs."""
    measured = _measured(run)
    if not measured:
        return {}
    last = measured[-1].measurement()
    layouts: dict[str, Any] = {}
    for mode, centered in MODES.items():
        layouts[mode] = {}
        for panel in operator_figure(last, centered=centered).panels:
            layout = panel_layout(panel, top=shared.top, lowest=shared.lowest)
            layout["yaxis"]["title"]["text"] = ""  # the caption above the panel says it, with its letter
            layouts[mode][panel.name] = {"layout": layout, "note": panel.note}
    return layouts


def _numbers(run: Run) -> dict[str, dict[str, list[float | None]]]:
    """Every measured number by split and name, one value a record."""
    tables: dict[str, dict[str, list[float | None]]] = {}
    for split in run.splits:
        # Numbers stand in the lines: a damaged file takes pictures away, and not these.
        rows = [record.numbers(split) if split in record.measured else {} for record in run.records]
        names = [name for name in dict.fromkeys(n for row in rows for n in row) if name in DEFINITIONS]
        tables[split] = {name: [finite(row.get(name), 4) for row in rows] for name in names}
    return tables


def _scalars(run: Run) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for record in run.records for name in record.scalars)
    return {name: [finite(record.scalars.get(name), 4) for record in run.records] for name in names}


def sample_data(run: Run, split: str) -> dict[str, Any] | None:
    """The gallery samples of one split: one picture, or words; None when the run kept none."""
    gallery = None if split in run.damaged_galleries else run.gallery(split)
    if gallery is None or not len(gallery.inputs):
        return None
    images = as_images(gallery.inputs) if run.header.get("image", True) and gallery.words is None else None
    sprite: Sprite | None = sprite_of(images) if images is not None else None
    return {
        "sprite": None
        if sprite is None
        else {
            "uri": sprite.uri,
            "columns": sprite.columns,
            "rows": sprite.rows,
            "width": sprite.width,
            "height": sprite.height,
        },
        "words": None
        if sprite is not None or gallery.words is not None
        else input_words(gallery.inputs, input_names(run)),
        "marked": gallery.words,
        "targets": target_words(gallery.targets, run.class_names, len(gallery.inputs)),
        "groups": group_data(gallery.targets, run.class_names),
    }
