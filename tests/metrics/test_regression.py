"""NRC2 and NRC3 where their formulas have corners: dependent rows, targets that others express, the best gamma."""

import numpy as np
import pytest

from phiscope.linalg.operators import PositiveOperator
from phiscope.metrics.regression import nrc2, nrc3


def distances(weight, covariance, n_shifts=4001):
    """Brute force: the squared distance at many gammas, from no correction to the smallest eigenvalue."""
    gram = weight @ weight.T
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    found = []
    for shift in np.linspace(0, np.sqrt(max(values[0], 0)) * (1 - 1e-9), n_shifts):
        form = root - shift * np.eye(len(root))
        found.append(np.linalg.norm(gram / np.linalg.norm(gram) - form / np.linalg.norm(form)) ** 2)
    return np.array(found)


@pytest.mark.parametrize("n_targets", [1, 2, 5])
def test_no_gamma_is_better_than_the_one_that_is_found(n_targets):
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((n_targets + 3, n_targets)) * 10 ** rng.uniform(-1, 1, n_targets)
        covariance = rows.T @ rows
        # Every other head is near its predicted form at a gamma of its own, the rest is anything.
        values, vectors = np.linalg.eigh(covariance)
        form = (vectors * (np.sqrt(values) - rng.random() * np.sqrt(values[0]))) @ vectors.T
        weight = (
            np.linalg.cholesky(form + 1e-9 * np.eye(n_targets)) if seed % 2 else rng.standard_normal((n_targets, 4))
        )
        found, expected = nrc3(weight, covariance), distances(weight, covariance)
        assert found <= expected.min() + 1e-12
        assert found == pytest.approx(expected.min(), abs=1e-6)
        inside += 0 < expected.argmin() < len(expected) - 1
    # Control: the best gamma is often neither end of its range.
    assert inside >= (20 if n_targets > 1 else 0)


def test_a_target_that_others_express_leaves_no_room_for_gamma():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 3))
    targets = np.column_stack([rows, rows @ [1.0, 1.0, -1.0]])
    covariance, weight = targets.T @ targets, rng.standard_normal((4, 6))
    assert nrc3(weight, covariance) == pytest.approx(distances(weight, covariance, 1)[0], abs=1e-7)


@pytest.mark.parametrize("n_outputs", [1, 3, 6, 20])
def test_row_space_of_dependent_rows(n_outputs):
    rng = np.random.default_rng(n_outputs)
    rows, basis = rng.standard_normal((30, 6)), rng.standard_normal((2, 6))
    weight = rng.standard_normal((n_outputs, 2)) @ basis
    span = np.linalg.qr(weight.T)[0][:, : min(n_outputs, 2)]
    outside = rows - rows @ span @ span.T
    expected = (outside**2).sum() / (rows**2).sum()
    assert nrc2(PositiveOperator(rows=rows), weight) == pytest.approx(expected, rel=1e-12)
    # Control: a row of its own is a direction more.
    other = np.vstack([weight, rng.standard_normal(6)])
    assert nrc2(PositiveOperator(rows=rows), other) < expected - 1e-3
