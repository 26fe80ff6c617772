"""The rule of the regime: its thresholds, and where it is refused."""

import numpy as np

from phiscope import diagonalize
from phiscope.metrics import definition_of


def test_the_rule_of_the_regime_is_explained_with_its_thresholds():
    """The row reads the constants, so that changing one changes the page."""
    row = definition_of("regime")
    assert "≥ 0.99" in row.equation
    assert "k₉₀ ≤ r + 1 and D_effᶜ ≤ 1.5 r" in row.equation
    assert "2 r" in row.equation


def orthonormal(n, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, k)))[0]


def regime_of(eigenvalues, r, rotate=0.0):
    """Features with that centered spectrum; the head reads the r leading eigenfunctions, or also those behind them."""
    k = len(eigenvalues)
    Q = np.linalg.qr(orthonormal(20 * k, k) - orthonormal(20 * k, k).mean(0))[0] * np.sqrt(20 * k)
    W = np.eye(k)[:r] * np.cos(rotate) + np.eye(k, k=r)[:r] * np.sin(rotate)
    # Outputs are mixed eigenfunctions, so utilization splits as cos^2 and sin^2.
    return diagonalize(Q * np.sqrt(eigenvalues), outputs=Q @ W.T)


def test_regimes():
    leading = np.r_[np.ones(3), np.full(9, 1e-3)]
    assert regime_of(leading, 3).regime == "minimal"
    assert regime_of(np.ones(12) + np.linspace(0.1, 0, 12), 3).regime == "extended"  # D_eff = 12 >= 2 r
    assert regime_of(leading, 3, rotate=np.pi / 2).regime == "extended"  # k90 = 6 >= 2 r
    middle = np.r_[np.ones(3), np.ones(2) * 0.9, np.full(7, 1e-4)]
    assert regime_of(middle, 3).regime == "intermediate"  # D_eff = 5: above 1.5 r, below 2 r
    evidence = regime_of(leading, 3).evidence
    assert (evidence.output_rank, evidence.k90) == (3, 3)
    assert "skipped" in evidence.sentence()


def test_regime_that_rests_on_a_phantom_direction_says_so():
    """Collapsed classes with a little noise: logits sum to a constant, up to noise that lies on weak functions."""
    g = np.random.default_rng(0)
    y = np.arange(3000) % 6
    X = np.eye(6, 40)[y] + 0.01 * g.normal(size=(3000, 40))
    m = diagonalize(X, head=(np.eye(6, 40), None), targets=y)
    assert m["output_rank"] == 6
    assert m.regime == "extended"
    assert m.evidence.effective_dimension_centered < 6
    (said,) = (text for text in m.warnings if "rests on" in text)
    assert "1 of 6 output directions" in said
    assert "k90 = 5 for r = 5, and the regime is minimal" in said
    without = diagonalize(X, head=(np.eye(6, 40), None), targets=y, rank_tolerance=1e-2)
    assert without.regime == "minimal"
    assert not any("rests on" in text for text in without.warnings)
    # The control: features that are extended for another reason.
    spread = diagonalize(g.normal(size=(3000, 40)), head=(np.eye(6, 40) * np.c_[[1, 1, 1, 1, 1, 0.03]], None))
    assert spread.regime == "extended"
    assert not any("rests on" in text for text in spread.warnings)


def test_regime_is_refused_when_outputs_are_no_function_of_the_features():
    g = np.random.default_rng(0)
    m = diagonalize(g.normal(size=(400, 3)), outputs=g.normal(size=(400, 2)))
    assert m.regime is None
    assert "never reaches 0.9" in m.absent["regime"]
