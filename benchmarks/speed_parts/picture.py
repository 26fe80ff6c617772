"""Growth in n and in p, on logarithmic axes, with reference slopes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from speed_parts.tables import seconds

STYLES = {
    # Okabe and Ito's colors; markers and dashes differ too, for print without color.
    "floor-symmetric-blocks": ("floor: symmetric product", "#000000", "s", ":"),
    "floor-eigh": ("floor: eigh p × p", "#7f7f7f", "D", ":"),
    "pass": ("phiscope: pass alone", "#56B4E9", "o", "-"),
    "pass-fast": ("phiscope: pass alone, fast", "#56B4E9", "x", "--"),
    "one-number": ("phiscope: D_LR alone", "#009E73", "^", "-"),
    "numbers": ("phiscope: all numbers and curves", "#0072B2", "o", "-"),
    "numbers-fast": ("phiscope: all numbers and curves, fast", "#0072B2", "x", "--"),
    "leace-f64": ("LeaceFitter float64: covariance", "#E69F00", "v", "-."),
    "sklearn-covariance": ("scikit-learn PCA float32", "#CC79A7", "P", "-."),
    "sklearn-covariance-f64": ("scikit-learn PCA float64", "#D55E00", "X", "-."),
}
"""Label, color, marker and dashes of what is drawn."""

Reader = Callable[[dict[str, Any]], float | None]


def extra_mib(row: dict[str, Any]) -> float | None:
    """Extra MiB of a row; None where nothing was measured or nothing was seen."""
    extra = row.get("extra_bytes")
    return extra / 2**20 if extra else None


def draw(growth: dict[str, list[dict[str, Any]]], path: Path, *, read: Reader = seconds, unit: str) -> None:
    """Both growth series side by side.

    Args:
        growth: "n" and "p" to their cases.
        path: the PNG.
        read: what to draw of a row.
        unit: label of the vertical axis.
    """
    series = [(along, cases) for along, cases in growth.items() if cases]
    figure, axes = plt.subplots(1, len(series), figsize=(5.4 * len(series), 5.6), layout="constrained", squeeze=False)
    for axis, (along, cases) in zip(axes[0], series, strict=True):
        drawn = _panel(axis, along, cases, read)
        fixed = "p" if along == "n" else "n"
        axis.set_title(f"{fixed} = {cases[0]['shape'][fixed]:,}, C = {cases[0]['shape']['classes']}")
        axis.set_xlabel("n, samples" if along == "n" else "p, features")
        axis.set_ylabel(unit)
        if drawn:
            _slopes(axis, along, cases, drawn, in_time=read is seconds)
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _panel(axis: Axes, along: str, cases: list[dict[str, Any]], read: Reader) -> list[float]:
    drawn: list[float] = []
    for name, (label, color, marker, dashes) in STYLES.items():
        points = [(case["shape"][along], read(case["rows"][name])) for case in cases if name in case["rows"]]
        points = [(size, value) for size, value in points if value]
        if points:
            sizes, values = zip(*points, strict=True)
            axis.plot(sizes, values, dashes, color=color, marker=marker, markersize=5, linewidth=1.5, label=label)
            drawn += values
    axis.set_xscale("log", base=10 if along == "n" else 2)
    axis.set_yscale("log")
    if along == "p":
        sizes = [case["shape"]["p"] for case in cases]
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
    axis.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    return drawn


def _slopes(axis: Axes, along: str, cases: list[dict[str, Any]], drawn: list[float], *, in_time: bool) -> None:
    """Thin lines of known slope, and in memory the line of 3 p^2 doubles."""
    sizes = [case["shape"][along] for case in cases]
    first, last = sizes[0], sizes[-1]
    if first == last:
        return
    if not in_time:
        values = [3 * 8 * (size if along == "p" else cases[0]["shape"]["p"]) ** 2 / 2**20 for size in (first, last)]
        axis.plot((first, last), values, color="#999999", linewidth=0.8)
        axis.annotate("3 p² doubles", (last, values[1]), (-4, 4), textcoords="offset points", ha="right", fontsize=9)
        return
    top, bottom = max(drawn), min(drawn)
    for power, anchor in {"n": ((1, 0.5),), "p": ((2, 0.5), (3, 0.5))}[along]:
        # Anchored so that the line runs just outside the measured points: the steep one above, the flat one below.
        end = 1.6 * top if power == 3 or along == "n" else anchor * bottom * (last / first) ** power
        start = end * (first / last) ** power
        axis.plot((first, last), (start, end), color="#999999", linewidth=0.8)
        words = f"∝ {along}" + {1: "", 2: "²", 3: "³"}[power]
        axis.annotate(words, (last, end), (-4, 4), textcoords="offset points", ha="right", fontsize=9)
    axis.set_ylim(bottom / 2.5, top * 3)
