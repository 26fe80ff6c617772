"""The theory of kernels against networks sampled from the posterior: docs/evidence/theory.md.

    python benchmarks/theory.py             about two minutes on one free core
    python benchmarks/theory.py --quick     a tenth of the networks, to see that it runs; writes nothing

Noisy XOR with one and two hidden layers against networks drawn from the prior and weighed by their evidence; a scan
of the weight variance through the critical point; linear networks against their closed form; infinite width; the
rescaled kernel of Pacelli et al.; digits 0 against 3 by noisy gradient descent.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from theory_parts.langevin import walked_kernels

from phiscope import __version__
from phiscope.metrics.width import centered_alignment
from phiscope.studies.posterior import posterior_kernels
from phiscope.studies.width import LITTLE_KNOWN, noisy_xor, two_digits
from phiscope.theory import map_kernels, nngp, scalar_renormalization
from phiscope.theory.setting import setting_of
from phiscope.theory.signals import critical_variance, signal_slope
from phiscope.typing import FloatArray

OUT = Path(__file__).parents[1] / "docs" / "evidence"
DATA = (
    "noisy XOR: 8 inputs of 20 numbers, two signs and 18 standard normal numbers; the target is the product of the two "
    "signs"
)
CASES = (
    (1, 20, 1.0, 80_000),
    (1, 100, 1.0, 30_000),
    (1, 50, 2.0, 400_000),
    (2, 20, 1.0, 200_000),
    (2, 50, 2.0, 400_000),
)
"""Hidden layers, width, scale of the labels, networks drawn."""
OTHER_DRAWS = (0, 1, 2)
SCAN = (0.5, 0.6, 0.785, 1.0, 1.25, 1.5, 2.0, 3.0)
SCAN_BIAS = 0.02


def apart(kernel: FloatArray, other: FloatArray) -> float:
    """Relative Frobenius distance."""
    return float(np.linalg.norm(kernel - other) / np.linalg.norm(other))


def case(seed: int, depth: int, width: int, scale: float, draws: int) -> dict[str, Any]:
    """One row of the table: all kernels against the sampled one."""
    x, y = noisy_xor(seed)
    y = scale * y
    setting = setting_of(x, depth, "erf", 1.5, 0.0)
    sampled = posterior_kernels(setting, y[:, None], width=width, noise=0.1, draws=draws, seed=1)
    last, goal, parts = sampled.kernels[-1], np.outer(y, y), len(sampled.left_out)
    spread = np.square(sampled.left_out - sampled.left_out.mean(axis=0)).sum(axis=0) * (parts - 1) / parts
    found = {
        "sampled": last,
        "infinite": nngp(x, depth).kernels[-1],
        "first": map_kernels(x, y, width, depth, order="first").kernels[-1],
    }
    full = map_kernels(x, y, width, depth)
    found["full"] = full.kernels[-1]
    return {
        "draw": seed,
        "hidden_layers": depth,
        "width": width,
        "label_scale": scale,
        "networks": sampled.draws,
        "effective_networks": sampled.effective,
        "sampling_error": float(math.sqrt(spread.sum()) / np.linalg.norm(last)),
        **{f"error_{name}": apart(kernel, last) for name, kernel in found.items() if name != "sampled"},
        **{f"cka_{name}": centered_alignment(kernel, goal) for name, kernel in found.items()},
        "residual": full.residual,
        "sample_share": full.sample_share,
    }


def scan(seed: int) -> list[dict[str, float]]:
    """Relative change of the top kernel of four layers of 50 units, over the weight variance."""
    x, y = noisy_xor(seed)
    rows = []
    for g in SCAN:
        wide = nngp(x, 4, "erf", g, SCAN_BIAS).kernels[-1]
        found = map_kernels(x, y, 50, 4, "erf", g, SCAN_BIAS, samples=8192)
        change = apart(found.kernels[-1], wide)
        row = {"weight_variance": g, "chi": signal_slope("erf", g, SCAN_BIAS), "change": change}
        rows.append({**row, "residual": found.residual, "sample_share": found.sample_share})
    return rows


def linear() -> list[dict[str, float]]:
    """How far linear networks are from C_a = g (C_(a-1)^-1 - (2 g / N) T_a)^-1 + g_b."""
    (x, y), rows = noisy_xor(), []
    for depth in (1, 2, 3):
        g, b, width = 0.9, 0.05, 50
        found = map_kernels(x, y, width, depth, "identity", g, b)
        gaps = [
            apart(above, g * np.linalg.inv(np.linalg.inv(below) - 2 * g / width * T) + b)
            for below, above, T in zip(found.kernels, found.kernels[1:], found.conjugates[1:], strict=False)
        ]
        rows.append({"hidden_layers": depth, "largest_difference": max(gaps)})
    return rows


def limits() -> list[dict[str, Any]]:
    """How far a width of 10^10 is from infinite width."""
    x, y = noisy_xor()
    rows = []
    for activation in ("erf", "relu", "identity"):
        found, wide = map_kernels(x, y, 10**10, 2, activation), nngp(x, 2, activation)
        gaps = [apart(one, other) for one, other in zip(found.kernels, wide.kernels, strict=True)]
        rows.append({"activation": activation, "largest_difference": max(gaps)})
    return rows


def rescaled() -> list[dict[str, float]]:
    """Mean outputs of linear networks by the rescaled and by the most probable kernel."""
    x, y = noisy_xor()
    rows = []
    for width in (20, 50, 200, 800):
        one = scalar_renormalization(x, y, width, "identity")
        other = map_kernels(x, y, width, 1, "identity")
        first, second = (k @ np.linalg.solve(k + 0.1 * np.eye(8), y) for k in (one.kernel, other.kernels[1]))
        gap = float(np.linalg.norm(first - second) / np.linalg.norm(first))
        rows.append({"width": width, "factor": one.factor, "difference": gap, "difference_times_width": gap * width})
    return rows


def digits(steps: int) -> dict[str, float]:
    """Digits 0 against 3, 64 of them, two hidden layers of 50, against noisy gradient descent."""
    x, y = two_digits(64)
    goal = np.outer(y, y)
    wide, full = nngp(x, 2, "erf", 1.0).kernels[-1], map_kernels(x, y, 50, 2, "erf", 1.0)
    walked = walked_kernels(
        setting_of(x, 2, "erf", 1.0, 0.0),
        x,
        y[:, None],
        width=50,
        noise=0.1,
        steps=steps,
        settle=steps // 4,
        rate=0.002,
        walkers=16,
    )
    without = [np.delete(walked.by_walker, place, axis=0).mean(axis=0) for place in range(16)]
    error = math.sqrt(15 * float(np.var([centered_alignment(one, goal) for one in without])))
    return {
        "cka_infinite": centered_alignment(wide, goal),
        "cka_full": centered_alignment(full.kernels[-1], goal),
        "cka_sampled": centered_alignment(walked.kernels[-1], goal),
        "cka_sampled_error": error,
        "error_infinite": apart(wide, walked.kernels[-1]),
        "error_full": apart(full.kernels[-1], walked.kernels[-1]),
        "steps": steps,
        "residual": full.residual,
        "sample_share": full.sample_share,
    }


def gathered(share: float) -> dict[str, Any]:
    """Everything, with this share of the networks."""
    found = {
        "phiscope": __version__,
        "data": f"{DATA}; draw {LITTLE_KNOWN}",
        "cases": [case(LITTLE_KNOWN, *row[:3], int(share * row[3])) for row in CASES],
        "other_draws": [case(seed, 2, 20, 1.0, int(share * 80_000)) for seed in OTHER_DRAWS],
        "scans": {str(seed): scan(seed) for seed in (LITTLE_KNOWN, 0)},
        "linear": linear(),
        "infinite_width": limits(),
        "rescaled": rescaled(),
        "digits": digits(int(share * 4_000)),
    }
    return found


def table(rows: list[dict[str, Any]], columns: dict[str, tuple[str, str]]) -> str:
    """Rows as a Markdown table; columns: key -> (title, format)."""
    lines = [f"| {' | '.join(title for title, _ in columns.values())} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(format(row[key], form) for key, (_, form) in columns.items())} |" for row in rows]
    return "\n".join(lines)


AGAINST = {
    "hidden_layers": ("hidden layers", "d"),
    "width": ("N", "d"),
    "label_scale": ("labels ×", "g"),
    "error_infinite": ("infinite width", ".3f"),
    "error_first": ("first order", ".3f"),
    "error_full": ("most probable", ".3f"),
    "sampling_error": ("sampling error", ".3f"),
    "cka_infinite": ("CKA infinite", ".3f"),
    "cka_full": ("CKA most probable", ".3f"),
    "cka_sampled": ("CKA sampled", ".3f"),
    "effective_networks": ("networks that count", ",.0f"),
}


GAP = {"largest_difference": ("largest difference", ".1e")}

RESCALED = {
    "width": ("N", "d"),
    "factor": ("Q", ".4f"),
    "difference": ("difference", ".4f"),
    "difference_times_width": ("difference × N", ".2f"),
}


def verdict(row: dict[str, Any]) -> str:
    """Whether the bounds hold, as far as the sampling can tell."""
    in_order = row["error_full"] < row["error_first"] < row["error_infinite"]
    if in_order and row["error_full"] <= 0.05 and abs(row["cka_full"] - row["cka_sampled"]) <= 0.03:
        return "hold"
    if row["sampling_error"] > 0.02:
        return "cannot be told: too few networks count"
    return "in order, but further off" if in_order else "do not hold"


def page(found: dict[str, Any]) -> str:
    """The docs page."""
    cases = [{**row, "verdict": verdict(row)} for row in found["cases"]]
    others = [{**row, "verdict": verdict(row)} for row in found["other_draws"]]
    against = {**AGAINST, "verdict": ("bounds", "s")}
    scans = "\n\n".join(
        f"Draw {seed}; largest at g = {max(rows, key=lambda row: row['change'])['weight_variance']:g}.\n\n"
        + table(rows, {"weight_variance": ("g", "g"), "chi": ("χ", ".3f"), "change": ("change", ".3f")})
        for seed, rows in found["scans"].items()
    )
    numbers = found["digits"]
    close = abs(numbers["cka_full"] - numbers["cka_sampled"]) <= 2 * numbers["cka_sampled_error"]
    return f"""# The theory of kernels against networks

