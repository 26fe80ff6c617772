"""Exact averages over the posterior of small networks: networks drawn from the prior, each weighed by its fit.

With the output weights integrated out, a network's evidence is N(y; 0, C_L + kappa) of its own last kernel C_L; an
average over the prior with these weights is one over the posterior. There is no chain that may not have mixed, and the
share of networks that count says how far to trust the answer. It takes few inputs (P up to about ten) and targets that
the prior can reach; it is here to judge the theory by, not to train anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from phiscope.errors import InputError
from phiscope.linalg.dense import half_inverse_of_stack, root_of_stack
from phiscope.theory.infinite_width import infinite_kernels
from phiscope.theory.setting import Setting
from phiscope.typing import FloatArray

BLOCK = 2**21
"""About so many preactivations are drawn at a time."""


@dataclass(frozen=True, kw_only=True)
class PosteriorKernels:
    """Mean kernels of networks of one width under the posterior.

    Attributes:
        kernels: mean C_1 to C_L with C_0 of the inputs before them, each of shape (P, P).
        left_out: the last kernel without one part of the draw after the other, shape (parts, P, P), for its error.
        draws: networks drawn.
        effective: how many equally weighted networks would be worth as much.
    """

    kernels: tuple[FloatArray, ...] = field(repr=False)
    left_out: FloatArray = field(repr=False)
    draws: int
    effective: float


def posterior_kernels(
    setting: Setting, values: FloatArray, *, width: int, noise: float, draws: int, seed: int, parts: int = 20
) -> PosteriorKernels:
    """Mean kernels of all hidden layers under the posterior.

    Of a layer only its preactivations on the P inputs matter, and given the layer below they are Gaussian with its
    kernel: so P numbers a unit are drawn instead of a row of weights, which is the same law. The scatter of the prior
    is taken off: what is averaged is the difference to the unweighted mean, whose value at layer 1 is known.

    Args:
        setting: prior and inputs.
        values: targets, shape (P, C).
        width: units of each hidden layer.
        noise: variance of the output noise.
        draws: networks.
        seed: of a generator of its own.
        parts: independent parts, whose spread tells the error.

    Raises:
        InputError: fewer than two parts, or fewer networks than parts.
    """
    if parts < 2 or draws < parts:
        raise InputError(f"{draws} networks in {parts} parts; expected two parts or more, and a network for each")
    generator = np.random.default_rng(seed)
    each = -(-draws // parts)
    rough = max(1, BLOCK // (width * len(values)))
    sums = [_Sums(setting.depth, len(values)) for _ in range(parts)]
    for part in sums:
        left = each
        while left > 0:
            part.add(_drawn(setting, width, min(rough, left), generator), values, noise)
            left -= rough
    whole = _Sums.united(sums)
    wide = infinite_kernels(setting).kernels[1]
    means = [whole.mean(layer, wide if layer == 0 else None) for layer in range(setting.depth)]
    last = setting.depth - 1
    return PosteriorKernels(
        kernels=(setting.input_kernel, *means),
        left_out=np.stack(
            [
                _Sums.united([*sums[:place], *sums[place + 1 :]]).mean(last, wide if last == 0 else None)
                for place in range(parts)
            ]
        ),
        draws=each * parts,
        effective=whole.effective,
    )


def _drawn(setting: Setting, width: int, count: int, generator: np.random.Generator) -> list[FloatArray]:
    """Kernels of so many networks, one array (count, P, P) a hidden layer."""
    P = len(setting.input_kernel)
    roots = root_of_stack(setting.input_kernel[None])
    kernels = []
    for layer in range(1, setting.depth + 1):
        phi = setting.activation.value(generator.standard_normal((count, width, P)) @ roots)
        made = setting.weight_variances[layer] / width * np.swapaxes(phi, 1, 2) @ phi + setting.bias_variances[layer]
        kernels.append(made)
        if layer < setting.depth:
            roots = root_of_stack(made)
    return kernels


class _Sums:
    """Weighted and plain sums of kernels; weights are kept relative to the largest so far."""

    def __init__(self, depth: int, width: int) -> None:
        self.top = -np.inf
        self.weight = self.square = 0.0
        self.count = 0
        self.weighted = np.zeros((depth, width, width))
        self.plain = np.zeros((depth, width, width))

    def add(self, kernels: list[FloatArray], values: FloatArray, noise: float) -> None:
        """Take in some networks."""
        power = log_evidence(kernels[-1], values, noise)
        self._raise_to(max(self.top, float(power.max())))
        weights = np.exp(power - self.top)
        self.weight += float(weights.sum())
        self.square += float(np.square(weights).sum())
        self.count += len(weights)
        for layer, made in enumerate(kernels):
            self.weighted[layer] += np.einsum("n,nij->ij", weights, made)
            self.plain[layer] += made.sum(axis=0)

    def _raise_to(self, top: float) -> None:
        factor = np.exp(self.top - top) if np.isfinite(self.top) else 0.0
        self.weight, self.square, self.weighted = self.weight * factor, self.square * factor**2, self.weighted * factor
        self.top = top

    def mean(self, layer: int, known: FloatArray | None) -> FloatArray:
        """The weighted mean of a layer's kernel; with the prior's mean known, its own scatter is taken off."""
        found = self.weighted[layer] / self.weight
        return np.asarray(found if known is None else found - self.plain[layer] / self.count + known)

    @property
    def effective(self) -> float:
        """(sum w)^2 / sum w^2."""
        return self.weight**2 / self.square

    @staticmethod
    def united(parts: list[_Sums]) -> _Sums:
        """All parts as one."""
        whole = _Sums(len(parts[0].weighted), parts[0].weighted.shape[1])
        whole.top = max(part.top for part in parts)
        for part in parts:
            factor = np.exp(part.top - whole.top)
            whole.weight += part.weight * factor
            whole.square += part.square * factor**2
            whole.weighted += part.weighted * factor
            whole.plain += part.plain
            whole.count += part.count
        return whole


def log_evidence(kernels: FloatArray, values: FloatArray, noise: float) -> FloatArray:
    """ln N(Y; 0, K + kappa) of each kernel, without the constant: -(C ln det + tr Y^T (K + kappa)^-1 Y) / 2.

    Args:
        kernels: shape (n, P, P).
        values: Y, shape (P, C).
        noise: kappa.

    Example:
        >>> log_evidence(np.zeros((1, 1, 1)), np.array([[2.0]]), 1.0).tolist()
        [-2.0]
    """
    loud = kernels + noise * np.eye(kernels.shape[1])
    factors, logs = half_inverse_of_stack(loud)
    return np.asarray(-np.square(factors @ values).sum(axis=(1, 2)) / 2.0 - values.shape[1] * logs)
