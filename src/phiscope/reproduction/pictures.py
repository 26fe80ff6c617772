"""One picture a family: D_LR and test performance through training, and both against each other at the end."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.errors import MissingDependencyError
from phiscope.figures.palette import run_color
from phiscope.reproduction.family import Condition, Results
from phiscope.reproduction.outcome import Outcome
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_HEIGHT, _WIDTH = 2.9, 11.0


def family_picture(results: Results) -> str:
    """Draw a family as SVG text; a row for each group of conditions, a color for each condition.

    Thin lines are seeds, thick ones their mean. Step 0 stands at the left end of a logarithmic axis.

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
            members = [condition for condition in results.conditions if condition.group == group]
            _draw_group(axes, results, members, group)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": "phiscope"})
    return text.getvalue()


def _draw_group(axes: Sequence[Axes], results: Results, members: Sequence[Condition], group: str) -> None:
    number, quality = _numbers(members)
    for index, condition in enumerate(members):
        done = [outcome for outcome in results.outcomes(condition.label) if outcome is not None and outcome.points]
        color = run_color(index)
        for panel, (name, split) in zip(axes[:2], ((number, "train"), (quality, "test")), strict=True):
            _draw_curves(panel, done, name, split, color, condition.label)
        x, y = results.values(condition.label, number), results.values(condition.label, quality, "test")
        axes[2].plot(x, y, "o", color=color, markersize=5, alpha=0.85)
    title = f"{group}: " if group else ""
    words = "test R²" if quality.endswith("r2") else "test accuracy"
    for panel, head in zip(axes, (f"{title}D_LR (train)", words, f"{words} against D_LR"), strict=True):
        panel.set_title(head, fontsize=9.5, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in axes[:2]:
        panel.set_xscale("symlog", linthresh=1, linscale=0.3)
        panel.set_xlim(left=0)
        panel.set_xlabel("steps")
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


def _draw_curves(panel: Any, done: Sequence[Outcome], name: str, split: str, color: str, label: str) -> None:
    curves = [_curve(outcome, name, split) for outcome in done]
    for steps, values in curves:
        panel.plot(steps, values, color=color, linewidth=0.7, alpha=0.45)
    if not curves:
        return
    steps = curves[0][0]
    if all(np.array_equal(steps, other) for other, _ in curves):
        panel.plot(steps, np.mean([values for _, values in curves], axis=0), color=color, linewidth=2, label=label)
    else:
        # A seed that diverged has fewer points; there is no mean to draw.
        panel.plot(*curves[0], color=color, linewidth=2, label=f"{label} (first seed)")


def _curve(outcome: Outcome, name: str, split: str) -> tuple[FloatArray, FloatArray]:
    values = [point.value(name, split) for point in outcome.points]
    steps = np.array([point.step for point in outcome.points], dtype=np.float64)
    return steps, np.array([np.nan if value is None else value for value in values])
