"""Words that are no numbers: they say what the code does, and name what exists."""

import re

import phiscope
from phiscope.metrics import DEFINITIONS, TERMS, regime
from phiscope.metrics.terms import REGIME_TERMS


def test_every_regime_has_its_word():
    words = {"coefficient", "minimal", "extended", "intermediate", "cannot be told"}
    assert words <= {term.name for term in REGIME_TERMS}


def test_thresholds_are_those_of_the_rule():
    minimal = TERMS["minimal"].meaning
    for threshold in (regime.MINIMAL_USED_VARIANCE, regime.MINIMAL_CLIFF, regime.MINIMAL_DISTANCE):
        assert re.search(rf"[≥≤] {threshold:g}\b", minimal)
    assert f"S_init ≥ {regime.FROZEN_SIMILARITY:g}" in TERMS["coefficient"].meaning


def test_terms_are_sentences_about_numbers_that_exist():
    for name, term in TERMS.items():
        assert name == term.name
        assert name not in DEFINITIONS
        assert term.meaning.endswith(".")
        assert set(term.numbers) <= set(DEFINITIONS)
        assert not re.search(r"\b(better|worse)\b", term.meaning)


def test_places_can_be_typed():
    """What a term says to read is there on a measurement, as far as it is an attribute of one."""
    m = phiscope.diagonalize([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], outputs=[[1.0], [0.0], [1.0]])
    for term in TERMS.values():
        for name in re.findall(r"\bm\.([a-z_]+)(?!\w|\()", term.place):
            assert hasattr(m, name), term.name
        for name in re.findall(r"\bm\.evidence\.([a-z_0-9]+)", term.place):
            assert hasattr(m.evidence, name), term.name
