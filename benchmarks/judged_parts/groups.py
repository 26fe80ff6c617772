"""resi's benchmark in small: networks trained on more and more shuffled labels, told apart by a similarity.

Five groups of five networks (0, 25, 50, 75 and 100 % of the labels shuffled) on scikit-learn's digits, all trained
side by side; similarities are taken on the pictures of the training, and on others as resi does. Two networks of one
group should be more alike than two of different groups: area under the precision-recall curve (AUPRC), a mean over
groups, as resi has it. And layers of one network should be less alike the further apart they lie.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import phiscope
from judged_parts.alignment import by_features
from judged_parts.facts import Fact, Suite

SHUFFLED = (0.0, 0.25, 0.5, 0.75, 1.0)
NETWORKS = 5
LAYERS = 5
WIDTH = 32
SAMPLES = 300
STEPS = 300
RATE = 5e-3

Maps = list[NDArray[np.float64]]
"""The hidden layers of one network, each (samples, width)."""
Table = dict[tuple[int, int], dict[str, float]]
"""Pair -> similarity by name."""

CHANCE = 1 / 11
"""The share of pairs within a group, of those that have a network in it."""
VIOLATIONS, CORRELATION = 0.1, 0.9


def digits() -> tuple[Tensor, Tensor, Tensor]:
    """Training pictures and labels, and pictures that are not trained on."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pictures = torch.from_numpy(data.data[order] / 16.0 - 0.3).float()
    return pictures[:SAMPLES], torch.from_numpy(data.target[order][:SAMPLES]), pictures[SAMPLES : 2 * SAMPLES]


def labels_of(group: int, labels: Tensor) -> Tensor:
    """The labels with the group's share of them drawn at random; networks of one group have the same labels."""
    g = np.random.default_rng(100 + group)
    drawn = labels.clone()
    chosen = g.permutation(len(labels))[: round(SHUFFLED[group] * len(labels))]
    drawn[chosen] = torch.from_numpy(g.integers(0, 10, len(chosen)))
    return drawn


def hidden(weights: list[Tensor], biases: list[Tensor], pictures: Tensor) -> list[Tensor]:
    """Post-activations of every hidden layer, and the outputs last; each (networks, samples, width)."""
    found, x = [], pictures.expand(len(weights[0]), *pictures.shape)
    for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias, x, weight)
        x = x.relu() if depth < LAYERS else x
        found.append(x)
    return found


