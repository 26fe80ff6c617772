"""The rule of the regime: its thresholds, and where it is refused."""

import numpy as np
import pytest

from phiscope import diagonalize
from phiscope.metrics import definition_of
from phiscope.metrics.regime import decide_regime


def test_the_rule_of_the_regime_is_explained_with_its_thresholds():
    """The row reads the constants, so that changing one changes the page."""
    row = definition_of("regime")
    assert "S_init ≥ 0.99 and ‖W − W₀‖ ≥ 0.01 ‖W₀‖" in row.equation
    assert "k₉₀ ≤ r + 1, U ≥ 0.5, ρ_r / ρ_(r+1) ≥ 2 and D_LRᶜ ≤ 0.2" in row.equation
    assert "k₉₀ ≥ 2 r" in row.equation


def orthonormal(n, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, k)))[0]


def regime_of(eigenvalues, r, rotate=0.0):
    """Features with that centered spectrum; the head reads the r leading eigenfunctions, or also those behind them."""
    k = len(eigenvalues)
    Q = np.linalg.qr(orthonormal(20 * k, k) - orthonormal(20 * k, k).mean(0))[0] * np.sqrt(20 * k)
    W = np.eye(k)[:r] * np.cos(rotate) + np.eye(k, k=r)[:r] * np.sin(rotate)
    # Outputs are mixed eigenfunctions, so utilization splits as cos^2 and sin^2.
    return diagonalize(Q * np.sqrt(eigenvalues), outputs=Q @ W.T)


def simplex(C, p=None):
    """C unit vectors in R^p whose cosines are -1/(C - 1)."""
    vectors = (np.eye(C) - 1 / C) * np.sqrt(C / (C - 1))
    return vectors if p is None else vectors @ orthonormal(p, C).T


def collapsed(C, per_class, p=None, offset=0.0):
    """phi . phi' = a1 + a2 C 1[y = y']: the minimal-feature network, balanced."""
    V = simplex(C, p) + offset
    y = np.repeat(np.arange(C), per_class)
    return V[y], V, y


def test_regimes():
    leading = np.r_[np.ones(3), np.full(9, 1e-3)]
    assert regime_of(leading, 3).regime == "minimal"
    assert regime_of(leading, 3, rotate=np.pi / 2).regime == "extended"  # k90 = 6 >= 2 r
    flat = regime_of(np.ones(12) + np.linspace(0.1, 0, 12), 3)
    assert flat.regime == "intermediate"  # k90 = 3, but U = 1/4 and no cliff
    assert "U = 0.26" in flat.evidence.sentence()
    assert "no cliff" in flat.evidence.sentence()
    evidence = regime_of(leading, 3).evidence
    assert (evidence.output_rank, evidence.k90, evidence.n_directions) == (3, 3, 12)
    assert evidence.cliff == pytest.approx(1000)
    assert evidence.used_variance == pytest.approx(3 / (3 + 9e-3))
    # PR / r = (3 + 9e-3)^2 / (3 + 9e-6) / 3, and D_LR = 1 - U sqrt(PR / r).
    assert evidence.relative_dimension == pytest.approx((3 + 9e-3) ** 2 / (3 + 9e-6) / 3)
    assert evidence.dynamical_low_rank == pytest.approx(1 - evidence.used_variance * evidence.evenness)
    assert "is not known" in evidence.sentence()


def test_ten_collapsed_classes_in_a_flat_tail_of_noise_are_minimal():
    """D_eff counts the tail (it would be above 2 r here) and decides nothing."""
    X, V, y = collapsed(10, 300, 128)
    # Noise of .6 of the means' own norm, spread over 128 directions.
    noisy = X + 0.6 / np.sqrt(128) * np.random.default_rng(0).normal(size=X.shape)
    m = diagonalize(noisy, head=(3 * V, None), targets=y)
    assert m["effective_dimension_centered"] > 18
    assert m["output_rank"] == 9
    assert m.regime == "minimal"


