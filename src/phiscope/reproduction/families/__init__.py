"""The nine experiments of the paper, a ladder from elsewhere and those of the papers beside it, one file each.

::

    minimal.py        the minimal-feature regime, reached by convolutional networks in a few epochs
    learning_rate.py  too small and too large are both less rich than the best
    batch_norm.py     batch norm makes a deep plain network rich
    grokking.py       modular arithmetic: the table by heart, long before the rule
    code.py           the label written beside the picture as a weak code
    shuffled.py       shuffled labels: as rich as true ones, and nothing generalizes
    scaling.py        knobs with a known effect on how lazy training is
    regression.py     neural collapse in the kernel picture, for targets of equal and unequal spread
    poor.py           the minimal regime with poor performance
    ladder.py         from rich to lazy by the scale of a centered model, from elsewhere
    pruning.py        units and channels cut by every rule (arXiv:2005.13796)
    distortion.py     maps distorted in training (arXiv:2002.11022)
    fashion.py        what the families share at medium scale: pictures, base training, costs
"""

from __future__ import annotations

from types import MappingProxyType

from phiscope.errors import UnknownNameError
from phiscope.reproduction.families import (
    batch_norm,
    code,
    distortion,
    grokking,
    ladder,
    learning_rate,
    minimal,
    poor,
    pruning,
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
    ladder.FAMILY,
    pruning.FAMILY,
    distortion.FAMILY,
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
