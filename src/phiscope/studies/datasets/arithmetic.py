"""Tables of modular arithmetic as rows of tokens: every pair (a, b) with the class a ∘ b mod p, computed exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.datasets.pixels import is_whole


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenSet:
    """Rows of tokens with their classes, ready to train on.

    Attributes:
        train_x: int64, shape (n, length), 0 to vocabulary - 1.
        train_y: int64, shape (n,), 0 to num_classes - 1.
        test_x: the rows that are not trained on.
        test_y: their classes.
        vocabulary: number of tokens.
        num_classes: C.
        name: the operation.
        source: one sentence that says what the rows are and how many.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    vocabulary: int
    num_classes: int
    name: str
    source: str

    @property
    def input_shape(self) -> tuple[int, int]:
        """What ``build_network("transformer")`` takes: (sequence length, vocabulary)."""
        return self.train_x.shape[1], self.vocabulary


def modular_table(operation: str, modulus: int = 97, train_share: float = 0.5, seed: int = 0) -> TokenSet:
    """The whole table of an operation modulo p, cut at random into train and test.

    A row is the three tokens a, b, "="; residues are their own tokens and "=" is the token p. "division" is the exact
    one, a times the inverse of b, and leaves out b = 0; its modulus has to be a prime.

    Half of the test pairs of an addition have their mirror (b, a) in training when half of the table is: a network
    that knows no more than a + b = b + a is right on them.

    Args:
        operation: "addition", "subtraction" or "division".
        modulus: p, 2 or more.
        train_share: share of the table to train on, between 0 and 1.
        seed: decides the cut; "addition" is cut as in the study modular-addition.

    Returns:
        Both splits.

    Raises:
        UnknownNameError: there is no such operation.
        InputError: a modulus that does not fit, or a share that leaves fewer than two pairs on either side.

    Source:
        Power et al. 2022, the operations x + y, x - y and x / y modulo 97.

    Example:
        >>> table = modular_table("division", modulus=7)
        >>> table.train_x.shape, table.test_x.shape, table.vocabulary
        (torch.Size([21, 3]), torch.Size([21, 3]), 8)
    """
    if operation not in _OPERATIONS:
        raise UnknownNameError("operation", operation, _OPERATIONS)
    if not is_whole(modulus, 2):
        raise InputError(f"a modulus is a whole number, 2 or more, got modulus={modulus!r}")
    if not is_whole(seed, 0, 2**63 - 1):
        raise InputError(f"a seed is a whole number from 0 to 2^63 - 1, got {seed!r}")
    first_b, sign, compute = _OPERATIONS[operation]
    if operation == "division" and any(math.gcd(b, modulus) > 1 for b in range(1, modulus)):
        raise InputError(f"division needs a prime modulus, where every b but 0 has an inverse, got modulus={modulus}")
    a = torch.arange(modulus).repeat_interleave(modulus - first_b)
    b = torch.arange(first_b, modulus).repeat(modulus)
    rows, classes = torch.stack([a, b, torch.full_like(a, modulus)], dim=1), compute(a, b, modulus) % modulus
    share: object = train_share
    n_train = round(train_share * len(rows)) if isinstance(share, int | float) and 0 < share < 1 else 0
    if not 2 <= n_train <= len(rows) - 2:
        raise InputError(
            f"train_share is a share between 0 and 1 that leaves two of the {len(rows)} pairs on either side, got "
            f"train_share={train_share!r}"
        )
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    train, test = order[:n_train], order[n_train:]
    return TokenSet(
        train_x=rows[train],
        train_y=classes[train],
        test_x=rows[test],
        test_y=classes[test],
        vocabulary=modulus + 1,
        num_classes=modulus,
        name=operation,
        source=f"the table of a {sign} b mod {modulus}{', b not 0,' if first_b else ''} as three tokens a, b, =: "
        f"{n_train} pairs drawn at random to train, {len(rows) - n_train} to test",
    )


def _quotient(a: Tensor, b: Tensor, modulus: int) -> Tensor:
    return a * torch.tensor([pow(int(number), -1, modulus) for number in b])


_OPERATIONS: Mapping[str, tuple[int, str, Callable[[Tensor, Tensor, int], Tensor]]] = MappingProxyType(
    {
        "addition": (0, "+", lambda a, b, modulus: a + b),
        "subtraction": (0, "-", lambda a, b, modulus: a - b),
        "division": (1, "/", _quotient),
    }
)
