"""What the knobs of laziness, the readout, the layers and the ladder show, in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType

import numpy as np

from phiscope.reproduction.discoveries.observation import D, Observation, mean_of, percent, plain
from phiscope.reproduction.families import ladder, minimal, scaling
from phiscope.reproduction.family import Results
from phiscope.reproduction.outcome import LAYERS, PR_PER_RANK

_SHOWN = MappingProxyType({"D_LR": D, "S_init": "initial_kernel_similarity", "NC1": "nc1"})

FEWEST_SEEDS = 2
"""An order of the ladder is told from so many seeds on."""

AS_BEFORE = 0.005
"""A number between 0 and 1 has not moved within this."""


def comparators(results: Results) -> Observation:
    """D_LR, S_init and NC1 from one end of three knobs to the other."""
    knobs = {
        "down-scaled targets": scaling.SCALED,
        "weight decay": scaling.DECAYED,
        "down-scaled targets at weight decay 1": scaling.SCALED_IN_DECAY,
    }
    rows, signs = [], {}
    for knob, (start, end) in knobs.items():
        cells = []
        for symbol, name in _SHOWN.items():
            cells.append(f"{plain(results, start, name)} to {plain(results, end, name)}")
            signs[knob, symbol] = np.sign(mean_of(results, end, name) - mean_of(results, start, name))
        rows.append((knob, f"{start} to {end}", *cells))
    alike = all(len({signs[knob, symbol] for symbol in _SHOWN}) == 1 for knob in list(knobs)[:2])
    knob = list(knobs)[2]
    return Observation(
        text="v3's failures under down-scaled targets (D_LR rises while NC1 falls) need another set-up than these.",
        heads=("knob", "from, to", *_SHOWN),
        rows=tuple(rows),
        holds=alike and not signs[knob, "D_LR"] > 0 > signs[knob, "NC1"],
    )


def readout(results: Results) -> Observation:
    """D_LR and its two factors where no hidden layer gets a gradient."""
    labels = (scaling.STILL_FREE, scaling.STILL_HEAD, scaling.STILL_ALL)
    numbers = {
        "D_LR": D, "D_LR centered": f"{D}_centered", "U": "used_variance", "PR / r": PR_PER_RANK, "k90": "k90",
        "D_LR, random heads": f"{D}_random_head", "S_init": "initial_kernel_similarity", "NC1": "nc1",
    }  # fmt: skip
    rows = tuple(
        (
            label.removeprefix("no hidden gradient, "),
            *(plain(results, label, name) for name in numbers.values()),
            percent(results, label, "test_accuracy"),
        )
        for label in labels
    )
    ends = {name: [mean_of(results, label, of) for label in (labels[0], labels[-1])] for name, of in numbers.items()}
    k90, ranks = ends["k90"], results.values(scaling.STILL_ALL, "output_rank_raw")
    text = (
        "The hidden layers get no gradient, and without biases at the start decay only shrinks their features. With "
        f"decay on all layers centered D_LR = 1 - U sqrt(PR / r) falls by {-_change(ends['D_LR centered']):.2f}, all "
        f"of it by U: the outputs need {k90[1]:.0f} leading eigenfunctions instead of {k90[0]:.0f} (k90), and the "
        "stronger ones hold more variance. PR / r belongs to the features' spectrum and stays. The literal D_LR falls "
        f"further: the outputs are then little more than their mean, beside which {ranks.min():g} to {ranks.max():g} "
        "of 10 directions are above the tolerance. D_LR of random heads on the same features stays, and so do S_init "
        "and NC1: read one of them beside D_LR."
    )
    still = all(abs(_change(ends[name])) <= AS_BEFORE for name in ("PR / r", "D_LR, random heads", "S_init", "NC1"))
    fallen = results.values(labels[0], f"{D}_centered") - results.values(labels[-1], f"{D}_centered")
    return Observation(
        text=text,
        heads=("weight decay 1 or none", *numbers, "test accuracy"),
        rows=rows,
        holds=still and bool((fallen > 0.05).all()),
    )


def _change(ends: list[float]) -> float:
    return ends[-1] - ends[0]


def width(results: Results) -> Observation:
    """D_LR by width."""
    labels = ("width 0.0625", "width 0.25", "width 1")
    units = dict(zip(labels, (32, 128, 512), strict=True))
    told = [f"{plain(results, label, D)} with 2 x {units[label]} units" for label in labels]
    means = [mean_of(results, label, D) for label in labels]
    return Observation(text=f"D_LR is {', '.join(told)}.", holds=means == sorted(means, reverse=True))


def finite_samples(results: Results) -> Observation:
    """How far the correction for finite samples moves D_LR."""
    moved = {}
    for one in results.conditions:
        shift = results.values(one.label, f"{D}_corrected") - results.values(one.label, D)
        moved[one.label] = abs(float(shift.mean()))
    largest = max(moved, key=lambda label: moved[label])
    text = (
        f"Over {len(moved)} conditions the correction moves D_LR by {np.median(list(moved.values())):.2g} (median) and "
        f"by {moved[largest]:.2g} at most ({largest})."
    )
    return Observation(text=text, holds=largest == "samples 100" and float(np.median(list(moved.values()))) < 0.01)


def layers(results: Results) -> Observation | None:
    """D_LR over depth, before training and at the end, of those conditions that kept layers in every seed."""
    rows: list[tuple[str, ...]] = []
    convolutional, others, before = list[bool](), list[bool](), list[bool]()
    for one in results.conditions:
        if results.lacks(one.label, LAYERS):
            continue
        done = [outcome for outcome in results.outcomes(one.label) if outcome is not None and outcome.last.layers]
        starts, ends = ([minimal.depth_curve(outcome.points[index]) for outcome in done] for index in (0, -1))
        before += [minimal.ends_least(curve) for curve in starts]
        trained = one.setup.network != "fcn" and not one.setup.frozen
        (convolutional if trained else others).extend(minimal.ends_least(curve) for curve in ends)
        rows.append((one.label, _joined(starts), _joined(ends)))
    if not rows:
        return None
    text = (
        f"At the end so in {sum(convolutional)} of {len(convolutional)} trainings of convolutional networks and in "
        f"{sum(others)} of {len(others)} of fully connected or frozen ones; before training in {sum(before)} of "
        f"{len(before)}. Only what the head reads gives the outputs by a linear map, so that this alone shows no "
        "richness: compare a layer with itself before training. Against outputs that training has made, D_LR of the "
        "first layers may even rise."
    )
    return Observation(
        text=text,
        heads=("", "before training, first to last layer", "at the end"),
        rows=tuple(rows),
        holds=bool(convolutional) and all(convolutional),
    )


def _joined(curves: list[list[float]]) -> str:
    return ", ".join(f"{value:.2f}" for value in np.mean(curves, axis=0))


def rungs_of_digits(results: Results) -> Observation | None:
    """The ladder on digits: two numbers alone keep its order."""
    return _rungs(results, lambda kept: kept == {"weight change", "tangent kernel distance"})


def rungs_of_clothes(results: Results) -> Observation | None:
    """The ladder on Fashion-MNIST: what was trained keeps its order, the head's own outputs do not."""
    return _rungs(results, lambda kept: "D_LR of f − f₀" in kept and "D_LR of f" not in kept)