def test_a_shift_common_to_all_logits_is_not_seen_in_centered_readings():
    """Softmax does not see it; collapsed classes with a little noise used to read "extended" through it alone."""
    g = np.random.default_rng(0)
    y = np.arange(3000) % 6
    X = np.eye(6, 40)[y] + 0.01 * g.normal(size=(3000, 40))
    head = np.eye(6, 40)
    m = diagonalize(X, head=(head, None), targets=y)
    assert m["output_rank"] == 5
    assert m.regime == "minimal"
    assert not any("rests on" in text for text in m.warnings)
    shifted = diagonalize(X, outputs=X @ head.T + 5 * g.normal(size=(3000, 1)), targets=y)
    for name in ("output_rank", "used_variance", "dynamical_low_rank_centered"):
        assert shifted[name] == pytest.approx(m[name], rel=1e-9), name
    np.testing.assert_allclose(shifted.centered.utilization, m.centered.utilization, atol=1e-9)
    # The control: outputs that are no logits of classes keep the shift.
    values = diagonalize(X, head=(head, None), targets=X[:, :2])
    assert values["output_rank"] == 6


def test_regime_that_rests_on_a_weak_output_says_so():
    """Three strong outputs read the strong features, a fourth one, hardly alive, reads weak ones."""
    rho = np.r_[np.ones(3), np.full(20, 1e-2)]
    Q = np.linalg.qr(orthonormal(500, 23) - orthonormal(500, 23).mean(0))[0] * np.sqrt(500)
    weak = Q[:, 3:] @ np.full(20, 1 / np.sqrt(20))
    outputs = np.column_stack([Q[:, :3], 0.05 * weak])
    m = diagonalize(Q * np.sqrt(rho), outputs=outputs)
    assert m["output_rank"] == 4
    assert m.regime == "extended"
    (said,) = (text for text in m.warnings if "rests on" in text)
    assert "1 of 4 output directions that hold 0.083 % of the output variance" in said
    assert "it is minimal (k90 = 3 for r = 3)" in said
    without = diagonalize(Q * np.sqrt(rho), outputs=outputs, rank_tolerance=1e-2)
    assert without.regime == "minimal"
    assert not any("rests on" in text for text in without.warnings)


def test_perfect_collapse_onto_unequal_targets_is_minimal():
    """D_LR is far above 0.2 because targets are unequal; the distance to collapse is 0."""
    Q = np.linalg.qr(orthonormal(200, 3) - orthonormal(200, 3).mean(0))[0] * np.sqrt(200)
    features = np.pad(Q * np.sqrt([1, 3, 10]), ((0, 0), (0, 20)))
    features += 1e-4 * np.random.default_rng(0).normal(size=features.shape)
    m = diagonalize(features, outputs=Q * [1, 3, 10], targets=Q * [1, 3, 10])
    assert m["collapse_distance"] == pytest.approx(0, abs=1e-4)
    assert m["dynamical_low_rank_centered"] > 0.2
    assert m.regime == "minimal"
    assert "because the classes or targets are unequal" in m.evidence.sentence()


def test_perfect_collapse_of_unequal_classes_is_minimal():
    """Ten classes from 100:1 on the vertices of a simplex: D_LR .36, because the weights of the classes differ."""
    counts = np.geomspace(100, 1, 10).round().astype(int) * 5
    y = np.repeat(np.arange(10), counts)
    means = np.pad(np.eye(10) - 0.1, ((0, 0), (0, 30)))
    features = means[y] + 1e-4 * np.random.default_rng(0).normal(size=(len(y), 40))
    m = diagonalize(features, head=(5 * means, None), targets=y)
    assert m["dynamical_low_rank_centered"] == pytest.approx(0.36, abs=0.02)
    assert m["collapse_distance"] < 0.1
    assert m.regime == "minimal"


@pytest.mark.parametrize(("n", "p", "C"), [(12, 512, 10), (900, 10, 10), (400, 16, 12), (3000, 64, 50)])
def test_with_more_than_half_as_many_outputs_as_directions_there_is_no_word(n, p, C):
    g = np.random.default_rng(0)
    y = np.arange(n) % C
    m = diagonalize(g.normal(size=(n, p)), head=(g.normal(size=(C, p)), None), targets=y)
    assert m.regime is None
    assert m.evidence.sentence().startswith("cannot be told: output rank r = ")
    assert "random head" in m.evidence.sentence()
    assert m.absent["regime"] == m.evidence.sentence()


def test_dead_units_are_no_directions():
    g = np.random.default_rng(0)
    X = np.pad(g.normal(size=(600, 12)), ((0, 0), (0, 500)))
    m = diagonalize(X, head=(g.normal(size=(10, 512)), None), targets=np.arange(600) % 10)
    assert m.evidence.n_directions == 12
    assert m.regime is None


