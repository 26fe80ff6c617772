"""What a paper has to say of a measurement: two sentences, entries for its references, rows of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phiscope.errors import MissingNumberError
from phiscope.glossary.digits import in_tex
from phiscope.inputs.settings import rows_listed
from phiscope.metrics import definition_of
from phiscope.version import RELEASED, __version__

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement

BIBTEX = f"""@software{{phiscope,
  title   = {{phiscope: an oscilloscope for the forward feature map of a neural network}},
  author  = {{{{The phiscope maintainers}}}},
  version = {{{__version__}}},
  year    = {{{RELEASED[:4]}}},
  license = {{Apache-2.0}},
}}
@article{{nam2024visualising,
  title   = {{Visualising Feature Learning in Deep Neural Networks by Diagonalizing the Forward Feature Map}},
  author  = {{Nam, Yoonsoo and Mingard, Chris and Lee, Seok Hyeong and Hayou, Soufiane and Louis, Ard}},
  journal = {{arXiv preprint arXiv:2410.04264}},
  year    = {{2024}},
  note    = {{v1 defines the eigenfunctions and their shares, v3 D\\_LR: cite the one that you use}},
}}"""
"""Entries for the software and for the paper whose method it implements."""

ROW = ("dynamical_low_rank_centered", "used_variance", "effective_dimension_centered", "nc1")
"""Numbers of a table's row, unless others are asked for."""


def methods_text(measurement: Measurement) -> str:
    """Two sentences that say what was measured and how, and the entries to cite.

    Args:
        measurement: what was measured.
    """
    m, told = measurement, measurement.provenance
    split = f" of the split {told['split']}" if told.get("split") else ""
    outputs = f", C = {m.n_outputs} outputs" if m.n_outputs is not None else ""
    classes = f", {m.n_classes} classes" if m.n_classes else ""
    first = (
        f"We diagonalized {_where(told)} on n = {m.n_samples} samples{split}{_sampling(m)} (p = {m.n_features} "
        f"features{outputs}{classes}) with phiscope {__version__} [phiscope, nam2024visualising]."
    )
    products = f"products were computed in {told.get('products', 'float64')}, and {_correction(m)}"
    second = "; ".join([*_readings(m), *_kept(m), products]) + "."
    second = second[0].upper() + second[1:]
    return f"{first} {second}\n\n{BIBTEX}"


def _where(told: Mapping[str, str]) -> str:
    """What was diagonalized: a place in a network, a kernel, or features that came as arrays."""
    source = told.get("source", "")
    if "arrays" in source:
        return "features given as arrays"
    if source == "kernel":
        return "the feature map of a kernel matrix"
    network = f"of a {told.get('model', 'network')}"
    place = told.get("layer") or told.get("features")
    if place:
        given = " with a matrix (W, b) as its head" if told.get("head", "").startswith("(W, b)") else ""
        return f"the features {place}, {network}{given}"
    return f"the input of the head {told['head']} {network}" if told.get("head") else "a feature map"


def _kept(m: Measurement) -> list[str]:
    """That eigenfunctions were left out, where they were: without it a reader takes the spectrum for the whole one."""
    if not m.centered.is_cut:
        return []
    solver = f", found by {m.provenance['solver']}" if m.provenance.get("solver") else ""
    return [f"of the spectrum only the {len(m.centered.eigenvalues)} leading eigenfunctions are given{solver}"]


def _sampling(m: Measurement) -> str:
    """Weights, and groups that were kept together, where there are any."""
    said = []
    if m.independent_samples < m.n_samples * (1 - 1e-9):
        said.append(f"weighted, which say as much as (Σw)²/Σw² = {m.independent_samples:.4g} equally weighted ones")
    if m.n_groups is not None:
        said.append(f"in {m.n_groups} groups, which were kept together in shards")
    return f", {', '.join(said)}" if said else ""