def _rungs(results: Results, holds: Callable[[set[str]], bool]) -> Observation | None:
    """Every number of the ladder at every alpha, and how it orders them, over seeds that climbed all of it."""
    labels = [ladder.label(alpha) for alpha in ladder.ALPHAS]
    climbed = np.isfinite([results.values(label, "parameter_distance") for label in labels]).all(axis=0)
    if climbed.sum() < FEWEST_SEEDS:
        return None
    rows, ordered = [], {}
    for symbol, name, split, up in ladder.COMPARED:
        means = [results.values(label, name, split)[climbed].mean() for label in labels]
        found = ladder.taus(results, name, split, up=up)[climbed]
        ordered[symbol] = bool((found > 1 - 1e-9).all())
        taus = ", ".join(f"{tau:+.1f}" for tau in found)
        rows.append((symbol, *(f"{value:.3g}" for value in means), "rises" if up else "falls", taus))
    known = [results.values(label, "train_accuracy")[climbed].mean() for label in labels]
    still = results.values(labels[-1], _SHOWN["S_init"])[climbed].mean()
    kept, lost = ({name for name, yes in ordered.items() if yes == wanted} for wanted in (True, False))
    shares = ", ".join(f"{value:.1%}" for value in known)
    text = (
        f"Means over {climbed.sum()} seeds. In the expected order at every rung and in every seed: "
        f"{_listed(ordered, kept)}. Not so: {_listed(ordered, lost)}. At the last rung S_init is {still:.2f} (1 is "
        f"lazy). Training accuracy at the rungs is {shares}: where it is below 100 % the training had not ended."
    )
    return Observation(
        text=text,
        heads=("", *(f"alpha {alpha:g}" for alpha in ladder.ALPHAS), "toward lazy", "Kendall's tau, by seed"),
        rows=tuple(rows),
        holds=holds(kept),
    )


def _listed(order: Iterable[str], names: set[str]) -> str:
    return "; ".join(name for name in order if name in names) or "none"