def test_regime_is_refused_when_outputs_are_no_function_of_the_features():
    g = np.random.default_rng(0)
    m = diagonalize(g.normal(size=(400, 3)), outputs=g.normal(size=(400, 2)))
    assert m.regime is None
    assert "never reaches 0.9" in m.absent["regime"]


def test_what_lies_behind_a_cut_is_no_evidence():
    numbers = {"n_directions": 128, "used_variance": 0.94, "dynamical_low_rank": 0.02}
    whole = decide_regime(output_rank=9, k90=9, cliff=26.0, **numbers)
    assert whole.regime == "minimal"
    cut = decide_regime(output_rank=9, k90=9, cliff=26.0, n_leading=10, **numbers)
    assert (cut.regime, cut.failed()) == ("minimal", [])
    no_cliff = decide_regime(output_rank=9, k90=9, cliff=None, n_leading=9, **numbers)
    assert no_cliff.regime is None
    assert "lies beyond the 9 leading" in no_cliff.sentence()
    assert "ask for k = 10 or more" in no_cliff.sentence()
    late = decide_regime(output_rank=9, k90=None, cliff=26.0, n_leading=18, **numbers)
    assert late.regime is None
    assert "does not reach 0.9 within the 18 leading" in late.sentence()
    # Of all eigenfunctions the reason is another one, and where r is large no k would help.
    never = decide_regime(output_rank=9, k90=None, cliff=26.0, **numbers)
    assert "never reaches 0.9" in never.sentence()
    crowded = decide_regime(output_rank=9, k90=None, cliff=None, n_leading=5, **{**numbers, "n_directions": 12})
    assert "more than half of p' = 12" in crowded.sentence()


BORDERS = {
    "used_variance": (0.49996, "U = 0.49996, minimal >= 0.5"),
    "cliff": (1.9996, "rho_r / rho_(r+1) = 1.9996, minimal >= 2"),
    "dynamical_low_rank": (0.2004, "D_LR = 0.2004 is above 0.2"),
}


@pytest.mark.parametrize("name", BORDERS)
def test_a_number_next_to_its_threshold_has_the_digits_that_tell_it_from_it(name):
    """Rounded to three digits it was the threshold, and the sentence said that 0.2 is above 0.2."""
    numbers = {"k90": 3, "used_variance": 0.9, "dynamical_low_rank": 0.1, "cliff": 5.0}
    value, words = BORDERS[name]
    evidence = decide_regime(output_rank=3, n_directions=50, **{**numbers, name: value})
    assert evidence.regime == "intermediate"
    assert words in evidence.sentence()


def test_distances_and_movements_next_to_their_threshold_have_their_digits_too():
    numbers = {"output_rank": 3, "n_directions": 50, "k90": 3, "used_variance": 0.9, "cliff": 5.0}
    collapsed = decide_regime(dynamical_low_rank=0.3, collapse_distance=0.09996, **numbers)
    assert "the distance to collapse is 0.09996 (minimal <= 0.1)" in collapsed.sentence()
    uneven = decide_regime(dynamical_low_rank=0.3, collapse_distance=0.10004, **numbers)
    assert "distance to collapse 0.10004" in uneven.sentence()
    moved = decide_regime(dynamical_low_rank=0.1, initial_kernel_similarity=0.989996, head_change=0.5, **numbers)
    assert "S_init = 0.989996 (coefficient from 0.99)" in moved.sentence()
    still = decide_regime(dynamical_low_rank=0.1, initial_kernel_similarity=0.99, head_change=0.0099996, **numbers)
    assert "the head has moved by 0.0099996 only" in still.sentence()


def test_the_sentence_of_a_single_output_names_the_k90_that_is_extended():
    """Two eigenfunctions are 2 r for r = 1, and still minimal: extended begins at three."""
    numbers = {"output_rank": 1, "n_directions": 50, "used_variance": 0.9, "dynamical_low_rank": 0.1, "cliff": 5.0}
    assert decide_regime(k90=2, **numbers).regime == "minimal"
    assert "(extended: k90 >= 3)" in decide_regime(k90=3, **numbers).sentence()
    many = numbers | {"output_rank": 9}
    assert "(extended: k90 >= 18)" in decide_regime(k90=20, **many).sentence()
