"""An oscilloscope for Phi: diagonalize the forward feature map of a network and watch it learn.

The public names below load on first use, so that ``import phiscope`` and the command line's help stay
quick. See ``phiscope.errors`` for every exception.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from phiscope.version import __version__ as __version__

if TYPE_CHECKING:
    from phiscope.compare import Comparison, compare
    from phiscope.kernels import diagonalize_kernel
    from phiscope.layers import Layers
    from phiscope.measure import diagonalize
    from phiscope.measure_layers import measure_layers
    from phiscope.measure_network import measure
    from phiscope.measurement import Measurement, Spectrum
    from phiscope.metrics import DEFINITIONS, Definition
    from phiscope.observe import Observer, PassiveObserver
    from phiscope.report import report
    from phiscope.restriction import restrict
    from phiscope.runs import Run, open_run
    from phiscope.split import FeatureMap, Head, Split, split
    from phiscope.tangent import tangent_kernel
    from phiscope.tracking import track

__all__ = [
    "DEFINITIONS",
    "Comparison",
    "Definition",
    "FeatureMap",
    "Head",
    "Layers",
    "Measurement",
    "Observer",
    "PassiveObserver",
    "Run",
    "Spectrum",
    "Split",
    "compare",
    "diagonalize",
    "diagonalize_kernel",
    "measure",
    "measure_layers",
    "open_run",
    "report",
    "restrict",
    "split",
    "tangent_kernel",
    "track",
]

_HOMES = {
    "Comparison": "phiscope.compare",
    "DEFINITIONS": "phiscope.metrics",
    "Definition": "phiscope.metrics",
    "FeatureMap": "phiscope.split",
    "Head": "phiscope.split",
    "Layers": "phiscope.layers",
    "Measurement": "phiscope.measurement",
    "Observer": "phiscope.observe",
    "PassiveObserver": "phiscope.observe",
    "Run": "phiscope.runs",
    "Spectrum": "phiscope.measurement",
    "Split": "phiscope.split",
    "compare": "phiscope.compare",
    "diagonalize": "phiscope.measure",
    "diagonalize_kernel": "phiscope.kernels",
    "measure": "phiscope.measure_network",
    "measure_layers": "phiscope.measure_layers",
    "open_run": "phiscope.runs",
    "report": "phiscope.report",
    "restrict": "phiscope.restriction",
    "split": "phiscope.split",
    "tangent_kernel": "phiscope.tangent",
    "track": "phiscope.tracking",
}


class _Door(ModuleType):
    """Keeps ``phiscope.split``, ``phiscope.measure``, ``phiscope.compare`` and ``phiscope.report`` functions.

    Modules of the same names hold them, and importing a submodule sets it as an attribute of its package:
    without this, ``phiscope.report(...)`` would fail as soon as anything had imported ``phiscope.report``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'phiscope' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


sys.modules[__name__].__class__ = _Door
