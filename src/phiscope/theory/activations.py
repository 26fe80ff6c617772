"""The activations that the theory knows, with their Gaussian averages in closed form: erf, ReLU and identity.

h is Gaussian with mean 0 and covariance C; every average below is one over pairs (h_i, h_j).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import erf

from phiscope.errors import InputError
from phiscope.typing import FloatArray

Table = Callable[[FloatArray], FloatArray]
"""From numbers to numbers of the same shape."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One activation and what Gaussians make of it.

    Attributes:
        name: "erf", "relu" or "identity".
        value: phi(h).
        slope: phi'(h).
        bend: phi''(h) where it is a function; 0 where it is none (ReLU bends at a point).
        kernel: C -> F with F_ij = <phi(h_i) phi(h_j)>, shape (P, P).
        slopes: C -> <phi'(h_i) phi'(h_j)>, shape (P, P).
        bends: C -> <phi''(h_i) phi(h_j)>, shape (P, P); phi'' is a distribution where phi bends at a point.
        bounded: whether phi is, so that no tilt of the Gaussian can run away.
    """

    name: str
    value: Table
    slope: Table
    bend: Table
    kernel: Table
    slopes: Table
    bends: Table
    bounded: bool = False


def _erf_scales(C: FloatArray) -> tuple[FloatArray, FloatArray]:
    """1 + 2 C_ii, and sqrt((1 + 2 C_ii)(1 + 2 C_jj) - 4 C_ij^2)."""
    sides = 1.0 + 2.0 * np.diagonal(C)
    return sides, np.sqrt(np.outer(sides, sides) - 4.0 * C * C)


def _erf_kernel(C: FloatArray) -> FloatArray:
    sides = 1.0 + 2.0 * np.diagonal(C)
    return np.asarray(2.0 / np.pi * np.arcsin(2.0 * C / np.sqrt(np.outer(sides, sides))))


def _erf_slopes(C: FloatArray) -> FloatArray:
    return np.asarray(4.0 / np.pi / _erf_scales(C)[1])


def _erf_bends(C: FloatArray) -> FloatArray:
    sides, width = _erf_scales(C)
    return np.asarray(-8.0 / np.pi * C / (sides[:, None] * width))


def _angles(C: FloatArray) -> tuple[FloatArray, FloatArray]:
    """sqrt(C_ii C_jj), and the angle between h_i and h_j; a right one where one of them is always 0."""
    length = np.sqrt(np.maximum(np.diagonal(C), 0.0))
    size = np.outer(length, length)
    cosine = np.divide(C, size, out=np.zeros_like(size), where=size > 0)
    # A number is at angle 0 to itself, whatever the root rounds to: the arc cosine of 1 - 1e-16 is 1e-8.
    np.fill_diagonal(cosine, (length > 0).astype(np.float64))
    return size, np.arccos(np.clip(cosine, -1.0, 1.0))


def _relu_kernel(C: FloatArray) -> FloatArray:
    size, angle = _angles(C)
    return np.asarray(size / (2.0 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)))


def _relu_slopes(C: FloatArray) -> FloatArray:
    return np.asarray((np.pi - _angles(C)[1]) / (2.0 * np.pi))


def _relu_bends(C: FloatArray) -> FloatArray:
    # phi'' is a delta: the density of h_i at 0 times the mean of phi(h_j) there.
    size, angle = _angles(C)
    side = np.diagonal(C)[:, None]
    found = np.divide(size * np.sin(angle), side, out=np.zeros_like(size), where=side > 0) / (2.0 * np.pi)
    # Next to itself h_i is 0 there.
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)


def _erf_slope(h: FloatArray) -> FloatArray:
    return np.asarray(2.0 / np.sqrt(np.pi) * np.exp(-h * h))


def _erf_bend(h: FloatArray) -> FloatArray:
    return np.asarray(-2.0 * h * _erf_slope(h))


ACTIVATIONS = MappingProxyType(
    {
        "erf": Activation(
            name="erf",
            value=lambda h: np.asarray(erf(h)),
            slope=_erf_slope,
            bend=_erf_bend,
            kernel=_erf_kernel,
            slopes=_erf_slopes,
            bends=_erf_bends,
            bounded=True,
        ),
        "relu": Activation(
            name="relu",
            value=lambda h: np.maximum(h, 0.0),
            slope=lambda h: (h > 0).astype(np.float64),
            bend=np.zeros_like,
            kernel=_relu_kernel,
            slopes=_relu_slopes,
            bends=_relu_bends,
        ),
        "identity": Activation(
            name="identity",
            value=lambda h: h,
            slope=np.ones_like,
            bend=np.zeros_like,
            kernel=lambda C: C,
            slopes=np.ones_like,
            bends=np.zeros_like,
        ),
    }
)
"""Every activation that the theory knows, by name."""


def activation_of(name: object) -> Activation:
    """An activation by its name.

    Raises:
        InputError: the theory does not know it.

    Example:
        >>> activation_of("relu").kernel(np.eye(2)).diagonal().tolist()
        [0.5, 0.5]
    """
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise InputError(f"activation={name!r:.60}; the theory knows {', '.join(ACTIVATIONS)} and no other")
    return ACTIVATIONS[name]


def recognized(before: FloatArray, after: FloatArray) -> tuple[str, ...]:
    """The activations that lead from one array to another of the same shape; none where the theory knows no such one.

    Args:
        before: preactivations, any shape, of single or double precision.
        after: what the next layer reads.

    Returns:
        Their names; several where the preactivations cannot tell, as positive ones cannot tell ReLU from identity.

    Example:
        >>> h = np.linspace(-2, 2, 9)
        >>> recognized(h, np.maximum(h, 0)), recognized(h, np.tanh(h)), recognized(h**2, h**2)
        (('relu',), (), ('relu', 'identity'))
    """
    made = {name: one.value(before) for name, one in ACTIVATIONS.items()}
    return tuple(name for name, values in made.items() if _are_alike(values, after))


def _are_alike(values: FloatArray, after: FloatArray) -> bool:
    # Single precision rounds at 6e-8, and somebody's own erf may err by ten of it. Of the largest value: a bound that
    # does not shrink with the values calls everything small the identity, and one that grows with h calls zero an erf.
    return bool(np.abs(values - after).max(initial=0.0) <= 1e-6 * np.abs(values).max(initial=0.0))
