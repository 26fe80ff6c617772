"""Whether differences between inputs live, die or grow through the layers of a wide network: criticality."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import brentq
from torch import nn

from phiscope.theory.activations import Activation, activation_of
from phiscope.theory.fully_connected import read_network
from phiscope.theory.setting import bias_number, positive_number
from phiscope.typing import FloatArray

NEAR_ONE = 0.05
"""A slope this near to 1 is called critical."""

LEAST = 1e-100
"""A variance below it counts as 0."""

RELATIVE = 4 * float(np.finfo(np.float64).eps)
"""Roots are known to so much of themselves, the least that SciPy takes."""


@dataclass(frozen=True, kw_only=True)
class LayerSignal:
    """What one linear layer, repeated, would do to signals.

    Attributes:
        name: dotted name.
        weight_variance: g of the layer.
        bias_variance: g_b of the layer.
        fixed_point: q with q = g <phi(h)^2> + g_b over h ~ N(0, q); infinite where signals grow without end.
        slope: chi = g <phi'(h)^2> there, the factor of a small squared difference in one step; below 1 differences
            between inputs die out, above 1 they grow.
        phase: "ordered" (they die out), "critical" (within 5 % of 1) or "chaotic" (they grow).
        depth_scale: layers over which a squared difference falls or grows by e, 1 / |ln chi|; the difference itself
            takes twice as many. Infinite at chi = 1.
    """

    name: str
    weight_variance: float
    bias_variance: float
    fixed_point: float
    slope: float
    phase: str
    depth_scale: float


@dataclass(frozen=True, kw_only=True)
class Criticality:
    """Slopes of signals, layer by layer.

    Attributes:
        activation: name of what lies between the layers.
        layers: linear layers in forward order.
        critical_weight_variance: g at which chi = 1, with the mean g_b of the layers.
    """

    activation: str
    layers: tuple[LayerSignal, ...] = field(repr=False)
    critical_weight_variance: float

    def __str__(self) -> str:
        """A line for each layer."""
        head = f"{self.activation}, critical at g = {self.critical_weight_variance:.4g}"
        rows = (
            f"  {one.name}: g {one.weight_variance:.4g}, g_b {one.bias_variance:.4g}, chi {one.slope:.4g}, {one.phase}"
            for one in self.layers
        )
        return "\n".join((head, *rows))


def criticality(model: nn.Module, inputs: Any = None) -> Criticality:
    """How a network's layers treat differences between inputs, by the variances of their weights.

    Each layer is taken as if it were repeated without end: q is the fixed point of its preactivations' variance and chi
    the factor by which the squared difference of two near inputs is stretched in one step, the difference itself by
    sqrt(chi). PyTorch's default initialization of `torch.nn.Linear` has g = 1/3, far in the ordered phase of erf
    (critical at pi/4 without biases) and ReLU (critical at 2): deep networks of it forget their inputs.

    Args:
        model: a fully connected network with erf, ReLU or identity; see `phiscope.theory.kernel_report`.
        inputs: what to run it on to see its layers; None takes standard normal rows, which do for all but networks with
            another kind of input.

    Raises:
        InputError: the network is not of the theory's kind; the message names what is not.

    Source: Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.

    Example:
        >>> net = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 300))
        >>> [round(layer.slope, 2) for layer in criticality(net).layers]
        [0.17, 0.17]
    """
    network = read_network(model, inputs)
    activation = activation_of(network.activation)
    layers = tuple(
        _signal(layer.name, activation, layer.weight_variance, layer.bias_variance) for layer in network.layers
    )
    bias = math.fsum(network.bias_variances) / len(layers)
    return Criticality(
        activation=network.activation, layers=layers, critical_weight_variance=critical_variance(activation.name, bias)
    )


def _signal(name: str, activation: Activation, weight: float, bias: float) -> LayerSignal:
    point = fixed_point(activation.name, weight, bias)
    slope = signal_slope(activation.name, weight, bias)
    return LayerSignal(
        name=name,
        weight_variance=weight,
        bias_variance=bias,
        fixed_point=point,
        slope=slope,
        phase="critical" if abs(slope - 1.0) <= NEAR_ONE else "ordered" if slope < 1.0 else "chaotic",
        depth_scale=math.inf if slope == 1.0 else 0.0 if slope == 0.0 else 1.0 / abs(math.log(slope)),
    )


def fixed_point(activation: str, weight_variance: float, bias_variance: float = 0.0) -> float:
    """The variance q that a layer, repeated, gives its preactivations: q = g <phi(h)^2> + g_b over h ~ N(0, q).

    Args:
        activation: "erf", "relu" or "identity".
        weight_variance: g, above 0.
        bias_variance: g_b, at least 0.

    Returns:
        At least 0; infinite where it grows without end.

    Raises:
        InputError: settings that are none.

    Example:
        >>> fixed_point("relu", 1.0, 0.5), fixed_point("erf", 0.5), fixed_point("identity", 1.5)
        (1.0, 0.0, inf)
    """
    known, g, b = _checked(activation, weight_variance, bias_variance)
    if not known.bounded:
        # <phi^2> is a fixed share of q: 1 of it passes the identity, 1/2 a ReLU.
        share = g * float(known.kernel(np.ones((1, 1)))[0, 0])
        return b / (1.0 - share) if share < 1.0 else (math.inf if b > 0 or share > 1.0 else 0.0)
    if b == 0.0 and g * _slope(known, 0.0) <= 1.0:
        return 0.0

    def risen(q: float) -> float:
        return g * float(known.kernel(np.full((1, 1), q))[0, 0]) + b - q

    # The map is concave: below the fixed point it lies above the diagonal, above it below.
    low = high = g + b
    while risen(low) <= 0.0:
        low /= 2.0
        if low < LEAST:
            # At the critical point itself rounding decides whether there is another fixed point than 0.
            return 0.0
    return float(brentq(risen, low, high, xtol=LEAST, rtol=RELATIVE))


def signal_slope(activation: str, weight_variance: float, bias_variance: float = 0.0) -> float:
    """chi = g <phi'(h)^2> over h ~ N(0, q) at the fixed point q; at least 0.

    Args:
        activation: "erf", "relu" or "identity".
        weight_variance: g, above 0.
        bias_variance: g_b, at least 0.

    Raises:
        InputError: settings that are none.

    Source: Schoenholz et al. 2017, arXiv:1611.01232, equation 5.

    Example:
        >>> signal_slope("relu", 2.0), signal_slope("identity", 0.5), round(signal_slope("erf", np.pi / 4), 9)
        (1.0, 0.5, 1.0)
    """
    known, g, b = _checked(activation, weight_variance, bias_variance)
    point = fixed_point(activation, g, b)
    # The slope of the unbounded ones does not know the size of a signal.
    return g * _slope(known, point if known.bounded else 1.0)


def critical_variance(activation: str, bias_variance: float = 0.0) -> float:
    """The weight variance g at which chi = 1.

    Args:
        activation: "erf", "relu" or "identity".
        bias_variance: g_b, at least 0.

    Raises:
        InputError: settings that are none.

    Example:
        >>> critical_variance("relu"), critical_variance("erf") == np.pi / 4, critical_variance("erf", 0.02) > np.pi / 4
        (2.0, True, True)
    """
    known, _, b = _checked(activation, 1.0, bias_variance)
    if not known.bounded or b == 0.0:
        return 1.0 / _slope(known, 0.0 if known.bounded else 1.0)
    high = 1.0
    while signal_slope(activation, high, b) < 1.0:
        high *= 2.0
    # chi = g <phi'^2> is at most g times the slope at 0, so that it is below 1 for smaller g.
    low = 0.5 / _slope(known, 0.0)
    return float(brentq(lambda g: signal_slope(activation, g, b) - 1.0, low, high, rtol=RELATIVE))


def _slope(activation: Activation, variance: float) -> float:
    """<phi'(h)^2> over h ~ N(0, q)."""
    kernel: FloatArray = np.full((1, 1), variance)
    return float(activation.slopes(kernel)[0, 0])


def _checked(activation: str, weight: float, bias: float) -> tuple[Activation, float, float]:
    known = activation_of(activation)
    return known, positive_number(weight, "weight_variance", "g of a layer"), bias_number(bias)
