"""The figures of single results by name: of a measurement, of layers, of a comparison, of a restriction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from phiscope.analysis.comparison import Comparison
from phiscope.analysis.restriction import Restriction
from phiscope.errors import InputError, UnknownNameError
from phiscope.figures.classes import class_map, span_map
from phiscope.figures.depth import depth_figure, depth_flow
from phiscope.figures.model import Axis, Dots, HeatMap, Line, Mark, Panel, Sheet
from phiscope.figures.overlaps import overlap_map
from phiscope.figures.palette import GHOST, INK, OKABE_ITO
from phiscope.figures.paper.captions import BANDS, MADE, NOT_ASKED, of_whom, spectrum_caption, why_caption
from phiscope.figures.spectra import band_reason, operator_figure
from phiscope.figures.tracks import TrackLine, TrackPicture
from phiscope.figures.why import why_panel
from phiscope.findings.held_out import quality_null
from phiscope.inputs.settings import is_word
from phiscope.measurement.layers import Layers
from phiscope.measurement.record import Measurement
from phiscope.spectrum.clusters import degenerate_clusters

Words = Mapping[str, Any]
"""What is known about a measurement beside it: "moment" and "split" for captions, "class_names"."""


def spectrum_sheet(measurement: Measurement, *, bands: bool = True, **words: Any) -> Sheet:
    """Spectrum, Pi*(k) and Pihat(k), raw and centered, with 95 % bands unless they would take too long.

    The number of classes (the output rank in regression) is marked, clusters of nearly equal centered eigenvalues are
    shaded in the spectrum, and beside the centered Pi*(k) stands what targets that say nothing would reach.
    """
    centered = operator_figure([("centered", measurement)], centered=True, colors=OKABE_ITO[:1], bands=bands)
    raw = operator_figure([("raw", measurement)], colors=OKABE_ITO[1:2], dashes=["dashed"])
    panels = tuple(
        _joined(first, _with_chance(second, measurement), measurement)
        for first, second in zip(raw.panels, centered.panels, strict=True)
    )
    caption = spectrum_caption(measurement, words.get("moment", ""), words.get("split", ""), bands=bands)
    return Sheet(name="spectrum", headline=headline(measurement), parts=panels, caption=caption)


def curves_sheet(measurement: Measurement, *, bands: bool = True, **words: Any) -> Sheet:
    """Pi*(k) and Pihat(k) alone, centered, with bands unless they would take too long."""
    centered = operator_figure([("", measurement)], centered=True, colors=OKABE_ITO[:1], bands=bands)
    parts = tuple(_with_chance(panel, measurement) for panel in centered.panels[1:])
    whom = of_whom(measurement, words.get("moment", ""), words.get("split", ""))
    reason = band_reason(measurement) if bands else NOT_ASKED
    caption = (
        "Shares of the targets, Π*(k), and of the outputs, Π̂(k), in the span of the k leading eigenfunctions of the "
        f"centered feature operator; pure numbers. {whom} {f'No bands: {reason}.' if reason else BANDS} {MADE}"
    )
    return Sheet(name="curves", headline="", parts=parts, caption=caption, across=2)


def classes_sheet(measurement: Measurement, **words: Any) -> Sheet:
    """Which class lives on which eigenfunction; for regression what each eigenfunction holds.

    Raises:
        InputError: there were neither classes nor targets nor outputs.
    """
    heat = class_map(measurement, centered=True, class_names=words.get("class_names"))
    heat = span_map(measurement, centered=True) if heat is None else heat
    if heat is None:
        raise InputError("the class map needs targets or outputs, and features that vary with them")
    whom = of_whom(measurement, words.get("moment", ""), words.get("split", ""))
    cells = (
        "Eigenfunctions have mean square 1 over all samples, so that a cell counts such units; their signs are "
        "arbitrary."
        if heat.diverging
        else "A cell is the share of the eigenfunction, between 0 and 1, that lies in the span of the row."
    )
    bar = "A bar above: nearly equal eigenvalues, whose order means nothing."
    caption = f"{heat.title}, centered. {cells} {bar} {whom} {MADE}"
    return _map_sheet("classes", heat, caption)


def why_sheet(measurement: Measurement, **words: Any) -> Sheet:
    """Where this measurement stands in the plane of U and evenness."""
    evidence = [] if measurement.evidence is None else [measurement.evidence]
    panel = why_panel([("", evidence, OKABE_ITO[0])])
    caption = why_caption(words.get("moment", ""), measurement, words.get("split", ""), course=False)
    return Sheet(name="why", headline="", parts=(panel,), caption=caption, across=1, height=2.6, columns=1)


OF_MEASUREMENTS: dict[str, Callable[..., Sheet]] = {
    "spectrum": spectrum_sheet,
    "curves": curves_sheet,
    "classes": classes_sheet,
    "why": why_sheet,
}
"""Figures that one measurement has."""

OF_LAYERS = ("numbers", "flow")
"""Figures that many layers of a network have."""


def measurement_sheet(measurement: Measurement, name: str = "spectrum", **words: Any) -> Sheet:
    """A figure of one measurement by its name.

    Raises:
        UnknownNameError: measurements have no such figure.
    """
    if not is_word(name, OF_MEASUREMENTS):
        raise UnknownNameError("figure of a measurement", name, OF_MEASUREMENTS)
    return OF_MEASUREMENTS[name](measurement, **words)


def layers_sheet(layers: Layers, name: str = "numbers") -> Sheet:
    """A figure of many layers by its name: dimensions, shares and utilization over depth, or eigenfunctions through it.

    Raises:
        UnknownNameError: layers have no such figure.
        InputError: eigenfunctions cannot be followed through these layers.
    """
    if not is_word(name, OF_LAYERS):
        raise UnknownNameError("figure of layers", name, OF_LAYERS)
    if name == "flow":
        followed, picture = depth_flow(layers)
        depth = Axis(title="", low=0.5, high=len(followed) + 0.5, whole=True, names=followed)
        sheet = flow_sheet(picture, depth, range(1, len(followed) + 1), "layer")
        return replace(sheet, headline="Eigenfunctions from layer to layer")
    told = depth_figure(layers)
    names = Axis(title="", low=0.5, high=max(len(layers), 1) + 0.5, whole=True, names=told.layers)
    parts = tuple(replace(panel, x=names) for panel in told.figure.panels)
    n = next((one.n_samples for one in layers.values()), 0)
    caption = (
        f"{len(layers)} layers on the same n = {n:,} samples, in forward order: centered effective dimension and k90, "
        f"shares between 0 and 1, and the outputs held by eigenfunctions of each layer. {MADE}"
    )
    return Sheet(name="layers", headline=told.headline, parts=parts, caption=caption, height=2.5)


def flow_sheet(picture: TrackPicture, x: Axis, at: Sequence[float], step: str) -> Sheet:
    """Eigenfunctions followed from step to step, each one line.

    Args:
        picture: with lines.
        x: of the steps.
        at: where each step stands on it.
        step: what the steps are: "record" or "layer".
    """
    alone = [
        (float(at[picture.records[line.start]]), float(line.places[0]))
        for line in picture.lines
        if len(line.places) == 1
    ]
    panel = Panel(
        name="flow",
        title="Place of each eigenfunction in the spectrum",
        x=x,
        y=Axis(title="place k", low=picture.functions + 0.7, high=0.3, whole=True),
        lines=tuple(_flow_line(line, picture, at) for line in picture.lines if len(line.places) > 1),
        dots=(Dots(label="", x=tuple(x for x, _ in alone), y=tuple(y for _, y in alone), color=GHOST),)
        if alone
        else (),
    )
    caption = (
        f"Each line is one eigenfunction of the centered operator, followed from {step} to {step} by its squared "
        f"overlap with itself on n = {picture.n_samples} samples, and named by its place at the end; it breaks where "
        f"the overlap is below {picture.least_overlap:g}, and a dot is one that no neighbor has. {picture.note} {MADE}"
    )
    return Sheet(name="flow", headline="", parts=(panel,), caption=caption, across=1, height=2.6, columns=1)


def _flow_line(line: TrackLine, picture: TrackPicture, at: Sequence[float]) -> Line:
    x = tuple(float(at[picture.records[line.start + step]]) for step in range(len(line.places)))
    color, tag = (line.color, f"e{line.places[-1]}") if line.alive else (GHOST, "")
    return Line(label="", x=x, y=tuple(map(float, line.places)), color=color, tag=tag)


def comparison_sheet(comparison: Comparison) -> Sheet:
    """The map of squared overlaps of two feature maps."""
    reading = "centered" if comparison.centered else "raw"
    words = f"{reading} eigenfunctions, n = {comparison.n_samples}, CKA = {comparison.cka:.3f}"
    caption = (
        f"Squared overlaps of the {reading} eigenfunctions of two feature maps on the same "
        f"n = {comparison.n_samples:,} samples; 0: orthogonal, 1: the same function. Bars: nearly equal eigenvalues. "
        f"CKA = {comparison.cka:.3f}. {MADE}"
    )
    return replace(_map_sheet("comparison", overlap_map(comparison), caption), headline=words)


def restriction_sheet(restriction: Restriction) -> Sheet:
    """Accuracy and loss of the head on the k leading eigenfunctions only."""
    k = tuple(float(place) for place in range(len(restriction.loss)))
    x = Axis(title="k eigenfunctions kept", low=0.0, high=max(k[-1], 1.0), whole=True)
    reading = "centered" if restriction.centered else "raw"
    parts = []
    if restriction.accuracy is not None:
        line = Line(label="", x=k, y=tuple(restriction.accuracy.tolist()), color=OKABE_ITO[0])
        least = restriction.least_k()
        marks = () if least is None else (Mark(at=least, label=f"99 % of it at k = {least}", color=INK),)
        y = Axis(title="share right", low=0.0, high=1.04)
        lines = (line, _unrestricted(k, restriction.network_accuracy))
        parts.append(Panel(name="accuracy", title="Accuracy", x=x, y=y, lines=lines, marks=marks))
    line = Line(label="", x=k, y=tuple(restriction.loss.tolist()), color=OKABE_ITO[1])
    nats = "cross-entropy, nats" if restriction.accuracy is not None else "mean squared error"
    lines = (line, _unrestricted(k, restriction.network_loss))
    parts.append(Panel(name="loss", title="Loss", x=x, y=Axis(title=nats, low=0.0), lines=lines))
    caption = (
        f"The trained head on the k leading {reading} eigenfunctions alone; dotted: the network without restriction. "
        f"n = {restriction.n_samples:,} samples. {MADE}"
    )
    return Sheet(name="restriction", headline="", parts=tuple(parts), caption=caption, across=2)


def _unrestricted(k: tuple[float, ...], value: float | None) -> Line:
    """The level of the head that reads everything."""
    level = math.nan if value is None else value
    return Line(label="", x=(k[0], k[-1]), y=(level, level), color=INK, dash="dotted")


def headline(measurement: Measurement) -> str:
    """The regime with its numbers, and of how many samples."""
    facts = f"n = {measurement.n_samples} samples, p = {measurement.n_features} features"
    if measurement.evidence is None or measurement.evidence.output_rank == 0:
        return facts
    evidence = measurement.evidence
    word = "regime cannot be told" if evidence.regime is None else f"{evidence.regime} regime"
    distance = "" if evidence.dynamical_low_rank is None else f", D_LR = {evidence.dynamical_low_rank:.3g}"
    beyond = "k90 never reached" if evidence.n_leading is None else f"k90 above {evidence.n_leading}"
    reached = beyond if evidence.k90 is None else f"k90 = {evidence.k90}"
    return f"{word}: {reached}, output rank r = {evidence.output_rank}{distance}; {facts}"


def _map_sheet(name: str, heat: HeatMap, caption: str) -> Sheet:
    height = min(max(1.1 + 0.13 * len(heat.row_labels), 2.2), 7.5)
    return Sheet(name=name, headline="", parts=(heat,), caption=caption, across=1, height=height)


def _joined(raw: Panel, centered: Panel, measurement: Measurement) -> Panel:
    """Both operators in one panel."""
    marks = [replace(mark, color=OKABE_ITO[1]) for mark in raw.marks]
    marks += [replace(mark, color=OKABE_ITO[0]) for mark in centered.marks]
    shades: tuple[tuple[int, int], ...] = ()
    if raw.name == "eigenvalues":
        n = measurement.independent_samples
        # With what is known to follow a cut: its last eigenvalue may be as near to the next one.
        drawn = len(measurement.centered.eigenvalues)
        found = degenerate_clusters(measurement.centered.known_eigenvalues, n_samples=n)
        shades = tuple((start, min(stop, drawn)) for start, stop in found if start < drawn)
    lines = (*raw.lines, *centered.lines)
    return replace(raw, lines=lines, marks=tuple(marks) if lines else (), shades=tuple(shades))


def _with_chance(panel: Panel, measurement: Measurement) -> Panel:
    """The panel of Pi*(k) with its null level; any other as it is."""
    if panel.name != "cumulative_quality" or not panel.lines:
        return panel
    places = panel.lines[0].x
    level = quality_null(int(places[-1]), measurement.independent_samples)
    heights = tuple(float(level[int(k) - 1]) for k in places)
    chance = Line(label="", tag="by chance", x=places, y=heights, color=INK, dash="dotted")
    return replace(panel, lines=(*panel.lines, chance))
