"""What a reader takes over: the least squares of its outputs, by brute force."""

import numpy as np
import pytest

import phiscope
from phiscope.surgery.compensation import taken_over
from phiscope.surgery.material import regularized


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(0)
    x = random.standard_normal((500, 7)) @ random.standard_normal((7, 7)) + 1
    return x, random.standard_normal((3, 7)), random.standard_normal(3), phiscope.diagonalize(x)


@pytest.mark.parametrize("kept", [[0, 2, 5], [6], [0, 1, 2, 3, 4, 5, 6]])
def test_it_is_the_least_squares_of_the_outputs(case, kept):
    x, weight, bias, m = case
    outputs = x @ weight.T + bias
    found, constant, predicted = taken_over(m, weight, bias, np.asarray(kept), ridge=0.0)
    solution, *_ = np.linalg.lstsq(np.column_stack([x[:, kept], np.ones(500)]), outputs, rcond=None)
    assert found == pytest.approx(solution[:-1].T, abs=1e-8)
    assert constant == pytest.approx(solution[-1], abs=1e-8)
    change = np.mean(np.sum((x[:, kept] @ found.T + constant - outputs) ** 2, axis=1))
    assert predicted == pytest.approx(change, abs=1e-9)


def test_without_it_means_stand_in_the_place_of_what_goes(case):
    x, weight, bias, m = case
    kept, gone = [0, 2, 5], [1, 3, 4, 6]
    filled = x.copy()
    filled[:, gone] = x[:, gone].mean(axis=0)
    found, constant, predicted = taken_over(m, weight, bias, np.asarray(kept), compensate=False)
    outputs = x[:, kept] @ found.T + constant
    assert outputs == pytest.approx(filled @ weight.T + bias)
    assert predicted == pytest.approx(np.mean(np.sum(((filled - x) @ weight.T) ** 2, axis=1)))
    assert taken_over(m, weight, bias, np.asarray(kept))[2] < predicted


@pytest.mark.parametrize("ridge", [None, 0.3, "oas"])
@pytest.mark.parametrize("seed", range(6))
def test_with_a_ridge_it_is_the_ridge_regression_on_what_stays_and_no_worse_than_means(ridge, seed):
    """With "oas" units were read from a covariance that was shrunk, and what they stand for was not: on few samples
    strong units took over up to twice what least squares gives them."""
    random = np.random.default_rng(seed)
    shared = random.standard_normal((16, 1))
    x = np.column_stack([6 * shared + random.standard_normal((16, 1)), random.standard_normal((16, 9)), shared])
    m, kept, gone = phiscope.diagonalize(x), np.arange(10), np.array([10])
    weight = random.standard_normal((2, 11))
    s = np.cov(x.T, bias=True)
    r = regularized(s, 16, ridge)[1]
    share = np.linalg.solve(s[np.ix_(kept, kept)] + r * np.eye(10), s[np.ix_(kept, gone)])
    found, _, predicted = taken_over(m, weight, np.zeros(2), kept, ridge)
    assert found == pytest.approx(weight[:, kept] + weight[:, gone] @ share.T, abs=1e-8)
    assert predicted <= taken_over(m, weight, np.zeros(2), kept, compensate=False)[2] + 1e-9
