"""Data that are hard to measure, each with numbers known on paper; most come from reports about other programs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from judged_parts.exact import SAMPLES, classes_on_axes, nc1_on_axes, products, relative, sharing, signs
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]

EXACT = 1e-12
SMALL_CLASSES = (1.0, 0.5, 0.25)
"""Distances of class means along three axes."""


def gap(found: Array, exact: Array) -> float:
    """Largest difference as a share of the largest exact value."""
    return float(np.abs(found[: len(exact)] - exact).max() / np.abs(exact).max())


def offsets() -> Iterator[Fact]:
    """Features a thousand standard deviations from the origin, in float32."""
    X, Y = (Z.astype(np.float32) + np.float32(1000) for Z in sharing(4, 2))
    words = "offset of 1,000 standard deviations, float32: CKA 1/2"
    yield Fact(asserts=words, call="compare(X, Y).cka", figure=abs(phiscope.compare(X, Y).cka - 0.5), high=EXACT)
    scales = 2.0 ** -np.arange(6)
    rows = (signs()[:, :6] * scales + 1000).astype(np.float32)
    values = phiscope.diagonalize(rows).centered.eigenvalues
    words = "the same: eigenvalues 1, 1/4, ..., 1/1024, the last to a relative"
    yield Fact(
        asserts=words,
        call="diagonalize(X).centered.eigenvalues",
        figure=relative(values[5], float(scales[5] ** 2)),
        high=1e-9,
    )


def batches() -> Iterator[Fact]:
    """Any split into batches gives the same numbers, also where the last one has 1, 2 or 3 samples."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()
    x = torch.randn(50, 6, dtype=torch.float64)
    rows = net[1](net[0](x)).detach().numpy()
    exact = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    for size in (49, 24, 47):
        loader = DataLoader(TensorDataset(x, torch.arange(50) % 3), batch_size=size)
        found = phiscope.measure(net, loader).centered.eigenvalues
        words = f"batches of {size}, the last of {50 % size}: eigenvalues as at once"
        yield Fact(asserts=words, call="measure(net, loader)", figure=gap(found, exact), high=EXACT)


def shapes() -> Iterator[Fact]:
    """Fewer samples than features, rank one, constant features beside others, half precision."""
    few = np.kron(products(range(4), 15)[::16], np.ones((1, 2)))
    values = phiscope.diagonalize(few).centered.eigenvalues
    words = "16 samples of 30 features, 15 pairs alike: fifteen eigenvalues 2"
    yield Fact(
        asserts=words, call="diagonalize(X).centered.eigenvalues", figure=gap(values, np.full(15, 2.0)), high=EXACT
    )
    yield Fact(asserts="and no sixteenth", call="diagonalize(X).centered", figure=float(len(values)), low=15, high=15)
    single = signs()[:, :1] * np.linspace(1, 2, 5)
    m = phiscope.diagonalize(single)
    figure = abs(m["effective_dimension_centered"] - 1)
    call = 'm["effective_dimension_centered"]'
    yield Fact(asserts="rank one: effective dimension 1", call=call, figure=figure, high=EXACT)
    half = torch.from_numpy(signs()[:, :6] * 2.0 ** -np.arange(6)).half()
    values = phiscope.diagonalize(half).centered.eigenvalues
    exact = 4.0 ** -np.arange(6)
    words = "float16 features: eigenvalues 1 to 1/1024"
    yield Fact(asserts=words, call="diagonalize(X).centered.eigenvalues", figure=gap(values, exact), high=EXACT)


def classes() -> Iterator[Fact]:
    """Classes that are empty, unequal, many, tight."""
    X, y = classes_on_axes(SMALL_CLASSES, 0.125, 16)
    exact = nc1_on_axes(SMALL_CLASSES, 0.125)
    call = 'diagonalize(X, targets=y, num_classes=6)["nc1"]'
    found = phiscope.diagonalize(X, targets=y, num_classes=6)["nc1"]
    yield Fact(
        asserts="two of six classes are empty: NC1 of the four", call=call, figure=relative(found, exact), high=EXACT
    )
    # Shares 1/4 and 3/4, means 4 apart along one axis: S_B is 3/16 * 16.
    rows = signs()
    lopsided = 0.5 * products(range(2, 8), 10)
    label = ((rows[:, 0] > 0) & (rows[:, 1] > 0)).astype(int)
    lopsided[:, 0] += 4.0 * label
    found = phiscope.diagonalize(lopsided, targets=label)["nc1"]
    words = "classes of shares 1/4 and 3/4: NC1 = tr S_W / (π₁ π₂ d²) / C along the axis"
    yield Fact(asserts=words, call='m["nc1"]', figure=relative(found, 0.25 / (3 / 16 * 16) / 2), high=EXACT)
    # 2^-12 of the distance of the means, which float32 still holds.
    tight, y = classes_on_axes(SMALL_CLASSES, 2.0**-12, 16)
    found = phiscope.diagonalize(tight.astype(np.float32), targets=y)["nc1"]
    words = "within-class spread of 1/4096, float32"
    yield Fact(asserts=words, call='m["nc1"]', figure=relative(found, nc1_on_axes(SMALL_CLASSES, 2.0**-12)), high=1e-9)
    # All 256 samples in 64 classes of four features: their means span everything, and S_B is the identity.
    many = signs()[:, :4] + 0.25 * products(range(6, 8), 1)
    label = (signs()[:, :6] > 0) @ 2 ** np.arange(6)
    found = phiscope.diagonalize(many, targets=label)["nc1"]
    words = "64 classes on 4 features: NC1 = tr S_W / 64"
    yield Fact(asserts=words, call='m["nc1"]', figure=relative(found, 4 * 0.25**2 / 64), high=EXACT)


def repeats() -> Iterator[Fact]:
    """Twice the same call, and the same samples several times."""
    X, y = classes_on_axes(SMALL_CLASSES, 0.125, 16)
    first, second = (phiscope.diagonalize(X, targets=y).to_dict() for _ in range(2))
    differing = sum(first[name] != second[name] for name in first)
    yield Fact(asserts="called twice: numbers that differ", call="diagonalize(X, targets=y)", figure=differing, high=0)
    repeated = phiscope.diagonalize(np.tile(X, (25, 1)), targets=np.tile(y, 25))["nc1"]
    words = f"{SAMPLES} samples 25 times over: NC1 stays"
    yield Fact(asserts=words, call='m["nc1"]', figure=relative(repeated, first["nc1"]), high=EXACT)


def facts() -> Iterator[Fact]:
    """All of them."""
    yield from offsets()
    yield from batches()
    yield from shapes()
    yield from classes()
    yield from repeats()


SUITES = (
    Suite(
        key="hard-data",
        name="hard data, from reports about other programs",
        seen="issue threads of the projects named on this page",
        about="Offsets, small batches, few samples, empty and unequal classes, tiny spreads, half precision: "
        "exact numbers.",
        facts=facts,
        left_out=(
            (
                "layers silently skipped",
                "`tests/measurement/test_measure_layers.py` has it: every layer asked for is there",
            ),
        ),
    ),
)
