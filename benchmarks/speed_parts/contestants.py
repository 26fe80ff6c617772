"""Who is measured: one row each. Adding a contestant is adding a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import phiscope
from phiscope.moments.accumulator import MomentAccumulator
from speed_parts import floors, ours, peers
from speed_parts.cases import covariance_of
from speed_parts.contestant import EIGEN, EIGENS, PRODUCT, PRODUCT32, Contestant

WIDEST = 8192
"""Largest p of the growth series; what only serves as a comparison stops at half of it, where it takes 1/8 as long."""

_WHOLE, _WHOLE32 = (PRODUCT, EIGEN), (PRODUCT32, EIGEN)
_SCALARS = "every scalar, both spectra, every curve"


def _floor(name: str, label: str, run: Any, package: str, **more: Any) -> Contestant:
    more = {"read": floors.from_product, "gives": "second moment", **more}
    return Contestant(name=name, label=label, kind="floor", package=package, run=run, **more)


def _eigen(name: str, solver: str, run: Any, package: str, **more: Any) -> Contestant:
    """One of the library solvers, the least of which is E."""
    more = {"read": floors.as_they_are, "prepare": covariance_of, "widest": WIDEST // 2, **more}
    label = f"eigh, p x p, float64, {solver}"
    return _floor(name, label, run, package, gives="eigenvalues, eigenvectors", **more)


FLOORS = (
    _floor("floor-general-f32", "general product, float32", floors.general_single, "torch"),
    _floor(
        "floor-general-f64", "general product, float64, cast beforehand", floors.general_double, "torch",
        prepare=floors.widened,
    ),
    _floor(
        PRODUCT32, "symmetric product, float32", floors.symmetric_single, "numpy", widest=WIDEST // 2,
    ),
    _floor(
        "floor-symmetric-f64", "symmetric product, float64, cast beforehand", floors.symmetric_double, "numpy",
        prepare=floors.widened,
    ),
    _floor(
        PRODUCT, "symmetric product, float64, 2,048 rows at a time, with the cast", floors.symmetric_blocks,
        "scipy", widest=WIDEST,
    ),
    _eigen(EIGEN, "SciPy evd", floors.eigen_dividing, "scipy", widest=WIDEST),
    _eigen(EIGENS[1], "SciPy evr", floors.eigen_representations, "scipy"),
    _eigen(EIGENS[2], "NumPy", floors.eigen_numpy, "numpy"),
    _eigen(EIGENS[3], "torch", floors.eigen_torch, "torch"),
)  # fmt: skip


def _ours(name: str, label: str, run: Any, function: Any, keywords: dict[str, Any], **more: Any) -> Contestant:
    """A row of ours, with the reason when this phiscope lacks one of its keywords."""
    unknown = [key for key in keywords if not ours.takes(function, key)]
    missing = f"this phiscope has no {unknown[0]}= in {function.__name__}" if unknown else None
    return Contestant(
        name=name, label=label, kind="ours", package="phiscope", run=run, value=keywords, missing=missing, **more
    )


def _pass(name: str, label: str, keywords: dict[str, Any], **more: Any) -> Contestant:
    more = {"read": ours.from_moments, "gives": "moments of features and classes", "floors": (PRODUCT,), **more}
    return _ours(name, label, ours.pass_alone, MomentAccumulator, keywords, **more)


def _all(name: str, label: str, keywords: dict[str, Any], run: Any = ours.everything, **more: Any) -> Contestant:
    more = {"read": ours.from_measurement, "gives": _SCALARS, "floors": _WHOLE, **more}
    return _ours(name, label, run, phiscope.diagonalize, keywords, **more)


OURS = (
    _pass("pass", "pass alone, no shards", {"n_shards": 1}, widest=WIDEST),
    _pass("pass-shards", "pass alone, the shards that `diagonalize` gathers unasked", {"n_shards": None}),
    _pass(
        "pass-fast", 'pass alone, no shards, `precision="fast"`', {"n_shards": 1, "precision": "fast"},
        floors=(PRODUCT32,), widest=WIDEST // 2,
    ),
    _all(
        "numbers", "`diagonalize(intervals=False)`, all numbers and curves", {"intervals": False}, ours.numbers,
        widest=WIDEST,
    ),
    _all(
        "everything-plain", "`diagonalize(intervals=False)`, and the eigenvectors", {"intervals": False},
        gives=_SCALARS + ", centered eigenvectors", widest=WIDEST // 2,
    ),
    _all(
        "everything", "`diagonalize()`, all numbers and curves", {}, ours.numbers,
        gives=_SCALARS + "; corrected numbers, intervals when asked for up to p = 1024",
    ),
    _all(
        "everything-intervals", "`diagonalize(intervals=True)`, all numbers and curves, every interval",
        {"intervals": True}, ours.with_intervals,
        gives=_SCALARS + "; corrected numbers, an interval for each scalar that has one",
    ),
    _all(
        "numbers-fast", '`diagonalize(intervals=False, precision="fast")`, all numbers and curves',
        {"intervals": False, "precision": "fast"}, ours.numbers, floors=_WHOLE32, widest=WIDEST // 2,
    ),
    _all(
        "one-number", '`diagonalize(intervals=False)["dynamical_low_rank"]`', {"intervals": False}, ours.one_number,
        read=None, gives="D_LR alone", floors=(PRODUCT,), widest=WIDEST // 2,
    ),
)  # fmt: skip


def _peer(name: str, label: str, run: Any, package: str, **more: Any) -> Contestant:
    return Contestant(name=name, label=label, kind="peer", package=package, run=run, **{"floors": _WHOLE, **more})


def _sklearn(name: str, label: str, run: Any, **more: Any) -> Contestant:
    more = {"module": "sklearn", "read": peers.from_sklearn, "gives": "mean, spectrum with eigenvectors", **more}
    return _peer(name, f"scikit-learn {label}", run, "scikit-learn", **more)


_DOUBLE, _VECTORS = torch.float64, "mean, spectrum with eigenvectors"
_COVARIANCE, _CROSS = "mean, covariance", "covariance, cross-covariance with classes"

PEERS = (
    _sklearn(
        "sklearn-covariance", "PCA, covariance_eigh, float32 rows", peers.sklearn_covariance, floors=_WHOLE32,
        widest=WIDEST // 2,
    ),
    _sklearn(
        "sklearn-covariance-f64", "PCA, covariance_eigh, rows cast to float64", peers.sklearn_covariance,
        value=np.float64, widest=WIDEST // 2,
    ),
    _sklearn("sklearn-full", "PCA, full, float32 rows", peers.sklearn_full, floors=_WHOLE32),
    _sklearn("sklearn-incremental", "IncrementalPCA, all p, float32 rows", peers.sklearn_incremental, floors=_WHOLE32),
    _peer(
        "torchdr", "TorchDR ExactIncrementalPCA, float32", peers.torchdr_exact, "torchdr", read=peers.from_torchdr,
        gives=_VECTORS, floors=_WHOLE32,
    ),
    _peer(
        "torchdr-f64", "TorchDR ExactIncrementalPCA, float64", peers.torchdr_exact, "torchdr",
        read=peers.from_torchdr, value=_DOUBLE, gives=_VECTORS,
    ),
    _peer(
        "leace", "concept-erasure LeaceFitter, float32, + eigvalsh", peers.leace, "concept-erasure",
        read=peers.from_leace, gives=_CROSS, floors=_WHOLE32,
    ),
    _peer(
        "leace-f64", "concept-erasure LeaceFitter, float64, + eigvalsh", peers.leace, "concept-erasure",
        read=peers.from_leace, value=_DOUBLE, gives=_CROSS, widest=WIDEST // 2,
    ),
    _peer(
        "torchmetrics", "torchmetrics FID moments, float64, + eigvalsh", peers.torchmetrics_frechet, "torchmetrics",
        read=peers.from_pair, gives=_COVARIANCE,
    ),
    _peer(
        "delve-covariance", "delve covariance class, float64, + eigvalsh", peers.delve_covariance, "delve",
        read=peers.from_pair, gives=_COVARIANCE,
    ),
    _peer(
        "delve-tracker", "delve SaturationTracker, float64", peers.delve_tracker, "delve",
        read=peers.from_delve_tracker, gives="saturation (its covariance ends as the last batch's)",
    ),
    _peer("reptrix", "reptrix RankMe, float32", peers.reptrix_rankme, "reptrix", gives="RankMe", floors=_WHOLE32),
    _peer(
        "ckatorch", "ckatorch linear CKA with the classes", peers.cka_exact, "ckatorch", gives="CKA",
        floors=(PRODUCT,),
    ),
    _peer(
        "ckatorch-minibatch", "ckatorch minibatch CKA with the classes", peers.cka_minibatch, "ckatorch",
        gives="CKA, an estimate", floors=(PRODUCT,),
    ),
)  # fmt: skip

ALL = {row.name: row for row in (*FLOORS, *OURS, *PEERS)}

NOT_TO_BE_HAD = {
    "neural-collapse": "no release on PyPI, only a repository; it gives collapse numbers and no spectrum",
}
"""Packages that a reader will miss, with the reason."""
