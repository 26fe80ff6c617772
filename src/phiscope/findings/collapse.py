"""Variances within and between classes, and neural collapse, for classes and for regression targets."""

from __future__ import annotations

import math

import numpy as np

from phiscope.findings.findings import NO_SPREAD, Findings
from phiscope.linalg import dense
from phiscope.linalg.products import frobenius_norm
from phiscope.metrics import collapse, regression
from phiscope.metrics.class_pairs import pair_products
from phiscope.moments.moments import Moments
from phiscope.spectrum.eigensystem import varies
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray, IntArray

VARIANCES = ("within_class_variance", "between_class_variance")
"""Traces that classes always have, 0 where nothing is spread."""

COLLAPSE_NUMBERS = tuple(row.name for row in collapse.DEFINITIONS if row.name not in VARIANCES)


def find_class_variances(found: Findings, moments: Moments) -> None:
    """tr S_W and tr S_B, which need no spectrum."""
    if not moments.classes:
        found.refuse(VARIANCES, "it needs integer targets, the class of each sample")
        return
    present = np.flatnonzero(moments.group_weights > 0)
    shares = moments.group_weights[present] / moments.weight
    means = moments.group_means[present, : moments.n_features]
    found.numbers["within_class_variance"] = collapse.within_class_variance(moments.within_covariance())
    found.numbers["between_class_variance"] = collapse.between_class_variance(collapse.between_rows(means, shares))


def find_collapse(found: Findings, moments: Moments, spectrum: Spectrum, weight: FloatArray | None) -> None:
    """Neural collapse over the classes that occur."""
    present = np.flatnonzero(moments.group_weights > 0)
    if len(present) < 2:
        found.refuse(COLLAPSE_NUMBERS, "collapse compares classes and only one class occurs in these samples")
        return
    if len(spectrum.eigenvalues) == 0:
        found.refuse(COLLAPSE_NUMBERS, NO_SPREAD)
        return
    columns = slice(0, moments.n_features)
    shares = moments.group_weights[present] / moments.weight
    means = moments.group_means[present, columns]
    vectors = means - means.mean(axis=0)
    scale = frobenius_norm(vectors)
    # Class means that coincide up to rounding of the features themselves have no directions to compare.
    rounding = 1e-14 * max(frobenius_norm(means), math.sqrt(max(moments.within_covariance().trace(), 0.0)))
    if scale <= rounding:
        found.refuse(COLLAPSE_NUMBERS, "all class means coincide on these samples")
        return
    rows = collapse.between_rows(means, shares)
    found.numbers["nc1"] = collapse.nc1(moments.within_covariance(), rows, shares)
    if spectrum.cumulative_quality is not None:
        found.numbers["nc1_bounded"] = max(1.0 - float(spectrum.cumulative_quality[-1]), 0.0)
    found.numbers["nc2_equinorm"] = collapse.nc2_equinorm(vectors)
    norms, products = dense.row_lengths(vectors), pair_products(vectors)
    if norms.min() > rounding:
        found.numbers["nc2_equiangular"] = collapse.nc2_equiangular(vectors, products)
    else:
        found.refuse(("nc2_equiangular",), "a class mean coincides with the center of the class means and has no angle")
    _find_duality(found, moments, weight, vectors, present)
    variances = moments.group_squares[present] / moments.group_weights[present]
    value = collapse.cdnv(means, variances, resolution=rounding, products=products)
    if math.isfinite(value):
        found.numbers["cdnv"] = value
    else:
        found.refuse(("cdnv",), "two classes have the same mean, so their distance is zero")


def _find_duality(
    found: Findings, moments: Moments, weight: FloatArray | None, vectors: FloatArray, present: IntArray
) -> None:
    if weight is None:
        found.refuse(("nc3",), "it compares class means with the head, and no head was given")
    elif len(weight) != moments.n_classes:
        found.refuse(("nc3",), f"the head has {len(weight)} outputs and there are {moments.n_classes} classes")
    elif not frobenius_norm(weight[moments.group_labels[present]]):
        found.refuse(("nc3",), "the weights of the head are all zero")
    else:
        found.numbers["nc3"] = collapse.nc3(weight[moments.group_labels[present]], vectors)


REGRESSION_NUMBERS = tuple(row.name for row in regression.DEFINITIONS)


def find_regression_collapse(
    found: Findings, moments: Moments, spectrum: Spectrum, head: tuple[FloatArray, FloatArray] | None
) -> None:
    """NRC1 to NRC3 for regression targets."""
    if len(spectrum.eigenvalues) == 0:
        found.refuse(REGRESSION_NUMBERS, NO_SPREAD)
        return
    found.numbers["nrc1"] = regression.nrc1(spectrum.eigenvalues, moments.n_values)
    weight = None if head is None else head[0]
    if weight is None or not weight.any():
        found.refuse(("nrc2", "nrc3"), "it reads the weights of the head, and none were given or all are zero")
        return
    found.numbers["nrc2"] = regression.nrc2(moments.covariance("features"), weight)
    targets = moments.covariance("values")
    values = targets.dense()
    if len(weight) != moments.n_values:
        found.refuse(("nrc3",), f"the head has {len(weight)} outputs and there are {moments.n_values} targets")
    elif not varies(targets, moments.mean[moments.columns("values")]):
        found.refuse(("nrc3",), "the targets are constant on these samples")
    else:
        found.numbers["nrc3"] = regression.nrc3(weight, values)
