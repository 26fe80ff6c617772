"""What the page says in sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import phiscope
from phiscope.page.words import gauges, settings_words, shared_facts, unique_labels
from synthetic_runs import Recipe, write_run


def test_gauges_stay_on_their_scale() -> None:
    from phiscope.metrics.regime import decide_regime

    for k90, rank in ((1, 1), (9, 9), (500, 9), (1, 99)):
        evidence = decide_regime(
            output_rank=rank, k90=k90, effective_dimension_centered=float(k90), initial_kernel_similarity=1.2
        )
        for gauge in gauges(evidence):
            assert 0 <= gauge.at <= 100
            assert gauge.zones[0][1] == 0
            assert gauge.zones[-1][2] == 100
            assert all(start <= end for _, start, end in gauge.zones)


def test_words_about_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", Recipe(epochs=(0,), header={"name": "same"}))
    b = write_run(tmp_path / "b", Recipe(epochs=(0,), header={"name": "same", "model": "another"}))
    assert unique_labels([a, b]) == ("same", "same (2)")
    assert ("Task", "classification, 4 classes") in shared_facts([a, b])
    assert "Network" not in dict(shared_facts([a, b]))
    assert shared_facts([a]) == ()
    assert settings_words({"seed": 0, "warmup": 0, "stages": [[1]]}) == "seed 0"


def test_a_minimal_word_that_d_lr_contradicts_is_said_to_hold_by_the_rule_only():
    from phiscope.page.words import REGIME_MEANINGS, regime_meaning

    rng = np.random.default_rng(0)
    strong = rng.normal(size=(4000, 6)) * np.r_[3.0, 1.5, 1.0, 0.7, 0.5, 0.3]
    uneven = phiscope.diagonalize(strong, head=(np.eye(6), np.zeros(6)))
    even = phiscope.diagonalize(rng.normal(size=(4000, 6)), head=(np.eye(6), np.zeros(6)))
    assert uneven.regime == even.regime == "minimal"
    assert "By the rule below only" in regime_meaning(uneven)
    assert regime_meaning(even) == REGIME_MEANINGS["minimal"]
