"""An oscilloscope for Phi: diagonalize the forward feature map of a network and watch it learn.

The public names below load on first use, so that ``import phiscope`` and the command line's help stay
quick. Every exception raised on purpose is a ``PhiscopeError``; ``phiscope.errors`` has the others.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from phiscope.version import __version__ as __version__

if TYPE_CHECKING:
    from phiscope.analysis.comparison import Comparison, compare
    from phiscope.analysis.gradients import input_gradients
    from phiscope.analysis.restriction import restrict
    from phiscope.analysis.tracking import track
    from phiscope.errors import PhiscopeError
    from phiscope.live import view
    from phiscope.measurement.diagonalize import diagonalize
    from phiscope.measurement.gram import diagonalize_kernel
    from phiscope.measurement.layers import Layers
    from phiscope.measurement.measure import measure
    from phiscope.measurement.measure_layers import measure_layers
    from phiscope.measurement.record import Measurement
    from phiscope.metrics import DEFINITIONS, Definition
    from phiscope.network import FeatureMap, Head, Split, split
    from phiscope.observe import Alert, Observer, PassiveObserver, replay
    from phiscope.page import report
    from phiscope.runs import Run, open_run, write_run
    from phiscope.spectrum.spectrum import Spectrum
    from phiscope.theory.tangent import tangent_kernel

__all__ = [
    "DEFINITIONS",
    "Alert",
    "Comparison",
    "Definition",
    "FeatureMap",
    "Head",
    "Layers",
    "Measurement",
    "Observer",
    "PassiveObserver",
    "PhiscopeError",
    "Run",
    "Spectrum",
    "Split",
    "compare",
    "diagonalize",
    "diagonalize_kernel",
    "input_gradients",
    "measure",
    "measure_layers",
    "open_run",
    "replay",
    "report",
    "restrict",
    "split",
    "tangent_kernel",
    "track",
    "view",
    "write_run",
]

_HOMES = {
    "Alert": "phiscope.observe",
    "Comparison": "phiscope.analysis.comparison",
    "DEFINITIONS": "phiscope.metrics",
    "Definition": "phiscope.metrics",
    "FeatureMap": "phiscope.network",
    "Head": "phiscope.network",
    "Layers": "phiscope.measurement.layers",
    "Measurement": "phiscope.measurement.record",
    "Observer": "phiscope.observe",
    "PassiveObserver": "phiscope.observe",
    "PhiscopeError": "phiscope.errors",
    "Run": "phiscope.runs",
    "Spectrum": "phiscope.spectrum.spectrum",
    "Split": "phiscope.network",
    "compare": "phiscope.analysis.comparison",
    "diagonalize": "phiscope.measurement.diagonalize",
    "diagonalize_kernel": "phiscope.measurement.gram",
    "input_gradients": "phiscope.analysis.gradients",
    "measure": "phiscope.measurement.measure",
    "measure_layers": "phiscope.measurement.measure_layers",
    "open_run": "phiscope.runs",
    "replay": "phiscope.observe",
    "report": "phiscope.page",
    "restrict": "phiscope.analysis.restriction",
    "split": "phiscope.network",
    "tangent_kernel": "phiscope.theory.tangent",
    "track": "phiscope.analysis.tracking",
    "view": "phiscope.live",
    "write_run": "phiscope.runs",
}

_ROOMS = ("integrations", "metrics", "studies", "surgery", "theory")
"""Packages whose names people write out, as in ``phiscope.surgery.damage``; they load when they are first named."""


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return importlib.import_module(f"phiscope.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'phiscope' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
