"""One contestant: what is timed, what is read off it afterwards, what it gives, which floor it is held against."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed_parts.cases import Case

PRODUCT, PRODUCT32, EIGEN = "floor-symmetric-blocks", "floor-symmetric-f32", "floor-eigh"
"""The floors that ratios are taken against."""

EIGENS = (EIGEN, "floor-eigh-evr", "floor-eigh-numpy", "floor-eigh-torch")
"""Library solvers of the eigenproblem; the quickest of them is the floor."""

LETTERS = {PRODUCT: "S", PRODUCT32: "s", EIGEN: "E"}
"""The letters of the floors in the tables; E is whichever of `EIGENS` is the quickest."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One row.

    Attributes:
        name: what --contestants takes, and the row's name in every table.
        label: what it is, in words.
        kind: "floor", "ours" or "peer".
        package: distribution whose version is reported.
        run: what is timed, of the case and of what `prepare` made.
        read: covariance eigenvalues (over n) from the result, outside the clock; None where it gives none.
        prepare: what is made before the clock starts, from the case.
        value: handed to `run` when there is nothing to prepare: a precision, keywords.
        module: import name, where it is not the package's.
        gives: what it gives, in words.
        floors: names of the floors whose sum its time is divided by.
        widest: largest p at which it takes part in the growth series; 0 keeps it out.
        missing: why it cannot run with the installed phiscope, or None.
    """

    name: str
    label: str
    kind: str
    package: str
    run: Callable[[Case, Any], Any]
    read: Callable[[Case, Any], NDArray[np.float64]] | None = None
    prepare: Callable[[Case], Any] | None = None
    value: Any = None
    module: str | None = None
    gives: str = ""
    floors: tuple[str, ...] = ()
    widest: int = 0
    missing: str | None = None

    def prepared(self, case: Case) -> Any:
        """What `run` gets beside the case."""
        return self.value if self.prepare is None else self.prepare(case)

    def version(self) -> str | None:
        """The installed version, None when the package is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def absence(self) -> str | None:
        """Why it cannot be measured here, None when it can."""
        if self.missing is not None:
            return self.missing
        if importlib.util.find_spec(self.module or self.package.replace("-", "_")) is None:
            return f"{self.package} is not installed here"
        return None
