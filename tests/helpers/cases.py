"""Named data sets for the comparison with the naive twins: keyword arguments of `phiscope.diagonalize`."""

import numpy as np


def _generator(name):
    return np.random.default_rng(sum(map(ord, name)))


def _classes(name, n, p, C, *, separation=2.0, labels=None, **more):
    """Gaussian classes with unequal directions and a linear head."""
    g = _generator(name)
    y = g.integers(0, C, n) if labels is None else labels
    centers = separation * g.normal(size=(C, p))
    X = np.maximum(centers[y] + g.normal(size=(n, p)) * np.linspace(0.3, 1.5, p), -2.0)
    head = (g.normal(size=(C, p)), g.normal(size=C))
    return {"features": X, "head": head, "targets": y, "num_classes": C} | more


def _regression(name, n, p, c, C, **more):
    g = _generator(name)
    X = g.normal(size=(n, p)) * np.linspace(0.2, 2, p) + g.normal(size=p)
    y = X @ g.normal(size=(p, c)) + g.normal(size=(n, c)) + 0.5
    return {"features": X, "outputs": np.tanh(X @ g.normal(size=(p, C))) + 0.1, "targets": y} | more


def _regression_head(name, n, p, c, C=None):
    data = _regression(name, n, p, c, 1)
    del data["outputs"]
    g = _generator(name)
    return data | {"head": (g.normal(size=(C or c, p)), g.normal(size=C or c))}


def _make():
    g = np.random.default_rng(5)
    cases = {
        "n > p": _classes("n > p", 90, 7, 4),
        "n < p": _classes("n < p", 25, 60, 3),
        "n = p": _classes("n = p", 24, 24, 3),
        "n = p + 1": _classes("n = p + 1", 25, 24, 3),
        "n = p - 1": _classes("n = p - 1", 23, 24, 3),
        "two samples": {
            "features": np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 0.25]]),
            "outputs": np.array([[1.0], [-2.0]]),
            "targets": np.array([0.3, 0.9]),
        },
        "C > p": _classes("C > p", 120, 4, 9),
        "C > n": _classes("C > n", 8, 6, 12, labels=np.arange(8) % 5),
        "one class": _classes("one class", 40, 6, 3, labels=np.full(40, 1)),
        "class that never occurs": _classes("never", 60, 6, 5, labels=np.arange(60) % 4),
        "first class never occurs": _classes("never 0", 60, 6, 5, labels=1 + np.arange(60) % 4),
        "class of one sample": _classes("single", 60, 6, 3, labels=np.r_[0, 1 + np.arange(59) % 2]),
        "imbalance": _classes("imbalance", 200, 6, 3, labels=np.r_[np.zeros(190, int), np.ones(7, int), [2, 2, 2]]),
        "one output": _regression("one output", 50, 5, 1, 1),
        "several targets": _regression("several targets", 70, 6, 3, 2),
        "targets 1-d": None,
        "regression with head": _regression_head("regression with head", 80, 6, 3),
        "regression with a head of other width": _regression_head("regression, other width", 80, 6, 3, C=2),
        "regression n < p": _regression("regression n < p", 12, 30, 2, 3),
        "features alone": {"features": g.normal(size=(30, 4)) + 1},
        "one feature": _classes("one feature", 30, 1, 2),
        "head and no bias": None,
        "loose tolerance": None,
        "tight tolerance": None,
    }
    cases["targets 1-d"] = cases["one output"] | {"targets": cases["one output"]["targets"][:, 0]}
    base = cases["n > p"]
    cases["head and no bias"] = base | {"head": (base["head"][0], None)}
    steep = base | {"head": (np.diag([1.0, 0.3, 0.05, 0.004]) @ base["head"][0], base["head"][1])}
    cases["loose tolerance"] = steep | {"rank_tolerance": 1e-2}
    cases["tight tolerance"] = steep | {"rank_tolerance": 1e-8}
    deficient = _classes("deficient", 80, 9, 4)
    deficient["features"] = deficient["features"][:, :4] @ g.normal(size=(4, 9))
    cases["rank-deficient"] = deficient
    dead = _classes("dead", 80, 9, 4)
    dead["features"][:, [0, 3, 8]] = 0.0
    cases["dead features"] = dead
    constant = _classes("constant", 80, 9, 4)
    constant["features"][:, [1, 5]] = 3.7
    cases["constant feature"] = constant
    cases["duplicated samples"] = _repeat(_classes("duplicated", 20, 30, 3), 3)
    for name in ("n > p", "n < p", "imbalance", "several targets", "C > n"):
        n = len(cases[name]["features"])
        cases[f"weights, {name}"] = cases[name] | {"weights": g.uniform(0.1, 3, n)}
        some = np.where(np.arange(n) % 4 == 0, 0, g.uniform(0.1, 3, n))
        cases[f"zero weights, {name}"] = cases[name] | {"weights": some}
    return cases


def _repeat(case, times):
    repeated = case["features"].repeat(times, axis=0)
    return case | {"features": repeated, "targets": case["targets"].repeat(times)}


CASES = _make()
