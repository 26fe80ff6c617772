"""The letters beside a formula: those that occur in it, and none that the formula defines itself."""

import dataclasses

import pytest

from phiscope.glossary.letters import LETTERS, letters_of
from phiscope.metrics import DEFINITIONS


def first(name):
    return [words.split(":")[0] for words in letters_of(DEFINITIONS[name])]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("within_class_variance", ["φ", "μ_c, π_c", "‖·‖"]),
        ("target_alignment", ["S = E[(φ − m)(φ − m)ᵀ]", "D = E[y yᵀ]", "G = E[φ yᵀ]", "‖·‖"]),
        ("nc1", ["S_W = E[(φ − μ_c)(φ − μ_c)ᵀ]", "S_B = Σ_c π_c (μ_c − m)(μ_c − m)ᵀ", "⁺"]),
        # Its own D and T are no targets, and its r is a ridge.
        ("outputs_change", ["S = E[(φ − m)(φ − m)ᵀ]"]),
        ("kernel_rotate", []),
    ],
)
def test_letters_of_a_formula(name, expected):
    assert first(name) == expected


def test_every_group_of_letters_occurs_in_some_formula():
    shown = {words for row in DEFINITIONS.values() for words in letters_of(row)}
    assert shown == {words for _, words in LETTERS}


def test_a_letter_inside_a_word_is_none():
    row = dataclasses.replace(DEFINITIONS["nc1"], equation="MSE of Some Frame")
    assert letters_of(row) == []
