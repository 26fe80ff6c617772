"""The figures of a run by name: those of one of its records, and those of its whole training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, MissingNumberError, RunError, UnknownNameError
from phiscope.figures.extremes import as_images, extreme_samples
from phiscope.figures.history import history_sections
from phiscope.figures.model import Axis, Dots, Panel, Pictures, Sheet
from phiscope.figures.palette import OKABE_ITO
from phiscope.figures.paper.captions import MADE, of_whom, why_caption
from phiscope.figures.paper.sheets import OF_MEASUREMENTS, flow_sheet, measurement_sheet
from phiscope.figures.paper.theory_sheets import widths_sheet
from phiscope.figures.tracks import track_picture
from phiscope.figures.why import why_panel
from phiscope.inputs.arrays import brief
from phiscope.inputs.settings import is_between, is_word
from phiscope.runs import Record, Run
from phiscope.runs.units import at_words
from phiscope.typing import FloatArray

OF_TRAININGS = ("timeline", "flow", "gallery", "gradients", "plane")
"""Figures that only a run has; "why" shows its path."""

NAMES = (*OF_MEASUREMENTS, *OF_TRAININGS)
"""Every figure of a training's run."""

OF_SWEEPS = ("widths",)
"""Figures of a sweep over widths, which has the others as well."""

TOLD = (
    "dynamical_low_rank_centered",
    "used_variance",
    "effective_dimension_centered",
    "nc1",
    "initial_kernel_similarity",
    "readout_r2",
)
"""Numbers of the timeline, behind what the training loop recorded."""

SYMBOLS = ("circle", "square", "triangle", "diamond", "cross")

NEAR = 12
"""Letters of text on each side of a marked token."""

LOOKS = (
    "Orange: more of this pixel raises the function, blue: it lowers it (its gradient by the input; strongest where "
    "most opaque). "
)

RAISES, LOWERS = (230, 100, 10), (30, 110, 200)
"""Colors of gradients, red, green and blue."""

MOST_DOTS = 2000
"""So many samples of a plane are drawn."""


_DRAWN_ELSEWHERE = {
    "layers": "phiscope.measure_layers(model, data).figure()",
    "comparison": "phiscope.compare(features_a, features_b).figure()",
    "restriction": "phiscope.restrict(measurement, samples, head).figure()",
}
"""Figures of other results, by which names people look for them."""


def run_sheet(
    run: Run, name: str, *, epoch: float | None = None, split: str | None = None, k: tuple[int, int] = (1, 2)
) -> Sheet:
    """A figure of a run by its name.

    Args:
        run: opened.
        name: one of `NAMES`, or of `OF_SWEEPS`.
        epoch: of which record (its step, where the run counts steps); None takes the last measured one.
        split: None takes the first.
        k: of "plane": which two eigenfunctions, counted from 1.

    Raises:
        UnknownNameError: runs have no such figure, or the run has no such split.
        RunError: nothing was measured at that moment, or what the figure needs was not stored.
    """
    if not is_word(name, (*NAMES, *OF_SWEEPS)):
        other = _DRAWN_ELSEWHERE.get(name) if isinstance(name, str) else None
        raise UnknownNameError(
            "figure of a run", name, (*NAMES, *OF_SWEEPS), nearest=None if other is None else [other]
        )
    split = (run.splits[0] if run.splits else "") if split is None else split
    if not is_word(split, run.splits):
        raise UnknownNameError("split", split, run.splits)
    records = [record for record in run.records if split in record.splits]
    record = _at(run, records, epoch)
    if name == "widths":
        return widths_sheet(run)
    if name == "timeline":
        return _timeline(run, records, split)
    if name == "why":
        return _why(records, record, split)
    if name == "flow":
        return _flow(run, records, split)
    if name in ("gallery", "gradients"):
        return _gallery(run, record, split, tinted=name == "gradients")
    if name == "plane":
        return _plane(run, record, split, k)
    words: dict[str, Any] = {"moment": at_words(record.unit, record.at), "split": split, "class_names": run.class_names}
    return measurement_sheet(record.measurement(split), name, **words)


def _at(run: Run, records: Sequence[Record], epoch: float | None) -> Record:
    if not records:
        # What cannot be read is not the same as what nobody measured.
        left = f", or it cannot be read: {run.warnings[0]}" if run.warnings else ""
        more = f" (and {len(run.warnings) - 1} more)" if len(run.warnings) > 1 else ""
        raise RunError(f"nothing was measured in the run {run.path}{left}{more}")
    if epoch is None:
        return records[-1]
    if not is_between(epoch, -math.inf, math.inf):
        raise InputError(f"epoch is {brief(epoch)}, expected the number of a record, such as {records[-1].at:g}")
    nearest = min(records, key=lambda record: abs(record.at - epoch))
    if nearest.at != epoch:
        raise RunError(f"nothing was measured at {at_words(run.unit, epoch)}; the nearest is {nearest.at:g}")
    return nearest


