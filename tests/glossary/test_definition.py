"""Definition rows: complete, true to their own letters, and kept by every measurement."""

import dataclasses
import inspect
import math
import re

import numpy as np
import pytest

import phiscope
from cases import CASES
from phiscope.errors import MissingNumberError, UnknownNameError
from phiscope.glossary.definition import TRANSFORMATIONS, Definition, invariant
from phiscope.metrics import (
    COMPARISONS,
    CURVES,
    DEFINITIONS,
    ELSEWHERE,
    SCALARS,
    alignment,
    collapse,
    definition_of,
    dimension,
    richness,
)

# The names that a measurement of arrays gives; outside checks use them.
PROMISED = [
    "effective_dimension",
    "participation_ratio",
    "stable_rank",
    "effective_dimension_centered",
    "participation_ratio_centered",
    "stable_rank_centered",
    "rankme",
    "alpha_req",
    "srank",
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "used_variance",
    "output_rank",
    "target_alignment",
    "nc1",
    "nc1_bounded",
    "nc2_equinorm",
    "nc2_equiangular",
    "nc3",
    "cdnv",
    "initial_kernel_similarity",
    "initial_kernel_similarity_raw",
    "within_class_variance",
    "between_class_variance",
]
PROMISED_CURVES = ["eigenvalues", "quality", "utilization", "cumulative_quality", "cumulative_utilization"]


def test_the_promised_names():
    assert set(PROMISED) <= set(SCALARS)
    assert list(CURVES) == PROMISED_CURVES
    assert set(SCALARS) | set(CURVES) <= set(DEFINITIONS)
    assert not set(SCALARS) & set(CURVES)
    assert len(DEFINITIONS) == sum(map(len, (SCALARS, CURVES, ELSEWHERE, COMPARISONS)))


def test_nothing_is_called_richness():
    """0 is the rich end of D_LR, so the word would say the opposite of the number."""
    for row in DEFINITIONS.values():
        assert "richness" not in (row.name + row.title).lower()


PROBLEMS = {
    "name is no identifier": lambda row: not re.fullmatch(r"[a-z][a-z0-9_]*", row.name),
    "meaning is no sentence": lambda row: not row.meaning.endswith("."),
    "caveat is no sentence": lambda row: bool(row.caveat) and not row.caveat.endswith("."),
    "source has neither arXiv number nor year": lambda row: (
        not row.ours and not re.search(r"arXiv:\d{4}\.\d{4,5}|(19|20)\d\d", row.source)
    ),
    "paper without its version": lambda row: (
        "2410.04264" in row.source and not re.search(r"2410\.04264 v\d", row.source)
    ),
    "ours, and the source does not say so": lambda row: row.ours and "phiscope" not in row.source,
    "needs nothing": lambda row: not row.needs,
    "range is empty": lambda row: row.low is not None and row.high is not None and not row.low < row.high,
    "unknown centering": lambda row: row.centering not in ("raw", "centered", "both", "mixed", "none"),
    "text and numbers of the range differ": lambda row: (
        bool(re.match(r"0 \.\. 1\b", row.range)) and (row.low, row.high) != (0.0, 1.0)
    ),
    "an invariance of no name": lambda row: not set(row.invariances) <= set(TRANSFORMATIONS),
    "turns but does not permute": lambda row: "orthogonal" in row.invariances and "permutation" not in row.invariances,
    "praise in the direction": lambda row: bool(re.search(r"\b(better|worse|good|bad)\b", row.direction)),
}


def problems(row: Definition) -> list[str]:
    """What a reader of captions, docs or `explain` would miss in a row."""
    texts = [field.name for field in dataclasses.fields(row) if field.type == "str" and field.name != "caveat"]
    empty = [f"{name} is empty" for name in texts if not getattr(row, name).strip()]
    return empty + [problem for problem, found in PROBLEMS.items() if found(row)]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_rows_are_complete(name):
    row = DEFINITIONS[name]
    assert row.name == name
    assert problems(row) == []
    assert definition_of(name) is row


def test_control_incomplete_rows_are_noticed():
    row = DEFINITIONS["nc1_bounded"]
    for change in (
        {"meaning": ""},
        {"source": "somebody"},
        {"high": None},
        {"direction": "small is better"},
        {"needs": ()},
        {"low": 2.0},
        {"equation": " "},
        {"invariances": {"rotation": ""}},
        {"invariances": invariant("orthogonal")},
        {"source": "arXiv:2410.04264", "ours": False},
    ):
        assert problems(dataclasses.replace(row, **change)) != [], change


