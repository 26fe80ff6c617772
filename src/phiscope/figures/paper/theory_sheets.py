"""Pictures of the theory: a network's kernels beside their references, and a sweep over widths."""

from __future__ import annotations

from collections.abc import Callable

from phiscope.errors import RunError
from phiscope.figures.model import Axis, Dots, Line, Mark, Panel, Sheet
from phiscope.figures.palette import GHOST, OKABE_ITO
from phiscope.figures.paper.captions import MADE
from phiscope.runs import Run
from phiscope.theory.report import RANDOM_NETWORKS, KernelReport, LayerKernels, Movement

HONEST = "A reference theory, not a diagnosis of a network trained by SGD."

NUMBERS = (
    ("rescale", "Rescaling", "s", 1.0),
    ("rotate", "Rotation", "rotation", None),
    ("alignment_gain", "Alignment gain", "CKA gained", 0.0),
)
"""Name, title, axis, and where a kernel that is as at infinite width stands."""


def kernel_sheet(report: KernelReport) -> Sheet:
    """Rescaling, rotation and alignment gain over the hidden layers.

    Args:
        report: from `phiscope.theory.kernel_report`.
    """
    panels = tuple(_layers_panel(report, *number) for number in NUMBERS)
    theory = report.theory
    beside = (
        ""
        if theory is None
        else f" Squares: the most probable kernels at these widths with noise {theory.noise:g}, residual "
        f"{theory.residual:.1g}, {100 * theory.sample_share:.0f} % of the base sample."
    )
    caption = (
        f"Kernels of the hidden layers of a fully connected network ({report.activation}) on P = {report.n_inputs} "
        "inputs, beside those of infinite width with the same variances of weights. Gray: where 95 % of random "
        f"networks of these widths lie, estimated from {RANDOM_NETWORKS} of them.{beside} {HONEST} {MADE}"
    )
    return Sheet(name="kernels", headline="", parts=panels, caption=caption, across=3)


def _layers_panel(report: KernelReport, name: str, title: str, axis: str, still: float | None) -> Panel:
    x = tuple(float(place) for place in range(1, len(report.layers) + 1))
    dots = [Dots(label="measured", x=x, y=_of(report.layers, name, _measured), color=OKABE_ITO[0])]
    if report.theory is not None:
        y = _of(report.layers, name, _expected)
        dots.append(Dots(label="most probable", x=x, y=y, color=OKABE_ITO[1], symbol="square"))
    lines: tuple[Line, ...] = ()
    if name == "rotate":
        low, high = zip(*(layer.by_chance for layer in report.layers), strict=True)
        middle = tuple((a + b) / 2.0 for a, b in zip(low, high, strict=True))
        lines = (Line(label="by chance", x=x, y=middle, color=GHOST, dash="dotted", low=low, high=high),)
    return Panel(
        name=name,
        title=title,
        x=Axis(title="hidden layer", low=0.5, high=len(x) + 0.5, names=tuple(layer.name for layer in report.layers)),
        y=Axis(title=axis, low=0.0 if name == "rotate" else None),
        lines=lines,
        dots=tuple(dots),
        marks=() if still is None else (Mark(at=still, label="infinite width", axis="y", color=GHOST),),
    )


def _of(layers: tuple[LayerKernels, ...], name: str, which: Callable[[LayerKernels], Movement]) -> tuple[float, ...]:
    return tuple(float(getattr(which(layer), name)) for layer in layers)


def _measured(layer: LayerKernels) -> Movement:
    return layer.movement


def _expected(layer: LayerKernels) -> Movement:
    return layer.movement if layer.expected is None else layer.expected


def widths_sheet(run: Run) -> Sheet:
    """Rotation and alignment gain over the width, sampled and most probable, of a sweep over widths.

    Args:
        run: of the study ``width-theory``.

    Raises:
        RunError: the run is no sweep over widths.
    """
    if run.unit != "width":
        raise RunError(f"{run.path} counts {run.unit}s, and this figure is of a sweep over widths; see width-theory")
    panels = []
    for index, (name, title, axis, _) in enumerate(NUMBERS[1:]):
        x, sampled, error = (_scalar(run, key) for key in ("width", f"sampled_{name}", f"sampled_{name}_error"))
        theory, first = (_scalar(run, f"{order}_{name}") for order in ("theory", "first"))
        lines = [
            Line(
                label="sampled, 95 %",
                x=x,
                y=sampled,
                color=GHOST,
                dash="dotted",
                low=tuple(a - 1.96 * b for a, b in zip(sampled, error, strict=True)),
                high=tuple(a + 1.96 * b for a, b in zip(sampled, error, strict=True)),
            ),
            Line(label="most probable", x=x, y=theory, color=OKABE_ITO[1]),
            Line(label="first order", x=x, y=first, color=OKABE_ITO[2], dash="dashed"),
        ]
        if index == 0:
            slope = tuple(theory[-1] * x[-1] / width for width in x)
            lines.append(Line(label="1/N", x=x, y=slope, color="#000000", dash="dotted"))
        dots = (Dots(label="networks", x=x, y=sampled, color=OKABE_ITO[0]),)
        panel = Panel(
            name=name,
            title=title,
            x=Axis(title="width N", log=True, whole=True),
            y=Axis(title=axis, log=True),
            lines=tuple(lines),
            dots=dots,
        )
        panels.append(panel)
    caption = (
        "Mean kernels of networks under the posterior against the width, beside the most probable kernels, their "
        f"first order in 1/N, and 1/N itself through the last one; {run.header.get('data', 'inputs')}. {HONEST} {MADE}"
    )
    return Sheet(name="widths", headline="", parts=tuple(panels), caption=caption, across=2, height=2.6)


def _scalar(run: Run, name: str) -> tuple[float, ...]:
    if name == "width":
        return tuple(record.at for record in run.records)
    missing = [record.at for record in run.records if name not in record.scalars]
    if missing:
        raise RunError(f"{run.path} has no {name} at width {missing[0]:g}; run the study width-theory again")
    return tuple(record.scalars[name] for record in run.records)
