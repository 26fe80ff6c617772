"""Removal one by one: against brute force, in any order, over blocks."""

import numpy as np
import pytest

from phiscope.surgery import greedy
from phiscope.surgery.greedy import removal


def problem(p=9, c=3, seed=0):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((40, p)) @ random.standard_normal((p, p))
    matrix = rows.T @ rows / 40 + 0.1 * np.eye(p)
    return matrix, random.standard_normal((p, c))


def information(matrix, target, kept):
    block = matrix[np.ix_(kept, kept)]
    return float(np.trace(target[kept].T @ np.linalg.solve(block, target[kept]))) if len(kept) else 0.0


def brute_force(matrix, target):
    left, order, losses = list(range(len(matrix))), [], []
    while left:
        whole = information(matrix, target, left)
        costs = [whole - information(matrix, target, [k for k in left if k != unit]) for unit in left]
        best = int(np.argmin(costs))
        order.append(left.pop(best))
        losses.append(costs[best])
    return order, losses


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block", [1, 4, 64])
def test_the_greedy_order_is_that_of_brute_force(seed, block, monkeypatch):
    monkeypatch.setattr(greedy, "BLOCK", block)
    matrix, target = problem(seed=seed)
    inverse = np.linalg.inv(matrix)
    done = removal(inverse, inverse @ target)
    order, losses = brute_force(matrix, target)
    assert done.order.tolist() == order
    assert done.losses == pytest.approx(losses, rel=1e-8)


@pytest.mark.parametrize("block", [1, 5, 64])
def test_any_order_loses_what_is_lost_by_definition(block, monkeypatch):
    monkeypatch.setattr(greedy, "BLOCK", block)
    matrix, target = problem(p=12)
    inverse = np.linalg.inv(matrix)
    order = np.random.default_rng(1).permutation(12)
    done = removal(inverse, inverse @ target, order)
    for count in range(12):
        kept = order[count + 1 :]
        lost = information(matrix, target, list(range(12))) - information(matrix, target, sorted(kept))
        assert done.losses[: count + 1].sum() == pytest.approx(lost, rel=1e-8)


def test_all_losses_sum_to_all_there_is():
    matrix, target = problem(p=200, c=5)
    inverse = np.linalg.inv(matrix)
    done = removal(inverse.copy(), inverse @ target)
    assert sorted(done.order.tolist()) == list(range(200))
    assert done.losses.sum() == pytest.approx(np.trace(target.T @ inverse @ target), rel=1e-6)


def test_a_repeated_unit_goes_first_and_costs_next_to_nothing():
    random = np.random.default_rng(2)
    rows = random.standard_normal((500, 4))
    rows = np.column_stack([rows, rows[:, 0] + 1e-6 * random.standard_normal(500)])
    matrix = rows.T @ rows / 500 + 1e-9 * np.eye(5)
    target = rows.T @ random.standard_normal((500, 2)) / 500
    inverse = np.linalg.inv(matrix)
    first = removal(inverse, inverse @ target).order[0]
    assert first in (0, 4)
