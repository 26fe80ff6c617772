"""A tiny training, and outcomes with made-up numbers."""

from phiscope.reproduction.family import Column, Condition, Family, Results
from phiscope.reproduction.outcome import Outcome, Point
from phiscope.reproduction.settings import Setup

TINY = Setup(data="digits", n_train=120, n_test=60, width=0.04, depth=2, steps=6, points=3, batch_size=32, probe=80)
SEEDS = (0, 1, 2)
A, B = Setup(data="digits"), Setup(data="digits", width=0.5)


def made(setup, numbers, *, status="finished", regime="minimal", steps=None):
    """An outcome with the same numbers at every moment."""
    layers = {name: {"n_features": 9.0, **numbers} for name in ("block", "head")} if setup.layers else {}
    points = tuple(
        Point(
            step=step,
            epoch=step / 10,
            scalars={},
            train=numbers,
            test=numbers,
            regimes={"train": regime},
            layers=layers,
        )
        for step in (setup.measured_steps() if steps is None else steps)
    )
    return Outcome(
        setup=setup, status=status, why="", points=points, source="", seconds=1.0, device="cpu", versions={}
    )  # fmt: skip


TWO = (Condition(label="a", setup=A), Condition(label="b", setup=B))


def family_of(*claims):
    """A family of two conditions."""
    return Family(
        letter="z", name="made", title="Made up", paper="a paper", setting="a setting", small=TWO,
        claims=claims, columns=(Column(title="D_LR", name="d"),),
    )  # fmt: skip


def results_of(a, b, *, number="d", missing=0, diverged=0):
    """Results with one value a seed for each of two conditions."""
    outcomes = {}
    for setup, values in ((A, a), (B, b)):
        for seed, value in zip(SEEDS, values, strict=True):
            one = setup.with_seed(seed)
            gone = setup == B and seed < diverged
            outcomes[one.key] = made(one, {number: value}, status="diverged" if gone else "finished")
    for seed in range(missing):
        del outcomes[B.with_seed(seed).key]
    return Results(family_of(), outcomes, scale="small", seeds=SEEDS)


LOW, HIGH = (0.10, 0.11, 0.12), (0.50, 0.52, 0.54)
