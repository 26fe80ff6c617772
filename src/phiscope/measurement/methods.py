"""What a paper has to say of a measurement: two sentences, an entry for its references, and a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phiscope.errors import MissingNumberError
from phiscope.metrics import definition_of
from phiscope.version import __version__

if TYPE_CHECKING:
    from phiscope.measurement.record import Measurement

BIBTEX = f"""@software{{phiscope,
  title   = {{phiscope: an oscilloscope for the forward feature map of a neural network}},
  author  = {{{{The phiscope maintainers}}}},
  version = {{{__version__}}},
  license = {{Apache-2.0}},
}}
@article{{nam2024visualising,
  title   = {{Visualising Feature Learning in Deep Neural Networks by Diagonalizing the Forward Feature Map}},
  author  = {{Nam, Yoonsoo and Mingard, Chris and Lee, Seok Hyeong and Hayou, Soufiane and Louis, Ard}},
  journal = {{arXiv preprint arXiv:2410.04264}},
  year    = {{2024}},
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
    where = {
        "network": f"the input of the head {told.get('head', '')} of a {told.get('model', 'network')}",
        "arrays": "features given as arrays",
    }.get(str(told.get("source", "")), "a feature map")
    outputs = f", C = {m.n_outputs} outputs" if m.n_outputs is not None else ""
    classes = f", {m.n_classes} classes" if m.n_classes else ""
    first = (
        f"We diagonalized {where} on n = {m.n_samples} samples{split} (p = {m.n_features} features{outputs}{classes}) "
        f"with phiscope {__version__} [phiscope, nam2024visualising]."
    )
    layout = str(told.get("layout", ""))
    outputs_read = f" outputs were read from {layout};" if layout else ""
    corrected = (
        "numbers marked corrected, and 95 % intervals, come from a delete-a-group jackknife over shards of the samples"
        if m.estimates
        else "no correction for finite n was made"
    )
    second = (
        f"The rank of the outputs was taken at a relative tolerance of {m.rank_tolerance:g} on the eigenvalues of "
        f"their second moment;{outputs_read} products were computed in {told.get('products', 'float64')}, and "
        f"{corrected}."
    )
    return f"{first} {second}\n\n{BIBTEX}"


def latex_row(measurement: Measurement, label: str = "", names: Sequence[str] = ROW) -> str:
    r"""One row of a LaTeX table: label, n, p, and numbers with their 95 % intervals; what is absent is a dash.

    Args:
        measurement: whose numbers.
        label: first cell; signs that LaTeX reads are escaped.
        names: of numbers.

    Raises:
        UnknownNameError: there is no such number.
    """
    cells = [_escaped(label), str(measurement.n_samples), str(measurement.n_features)]
    for name in names:
        definition_of(name)
        value = measurement.numbers.get(name)
        if value is None:
            cells.append("--")
            continue
        try:
            low, high = measurement.interval(name)
        except MissingNumberError:
            # Without shards, or a number without an interval: the value stands alone.
            cells.append(f"${value:.3g}$")
        else:
            cells.append(f"${value:.3g}$ $[{low:.3g}, {high:.3g}]$")
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(signs.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)
