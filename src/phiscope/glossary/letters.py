"""The letters of formulas: what each stands for, with its shape, so that a formula can be read where it stands."""

from __future__ import annotations

import re

from phiscope.glossary.definition import Definition


def _alone(letters: str) -> str:
    """The letters as a word of their own, primes and indices allowed behind them."""
    return rf"(?<![A-Za-z_]){letters}(?![A-Za-z_])"


LETTERS: tuple[tuple[str, str], ...] = (
    (r"φ", "φ: the features of a sample, shape (p,)"),
    (r"ρ(?!ᶜ)|σ", "ρₖ: eigenvalues, largest first, of M in the raw reading and of S in the centered one; σₖ = √(n ρₖ)"),
    (r"ρᶜ", "ρᶜₖ: eigenvalues of S, largest first"),
    (r"vₖ|V_k", "vₖ: eigenvectors, shape (p,), those of S in centered readings; V_k: the first k as columns"),
    (_alone("M"), "M = E[φφᵀ]: second moment of the features, p × p"),
    (_alone("S"), "S = E[(φ − m)(φ − m)ᵀ]: covariance of the features, p × p"),
    (_alone("m"), "m = E[φ]: mean of the features"),
    (_alone("f"), "f: the outputs of a sample, shape (C,)"),
    (
        _alone("Fc?"),
        "F = E[f fᵀ]: second moment of the outputs f, C × C; Fc: their covariance. In centered readings of classes "
        "with C > 1, f − mean_c f takes the place of f in Fc and Bc: softmax does not see a shift common to all logits",
    ),
    (_alone("Bc?"), "B = E[φ fᵀ]: features with outputs, p × C; Bc: centered"),
    (_alone("Dc?"), "D = E[y yᵀ]: second moment of the targets (one-hot for classes), c × c; Dc: their covariance"),
    (_alone("Gc?"), "G = E[φ yᵀ]: features with targets, p × c; Gc: centered"),
    (r"Q\*", "Q*ₖ: quality of eigenfunction k"),
    (r"Q̂", "Q̂ₖ: utilization of eigenfunction k, Q̂ᶜₖ the centered one"),
    (r"Π\*", "Π*(k): cumulative quality"),
    (r"Π̂", "Π̂(k): cumulative utilization"),
    (_alone("S_W"), "S_W = E[(φ − μ_c)(φ − μ_c)ᵀ]: covariance within classes"),
    (_alone("S_B"), "S_B = Σ_c π_c (μ_c − m)(μ_c − m)ᵀ: covariance of the class means"),
    (r"μ_c|π_c", "μ_c, π_c: mean and share of class c"),
    (_alone("W"), "W, b: weights (C × p) and bias of the last linear layer"),
    (r"√r |> p′|PR / r", "r: rank of Fc (1e-4 of its largest eigenvalue counts as 0)"),
    (_alone("U"), "U: used variance"),
    (_alone("PR"), "PR: participation ratio, here of S"),
    (r"⁺", "⁺: pseudo-inverse, at the rank tolerance where outputs or targets are meant"),
    (r"‖", "‖·‖: Euclidean norm of a vector, Frobenius norm of a matrix"),
)
"""A pattern for each group of letters, and what they stand for. Rows that read no spectrum define their own letters."""


def letters_of(row: Definition) -> list[str]:
    """What the letters of a row's formula stand for, in the order of the table.

    Args:
        row: of the number.
    """
    if row.centering == "none":
        return []
    own = re.findall(r"(?<![A-Za-z])([A-Za-z]) = ", row.equation)
    return [words for pattern, words in LETTERS if words[0] not in own and re.search(pattern, row.equation)]
