"""How many features there are: dimensions of a spectrum."""

from __future__ import annotations

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, SHAPE, Definition
from phiscope.typing import FloatArray


def effective_dimension(eigenvalues: FloatArray) -> float:
    """exp of the entropy of the normalized eigenvalues; 1..rank.

    Args:
        eigenvalues: rho_k > 0, shape (K,), K >= 1.

    Source: arXiv:2410.04264 v1.

    Example:
        >>> round(effective_dimension(np.ones(7)), 12)
        7.0
    """
    share = eigenvalues / eigenvalues.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def participation_ratio(trace: float, squared_norm: float) -> float:
    """(sum rho)^2 / sum rho^2, which needs no eigenvalue; 1..effective dimension.

    Example:
        >>> participation_ratio(3.0, 3.0)
        3.0
    """
    # Rounding can leave 1 - 1e-16 for a single direction.
    return max(trace**2 / squared_norm, 1.0)


def stable_rank(eigenvalues: FloatArray) -> float:
    """sum rho / rho_1; 1..participation ratio.

    Example:
        >>> stable_rank(np.array([2.0, 1.0, 1.0]))
        2.0
    """
    return float(eigenvalues.sum() / eigenvalues[0])


def rankme(eigenvalues: FloatArray, n_singular_values: int) -> float:
    """exp of the entropy of the normalized *singular values* sqrt(rho_k), each share plus 1e-7; 1..min(n, p).

    The paper's 1e-7 makes the shares sum to a little more than 1, so that the entropy of a single direction comes out
    below 0 and that of many equal ones beyond its largest value; both ends are kept.

    Args:
        eigenvalues: raw rho_k > 0, shape (K,).
        n_singular_values: min(n, p); singular values that are zero enter as 1e-7 each, as in the paper.

    Source: Garrido et al. 2023, arXiv:2210.02885, equation 1.

    Example:
        >>> rankme(np.ones(4), 4), rankme(np.ones(1), 1)
        (4.0, 1.0)
    """
    singular = np.zeros(max(n_singular_values, len(eigenvalues)))
    singular[: len(eigenvalues)] = np.sqrt(eigenvalues)
    share = singular / singular.sum() + 1e-7
    return float(np.clip(np.exp(-(share * np.log(share)).sum()), 1.0, len(singular)))


def alpha_req(eigenvalues: FloatArray) -> float:
    """Minus the least-squares slope of ln rho_k against ln k over all kept eigenvalues.

    Args:
        eigenvalues: centered rho_k > 0, shape (K,), K >= 2.

    Source: Agrawal et al. 2022 (NeurIPS), section 2.

    Example:
        >>> round(alpha_req(np.arange(1.0, 50.0) ** -1.5), 12)
        1.5
    """
    order = np.log(np.arange(1, len(eigenvalues) + 1))
    order -= order.mean()
    return float(-(order @ np.log(eigenvalues)) / (order @ order))


SRANK_DELTA = 0.01
"""Share of the singular-value mass that srank leaves out (Kumar et al. 2021 use this value)."""


def srank(eigenvalues: FloatArray, delta: float = SRANK_DELTA) -> int:
    """Least k whose leading singular values hold a share 1 - delta of their sum.

    Args:
        eigenvalues: raw rho_k > 0, shape (K,).
        delta: share left out, 0..1.

    Source: Kumar et al. 2021, arXiv:2010.14498, section 3.

    Example:
        >>> srank(np.array([1.0, 1.0, 1e-8]))
        2
    """
    singular = np.sqrt(eigenvalues)
    reached = np.cumsum(singular) / singular.sum()
    # A margin of rounding, so that an exact tie counts as reached.
    return int(np.argmax(reached >= 1 - delta - 1e-12)) + 1


