"""From a word that somebody types to the number or word that it may mean."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from phiscope.errors import AmbiguousNameError, UnknownNameError
from phiscope.glossary.definition import Definition, Term

Row = Definition | Term

FILE = Path(__file__).with_name("definitions.json")
"""Every row, as ``make docs`` writes them."""

_LETTERS = {
    "α": "alpha", "Δ": "delta", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "μ": "mu", "Π": "pi",
    "π": "pi", "ρ": "rho", "φ": "phi", "η": "eta", "′": "'", "−": "-", "\N{COMBINING CIRCUMFLEX ACCENT}": "hat",
}  # fmt: skip
_INDEX = re.compile(r"\(k\)|[_ ]?[ₖⱼ]|_k\b")


def folded(text: str) -> str:
    """A word without what people type differently: case, spaces, underscores, super- and subscripts, an index k.

    Example:
        >>> folded("Π̂(k)") == folded("Pihat") == folded("pi_hat_k"), folded("D_LRᶜ")
        (True, 'dlrc')
    """
    text = _INDEX.sub("", text)
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(_LETTERS.get(letter, letter) for letter in plain)
    return re.sub(r"[\s_^{}().,‖|⟨⟩\-–]", "", plain).lower()


@dataclass(frozen=True, kw_only=True)
class Words:
    """Every name, symbol, title and other word, and the rows that it may mean.

    Attributes:
        definitions: numbers by name.
        terms: words that are no numbers, by name.
    """

    definitions: Mapping[str, Definition]
    terms: Mapping[str, Term]

    @property
    def rows(self) -> dict[str, Row]:
        """Numbers first, then words."""
        return {**self.definitions, **self.terms}

    @cached_property
    def _by_symbol(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, row in self.definitions.items():
            found.setdefault(row.symbol, []).append(name)
        return found

    @cached_property
    def _by_word(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, row in self.rows.items():
            for word in dict.fromkeys(map(folded, _words_of(row))):
                found.setdefault(word, []).append(name)
        return found

    def meanings(self, word: str) -> tuple[str, ...]:
        """Names of the rows that a word may mean: one, several where it is ambiguous, or none.

        A name means itself and a symbol, as it is written, its number; anything else is compared without case, spaces
        and the like.
        """
        if word in self.definitions or word in self.terms:
            return (word,)
        return tuple(self._by_symbol.get(word) or self._by_word.get(folded(str(word))) or ())

    def meaning(self, word: str) -> Row:
        """The row that a word means.

        Raises:
            UnknownNameError: none; the message offers the nearest names.
            AmbiguousNameError: several; the message lists them.
        """
        names = self.meanings(word)
        if len(names) == 1:
            return self.rows[names[0]]
        if names:
            raise AmbiguousNameError(word, {name: _title(self.rows[name]) for name in names})
        raise UnknownNameError("number", word, self.rows, nearest=self._nearest(word), listing="phiscope explain")

    def _nearest(self, word: str) -> tuple[str, ...]:
        """Up to three names close to a word, or to one of whose other words it is close."""
        typed = folded(str(word))
        # One word of several first, as in "duality"; letters that happen to be alike afterwards.
        within = [one for one in self._by_word if len(typed) > 3 and typed in one]
        close = difflib.get_close_matches(typed, self._by_word, n=6, cutoff=0.6)
        found = dict.fromkeys(name for one in (*within, *close) for name in self._by_word[one])
        return tuple(found)[:3]

    def beside(self, name: str) -> tuple[str, ...]:
        """Names of the numbers that are variants of one: centered, corrected, cumulative, held out."""
        base = re.sub(r"_(centered|corrected|raw)\b", "", name.removesuffix("_corrected"))
        return tuple(other for other in self.definitions if other != name and _has(other, base))


def _has(name: str, base: str) -> bool:
    return f"_{base}_" in f"_{name}_"


def _words_of(row: Row) -> Iterable[str]:
    if isinstance(row, Term):
        return (row.name, *row.aliases)
    return (row.name, row.symbol, row.title, *row.aliases)


def _title(row: Row) -> str:
    return f"{row.title}, {row.symbol}" if isinstance(row, Definition) else "a word"


@dataclass(frozen=True, kw_only=True)
class Glossary:
    """What the generated file holds.

    Attributes:
        words: every number and word.
        places: what to type to read each number.
        studies: title of each built-in study.
    """

    words: Words
    places: Mapping[str, str]
    studies: Mapping[str, str]


@cache
def stored() -> Glossary:
    """The generated file, read once."""
    facts = json.loads(FILE.read_text(encoding="utf-8"))
    return Glossary(
        words=Words(
            definitions={row["name"]: Definition(**_tuples(row)) for row in facts["definitions"]},
            terms={row["name"]: Term(**_tuples(row)) for row in facts["terms"]},
        ),
        places=facts["places"],
        studies=facts["studies"],
    )


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
