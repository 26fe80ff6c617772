"""The picture of depth: where in a network do the features become minimal?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phiscope.errors import InputError
from phiscope.figures.model import Axis, Figure, Line, Mark, Panel
from phiscope.figures.palette import OKABE_ITO
from phiscope.figures.tracks import TrackPicture, track_picture
from phiscope.measurement.layers import Layers
from phiscope.measurement.record import Measurement

SHARES = (
    ("dynamical_low_rank", "D_LR"),
    ("used_variance", "used variance U"),
    ("target_alignment", "target alignment"),
    ("readout_r2", "readout R²"),
)
"""Numbers between 0 and 1 of the second panel, with the words of its legend."""


@dataclass(frozen=True, kw_only=True)
class DepthFigure:
    """Panels over depth; the layer at depth k has the k-th name.

    Attributes:
        figure: panels ``dimension``, ``shares`` and ``cumulative_utilization``.
        layers: names of the layers, in forward order.
        headline: where the features become minimal, in words.
    """

    figure: Figure
    layers: tuple[str, ...]
    headline: str


def depth_figure(layers: Layers) -> DepthFigure:
    """Dimensions, shares and the output held by the first r eigenfunctions of each layer, as data.

    Args:
        layers: from `measure_layers`.

    Returns:
        Three panels. The first has centered D_eff and k90, with the output rank r marked; in the third 1 means that r
        eigenfunctions of a layer (or all) hold what the network puts out.
    """
    x = Axis(title="layer", low=0.5, high=max(len(layers), 1) + 0.5, whole=True)
    evidence = [one.evidence for one in layers.values()]
    rank = layers.output_rank
    marks = () if rank is None else (Mark(at=rank, label=f"output rank r = {rank}", axis="y"),)
    dimensions = [one.numbers.get("effective_dimension_centered", math.nan) for one in layers.values()]
    first = [math.nan if one is None or one.k90 is None else float(one.k90) for one in evidence]
    panels = (
        Panel(
            name="dimension",
            title="How many dimensions the features fill",
            x=x,
            y=Axis(title="dimensions", log=True),
            lines=_lines([("D_eff, centered", dimensions), ("k90", first)]),
            marks=marks,
        ),
        Panel(
            name="shares",
            title="How the features are used",
            x=x,
            y=Axis(title="share", low=-0.02, high=1.04),
            lines=_lines(
                [(words, [one.numbers.get(name, math.nan) for one in layers.values()]) for name, words in SHARES]
            ),
        ),
        Panel(
            name="cumulative_utilization",
            title="Output held by eigenfunctions",
            x=x,
            y=Axis(title="Π̂(k), centered", low=-0.02, high=1.04),
            lines=_lines(
                [
                    ("by the first r", [_held(one, rank) for one in layers.values()]),
                    ("by all: a linear head's reach", [_held(one, one.n_features) for one in layers.values()]),
                ]
            ),
        ),
    )
    return DepthFigure(
        figure=Figure(title="Features over depth", panels=panels), layers=tuple(layers), headline=_headline(layers)
    )


FOLLOWED = 12
"""At most so many eigenfunctions of each layer are followed."""


def depth_flow(layers: Layers) -> tuple[tuple[str, ...], TrackPicture]:
    """Which eigenfunction of a layer is which of the layer before, by squared overlaps on the samples they share.

    Args:
        layers: from `measure_layers`.

    Returns:
        The layers that have one row a sample, in forward order, and the centered eigenfunctions followed through them.

    Raises:
        InputError: fewer than two layers have one row a sample, or there are too few samples.
    """
    names = tuple(name for name in layers if name in layers.samples)
    if len(names) < 2:
        raise InputError(
            f"{len(names)} of {len(layers)} layers have one row a sample, and following eigenfunctions takes two; "
            'measure more layers, or read maps and tokens with maps="pooled" and tokens="pooled"'
        )
    n_samples = len(layers.samples[names[0]])
    # Of as many functions as samples every overlap would be large.
    followed = min(FOLLOWED, n_samples // 4)
    values = [
        (depth, layers[name].eigenfunctions(layers.samples[name], centered=True)[:, :followed])
        for depth, name in enumerate(names)
    ]
    picture = track_picture(values, [f"layer {name}" for name in names], step="layer")
    if not picture.lines:
        raise InputError(f"eigenfunctions cannot be followed on {n_samples} samples: {picture.note}")
    return names, picture


def _lines(columns: list[tuple[str, list[float]]]) -> tuple[Line, ...]:
    return tuple(
        Line(label=label, x=tuple(map(float, range(1, len(values) + 1))), y=tuple(values), color=OKABE_ITO[index])
        for index, (label, values) in enumerate(columns)
        if any(math.isfinite(value) for value in values)
    )


def _held(one: Measurement, count: int | None) -> float:
    curve = one.centered.cumulative_utilization
    # Of a cut spectrum the curve goes on behind its end.
    if count is None or curve is None or not len(curve) or (one.centered.is_cut and count > len(curve)):
        return math.nan
    return float(curve[min(count, len(curve)) - 1])


def _headline(layers: Layers) -> str:
    where = layers.minimal_from
    if where is None:
        return "The last of these layers is not in the minimal regime."
    depth = list(layers).index(where) + 1
    return f"Minimal from layer {where} on (depth {depth} of {len(layers)})."
