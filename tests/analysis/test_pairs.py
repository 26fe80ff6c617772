"""Joint moments of two feature maps against their definitions, whichever of them is wider."""

import numpy as np
import pytest

from phiscope.analysis.pairs import paired, unbiased_similarity
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError

SHAPES = [(60, 4, 7), (60, 7, 4), (10, 40, 3), (10, 3, 40), (10, 40, 30)]


def maps(n, p_a, p_b):
    rng = np.random.default_rng(p_a)
    a = rng.normal(size=(n, p_a)) + 2
    return a, np.tanh(a @ rng.normal(size=(p_a, p_b))) + rng.normal(size=(n, p_b))


@pytest.mark.parametrize(("n", "p_a", "p_b"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_a_pair_are_those_of_the_definition(n, p_a, p_b, weighted):
    a, b = maps(n, p_a, p_b)
    weights = np.random.default_rng(1).uniform(0.5, 2, n) if weighted else np.ones(n)
    share = weights / weights.sum()
    pair = paired(a, b, weights if weighted else None)
    phi, psi = a - share @ a, b - share @ b
    np.testing.assert_allclose(pair.first_mean, share @ a, atol=1e-12)
    np.testing.assert_allclose(pair.second_mean, share @ b, atol=1e-12)
    np.testing.assert_allclose(pair.first.dense(), phi.T @ (share[:, None] * phi), atol=1e-11)
    np.testing.assert_allclose(pair.second.dense(), psi.T @ (share[:, None] * psi), atol=1e-11)
    crossed = phi.T @ (share[:, None] * psi)
    np.testing.assert_allclose(pair.between(np.eye(p_a), np.eye(p_b)), crossed, atol=1e-11)
    assert np.linalg.norm(pair.cross()) == pytest.approx(np.linalg.norm(crossed), rel=1e-11)
    assert pair.effective_samples == pytest.approx(1 / (share**2).sum(), rel=1e-12)
    assert (pair.lengths is None) == weighted
    if not weighted:
        d, e = (phi**2).sum(1), (psi**2).sum(1)
        np.testing.assert_allclose(pair.lengths, [x.mean() for x in (d, e, d * e, d * d, e * e)], rtol=1e-11)


def test_what_the_unbiased_estimate_cannot_say_has_a_reason():
    a, b = maps(60, 4, 7)
    assert unbiased_similarity(paired(a, b, None))[1] == ""
    value, why = unbiased_similarity(paired(a, b, np.arange(60.0)))
    assert value is None
    assert "equally weighted" in why
    assert "at least 4 samples, and there are 3" in unbiased_similarity(paired(a[:3], b[:3], None))[1]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a, b: (a[:-1], b), ShapeError, "59 samples and features_b 60"),
        (lambda a, b: (a[:, 0], b), ShapeError, "features_a has shape"),
        (lambda a, b: (a, b * np.nan), NonFiniteError, "features_b hold NaN"),
        (lambda a, b: (a, np.ones((60, 2))), InputError, "features_b are constant"),
        (lambda a, b: (a[:1], b[:1]), EmptyDataError, "1 sample"),
    ],
)
def test_bad_pairs_are_one_sentence(change, error, words):
    with pytest.raises(error, match=words):
        paired(*change(*maps(60, 4, 7)), None)
