"""One picture a family: D_LR and test performance through training, and both against each other at the end."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.errors import MissingDependencyError
from phiscope.figures.palette import OKABE_ITO, run_color
from phiscope.reproduction.family import Condition, Results
from phiscope.reproduction.outcome import Outcome
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KNOWN = 0.999
"""Training accuracy from which on the samples are known by heart: four pictures of 4,000 may be wrong."""

_ROW_HEIGHT, _WIDTH = 2.9, 11.0


def family_picture(results: Results) -> str:
    """Draw a family as SVG text; a row for each group of conditions, a color for each condition.

    Thin lines are seeds, thick ones their mean. Step 0 stands at the left end of a logarithmic axis. Where the family
    says so, D_LR begins where the training samples are known by heart.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", purpose="drawing the reproduction", extra="figures") from error
    groups = list(dict.fromkeys(condition.group for condition in results.conditions))
    # Text stays text, and the file is the same whenever it is drawn from the same outcomes.
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": results.family.name,
        "font.size": 9,
        "font.family": "sans-serif",
    }
    with rc_context(style):
        figure = Figure(figsize=(_WIDTH, _ROW_HEIGHT * len(groups)), layout="constrained")
        rows = figure.subplots(len(groups), 3, squeeze=False)
        for group, axes in zip(groups, rows, strict=True):
            # Conditions that read one training are one curve.
            several = {one.setup.key: one for one in reversed(results.conditions) if one.group == group}
            members = list(several.values())[::-1]
            _draw_group(axes, results, members, group)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": "phiscope"})
    return text.getvalue()


def _draw_group(axes: Sequence[Axes], results: Results, members: Sequence[Condition], group: str) -> None:
    number, quality = _numbers(members)
    medium = results.family.medium
    from_known = results.scale == "medium" and medium is not None and medium.from_known
    for index, condition in enumerate(members):
        done = [outcome for outcome in results.outcomes(condition.label) if outcome is not None and outcome.points]
        color, turn = run_color(index), index // len(OKABE_ITO)
        # Past the last color they come again, with dashes and squares.
        look = {"color": color, "linestyle": "--" if turn else "-"}
        _draw_curves(axes[0], done, number, "train", look, condition.label, from_known=from_known)
        _draw_curves(axes[1], done, quality, "test", look, condition.label)
        x, y = results.values(condition.label, number), results.values(condition.label, quality, "test")
        axes[2].plot(x, y, "s" if turn else "o", color=color, markersize=5, alpha=0.85)
    title = f"{group}: " if group else ""
    words = "test R²" if quality.endswith("r2") else "test accuracy"
    for panel, head in zip(
        axes,
        (f"{title}D_LR (train)", words, f"{words} against D_LR"),
        strict=True,
    ):
        panel.set_title(head, fontsize=9.5, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in axes[:2]:
        panel.set_xscale("symlog", linthresh=1, linscale=0.3)
        panel.set_xlim(left=0)
        panel.set_xlabel("steps")
    if from_known:
        axes[0].set_xscale("linear")  # all of it lies in the last decade
        axes[0].set_xlim(left=0)
        axes[0].set_xlabel("steps, from where all samples are known")
        axes[0].locator_params(axis="x", nbins=5)
    axes[2].set_xlabel("D_LR at the end")
    axes[0].set_ylim(bottom=0)
    if not quality.endswith("r2"):
        axes[1].set_ylim(-0.02, 1.02)
        axes[2].set_ylim(-0.02, 1.02)
    else:
        # An untrained network's R² lies far below 0 and would flatten the rest.
        axes[1].set_ylim(-0.25, 1.02)
    handles, labels = axes[1].get_legend_handles_labels()
    axes[2].legend(handles, labels, fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _numbers(members: Sequence[Condition]) -> tuple[str, str]:
    if members[0].setup.data in ("teacher", "diabetes"):
        return "dynamical_low_rank_centered", "test_r2"
    return "dynamical_low_rank", "test_accuracy"


def _draw_curves(
    panel: Any,
    done: Sequence[Outcome],
    name: str,
    split: str,
    look: Mapping[str, str],
    label: str,
    *,
    from_known: bool = False,
) -> None:
    curves = [_curve(outcome, name, split, from_known=from_known) for outcome in done]
    for steps, values in curves:
        panel.plot(steps, values, **look, linewidth=0.7, alpha=0.45)
    if not curves:
        return
    steps = curves[0][0]
    if all(np.array_equal(steps, other) for other, _ in curves):
        panel.plot(steps, np.mean([values for _, values in curves], axis=0), **look, linewidth=2, label=label)
    else:
        # A seed that diverged has fewer points, one that knows its samples later too; there is no mean to draw.
        panel.plot(*curves[0], **look, linewidth=2, label=f"{label} (first seed)")


def _curve(outcome: Outcome, name: str, split: str, *, from_known: bool = False) -> tuple[FloatArray, FloatArray]:
    points = outcome.points
    if from_known:
        first = (index for index, point in enumerate(points) if (point.value("train_accuracy") or 0) >= KNOWN)
        points = points[next(first, len(points)) :]
    values = [point.value(name, split) for point in points]
    steps = np.array([point.step for point in points], dtype=np.float64)
    return steps, np.array([np.nan if value is None else value for value in values])
