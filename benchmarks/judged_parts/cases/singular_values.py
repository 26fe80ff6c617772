"""RankMe: the entropy of singular values, not of eigenvalues."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

import phiscope
from judged_parts.cases.case import Case, Row, theirs
from judged_parts.exact import signs

DECAYS = {"equal": 1.0, "halved each time": 0.5}


def by_reptrix(features: torch.Tensor) -> float:
    """reptrix' RankMe."""
    from reptrix.rankme import get_rankme

    return float(get_rankme(features))


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """Eight uncorrelated features of known lengths."""
    for words, decay in DECAYS.items():
        lengths = decay ** np.arange(8)
        shares = lengths / lengths.sum()
        features = signs() * lengths
        yield Row(
            number="RankMe",
            condition=f"8 singular values, {words}",
            exact=float(np.exp(-(shares * np.log(shares)).sum())),
            ours=phiscope.diagonalize(features)["rankme"],
            others={"reptrix": theirs(lambda f=features: by_reptrix(torch.from_numpy(f)))} if there("reptrix") else {},
        )
        shares = lengths**2 / np.square(lengths).sum()
        yield Row(
            number="effective dimension, centered",
            condition=f"8 singular values, {words}",
            exact=float(np.exp(-(shares * np.log(shares)).sum())),
            ours=phiscope.diagonalize(features)["effective_dimension_centered"],
            others={"reptrix": theirs(lambda f=features: by_reptrix(torch.from_numpy(f)))} if there("reptrix") else {},
        )


CASE = Case(
    key="singular-values",
    title="RankMe of eigenvalues",
    packages={"reptrix": "reptrix"},
    computes="reptrix takes the entropy of the shares of explained variance, which are eigenvalues of the "
    "covariance. RankMe (Garrido et al. 2023) takes singular values of the features, their square roots. "
    "The two agree where all are equal; where they decay the entropy of eigenvalues is smaller. reptrix "
    "also centers the features first, the paper does not.",
    advice="Read reptrix' number as the effective dimension, which it is: phiscope's `effective_dimension_centered`.",
    rows=rows,
    # The paper adds 1e-7 to every share.
    ours=1e-5,
)
