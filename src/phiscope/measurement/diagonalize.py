"""Diagonalizing arrays: features, outputs and targets in, one frozen `Measurement` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from phiscope.distributed.dask_arrays import DaskTable, is_dask
from phiscope.errors import InputError, ShapeError
from phiscope.inputs.arrays import as_count, as_head, as_share, classes_of_head
from phiscope.inputs.rows import is_narrow, is_stored
from phiscope.measurement import wide
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.record import Measurement
from phiscope.moments.array_table import ArrayTable, device_of
from phiscope.moments.precision import PRODUCTS, check_precision
from phiscope.moments.row_table import RowTable
from phiscope.moments.shards import shards_asked
from phiscope.typing import AffineHead

Table = ArrayTable | RowTable | DaskTable
"""Features with what belongs beside them: in memory, read block by block, or as chunks on a cluster."""


def diagonalize(
    features: Any,
    outputs: Any = None,
    head: Any = None,
    targets: Any = None,
    *,
    weights: Any = None,
    groups: Any = None,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
    intervals: bool | None = None,
    k: int | None = None,
    precision: str = "exact",
) -> Measurement:
    """Diagonalize the feature operator of arrays and measure everything that they allow.

    Args:
        features: phi(x), shape (n, p), n >= 2; NumPy, torch, DLPack or ``__array__``, any precision. Memory maps and
            Zarr arrays are read block by block, Dask arrays chunk by chunk on the connected cluster; none of them is
            ever in memory as a whole. The same holds for outputs, targets and weights.
        outputs: f(x) before the softmax, shape (n, C).
        head: the pair (W, b) with W (C, p) and b (C,) or None; outputs are then W phi + b. Beside outputs, spans are
            those of the outputs and NC3 is the head's, with a warning where W phi + b is something else.
        targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.
        weights: non-negative sample weights, shape (n,); only their ratios matter.
        groups: names of what was sampled independently, shape (n,), where several rows come from one sample (positions
            of one image, tokens of one text, visits of one patient): numbers, text, anything that can be hashed, in any
            order. Rows of one group stay together in the shards that intervals and corrected numbers are made from, as
            `phiscope.measure` keeps the positions of one input together; all other numbers are the same without.
        num_classes: number of classes; None takes the head's outputs (at least 2), without a head the largest
            target plus one.
        rank_tolerance: eigenvalues of the outputs' moments below this share of the largest count as zero.
        intervals: gather the 20 random shards that intervals are made from, at 20 p^2 doubles; False gathers none
            and leaves corrected numbers out, for the least time and memory; None gathers what fits into 64 MiB
            (intervals up to p = 1024, above it corrected numbers only).
        k: how many leading eigenfunctions are wanted; None takes all. Beyond p = 2048 nothing else of the spectrum is
            then computed: the data are read several times, no p x p array is made where p is large, each eigenvalue
            has a bound (`eigenvalue_bounds`), and numbers that need the whole spectrum are absent; see
            docs/guide/wide.md.
        precision: "exact" multiplies in float64. "fast" multiplies blocks of rows in float32 after subtracting a pilot
            mean and adds them up in float64: about two thirds of the time, eigenvalues off by less than 1e-6 of the
            largest one. Numbers that rest on small eigenvalues (decay exponents, ranks, collapse to below 1e-6) need
            "exact".

    Returns:
        The measurement; eigenvectors, corrected numbers and intervals are computed when they are first read. Without
        outputs or targets the numbers that need them are absent.

    Raises:
        ShapeError: shapes do not fit together.
        NonFiniteError: NaN or Inf in the data.
        EmptyDataError: fewer than two samples.
        TargetError: class indices negative or not below `num_classes`.
        InputError: anything else that cannot be used, for example weights below 0.

    Source: arXiv:2410.04264 v1 and v3.

    Example:
        >>> import itertools, numpy as np
        >>> signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
        >>> round(diagonalize(signs)["effective_dimension"], 12)
        3.0
    """
    parts = {"features": features, "outputs": outputs, "targets": targets, "weights": weights, "groups": groups}
    return diagonalize_table(
        table_of(parts),
        head,
        num_classes=num_classes,
        rank_tolerance=rank_tolerance,
        intervals=intervals,
        k=k,
        precision=precision,
    )


def table_of(parts: Mapping[str, Any]) -> Table:
    """Arrays by name as the table that reads them with the least memory.

    Raises:
        ShapeError: shapes do not fit together.
        InputError: something holds no real numbers.
    """
    if parts["features"] is None:
        raise InputError("features are None, expected an array of shape (n, p); pass the features of the samples")
    if any(map(is_dask, parts.values())):
        return DaskTable(parts)
    here = device_of(parts["features"]) is None
    in_pieces = any(map(is_stored, parts.values())) or (here and any(map(is_narrow, parts.values())))
    return RowTable(parts) if in_pieces else ArrayTable(parts)


def diagonalize_table(
    table: Table,
    head: Any = None,
    *,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
    intervals: bool | None = None,
    k: int | None = None,
    precision: str = "exact",
) -> Measurement:
    """Make the table's moments, and of them the measurement; `diagonalize` comes here with arrays of every kind.

    Args:
        table: features with what belongs beside them.
        head: see `diagonalize`, as all that follow.
        num_classes: of integer targets.
        rank_tolerance: of the outputs.
        intervals: whether shards are gathered.
        k: how many leading eigenfunctions.
        precision: of the products.

    Raises:
        InputError: see `diagonalize`; the message names the rows.

    Example:
        >>> import numpy as np
        >>> round(diagonalize_table(RowTable({"features": np.eye(4)}))["effective_dimension"], 12)
        4.0
    """
    # Before the pass, which can take hours, and not after it.
    as_share(rank_tolerance, name="rank_tolerance", example="1e-4")
    check_precision(precision)
    affine = None if head is None else as_head(head, table.n_features)
    if table.n_outputs:
        _check_same_layer(table.n_outputs, affine)
    if num_classes is None and affine is not None and table.has_classes:
        num_classes = classes_of_head(len(affine[0]))
    if k is not None:
        rows = _read_again(table, k, precision)
        if table.n_features > wide.WHOLE:
            return wide.diagonalize_leading(rows, k, affine, num_classes=num_classes, rank_tolerance=rank_tolerance)
    gathered = table.gather(num_classes=num_classes, n_shards=shards_asked(intervals), precision=precision)
    products = {"products": PRODUCTS[precision]}
    measured = measurement_of(replace(gathered, head=affine), rank_tolerance=rank_tolerance, provenance=products)
    return measured if k is None else wide.shortened(measured, k)


def _read_again(table: Table, k: int, precision: str) -> RowTable:
    """The table as one that several passes may read, where leading eigenfunctions can be had."""
    as_count(k, name="k")
    if precision == "fast":
        raise InputError(f"k = {k} came with precision 'fast'; leading eigenfunctions are found in float64 only")
    if isinstance(table, DaskTable):
        raise InputError(
            f"k = {k} came with Dask arrays, which would be computed anew for each of several passes; store them "
            "with to_zarr and pass the Zarr array"
        )
    return table if isinstance(table, RowTable) else RowTable(table.parts())


def _check_same_layer(n_outputs: int, head: AffineHead | None) -> None:
    if head is not None and n_outputs != len(head[0]):
        raise ShapeError(
            f"outputs have C = {n_outputs} columns but the head has {len(head[0])} rows; they have to belong to the "
            "same layer"
        )
