"""What some studies do with their trained network: more networks of other seeds, compared, and kept with the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from phiscope.figures.kept import keep_sheet
from phiscope.figures.model import Axis, Line, Panel, Sheet
from phiscope.figures.palette import OKABE_ITO
from phiscope.inputs.progress import bar_of
from phiscope.measurement.measure import measure
from phiscope.runs.groups import reach_of
from phiscope.studies.cutting import unit_curves
from phiscope.surgery import damage
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.studies.training import Training

Make = Callable[..., "Training"]
"""Makes a training of the same study that nobody observes, before its first epoch: seed=, and what else is other."""

NETWORKS, SEEDS = 8, 5
"""Networks whose units are cut, and seeds of each arm of a comparison."""

ARMS: Mapping[str, str] = MappingProxyType(
    {"nothing distorted": "", "DropBlock": "dropblock", "distortion": "distortion"}
)


def cut_units(training: Training, make: Make, folder: Path) -> None:
    """Cut the units of eight networks by every rule, and say what the observed one loses without eigenfeatures.

    Args:
        training: the observed one, at its end.
        make: see `Make`.
        folder: of the run.
    """
    data, network = training.data, training.network.eval()
    split = (data.test.inputs, data.test.targets)
    measured = measure(network, (data.train.inputs, data.train.targets), head="head", progress=False)
    damage(network, split, measured, progress=False).keep(folder)
    every = []
    with bar_of(
        range(training.seed, training.seed + NETWORKS), shown=None, desc="networks", unit="network", leave=False
    ) as bar:
        for seed in bar:
            one = training if seed == training.seed else _to_the_end(make(seed=seed))
            train, test = ((part.inputs, part.targets) for part in (one.data.train, one.data.test))
            every.append(unit_curves(one.network.eval(), train, test, seed))
    every[0].joined(every[1:]).keep(folder)


def compare_arms(training: Training, make: Make, folder: Path) -> None:
    """Train with nothing distorted, with DropBlock and with distortion, five seeds each, and compare test accuracy.

    Args:
        training: the observed one, at its end.
        make: see `Make`.
        folder: of the run.
    """
    accuracy = {name: np.zeros((SEEDS, training.epochs)) for name in ARMS}
    shares: dict[str, list[float]] = {name: [] for name in ARMS}
    rounds = [(name, place) for place in range(SEEDS) for name in ARMS]
    with bar_of(rounds, shown=None, desc="networks", unit="network", leave=False) as bar:
        for name, place in bar:
            one = make(seed=training.seed + place, distortion=ARMS[name])
            for epoch in range(training.epochs):
                one.train_epoch()
                accuracy[name][place, epoch] = _test_accuracy(one)
            shares[name] += [] if one.distortions is None else [one.distortions.realized]
    hit = {name: float(np.mean(found)) for name, found in shares.items() if found}
    keep_sheet(arms_sheet(accuracy, hit), folder)


def _to_the_end(training: Training) -> Training:
    for _ in range(training.epochs):
        training.train_epoch()
    return training


@torch.no_grad()
def _test_accuracy(training: Training) -> float:
    samples = training.data.test
    right = training.network.eval()(samples.inputs).argmax(dim=1) == samples.targets
    return float(right.double().mean())


def arms_sheet(accuracy: Mapping[str, FloatArray], hit: Mapping[str, float]) -> Sheet:
    """Test accuracy over epochs of each arm, and differences of arms, with intervals over seeds.

    Args:
        accuracy: of each arm in the order of `ARMS`, one row a seed, shape (S, epochs).
        hit: share of the maps that was hit, of the arms that hit any.
    """
    names = list(accuracy)
    pairs = [(names[1], names[0]), (names[2], names[0]), (names[2], names[1])]
    differences = {f"{more} − {less}": accuracy[more] - accuracy[less] for more, less in pairs}
    panels = (
        _over_epochs("accuracy", "Test accuracy", "accuracy", accuracy),
        _over_epochs("difference", "Differences, seed by seed", "difference of accuracy", differences),
    )
    last = differences[f"{names[2]} − {names[1]}"][:, -1:]
    value, reach = 100 * float(last.mean()), 100 * float(reach_of(last)[0])
    told = "a difference" if abs(value) > reach else "no difference that this many seeds show"
    shares = ", ".join(f"{100 * share:.2f} % ({name})" for name, share in hit.items())
    caption = (
        f"Mean over {len(last)} seeds with 95 % intervals. Share of the maps that was hit, over the whole training: "
        f"{shares}. At the last epoch distortion − DropBlock is {value:+.2f} points, interval {value - reach:+.2f} to "
        f"{value + reach:+.2f}: {told}."
    )
    title = "Zeros or noise in the place of what is hit"
    return Sheet(name="arms", headline=title, parts=panels, caption=caption, across=2)


def _over_epochs(name: str, title: str, what: str, curves: Mapping[str, FloatArray]) -> Panel:
    lines = []
    for place, (label, values) in enumerate(curves.items()):
        mean, reach = values.mean(axis=0), reach_of(values)
        lines.append(
            Line(
                label=label,
                x=tuple(float(epoch) for epoch in range(1, values.shape[1] + 1)),
                y=tuple(mean.tolist()),
                color=OKABE_ITO[place + (3 if name == "difference" else 0)],
                dash="dashed" if name == "difference" else "solid",
                low=tuple((mean - reach).tolist()),
                high=tuple((mean + reach).tolist()),
            )
        )
    return Panel(name=name, title=title, x=Axis(title="epoch", whole=True), y=Axis(title=what), lines=tuple(lines))


AFTERWARDS: Mapping[str, Callable[[Training, Make, Path], None]] = MappingProxyType(
    {"cut units": cut_units, "compare arms": compare_arms}
)
"""What a study may name as its last step."""