@cache
def trained() -> tuple[list[Maps], list[Maps]]:
    """Hidden layers of 25 networks, group after group: on the pictures they were trained on, and on others."""
    pictures, labels, unseen = digits()
    count = len(SHUFFLED) * NETWORKS
    targets = torch.stack([labels_of(index // NETWORKS, labels) for index in range(count)])
    generator = torch.Generator().manual_seed(0)
    sizes = [pictures.shape[1], *[WIDTH] * LAYERS, 10]
    weights = [
        (torch.randn(count, a, b, generator=generator) * (2 / a) ** 0.5).requires_grad_()
        for a, b in itertools.pairwise(sizes)
    ]
    biases = [torch.zeros(count, 1, size, requires_grad=True) for size in sizes[1:]]
    optimizer = torch.optim.Adam([*weights, *biases], lr=RATE)
    for _ in range(STEPS):
        outputs = hidden(weights, biases, pictures)[-1]
        loss = torch.nn.functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(dim=1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        seen, other = (hidden(weights, biases, shown)[:LAYERS] for shown in (pictures, unseen))
    return tuple(
        [[layer[index].double().numpy() for layer in layers] for index in range(count)] for layers in (seen, other)
    )


def similarities(X: NDArray[np.float64], Y: NDArray[np.float64]) -> dict[str, float]:
    """The numbers of two maps, and CKA written out."""
    c = phiscope.compare(X, Y, k=9)
    angles = float(np.square(np.cos(c.principal_angles)).mean())
    return {"cka": c.cka, "cka_unbiased": c.cka_unbiased, "angles": angles, "written out": by_features(X, Y)}


def apart(table: Table, name: str) -> float:
    """AUPRC of pairs within a group against pairs of one in and one out of it, a mean over groups."""
    from sklearn.metrics import average_precision_score

    areas = []
    for group in range(len(SHUFFLED)):
        members = [sum(index // NETWORKS == group for index in pair) for pair in table]
        taken = [(count == 2, found[name]) for count, found in zip(members, table.values(), strict=True) if count]
        areas.append(average_precision_score(*zip(*taken, strict=True)))
    return float(np.mean(areas))


def order(table: Table, name: str) -> tuple[float, float]:
    """Of one network's layers: share of triples in which the further one is more alike, and Spearman's correlation.

    The correlation is that of dissimilarity and distance, a mean over layers and sides as resi has it.
    """
    from scipy.stats import spearmanr

    wrong, correlations = [], []
    for i in range(LAYERS):
        for side in (range(i + 1, LAYERS), range(i - 1, -1, -1)):
            values = [table[min(i, j), max(i, j)][name] for j in side]
            wrong += [near < far for near, far in itertools.combinations(values, 2)]
            if len(values) > 1:
                correlations.append(-spearmanr(values, range(len(values))).statistic)
    return float(np.mean(wrong)), float(np.mean(correlations))


def table_of(maps: Maps) -> Table:
    """All pairs."""
    return {(i, j): similarities(maps[i], maps[j]) for i, j in itertools.combinations(range(len(maps)), 2)}


CALLS = {
    "cka": "compare(X, Y).cka",
    "cka_unbiased": "compare(X, Y).cka_unbiased",
    "angles": "mean cos² of compare(X, Y, k=9).principal_angles",
}


def facts() -> Iterator[Fact]:
    """How well each similarity tells the groups apart, and the order of layers."""
    seen, other = trained()
    tables = {
        "on the pictures of the training": table_of([network[-1] for network in seen]),
        "on other pictures, as resi has it": table_of([network[-1] for network in other]),
    }
    for where, table in tables.items():
        for name, call in CALLS.items():
            words = f"AUPRC of telling the five groups apart {where} (chance {CHANCE:.2f}; bound ours, three times it)"
            yield Fact(asserts=words, call=call, figure=apart(table, name), low=3 * CHANCE)
    gap = max(abs(apart(table, "cka") - apart(table, "written out")) for table in tables.values())
    words = "the same areas as by CKA written out"
    yield Fact(asserts=words, call=CALLS["cka"], figure=gap, high=1e-12)
    layers = [table_of(network) for network in other[:NETWORKS]]
    for name, call in CALLS.items():
        violations, correlations = zip(*(order(table, name) for table in layers), strict=True)
        words = "share of triples of layers in which the further one is more alike"
        yield Fact(asserts=words, call=call, figure=float(np.mean(violations)), high=VIOLATIONS)
        words = "Spearman's correlation of dissimilarity and distance of layers"
        yield Fact(asserts=words, call=call, figure=float(np.mean(correlations)), low=CORRELATION)


SUITES = (
    Suite(
        key="resi",
        name="mklabunde/resi, benchmark",
        seen="mklabunde/resi/repsim/benchmark/ at f9403bd: group_separation_experiment.py, monotonicity_experiment.py, "
        "measure_quality_metrics.py; not on PyPI",
        about="Networks trained on 0, 25, 50, 75 and 100 % shuffled labels are told apart, five a group, and "
        "layers are less alike the further apart they lie: resi's protocol with small networks (five hidden "
        "layers of 32) on 300 digits.",
        facts=facts,
        left_out=(
            (
                "its published figures, its networks and its data",
                "pictures, texts and graphs that need a download; the protocol alone is asked here",
            ),
            ("shortcuts, augmentation, accuracy and output correlation", "of six tests the two that need no download"),
        ),
        slow=True,
    ),
)
