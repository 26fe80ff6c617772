"""Diagonalizing arrays: features, outputs and targets in, one frozen `Measurement` out."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from phiscope.distributed.dask_arrays import DaskTable, is_dask
from phiscope.errors import InputError, ShapeError
from phiscope.inputs.arrays import as_count, as_head, as_row_tensor, as_rows, as_share, as_targets, look_like_labels
from phiscope.inputs.rows import as_row_source, is_narrow, is_stored
from phiscope.measurement import wide
from phiscope.measurement.assemble import measurement_from_moments
from phiscope.measurement.record import Measurement
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.precision import PRODUCTS, check_precision
from phiscope.moments.row_table import RowTable, doubts_about_labels
from phiscope.moments.shards import shards_asked
from phiscope.typing import AffineHead


def diagonalize(
    features: Any,
    outputs: Any = None,
    head: Any = None,
    targets: Any = None,
    *,
    weights: Any = None,
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
        head: the pair (W, b) with W (C, p) and b (C,) or None; outputs are then W phi + b.
        targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.
        weights: non-negative sample weights, shape (n,); only their ratios matter.
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
    parts = {"features": features, "outputs": outputs, "targets": targets, "weights": weights}
    if k is not None:
        _check_leading(k, precision, dask=any(map(is_dask, parts.values())))
        return _leading(parts, head, k, intervals, num_classes=num_classes, rank_tolerance=rank_tolerance)
    device = _device_of(features)
    in_pieces = any(map(is_stored, parts.values())) or (device is None and any(map(is_narrow, parts.values())))
    if any(map(is_dask, parts.values())) or in_pieces:
        return diagonalize_table(
            DaskTable(parts) if any(map(is_dask, parts.values())) else RowTable(parts),
            head,
            num_classes=num_classes,
            rank_tolerance=rank_tolerance,
            intervals=intervals,
            precision=precision,
        )
    rows = (as_row_tensor if device else as_rows)(features, name="features", letter="p")
    affine = None if head is None else as_head(head, rows.shape[1])
    if outputs is not None:
        outputs = as_rows(outputs, name="outputs", letter="C")
        _check_same_layer(outputs.shape[1], affine)
    goal = None if targets is None else as_targets(targets)
    num_classes = _class_count(num_classes, affine, goal is not None and goal.ndim == 1)
    accumulator = MomentAccumulator(
        num_classes=num_classes, n_shards=shards_asked(intervals), precision=precision, device=device
    )
    accumulator.update(rows, outputs, goal, weights)
    moments, shards = accumulator.finish()
    return measurement_from_moments(
        moments,
        shards=shards,
        head=affine,
        rank_tolerance=rank_tolerance,
        provenance={"source": "arrays", "products": PRODUCTS[precision]},
        warnings=_doubts(goal),
    )


def _device_of(features: Any) -> torch.device | None:
    """Where a tensor is, None for what is on the CPU or nowhere."""
    elsewhere = isinstance(features, torch.Tensor) and features.device.type not in ("cpu", "meta")
    return features.device if elsewhere else None


def _check_leading(k: int, precision: str, *, dask: bool) -> None:
    as_count(k, name="k")
    if precision == "fast":
        raise InputError(f"k = {k} came with precision 'fast'; leading eigenfunctions are found in float64 only")
    if dask:
        raise InputError(
            f"k = {k} came with Dask arrays, which would be computed anew for each of several passes; store them "
            "with to_zarr and pass the Zarr array"
        )


def _leading(parts: dict[str, Any], head: Any, k: int, intervals: bool | None, **options: Any) -> Measurement:
    if as_row_source(parts["features"], name="features").shape[-1] > wide.WHOLE:
        return wide.diagonalize_leading(k=k, head=head, **parts, **options)
    return wide.shortened(diagonalize(head=head, intervals=intervals, **parts, **options), k)


def diagonalize_table(
    table: RowTable | DaskTable,
    head: Any = None,
    *,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
    intervals: bool | None = None,
    k: int | None = None,
    precision: str = "exact",
) -> Measurement:
    """Diagonalize features that are not in memory as a whole; `diagonalize` comes here by itself.

    Args:
        table: features with what belongs beside them.
        head: see `diagonalize`.
        num_classes: see `diagonalize`.
        rank_tolerance: see `diagonalize`.
        intervals: see `diagonalize`.
        k: see `diagonalize`.
        precision: see `diagonalize`.

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
    if k is not None:
        _check_leading(k, precision, dask=isinstance(table, DaskTable))
        if isinstance(table, RowTable) and table.n_features > wide.WHOLE:
            return wide.diagonalize_leading(
                k=k,
                head=head,
                num_classes=num_classes,
                rank_tolerance=rank_tolerance,
                progress=table.progress,
                **table.parts(),
            )
        whole = diagonalize_table(
            table, head, num_classes=num_classes, rank_tolerance=rank_tolerance, intervals=intervals
        )
        return wide.shortened(whole, k)
    affine = None if head is None else as_head(head, table.n_features)
    if table.n_outputs:
        _check_same_layer(table.n_outputs, affine)
    num_classes = _class_count(num_classes, affine, table.has_classes)
    gathered = table.gather(num_classes=num_classes, n_shards=shards_asked(intervals), precision=precision)
    return measurement_from_moments(
        gathered.moments,
        shards=gathered.shards,
        head=affine,
        rank_tolerance=rank_tolerance,
        provenance={**gathered.told, "products": PRODUCTS[precision]},
        warnings=gathered.doubts,
    )


def _check_same_layer(n_outputs: int, head: AffineHead | None) -> None:
    if head is not None and n_outputs != len(head[0]):
        raise ShapeError(
            f"outputs have C = {n_outputs} columns but the head has {len(head[0])} rows; they have to belong to the "
            "same layer"
        )


def _class_count(num_classes: int | None, head: AffineHead | None, has_classes: bool) -> int | None:
    if num_classes is None and head is not None and has_classes:
        # A single output still separates two classes.
        return max(len(head[0]), 2)
    return num_classes


def _doubts(targets: NDArray[Any] | None) -> list[str]:
    """What may be meant differently than it is read."""
    return doubts_about_labels(
        look_like_labels(targets[:, 0]) if targets is not None and targets.shape[1:] == (1,) else 0
    )