Made by `make theory` (`benchmarks/theory.py`) with phiscope {found["phiscope"]}; as data [theory.json](theory.json).
What the numbers mean and when to use them: [guide/theory.md](../guide/theory.md).

**A reference theory of the Bayesian posterior, not a diagnosis of a network trained by SGD.** Nothing on this page was
trained by SGD or Adam.

## Noisy XOR

The data: {DATA}.
erf, g = 1.5, noise 0.1. Errors are relative Frobenius distances of the last hidden layer's
kernel to its mean over the posterior, which is sampled exactly: networks are drawn from the prior and weighed by their
evidence. Bounds: the errors are in the order most probable < first order < infinite width, that of the most probable
kernel is at most 0.05, and its CKA with the target is within 0.03 of the sampled one. The draw of the noise is the
first of which the kernel of infinite width knows little of the target (CKA below 0.15 at one layer; chance alone gives
1/7). Labels twice as large are out of reach of this way of sampling; `make test-slow` samples all weights there
(`tests/theory/test_most_probable.py`).

{table(cases, against)}

On other draws, whose kernel is nearer to the target from the start, two layers of 20 units leave more than the saddle
point sees: kernels scatter about it by 1/√N, which moves their mean by a share of order P / N = 0.4.

{table(others, {"draw": ("draw", "d"), **against})}

