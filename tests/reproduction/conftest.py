"""All families, judged on made-up numbers."""

import numpy as np
import pytest

from made_outcomes import made
from phiscope.reproduction.families import FAMILIES
from phiscope.reproduction.summary import summarize


def _names(family):
    return {column.name for column in family.columns} | {
        "dynamical_low_rank", "dynamical_low_rank_centered", "test_accuracy", "test_r2", "train_accuracy", "gap", "nc1",
        "initial_kernel_similarity", "parameter_norm", "tangent_kernel_distance", "nrc1", "collapse_distance",
        "right_code_accuracy", "no_code_accuracy", "change_dynamical_low_rank", "change_dynamical_low_rank_centered",
        "parameter_distance", "target_alignment", "used_variance", "k90", "output_rank_raw", "output_rank",
        "participation_ratio_centered", "dynamical_low_rank_random_head",
        "dynamical_low_rank_corrected", "dynamical_low_rank_of_1000",
        *(f"dynamical_low_rank_at_{name}" for name in ("1e-10", "3.1e-07", "1.2e-05", "0.0001", "0.01", "0.1")),
    }  # fmt: skip


@pytest.fixture(scope="module")
def everything():
    """Every training of every family at small and medium scale with made-up numbers between 0 and 1."""
    rng = np.random.default_rng(0)
    outcomes = {}
    for family in FAMILIES.values():
        for setup in (*family.setups("small"), *family.setups("medium")):
            numbers = {name: float(rng.random()) for name in sorted(_names(family))}
            outcomes[setup.key] = made(setup, numbers)
    return outcomes


@pytest.fixture(scope="module")
def summaries(everything):
    """All families, judged on the made-up numbers."""
    return [summarize(family, everything, scale="small") for family in FAMILIES.values()]


@pytest.fixture(scope="module")
def medium(everything):
    """Those families that have a medium scale, judged there on the made-up numbers."""
    return [summarize(one, everything, scale="medium") for one in FAMILIES.values() if one.medium is not None]
