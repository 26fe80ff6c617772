"""Trained networks cut by every rule: units of the head's input, and channels of a residual network.

What comes out are plain numbers by name, so that a run and a reproduction can keep them. Nothing is trained afterwards.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor, nn

from phiscope.errors import InputError, MissingDependencyError
from phiscope.measurement.measure import measure
from phiscope.measurement.measure_layers import measure_layers
from phiscope.measurement.record import Measurement
from phiscope.studies.networks import StudyNetwork
from phiscope.surgery import CutCurves, as_importance, cut_curves, score_units
from phiscope.surgery.curves import ALL_RULES
from phiscope.typing import FloatArray

Split = tuple[Tensor, Tensor]
"""Inputs and classes."""

COUNTS = (5, 8, 10, 16, 32, 64)
"""Numbers of units or eigenfeatures that are kept."""

JUDGED = (8, 16)
"""Numbers of units at which cuts are compared by their held-out score."""

RANDOM_CUTS = 20
"""Random cuts beside the rules, so that a rank correlation has something to rank."""

ROUNDS, RATIO = 5, 0.3
"""Channels are cut so many times, each time this share of what is left."""

MEASURED = 1000
"""Training pictures on which channels are scored and statistics are made anew."""

_BATCH = 250


def unit_curves(network: StudyNetwork, train: Split, test: Split, seed: int = 0) -> CutCurves:
    """Accuracy on test samples over how many units of the head's input are kept, for every rule.

    Args:
        network: trained.
        train: samples to decide by.
        test: samples that accuracy is read on.
        seed: of the random rule.
    """
    measured, samples = _of_head(network, train), (_features(network, test[0]), test[1])
    return cut_curves(measured, _head(network), samples, counts=_counts(measured), seed=seed)


def unit_numbers(network: StudyNetwork, train: Split, test: Split, seed: int = 0) -> dict[str, float]:
    """Accuracies of `unit_curves` by name, and how well the held-out score ranks cuts of one size.

    Names are ``RULE_TARGET_KEPT_mean_accuracy`` and ``..._taken_over_accuracy``, ``eigenfeatures_K_accuracy``, and
    ``KEPT_mean_rank_correlation`` and ``KEPT_taken_over_rank_correlation``: Spearman's, of held-out discriminant
    information and test accuracy over all rules and 20 random cuts.

    Args:
        network: trained.
        train: samples to decide by.
        test: samples that accuracy is read on.
        seed: of random cuts.
    """
    measured, samples = _of_head(network, train), (_features(network, test[0]), test[1])
    curves = cut_curves(measured, _head(network), samples, counts=_counts(measured), seed=seed)
    numbers = {}
    for curve in curves.curves:
        name = "eigenfeatures" if curve.target == "none" else f"{curve.rule}_{curve.target}"
        ending = "" if curve.target == "none" else f"_{_filled(curve.compensated)}"
        for count, accuracy in zip(curves.kept.tolist(), curve.accuracy[0].tolist(), strict=True):
            numbers[f"{name}_{count}{ending}_accuracy"] = accuracy
    random = [
        cut_curves(measured, _head(network), samples, rules=ALL_RULES[:1], counts=_counts(measured, JUDGED), seed=one)
        for one in range(1000 * (seed + 1), 1000 * (seed + 1) + RANDOM_CUTS)
    ]
    return {**numbers, **_rank_correlations(curves, random)}


def _filled(compensated: bool) -> str:
    return "taken_over" if compensated else "mean"


def _counts(measured: Measurement, wanted: Sequence[int] = COUNTS) -> list[int]:
    return [count for count in wanted if count <= measured.n_features] or [measured.n_features]


def _rank_correlations(curves: CutCurves, random: Sequence[CutCurves]) -> dict[str, float]:
    found = {}
    for count in random[0].kept.tolist():
        for compensated in (False, True):
            pairs = [
                (one.held_out[0, place], one.accuracy[0, place])
                for made in (curves, *random)
                for place in np.flatnonzero(made.kept == count)
                for one in made.curves
                if one.compensated == compensated and one.target != "none"
            ]
            found[f"{count}_{_filled(compensated)}_rank_correlation"] = rank_correlation(pairs)
    return found


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Spearman's rank correlation; 0 where all values of one kind are the same, as nothing is ranked then.

    Example:
        >>> rank_correlation([(1, 10), (2, 20), (3, 30)]), rank_correlation([(1, 5), (2, 5)])
        (1.0, 0.0)
    """
    first, second = (np.asarray(column) for column in zip(*pairs, strict=True))
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return 0.0
    return float(scipy.stats.spearmanr(first, second).statistic)


