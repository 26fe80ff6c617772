"""A network beside the theory of its kernels: infinite width, finite width with targets, tangent kernel, criticality.

First of all `nngp` (kernels of infinite width), `map_kernels` (the most probable ones at finite width, given targets),
`kernel_report` (a network of yours beside both) and `criticality` (whether signals live through its layers). When to
use them, and how far to trust them: the guide "A network beside the theory of its kernels", docs/guide/theory.md.

A reference theory of the Bayesian posterior, not a diagnosis of a network trained by SGD.

::

    tangent.py  the empirical tangent kernel on a small probe, and how far parameters have moved
    activations.py  erf, ReLU and identity with their Gaussian averages
    setting.py  what the theory is asked, read or refused
    infinite_width.py  `nngp`: the network as a Gaussian process
    tilted.py   averages over one layer's units under the posterior
    most_probable.py  `map_kernels`: the most probable kernels at finite width, given targets
    scalar.py   one hidden layer whose kernel is only rescaled: an independent formula to compare with
    fully_connected.py  a network read as the theory's
    signals.py  `criticality`: whether differences between inputs live through the layers
    report.py   `kernel_report`: a network's kernels beside both

Source: arXiv:1806.07572 (tangent kernel), arXiv:1711.00165 (infinite width), arXiv:2405.10761 (finite width).
"""

from __future__ import annotations

from phiscope.theory.infinite_width import InfiniteKernels, nngp
from phiscope.theory.most_probable import MapKernels, map_kernels
from phiscope.theory.report import KernelReport, LayerKernels, Movement, kernel_report
from phiscope.theory.scalar import ScalarKernel, scalar_renormalization
from phiscope.theory.signals import Criticality, LayerSignal, criticality

__all__ = [
    "Criticality",
    "InfiniteKernels",
    "KernelReport",
    "LayerKernels",
    "LayerSignal",
    "MapKernels",
    "Movement",
    "ScalarKernel",
    "criticality",
    "kernel_report",
    "map_kernels",
    "nngp",
    "scalar_renormalization",
]