## The critical point

Four hidden layers of 50 units, g_b = {SCAN_BIAS}: relative change of the top kernel against infinite width. Without
biases signals are critical at g = π/4 = 0.785; with these χ = 1 at g = {critical_variance("erf", SCAN_BIAS):.3f}.

{scans}

## Linear networks

Largest relative difference of C_a to g (C_(a−1)⁻¹ − (2g/N) T_a)⁻¹ + g_b over the layers a, N = 50.

{table(found["linear"], {"hidden_layers": ("hidden layers", "d"), **GAP})}

## Infinite width

Largest relative difference to the kernels of infinite width at N = 10¹⁰, two hidden layers.

{table(found["infinite_width"], {"activation": ("activation", "s"), **GAP})}

## The rescaled kernel

`scalar_renormalization` (Pacelli et al. 2023) is another theory, in which the kernel keeps its direction. Mean outputs
of linear networks with one hidden layer differ like 1 / N:

{table(found["rescaled"], RESCALED)}

## Digits

64 of scikit-learn's digits, 0 against 3, two hidden layers of 50 units, g = 1, noise 0.1, against
{numbers["steps"]:,} steps of noisy gradient descent with weight decay of 16 networks.

| | CKA with the target | error |
|---|---|---|
| infinite width | {numbers["cka_infinite"]:.4f} | {numbers["error_infinite"]:.3f} |
| most probable | {numbers["cka_full"]:.4f} | {numbers["error_full"]:.3f} |
| sampled | {numbers["cka_sampled"]:.4f} ± {numbers["cka_sampled_error"]:.4f} | |

The most probable kernel's CKA is {"within" if close else "not within"} two standard errors of the sampled one; the
walk's finite step has a bias of its own on top.
"""


def main(quick: bool) -> None:
    """Gather, write, say where."""
    found = gathered(0.1 if quick else 1.0)
    if quick:
        print(page(found))
        return
    (OUT / "theory.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (OUT / "theory.md").write_text(page(found), encoding="utf-8")
    print(f"written: {OUT / 'theory.md'}\nwritten: {OUT / 'theory.json'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args().quick)