def channel_numbers(network: StudyNetwork, train: Split, test: Split, seed: int = 0) -> dict[str, float]:
    """Accuracies after each of five cuts of three tenths of all channels, by every criterion.

    Torch-Pruning decides what goes together and cuts. Names are ``CRITERION_ROUND_cut_accuracy``, with ``renewed`` in
    the place of ``cut`` where batch norm's statistics are made anew after each cut, ``CRITERION_ROUND_..._held_out``
    for the held-out discriminant information of what the head reads then, and ``cut_rank_correlation`` and
    ``renewed_rank_correlation``: Spearman's of the two over criteria, averaged over rounds.

    Args:
        network: trained, of convolutions; it is not changed.
        train: samples to decide by.
        test: samples that accuracy is read on.
        seed: of the random criterion.

    Raises:
        MissingDependencyError: torch-pruning is not installed.
    """
    numbers: dict[str, float] = {}
    part = (train[0][:MEASURED], train[1][:MEASURED])
    for ending, renews in (("cut", False), ("renewed", True)):
        rounds = {name: _all_rounds(network, name, part, test, renews, seed) for name in CRITERIA}
        for name, found in rounds.items():
            for place, (accuracy, held_out) in enumerate(found, start=1):
                numbers[f"{name}_{place}_{ending}_accuracy"] = accuracy
                numbers[f"{name}_{place}_{ending}_held_out"] = held_out
        each = zip(*rounds.values(), strict=True)
        ranked = [rank_correlation([(held_out, accuracy) for accuracy, held_out in one]) for one in each]
        numbers[f"{ending}_rank_correlation"] = float(np.mean(ranked))
    return numbers


def _all_rounds(
    network: StudyNetwork, criterion: str, part: Split, test: Split, renews: bool, seed: int
) -> list[tuple[float, float]]:
    with _seeded(seed):
        return list(_rounds(copy.deepcopy(network).eval(), criterion, part, test, renews))


def _rounds(
    network: StudyNetwork, criterion: str, part: Split, test: Split, renews: bool
) -> Iterator[tuple[float, float]]:
    """Accuracy and held-out score after each cut."""
    pruning = _torch_pruning()
    for _ in range(ROUNDS):
        pruner = pruning.pruner.BasePruner(
            network, part[0][:1], importance=None, pruning_ratio=RATIO, ignored_layers=[network.head]
        )
        # Behind the pruner, which runs the network backward to see what hangs together.
        pruner.importance = CRITERIA[criterion](network, part)
        for group in pruner.step(interactive=True):
            group.prune()
        network.zero_grad()
        if renews:
            renew_statistics(network, part[0])
        right = _answers(network, test[0]).argmax(dim=1) == test[1]
        yield float(right.double().mean()), _held_out(network, part)


def _held_out(network: StudyNetwork, part: Split) -> float:
    scores = score_units(_of_head(network, part), rule="magnitude", head=_head(network))
    return float(scores.held_out[-1, 1])


