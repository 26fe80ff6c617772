"""The nine families of the paper's experiments, one file each."""

from __future__ import annotations

from types import MappingProxyType

from phiscope.errors import UnknownNameError
from phiscope.reproduction.families import (
    batch_norm,
    code,
    grokking,
    learning_rate,
    minimal,
    poor,
    regression,
    scaling,
    shuffled,
)
from phiscope.reproduction.family import Family

_ALL = (
    minimal.FAMILY,
    learning_rate.FAMILY,
    batch_norm.FAMILY,
    grokking.FAMILY,
    code.FAMILY,
    shuffled.FAMILY,
    scaling.FAMILY,
    regression.FAMILY,
    poor.FAMILY,
)

FAMILIES = MappingProxyType({family.name: family for family in _ALL})
"""Every family by its name, in the order of their letters."""


def family_named(name: str) -> Family:
    """A family by its name or letter.

    Raises:
        UnknownNameError: there is no such family.

    Example:
        >>> family_named("d").name
        'grokking'
    """
    for family in FAMILIES.values():
        if name in (family.name, family.letter):
            return family
    raise UnknownNameError("family", name, FAMILIES)
