"""What a similarity says it is invariant to must not move it, and what it does not say must.

repsim and resi declare for each measure what it is invariant to. phiscope's definition rows do the same for every
number, and `tests/whole/test_invariances.py` tries all of them, both ways; here are the similarities, as those projects
ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

import phiscope
from judged_parts.facts import Fact, Suite

Array = NDArray[np.float64]

UNMOVED, MOVED = 1e-9, 1e-3
REPEATS = 5

CHANGES: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "orthogonal": lambda g, X: X @ np.linalg.qr(g.normal(size=(X.shape[1],) * 2))[0],
    "permutation": lambda g, X: X[:, g.permutation(X.shape[1])],
    "translation": lambda g, X: X + 5 * g.normal(size=X.shape[1]),
    "isotropic_scaling": lambda g, X: X * np.exp(g.normal()),
    "invertible_linear": lambda g, X: X @ (np.eye(X.shape[1]) + g.normal(size=(X.shape[1],) * 2) / X.shape[1]),
}
WORDS = {
    "orthogonal": "rotation",
    "permutation": "permutation",
    "translation": "translation",
    "isotropic_scaling": "scaling of all features alike",
    "invertible_linear": "invertible map",
}
THEIRS = {"orthogonal", "permutation", "translation", "isotropic_scaling"}
"""What repsim's angular CKA and resi's CKA declare, in phiscope's words; both say that invertible maps are seen."""


def similarities(X: Array, Y: Array) -> dict[str, float]:
    """The numbers of two maps."""
    c = phiscope.compare(X, Y)
    return {"cka": c.cka, "cka_unbiased": c.cka_unbiased, "principal_angles": float(c.principal_angles.sum())}


def movements() -> dict[tuple[str, str], list[float]]:
    """(number, change) -> by how much s(x', y) differs from s(x, y) in each repeat."""
    g = np.random.default_rng(0)
    X = g.normal(size=(60, 8)) * np.linspace(0.5, 2, 8)
    Y = np.tanh(X @ g.normal(size=(8, 6))) + 0.3 * g.normal(size=(60, 6))
    before, found = similarities(X, Y), {}
    for change, apply in CHANGES.items():
        for _ in range(REPEATS):
            for name, value in similarities(apply(g, X), Y).items():
                found.setdefault((name, change), []).append(abs(value - before[name]))
    return found


def facts() -> Iterator[Fact]:
    """Both ways, and that the rows declare what the others do."""
    for (name, change), gaps in movements().items():
        call = f"compare(X, Y).{name}"
        if change in phiscope.DEFINITIONS[name].invariances:
            words = f"declared and not moved: {WORDS[change]}"
            yield Fact(asserts=words, call=call, figure=max(gaps), high=UNMOVED)
        else:
            words = f"not declared and moved every time: {WORDS[change]}"
            yield Fact(asserts=words, call=call, figure=min(gaps), low=MOVED)
    declared = set(phiscope.DEFINITIONS["cka"].invariances) & set(CHANGES)
    words = "declarations in which CKA's row and theirs differ"
    yield Fact(asserts=words, call='DEFINITIONS["cka"].invariances', figure=len(declared ^ THEIRS), high=0)


SUITES = (
    Suite(
        key="repsim",
        name="wrongu/repsim and mklabunde/resi, invariances",
        seen="wrongu/repsim/tests/test_invariances.py at 14678b5 and metrics.py beside it at 0faf02b; "
        "mklabunde/resi/repsim/measures/cka.py at f9403bd; neither is on PyPI (the package repsim there is "
        "another project)",
        about="Declared invariances hold, and what is not declared changes the number every time.",
        facts=facts,
        left_out=(
            ("their other measures: Stress, shape metrics, Riemannian metrics", "no such numbers"),
            ("curvature, geodesics and midpoints of the metric space", "no such functions"),
        ),
    ),
)