def renew_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Make means and variances of batch norm anew from one pass over inputs; weights stay, and so does the mode.

    Args:
        network: with batch norms.
        inputs: shape (n, ...).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta, training = [norm.momentum for norm in norms], network.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to say: the mean over all batches
    network.train()
    with torch.no_grad():
        for batch in torch.split(inputs, _BATCH):
            network(batch)
    network.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingDependencyError("torch-pruning", purpose="cutting channels", extra="pruning") from error
    return torch_pruning


def _random(network: StudyNetwork, part: Split) -> Any:
    return _torch_pruning().importance.RandomImportance()


def _magnitude(network: StudyNetwork, part: Split) -> Any:
    return _torch_pruning().importance.MagnitudeImportance(p=1)


def _bn_scale(network: StudyNetwork, part: Split) -> Any:
    return _torch_pruning().importance.BNScaleImportance()


def _taylor(network: StudyNetwork, part: Split) -> Any:
    network.zero_grad()
    for inputs, classes in zip(torch.split(part[0], _BATCH), torch.split(part[1], _BATCH), strict=True):
        nn.functional.cross_entropy(network(inputs), classes, reduction="sum").backward()  # type: ignore[no-untyped-call]
    return _torch_pruning().importance.TaylorImportance()


def _information(rule: Any, target: Any) -> Callable[[StudyNetwork, Split], Any]:
    def importance(network: StudyNetwork, part: Split) -> Any:
        read = read_after(network)
        layers = measure_layers(network, _batches(part), sorted(set(read.values())), head="head", progress=False)
        scores = {name: score_units(layers[after], rule=rule, target=target) for name, after in read.items()}
        return as_importance(scores)

    return importance


CRITERIA: Mapping[str, Callable[[StudyNetwork, Split], Any]] = MappingProxyType(
    {
        "random": _random,
        "l1": _magnitude,
        "taylor": _taylor,
        "bn_scale": _bn_scale,
        "di_exact": _information("exact", "labels"),
        "di_greedy": _information("greedy", "labels"),
        "outputs_greedy": _information("greedy", "outputs"),
    }
)
"""Torch-Pruning's own, then those of discriminant information."""


def read_after(network: nn.Module) -> dict[str, str]:
    """For each batch norm whose channels a ReLU gives on, the name of that ReLU: what is read is what counts.

    Of a residual block the ReLU behind the sum stands for the block's last norm; the norm of its shortcut has none.

    Args:
        network: of `nn.Sequential` parts and basic blocks, from `phiscope.studies.architectures`.

    Raises:
        InputError: there is no batch norm with a ReLU behind it.
    """
    found = {}
    named = dict(network.named_modules())
    for name, module in named.items():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        parent, _, place = name.rpartition(".")
        following = f"{parent}.{int(place) + 1}" if place.isdigit() else ""
        block = f"{parent.rpartition('.')[0]}.relu"
        if isinstance(named.get(following), nn.ReLU):
            found[name] = following
        elif parent.endswith("path") and isinstance(named.get(block), nn.ReLU):
            found[name] = block
    if not found:
        raise InputError(f"this {type(network).__name__} has no batch norm with a ReLU behind it to score channels at")
    return found


def _batches(part: Split) -> list[Split]:
    return list(zip(torch.split(part[0], _BATCH), torch.split(part[1], _BATCH), strict=True))


def _of_head(network: StudyNetwork, part: Split) -> Measurement:
    return measure(network, _batches(part), head="head", progress=False)


def _head(network: StudyNetwork) -> tuple[Tensor, Tensor | None]:
    return network.head.weight, network.head.bias


@torch.no_grad()
def _features(network: StudyNetwork, inputs: Tensor) -> FloatArray:
    return torch.cat([network.eval().features(batch) for batch in torch.split(inputs, _BATCH)]).double().numpy()


@torch.no_grad()
def _answers(network: StudyNetwork, inputs: Tensor) -> Tensor:
    return torch.cat([network.eval()(batch) for batch in torch.split(inputs, _BATCH)])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Torch-Pruning draws from the global state, and speaks of groups that it leaves alone.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield
