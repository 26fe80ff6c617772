"""Ten numbers that are known on paper, asked of this installation: arrays, a network in batches, and a run on disk."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from phiscope.measurement.diagonalize import diagonalize
from phiscope.measurement.record import Measurement
from phiscope.typing import FloatArray

TOLERANCE = 1e-9
"""Allowed distance from the number on paper: a few thousand times what float64 loses here, and far below any fault."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one closed form gave.

    Attributes:
        name: what was asked.
        expected: the number on paper.
        got: what this installation says; None where it ended in an error.
        error: the error's type and sentence; empty where there was none.
    """

    name: str
    expected: float
    got: float | None
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether it is the number on paper."""
        return self.got is not None and abs(self.got - self.expected) <= TOLERANCE * max(1.0, abs(self.expected))


def run_checks(forms: Mapping[str, tuple[float, Callable[[], float]]] | None = None) -> tuple[Check, ...]:
    """Ask all of them; one that ends in an error is kept with its sentence.

    Args:
        forms: for each name the number on paper and what computes it; None takes `CLOSED_FORMS`.

    Example:
        >>> [check.right for check in run_checks({"one": (1.0, lambda: 1.0), "two": (2.0, lambda: 1.0)})]
        [True, False]
    """
    return tuple(_asked(name, *form) for name, form in (CLOSED_FORMS if forms is None else forms).items())


def _asked(name: str, expected: float, ask: Callable[[], float]) -> Check:
    try:
        return Check(name=name, expected=expected, got=float(ask()))
    except Exception as error:
        # Whatever it is, it is what the one who reads the report has to know.
        return Check(name=name, expected=expected, got=None, error=f"{type(error).__name__}: {error}")


@cache
def _collapsed() -> Measurement:
    """Four classes that are nothing but their means, the corners of a simplex, and a head that points to them."""
    corners, classes = _corners(), np.repeat(np.arange(4), 6)
    return diagonalize(corners[classes], head=(3.0 * corners, None), targets=classes)


def _corners() -> FloatArray:
    corners: FloatArray = np.zeros((4, 8))
    corners[:, :4] = (np.eye(4) - 0.25) * np.sqrt(4 / 3)
    return corners


def _signs(p: int) -> FloatArray:
    """Every vector of signs once, (2^p, p): the covariance is exactly the identity."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=p)))


def _isotropic() -> float:
    head = np.eye(4, 9)
    return diagonalize(_signs(9), head=(head, None), rank_tolerance=1e-9)["dynamical_low_rank_centered"]


def _two_strengths() -> Measurement:
    return diagonalize(_signs(2) * [2.0, 1.0], targets=_signs(2)[:, 1])


def _second_eigenfunction() -> float:
    held = _two_strengths().centered.cumulative_quality
    return float("nan") if held is None else float(held[1])


def _opposite_head() -> float:
    corners, classes = _corners(), np.repeat(np.arange(4), 6)
    return diagonalize(corners[classes], head=(-corners, None), targets=classes)["nc3"]


def _mean_square() -> float:
    features = _signs(2) * [2.0, 1.0]
    return float(np.mean(diagonalize(features).eigenfunctions(features)[:, 1] ** 2))


def _network_in_batches() -> float:
    """The isotropic features again, through a network of torch, in batches of unequal size."""
    import torch

    from phiscope.measurement.measure import measure

    head = torch.nn.Linear(9, 4, bias=False)
    head.weight.data = torch.eye(4, 9)
    samples = torch.as_tensor(_signs(9), dtype=torch.float32)
    batches = [(part, torch.zeros(len(part), 4)) for part in (samples[:200], samples[200:400], samples[400:])]
    return measure(torch.nn.Sequential(torch.nn.Identity(), head), batches, progress=False)["used_variance"]


def _stored_and_read() -> float:
    from phiscope.runs import open_run, write_run

    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run", [(0, _two_strengths())])
        return open_run(Path(folder) / "run").records[0].measurement()["participation_ratio_centered"]


CLOSED_FORMS: Mapping[str, tuple[float, Callable[[], float]]] = {
    "dimension of three even directions": (3.0, lambda: diagonalize(_signs(3))["effective_dimension"]),
    "participation ratio of eigenvalues 4 and 1": (25 / 17, lambda: _two_strengths()["participation_ratio_centered"]),
    "stable rank of eigenvalues 4 and 1": (5 / 4, lambda: _two_strengths()["stable_rank_centered"]),
    "a target on the second eigenfunction": (1.0, _second_eigenfunction),
    "D_LR of four outputs in nine even directions": (1 / 3, _isotropic),
    "D_LR of collapsed classes": (0.0, lambda: _collapsed()["dynamical_low_rank_centered"]),
    "NC3 of a head that points the other way": (4.0, _opposite_head),
    "mean square of an eigenfunction": (1.0, _mean_square),
    "used variance through a network, in batches": (4 / 9, _network_in_batches),
    "participation ratio from a run on disk": (25 / 17, _stored_and_read),
}
"""For each closed form the number on paper and what asks for it."""
