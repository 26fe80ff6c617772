"""What the page says in sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import phiscope
from phiscope.page.build import page_text
from phiscope.page.words import gauges, reference_words, settings_words, shared_facts, unique_labels
from synthetic_runs import Recipe, write_run


def test_gauges_stay_on_their_scale() -> None:
    from phiscope.metrics.regime import decide_regime

    for k90, rank, cliff in ((1, 1, 1.0), (9, 9, 7.0), (500, 9, 1e12), (1, 99, 2.0)):
        evidence = decide_regime(
            output_rank=rank,
            n_directions=1000,
            k90=k90,
            used_variance=0.5,
            dynamical_low_rank=0.3,
            cliff=cliff,
            initial_kernel_similarity=1.2,
        )
        for gauge in gauges(evidence):
            assert 0 <= gauge.at <= 100
            assert gauge.zones[0][1] == 0
            assert gauge.zones[-1][2] == 100
            assert all(start <= end for _, start, end in gauge.zones)


def test_where_nothing_follows_there_is_no_ratio_to_say() -> None:
    """Of 40 features and 40 outputs there is no 41st eigenvalue, and rounding in its place made a cliff of 3e13."""
    from phiscope.page.words import cliff_words

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 40))
    every = phiscope.diagonalize(x, head=(np.eye(40), None), targets=x).evidence
    some = phiscope.diagonalize(x, head=(np.eye(40)[:5], None), targets=x).evidence
    # Collapsed features have rank r as well: what decides is the number, as before.
    y = np.arange(200) % 4
    means = rng.normal(size=(4, 40))
    collapsed = phiscope.diagonalize(means[y], head=(means, None), targets=y)
    assert cliff_words(every) == ("ρ₄₀ / ρ₄₁", "nothing follows")
    assert "cliff where nothing follows" in collapsed.evidence.sentence()
    assert cliff_words(collapsed.evidence)[1] == "nothing follows"
    assert collapsed.evidence.cliff > 1e9
    assert not some.nothing_follows
    assert float(cliff_words(some)[1]) == pytest.approx(some.cliff, rel=1e-3)
    for evidence in (every, collapsed.evidence):
        (gauge,) = [one for one in gauges(evidence) if one.symbol.startswith("ρ")]
        assert (gauge.value, gauge.meaning, gauge.at) == ("nothing follows", "what the outputs need", 100)


def test_nothing_follows_is_kept_with_a_measurement(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    measured = phiscope.diagonalize(x, head=(np.eye(5), None), targets=x)
    measured.save(tmp_path / "m.safetensors")
    assert phiscope.Measurement.load(tmp_path / "m.safetensors").evidence.nothing_follows


def test_words_about_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", Recipe(epochs=(0,), header={"name": "same"}))
    b = write_run(tmp_path / "b", Recipe(epochs=(0,), header={"name": "same", "model": "another"}))
    assert unique_labels([a, b]) == ("same", "same (2)")
    assert ("Task", "classification, 4 classes") in shared_facts([a, b])
    assert "Network" not in dict(shared_facts([a, b]))
    assert shared_facts([a]) == ()
    assert settings_words({"seed": 0, "warmup": 0, "stages": [[1]]}) == "seed 0"


def test_a_word_comes_with_what_speaks_against_the_other():
    from phiscope.page.words import regime_meaning

    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(4000, 24))
    strong = np.pad(rng.normal(size=(4000, 6)) * np.r_[3.0, 1.5, 1.0, 0.7, 0.5, 0.3], ((0, 0), (0, 18))) + noise
    flat = np.pad(rng.normal(size=(4000, 6)), ((0, 0), (0, 18))) + noise
    head = (np.eye(6, 24), np.zeros(6))
    uneven, even = (phiscope.diagonalize(features, head=head) for features in (strong, flat))
    assert uneven.regime == "intermediate"
    assert even.regime == "minimal"
    assert "features of unequal strength, PR / r = " in regime_meaning(uneven)
    assert regime_meaning(even).endswith("are set apart from all others, and are about equally strong.")
    none = phiscope.diagonalize(flat[:, :6], head=(np.eye(6), np.zeros(6)))
    assert regime_meaning(none).startswith("Output rank r = 6 is more than half of p' = 6 (units that vary")


@pytest.mark.parametrize("what", ["classes", "values"])
def test_minimal_features_are_called_equally_strong_only_where_they_are(what):
    """Rare classes, or targets of unequal scale, collapse onto features of unequal strength, and minimal they are."""
    from phiscope.page.verdicts import _meaning
    from phiscope.page.words import regime_meaning

    rng = np.random.default_rng(9)
    if what == "classes":
        shares = np.geomspace(1, 0.01, 10)
        targets = rng.choice(10, 4000, p=shares / shares.sum())
        signal = (np.eye(10) - 0.1)[targets]
    else:
        targets = rng.normal(size=(4000, 3)) * [1.0, 3.0, 10.0]
        signal = targets / np.sqrt([1.0, 3.0, 10.0])
    width = signal.shape[1]
    x = np.c_[signal, np.zeros((4000, 30))] + 0.01 * rng.normal(size=(4000, width + 30))
    m = phiscope.diagonalize(x, head=(np.eye(width, width + 30), None), targets=targets)
    assert m.regime == "minimal"
    assert m.evidence.dynamical_low_rank > 0.2
    for said in (regime_meaning(m), _meaning(m.regime, m.evidence)):
        assert "equally" not in said
        assert said.endswith("are as unequal as the classes or targets are.")
    # A word of an earlier rule, which counted features alone, says nothing of their strength.
    counted = replace(m.evidence, rule="by an earlier rule", dynamical_low_rank=None, collapse_distance=None)
    assert _meaning("minimal", counted) == "The layer holds about as many features as the outputs need."


def test_what_distance_is_read_against_has_no_bare_dash(tmp_path: Path) -> None:
    """A run measured with k= has no random head: the page said "0.829; –" and not why."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2200)), np.arange(60) % 3
    head = (rng.normal(size=(3, 2200)), None)
    leading = phiscope.diagonalize(x, head=head, targets=y, k=5)
    whole = phiscope.diagonalize(x[:, :30], head=(head[0][:, :30], None), targets=y)
    silent = phiscope.diagonalize(x[:, :30], targets=y)
    both = reference_words(whole, whole)
    assert (both.label, both.missing) == ("at start; random head", ())
    assert both.value == f"{whole['dynamical_low_rank_centered']:.3g}; {whole['dynamical_low_rank_random_head']:.3g}"
    one = reference_words(leading, leading)
    assert (one.label, one.value) == ("at start", f"{leading['dynamical_low_rank_centered']:.3g}")
    why = leading.absent["dynamical_low_rank_random_head"]
    assert "5 leading eigenvalues" in why
    assert one.missing == (f"D_LR of a random head is not known: {why}.",)
    late = reference_words(silent, whole)
    assert late.label == "random head"
    assert late.missing == ("D_LR at start is not known: neither outputs nor a head were given.",)
    assert reference_words(silent, silent).value == ""
    phiscope.write_run(tmp_path / "run", [(0, leading), (1, leading)])
    text = page_text({"run": phiscope.open_run(tmp_path / "run")})
    assert f"D_LR of a random head is not known: {why}." in text
    assert ">–<" not in text.partition('id="numbers"')[0]
    assert "; –" not in text