def _timeline(run: Run, records: Sequence[Record], split: str) -> Sheet:
    panels = {panel.name: panel for section in history_sections({run.name: run}) for panel in section.panels}
    trained = [panel for section in history_sections({run.name: run})[:1] for panel in section.panels]
    own = [panel for panel in trained if panel.name not in TOLD][:2]
    # What a number means is for the caption's reader to look up; here its title has to do.
    shown = [*own, *(_with_bands(panels[name], records, split) for name in TOLD if name in panels)]
    shown = [replace(panel, y=replace(panel.y, title="")) for panel in shown]
    last = records[-1].measurement(split)
    caption = (
        f"A training by {run.unit}s: what its loop recorded, and numbers of the features of the penultimate layer. "
        f"Bands on split {split!r}: 95 % confidence intervals of the corrected values. "
        f"{of_whom(last, '', split)} {MADE}"
    )
    return Sheet(name="timeline", headline="", parts=tuple(shown), caption=caption, across=3, height=1.7)


def _with_bands(panel: Panel, records: Sequence[Record], split: str) -> Panel:
    """The line of one split with its intervals."""
    ends: dict[float, tuple[float, float]] = {}
    for record in records:
        try:
            ends[record.at] = record.measurement(split).interval(panel.name)
        except MissingNumberError:
            # A record without shards, or a number without an interval: the line goes on without a band.
            continue
    if not ends or not panel.lines:
        return panel
    place = next((i for i, line in enumerate(panel.lines) if line.label == split), 0)
    line = panel.lines[place]
    nothing = (math.nan, math.nan)
    low, high = (tuple(ends.get(x, nothing)[side] for x in line.x) for side in (0, 1))
    lines = list(panel.lines)
    lines[place] = replace(line, low=low, high=high)
    return replace(panel, lines=tuple(lines))


def _why(records: Sequence[Record], record: Record, split: str) -> Sheet:
    until = [one.measurement(split) for one in records if one.at <= record.at]
    path = [one.evidence for one in until if one.evidence is not None]
    words = f"{at_words(record.unit, records[0].at)} to {record.at:g}"
    panel = why_panel([("", path, OKABE_ITO[0])])
    caption = why_caption(words, until[-1], split)
    return Sheet(name="why", headline="", parts=(panel,), caption=caption, across=1, height=2.6, columns=1)


def _values(record: Record, split: str) -> FloatArray:
    values = record.extras(split).get("gallery_centered")
    if values is None:
        raise RunError(
            "the values of the eigenfunctions on single samples were not stored (an observer with gallery=0, or inputs "
            "that cannot be shown one by one)"
        )
    return np.asarray(values, dtype=np.float64)


def _flow(run: Run, records: Sequence[Record], split: str) -> Sheet:
    values = [(index, _values(record, split)) for index, record in enumerate(records)]
    picture = track_picture(values, [at_words(record.unit, record.at) for record in records])
    if not picture.lines:
        raise RunError(picture.note)
    at = [record.at for record in records]
    return flow_sheet(picture, Axis(title=run.unit, low=at[0], high=at[-1]), at, "record")


def _gallery(run: Run, record: Record, split: str, *, tinted: bool) -> Sheet:
    values, kept = _values(record, split), run.gallery(split)
    if kept is None:
        raise RunError("the run kept no samples to show; an observer with gallery=256 does")
    shown = values[:, : min(6, values.shape[1])]
    ends = extreme_samples(shown, count=5)
    chosen = [(*one.largest, *one.smallest[::-1]) for one in ends]
    images = as_images(kept.inputs) if kept.words is None else None
    over = _tinted(images, record.extras(split)) if tinted and images is not None else {}
    if tinted and not over:
        raise RunError("the run kept no gradients by images; an observer of images with gradients=8 does")
    if over:
        # Functions without a gradient would stand there as plain pictures.
        chosen = chosen[: 1 + max(row for row, _ in over)]
    said = kept.words
    captions = tuple(
        tuple(f"{_class_of(run, kept.targets, i)} {shown[i, row]:+.1f}".strip() for i in places)
        for row, places in enumerate(chosen)
    )
    pictures = Pictures(
        title="Largest (left) and smallest (right)",
        row_labels=tuple(f"e{row + 1}" for row in range(len(chosen))),
        captions=captions,
        images=()
        if images is None
        else tuple(tuple(over.get((row, i), images[i]) for i in places) for row, places in enumerate(chosen)),
        texts=()
        if images is not None
        else tuple(tuple(_text(kept.inputs[i] if said is None else said[i]) for i in places) for places in chosen),
        gap=len(ends[0].largest) if ends else 0,
    )
    caption = (
        f"Extreme samples of the leading centered eigenfunctions among the {len(shown)} kept ones, with class and "
        "value; each function has mean square 1 over all samples, and its sign is arbitrary. "
        f"{LOOKS if over else ''}"
        f"{of_whom(record.measurement(split), at_words(record.unit, record.at), split)} {MADE}"
    )
    height = 0.35 + 0.55 * len(chosen)
    name = "gradients" if tinted else "gallery"
    return Sheet(name=name, headline="", parts=(pictures,), caption=caption, across=1, height=height)