def test_invariances_in_words():
    row = DEFINITIONS["eigenvalues"]
    assert row.invariance_text == "orthogonal, permutation, translation (the centered one), invertible_outputs"
    assert dataclasses.replace(row, invariances={}).invariance_text == ""
    # In one order, however a row wrote them down.
    turned = dataclasses.replace(row, invariances={"permutation": "", "orthogonal": ""})
    assert turned.invariance_text == "orthogonal, permutation"
    assert len({row, DEFINITIONS["quality"]}) == 2


def test_titles_and_symbols_tell_numbers_apart():
    titles = [row.title for row in DEFINITIONS.values()]
    assert len(set(titles)) == len(titles)
    symbols = [row.symbol for row in SCALARS.values()]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize("name", [name for name in SCALARS if name.endswith("_centered")])
def test_centered_twins_read_the_centered_spectrum(name):
    assert SCALARS[name].centering == "centered"
    assert SCALARS[name.removesuffix("_centered")].centering in ("raw", "mixed")


@pytest.mark.parametrize("name", ["", "richness", "D_LLR", "effective_dimension_raw", "Pi"])
def test_unknown_names(name):
    with pytest.raises(UnknownNameError):
        definition_of(name)


def test_public_functions_of_metrics_state_their_example():
    """Each pure function shows a number that can be checked by hand; doctest runs it."""
    for module in (alignment, collapse, dimension, richness):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_") and name != "low_rank_curve":
                assert ">>>" in (function.__doc__ or ""), f"{module.__name__}.{name}"


# Measurements keep their rows.

RAW_ONLY = {"features": CASES["n > p"]["features"]}

SETTINGS = CASES | {
    "nothing but features": RAW_ONLY,
    "constant features": RAW_ONLY | {"features": np.full((20, 3), 0.1), "targets": np.arange(20) % 2},
    "zero features": RAW_ONLY | {"features": np.zeros((20, 3)), "targets": np.ones(20)},
    "constant outputs": RAW_ONLY | {"outputs": np.full((90, 2), 0.1)},
    "zero head": RAW_ONLY | {"head": (np.zeros((2, 7)), None), "targets": np.arange(90) % 2},
    "constant targets": RAW_ONLY | {"targets": np.full(90, 0.1)},
    "two equal samples": {"features": np.ones((2, 2)), "targets": [0, 1], "outputs": np.ones((2, 1))},
}


@pytest.mark.parametrize("case", SETTINGS)
def test_every_scalar_is_measured_or_absent_with_a_reason(case):
    m = phiscope.diagonalize(**SETTINGS[case])
    for name in SCALARS:
        assert (name in m.numbers) != (name in m.absent), name
        if name in m.absent:
            assert len(m.absent[name]) > 10
            with pytest.raises(MissingNumberError, match=re.escape(m.absent[name])):
                m[name]
    assert set(m.numbers) | set(m.absent) <= set(SCALARS) | {"regime"}
    assert (m.regime is None) == ("regime" in m.absent)


@pytest.mark.parametrize("case", SETTINGS)
def test_measured_values_lie_in_their_range(case):
    m = phiscope.diagonalize(**SETTINGS[case])
    for name, value in m.to_dict().items():
        row = SCALARS[name]
        assert type(value) is float
        assert math.isfinite(value)
        if name.endswith("_corrected"):
            continue  # an unbiased estimate of a number at the end of its range has to step over it
        # RankMe adds 1e-7 to each share.
        slack = 1e-9 + 2e-7 * (name == "rankme")
        assert row.low is None or value >= row.low - slack, name
        assert row.high is None or value <= row.high + slack, name
    n, p, C = m.n_samples, m.n_features, m.n_outputs
    for name in ("effective_dimension", "participation_ratio", "stable_rank", "srank"):
        assert name not in m or m[name] <= min(n, p) * (1 + 1e-9)
    for name in ("output_rank", "output_rank_raw"):
        assert name not in m or (m[name] == int(m[name]) and m[name] <= C)


NEEDS = {
    "features": set(),
    "outputs": {"outputs", "head"},
    "targets": {"targets"},
    "classes": {"targets"},
    "head": {"head"},
}


@pytest.mark.parametrize("left_out", ["head", "targets"])
def test_needs_are_true(left_out):
    """What a row says it needs is exactly what makes it disappear."""
    full = CASES["n > p"]
    less = phiscope.diagonalize(**{key: part for key, part in full.items() if key not in (left_out, "num_classes")})
    for name in phiscope.diagonalize(**full).to_dict():
        needed = set().union(*(NEEDS[need] for need in SCALARS[name].needs))
        assert (name in less) == (left_out not in needed), name
