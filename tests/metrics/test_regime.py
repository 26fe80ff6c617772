"""The rule of the regime: its thresholds, and where it is refused."""

from phiscope.metrics import definition_of


def test_the_rule_of_the_regime_is_explained_with_its_thresholds():
    """The row reads the constants, so that changing one changes the page."""
    row = definition_of("regime")
    assert "≥ 0.99" in row.equation
    assert "k₉₀ ≤ r + 1 and D_effᶜ ≤ 1.5 r" in row.equation
    assert "2 r" in row.equation