def most_of(name: str, n_samples: int, n_features: int) -> float:
    """The largest value of a dimension: p, or min(n, p) for RankMe, which is made of the samples; else infinite.

    A centered one is at most n - 1 on the samples, but what is estimated is that of the population.

    Example:
        >>> most_of("effective_dimension_centered", 100, 30), most_of("rankme", 20, 30), most_of("alpha_req", 20, 30)
        (30.0, 20.0, inf)
    """
    # A corrected estimate itself may lie beyond: cut off, its mean over samples would fall short of isotropic features.
    plain = name.removesuffix("_corrected").removesuffix("_centered")
    if plain == "rankme":
        return float(min(n_samples, n_features))
    return float(n_features) if plain in ("effective_dimension", "participation_ratio", "stable_rank") else np.inf


_FEW = "small: few directions carry the features; large: many do"

DEFINITIONS = (
    Definition(
        name="effective_dimension",
        title="effective dimension",
        symbol="D_eff",
        aliases=("dimension", "effective rank"),
        range="1 .. p",
        low=1.0,
        direction=_FEW,
        centering="raw",
        invariances=SHAPE,
        equation="exp(−Σ qₖ ln qₖ), q = ρ / Σρ",
        meaning="How many eigenfunctions the features effectively use: the exponential of the spectrum's entropy.",
        scale="log(x)",
        source="arXiv:2410.04264 v1",
        caveat="A mean feature vector far from zero is one large raw eigenvalue and pulls the raw number to 1; "
        "read the centered one beside it.",
    ),
    Definition(
        name="participation_ratio",
        title="participation ratio",
        symbol="PR",
        aliases=("dimension",),
        range="1 .. D_eff",
        low=1.0,
        direction=_FEW,
        centering="raw",
        invariances=SHAPE,
        equation="(Σρ)² / Σρ²",
        meaning="A count of dominating eigenvalues that weighs large ones more than the effective dimension does.",
        source="Bell and Dean 1970; used for neural data by Gao et al. 2017",
        caveat="Biased downward when n is not much larger than the number itself.",
    ),
    Definition(
        name="stable_rank",
        title="stable rank",
        symbol="sr",
        aliases=("rank", "NESum"),
        range="1 .. PR",
        low=1.0,
        direction=_FEW,
        centering="raw",
        invariances=SHAPE,
        equation="Σρ / ρ₁",
        meaning="Total variance in units of the largest eigenvalue; elsewhere the centered one is called NESum.",
        scale="log(x - 1)",
        source="Rudelson and Vershynin 2007; NESum: He and Ozay 2022",
    ),
    Definition(
        name="rankme",
        title="RankMe",
        symbol="RankMe",
        aliases=("rank",),
        range="1 .. min(n, p)",
        low=1.0,
        direction=_FEW,
        centering="raw",
        invariances=SHAPE,
        equation="exp(−Σ sₖ ln sₖ), s = σ / Σσ + 1e−7, σₖ = √(n ρₖ), kept within its range, which the 1e−7 can pass",
        meaning="Effective rank from singular values instead of eigenvalues, so it counts weak directions more.",
        source="Garrido et al. 2023, arXiv:2210.02885",
        caveat="Some libraries call the number from eigenvalues RankMe as well; the two differ by factors.",
    ),
    Definition(
        name="alpha_req",
        title="spectral decay exponent",
        symbol="α",
        aliases=("alpha", "alpha-ReQ", "power law"),
        range="any real number",
        direction="small: slow decay, many directions; large: fast decay",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="minus the least-squares slope of ln ρₖ on ln k, k = 1 .. K over all kept eigenvalues",
        meaning="Exponent of a power law fitted to the centered spectrum.",
        source="Agrawal et al. 2022, NeurIPS (α-ReQ)",
        caveat="A spectrum with a gap is no power law; the fit then describes neither side of the gap.",
    ),
    Definition(
        name="srank",
        title="feature rank",
        symbol="srank",
        aliases=("rank",),
        range="1 .. p, whole numbers",
        low=1.0,
        direction=_FEW,
        centering="raw",
        invariances=SHAPE,
        equation="least k with Σ_{i≤k} σᵢ ≥ 0.99 Σσᵢ",
        meaning="Number of leading singular values that hold 99 % of their sum.",
        source="Kumar et al. 2021, arXiv:2010.14498",
    ),
)