def _tinted(images: NDArray[np.uint8], extras: Mapping[str, NDArray[Any]]) -> dict[tuple[int, int], NDArray[np.uint8]]:
    """By function and sample the image under the gradient of the function by it, where a record has that."""
    samples, cells = extras.get("look_samples"), extras.get("look_cells")
    if samples is None or cells is None or cells.ndim != 4:
        return {}
    found = {}
    for row, (places, grids) in enumerate(zip(samples.tolist(), cells, strict=True)):
        for place, grid in zip(places, grids.astype(np.float64) / 127, strict=True):
            gray = np.asarray(images[place], dtype=np.float64).mean(axis=2)
            rows, columns = (np.arange(size) * part // size for size, part in zip(gray.shape, grid.shape, strict=True))
            strength = np.sqrt(np.abs(grid))[np.ix_(rows, columns)][..., None] * 0.9
            color = np.where((grid > 0)[np.ix_(rows, columns)][..., None], RAISES, LOWERS)
            found[row, place] = np.asarray((1 - strength) * gray[..., None] + strength * color, dtype=np.uint8)
    return found


def _class_of(run: Run, targets: Any, index: int) -> str:
    if targets is None:
        return ""
    target = np.ravel(targets[index])[0]
    names = run.class_names
    if names is not None and np.issubdtype(np.asarray(targets).dtype, np.integer) and 0 <= target < len(names):
        return names[int(target)]
    return f"{target:.3g}"


def _text(sample: Any) -> str:
    """The first numbers of a sample, or the marked text with its nearest neighbors."""
    if isinstance(sample, tuple):
        before, marked, after = sample
        return f"{before[-NEAR:]}[{marked}]{after[:NEAR]}".replace("\n", " ")
    flat = np.ravel(sample)[:6]
    return "\n".join(f"{value:.2g}" for value in flat)


def _plane(run: Run, record: Record, split: str, k: tuple[int, int]) -> Sheet:
    values, kept = _values(record, split), run.gallery(split)
    if len(k) != 2 or not all(1 <= place <= values.shape[1] for place in k):
        raise InputError(f"k={k!r}; expected two of the {values.shape[1]} eigenfunctions that were stored")
    first, second = (values[:MOST_DOTS, place - 1] for place in k)
    targets = None if kept is None or kept.targets is None else np.asarray(kept.targets)[: len(first)]
    groups = [("", np.ones(len(first), dtype=bool))]
    if targets is not None and targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        members = [targets == one for one in np.unique(targets)]
        groups = [(_class_of(run, targets, int(np.flatnonzero(inside)[0])), inside) for inside in members]
    dots = tuple(
        Dots(
            label=label,
            x=tuple(first[chosen].tolist()),
            y=tuple(second[chosen].tolist()),
            color=OKABE_ITO[index % len(OKABE_ITO)],
            symbol=SYMBOLS[(index // len(OKABE_ITO)) % len(SYMBOLS)],  # type: ignore[arg-type]
        )
        for index, (label, chosen) in enumerate(groups)
    )
    x, y = (Axis(title=f"eigenfunction e{place}") for place in k)
    panel = Panel(name="plane", title=f"Samples in the plane of e{k[0]} and e{k[1]}", x=x, y=y, dots=dots)
    caption = (
        f"Values of the centered eigenfunctions {k[0]} and {k[1]} on {len(first)} of the samples, by class; mean "
        "square 1 over all samples, signs arbitrary. "
        f"{of_whom(record.measurement(split), at_words(record.unit, record.at), split)} {MADE}"
    )
    return Sheet(name="plane", headline="", parts=(panel,), caption=caption, across=1, height=2.6, columns=1)