def _readings(m: Measurement) -> list[str]:
    """Where the spectra of the outputs are cut, and which D_LR is which; nothing without outputs."""
    if m.n_outputs is None:
        return []
    layout = str(m.provenance.get("layout", ""))
    logits = ", for classes that of differences of logits" if m.n_classes and m.n_outputs > 1 else ""
    said = [
        f"ranks of the outputs were taken at a relative tolerance of {m.rank_tolerance:g} on the eigenvalues: D_LR is "
        "that of v3 in its literal reading, from the outputs' second moment, and r, U and D_LR with a superscript c "
        f"are from their covariance{logits}"
    ]
    # An output that is taken as it comes needs no word.
    if layout and not layout.endswith(": as it is"):
        said.append(f"outputs were read from {layout}")
    return said


def _correction(m: Measurement) -> str:
    """What shards of the samples were used for: corrected numbers take two of them, intervals take more."""
    intervals = bool(m.estimates) or (m.resampling is not None and m.resampling.enough)
    jackknife = "come from a delete-a-group jackknife over shards of the samples"
    if any(name.endswith("_corrected") for name in m.numbers):
        return f"numbers marked corrected{', and 95 % intervals,' if intervals else ''} {jackknife}"
    return f"95 % intervals {jackknife}" if intervals else "no correction for finite n was made"


def latex_row(measurement: Measurement, label: str | Sequence[str] = "", names: Sequence[str] = ROW) -> str:
    r"""One row of a LaTeX table: label, n, p, and numbers with their 95 % intervals; what is absent is a dash.

    Args:
        measurement: whose numbers.
        label: first cell; signs that LaTeX reads are escaped. A list of names may stand here, and the cell is empty.
        names: of numbers.

    Raises:
        UnknownNameError: there is no such number.
    """
    if not isinstance(label, str):
        # Numbers alone may come first: a list is no label.
        label, names = "", label
    cells = [_escaped(label), str(measurement.n_samples), str(measurement.n_features)]
    for name in _named(names):
        whole = "whole numbers" in definition_of(name).range
        value = measurement.numbers.get(name)
        if value is None:
            cells.append("--")
            continue
        try:
            low, high = measurement.interval(name)
        except MissingNumberError:
            # Without shards, or a number without an interval: the value stands alone.
            cells.append(f"${in_tex(value, whole=whole)}$")
        else:
            cells.append(f"${in_tex(value, whole=whole)}$ $[{in_tex(low)}, {in_tex(high)}]$")
    return " & ".join(cells) + r" \\"


def latex_header(names: Sequence[str] = ROW) -> str:
    r"""The row above those of `latex_row`: an empty cell, n, p and the symbols of the numbers.

    Args:
        names: of numbers.

    Raises:
        UnknownNameError: there is no such number.

    Example:
        >>> latex_header(["dynamical_low_rank_centered", "nc1"]).split(" & ")[3:]
        ['$D_{\\mathrm{LR}}^{c}$', 'NC1 \\\\']
    """
    symbols = [_in_math(definition_of(name).symbol) for name in _named(names)]
    return " & ".join(["", "$n$", "$p$", *symbols]) + r" \\"


def _named(names: Any) -> list[str]:
    """Names of numbers, where symbols and other words may have come."""
    return [definition_of(one).name for one in rows_listed(names, name="names", of="names of numbers, as ['nc1']")]


_RAISED = str.maketrans({"ᶜ": "c", "ʳ": "r", "ᵇ": "b", "ⁿ": "n", "ᵃ": "a", "ʷ": "w", "²": "2", "*": "*"})
_MATH = {"α": r"\alpha", "Δ": r"\Delta ", "ₕ": r"_{h}"}


def _in_math(symbol: str) -> str:
    """A symbol as LaTeX sets it: an index below, a raised letter above; a word stays a word."""
    made = re.sub(r"_([A-Za-z0-9]+)", r"_{\\mathrm{\1}}", symbol)
    made = re.sub("([ᶜʳᵇⁿᵃʷ²*]+)", lambda found: f"^{{{found[0].translate(_RAISED)}}}", made)
    for sign, words in _MATH.items():
        made = made.replace(sign, words)
    if made == symbol:
        return made if len(made) > 1 else f"${made}$"
    upright = re.sub(r"(?<![\\{A-Za-z])([A-Za-z][A-Za-z0-9]+)(?= |\^|$)", r"\\mathrm{\1}", made)
    return f"${upright}$".replace(" ", r"\,")


def _escaped(text: str) -> str:
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(signs.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)
