"""Calls of `phiscope.diagonalize` drawn at random, of every kind that has gone wrong once, and of their relatives."""

import numpy as np
import torch

SIZES = [2, 3, 4, 5, 8, 12, 20, 40, 60, 120]
WIDTHS = [1, 2, 3, 5, 8, 13, 26, 40]
TYPES = {"f8": 0.6, "f4": 0.1, "f2": 0.05, "i8": 0.1, "torch f4": 0.05, "torch bf16": 0.05, ">f8": 0.05}


def drawn_call(seed):
    """Features and keyword arguments."""
    g = np.random.default_rng(seed)
    n, p = int(g.choice(SIZES)), int(g.choice(WIDTHS))
    x = _degenerate(g, g.normal(size=(n, p)))
    labels = _labels(g, n)
    if g.random() < 0.3:
        x = x + 10.0 ** g.uniform(-2, 3) * g.normal(size=(int(labels.max()) + 1, p))[labels]
    x = _far(g, x)
    given = _targets(g, n, labels)
    given |= _outputs(g, x, given, labels)
    if g.random() < 0.3:
        given["weights"] = _weights(g, n)
    if g.random() < 0.2:
        given["precision"] = "fast"
    if g.random() < 0.2:
        given["intervals"] = bool(g.random() < 0.7)
    return _typed(g, x), given


def _degenerate(g, x):
    """Ranks, constants, repetitions, scales."""
    n, p = x.shape
    kinds = {
        0: lambda: x[:, :1] @ g.normal(size=(1, p)),
        1: lambda: np.maximum(x, 0),
        2: lambda: np.where(np.arange(p) == g.integers(0, p), g.choice([0.0, 1.0, 1e8]), x),
        3: lambda: np.resize(x[: max(n // 3, 1)], (n, p)),
        4: lambda: x * 10.0 ** g.uniform(-8, 8, p),
        5: lambda: np.full((n, p), g.choice([0.0, 1.0, -3.5])),
        6: lambda: x * np.exp(2 * g.normal(size=(n, 1))),
    }
    kind = int(g.integers(0, 10))
    return kinds[kind]() if kind in kinds else x


def _labels(g, n):
    labels = g.integers(0, int(g.choice([1, 2, 3, 5, 10])), n)
    if g.random() < 0.15:
        labels[:] = labels[0]
    return labels * 3 if g.random() < 0.15 else labels


def _far(g, x):
    """Outliers, offsets, units."""
    if g.random() < 0.35:
        x = x.copy()
        x[g.integers(0, len(x))] *= 10.0 ** g.uniform(0, 14)
    if g.random() < 0.35:
        x = x + 10.0 ** g.uniform(-3, 12) * (g.normal(size=x.shape[1]) if g.random() < 0.5 else 1.0)
    return x * 10.0 ** g.uniform(-20, 20) if g.random() < 0.3 else x


def _targets(g, n, labels):
    kind = int(g.integers(0, 5))
    if kind <= 1:
        given = {"targets": labels}
        if g.random() < 0.2:
            given["num_classes"] = int(labels.max()) + 1 + int(g.choice([0, 1, 3, 5000, 10**6]))
        elif g.random() < 0.03:
            given["targets"] = np.where(np.arange(n) == 0, 999_999, labels)
        return given
    if kind == 2:
        return {"targets": g.normal(size=n) * 10.0 ** g.uniform(-12, 12) + g.choice([0.0, 1e6])}
    if kind == 3:
        values = (g.normal(size=(n, 3)) @ g.normal(size=(3, 3)))[:, : int(g.integers(1, 4))]
        return {"targets": values * g.choice([1.0, 1.0, 1e-9]) if g.random() < 0.8 else np.full_like(values, 1.5)}
    return {}


def _outputs(g, x, given, labels):
    targets = given.get("targets")
    width = 3 if targets is None else targets.shape[1] if targets.ndim == 2 else int(labels.max()) + 1
    if g.random() < 0.25:
        width = int(g.integers(1, 12))
    if "num_classes" in given and given["num_classes"] < 20:
        width = given["num_classes"]
    weight, kind = g.normal(size=(width, x.shape[1])), int(g.integers(0, 4))
    if kind == 0:
        return {"outputs": g.normal(size=(len(x), width)) * 10.0 ** g.uniform(-6, 6)}
    if kind == 1:
        return {"head": (weight, g.normal(size=width) if g.random() < 0.5 else None)}
    return {"outputs": x @ weight.T, "head": (weight, None)} if kind == 2 and g.random() < 0.5 else {}


def _weights(g, n):
    weights = [
        g.uniform(0.1, 3, n),
        10.0 ** g.uniform(-12, 12, n),
        10.0 ** g.uniform(-20, 20, n),
        np.r_[1e15, np.full(n - 1, 1e-14)],
    ][int(g.integers(0, 4))]
    if g.random() < 0.3:
        weights[g.random(n) < 0.3] = 0
    return weights


def _typed(g, x):
    kind = str(g.choice(list(TYPES), p=list(TYPES.values())))
    if kind.startswith("torch"):
        return torch.tensor(x).to(torch.bfloat16 if kind.endswith("bf16") else torch.float32)
    with np.errstate(all="ignore"):
        return np.clip(np.nan_to_num(x * 3), -(2.0**62), 2.0**62).astype(np.int64) if kind == "i8" else x.astype(kind)
