"""The most probable kernels of a network of finite width, given its targets: the posterior's saddle point.

A layer of N units has the kernel C_a = (g / N) sum_i phi(h_i) phi(h_i)^T + g_b with h_i ~ N(0, C_(a-1)), which scatters
about its infinite-width value; given the targets, the scatter leans toward them. Conjugate kernels T_a say how much
log posterior each layer's kernel would gain: from the targets backward, and the kernels answer forward.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from phiscope.errors import InputError, UnknownNameError
from phiscope.inputs.arrays import as_count
from phiscope.inputs.settings import is_word
from phiscope.linalg.dense import length
from phiscope.linalg.positive import cholesky_factor, inverse_of
from phiscope.linalg.products import product
from phiscope.theory.infinite_width import infinite_kernels
from phiscope.theory.setting import PerLayer, Setting, positive_number, setting_of, values_of, widths_of
from phiscope.theory.tilted import Tilted, TiltedLinear, base_sample, tilted_law
from phiscope.typing import FloatArray, IntArray

Order = Literal["first", "full"]
"""Corrections to first order in 1 / N, or the saddle point itself."""

STARTING_WIDTH = 20.0
"""The iteration begins at so many times the width, where it cannot miss the solution that infinite width leads to."""

NARROWING = 1.6
"""From one width to the next."""

SETTLED = 1e-6
"""No kernel and no conjugate changes by more than this share of itself at the end."""

SETTLED_ON_THE_WAY = 1e-3
"""At widths on the way a rougher answer will do."""

REFUSED_RESIDUAL = 1e-3
"""An iteration that ends with larger changes is no solution."""

REFUSED_SHARE = 0.01
"""Where fewer of the base sample count, averages over it mean nothing."""

ROUGH = 8
"""On the way, one in so many of the base sample."""

MIXING = 0.5
"""Share of the new kernels that is taken over, to begin with."""

LEAST_MIXING, MOST_MIXING = 0.02, 0.8

SHORTER, LONGER, GOING_ON = 0.7, 1.1, 0.5
"""Factors of the share where steps turn around or go on, and from which cosine on they go on."""

STEPS = 400
"""At most so many steps at one width."""


@dataclass(frozen=True, kw_only=True)
class MapKernels:
    """The most probable kernels of a network of finite width on P inputs, given targets.

    Attributes:
        kernels: C_0 to C_L, each of shape (P, P), as in `phiscope.theory.InfiniteKernels`; [0] is that of the inputs.
        conjugates: T_0 to T_L, each of shape (P, P): the log posterior that a change of this kernel would gain.
        residual: largest relative change of a kernel or conjugate in one more undamped step.
        sample_share: least effective share of the base sample over the layers, 0..1; 1 = closed form, or no tilt.
        widths: units of each hidden layer.
        noise: variance of the output noise, kappa.
        order: "first" or "full".
        steps: of the iteration, over all widths.
        activation: its name.
        depth: L, the number of hidden layers.
        weight_variances: g of each linear layer, the first one first.
        bias_variances: g_b of each linear layer.
    """

    kernels: tuple[FloatArray, ...] = field(repr=False)
    conjugates: tuple[FloatArray, ...] = field(repr=False)
    residual: float
    sample_share: float
    widths: tuple[int, ...]
    noise: float
    order: str
    steps: int
    activation: str
    depth: int
    weight_variances: tuple[float, ...]
    bias_variances: tuple[float, ...]


def map_kernels(
    inputs: Any,
    targets: Any,
    width: int | tuple[int, ...],
    depth: int = 2,
    activation: str = "erf",
    weight_variance: PerLayer = 1.5,
    bias_variance: PerLayer = 0.0,
    noise: float = 0.1,
    order: Order = "full",
    *,
    samples: int = 32768,
    seed: int = 0,
) -> MapKernels:
    """The most probable kernels of a fully connected network of finite width, given targets.

    The theory is of the Bayesian posterior: Gaussian weights, Gaussian noise on the outputs. Networks trained by full
    gradient descent with weight decay and Gaussian noise in every step sample it; those trained by SGD or Adam do not,
    and nothing here is a statement about them.

    The saddle point neglects how kernels scatter about it: a kernel scatters by 1 / sqrt(N), and what the scatter does
    to the mean kernel is a correction of relative order P / N. Compare with `phiscope.theory.nngp`, and trust the
    direction of the change more than its last digit where P > N.

    Args:
        inputs: X, shape (P, D) or pictures (P, ...); tens to a few hundred inputs.
        targets: floats (P,) or (P, C) are values; whole numbers from 0 are classes, one column for each.
        width: N, units of every hidden layer, or one number for each.
        depth: L, the number of hidden layers.
        activation: "erf", "relu" or "identity".
        weight_variance: g, above 0; one number, or L + 1 of them; a weight of a layer with m inputs has variance g / m.
        bias_variance: g_b, at least 0; one number, or L + 1 of them.
        noise: kappa, variance of the output noise, above 0.
        order: "full", or "first" for corrections to first order in 1 / N.
        samples: of the base sample over which averages are taken.
        seed: of the base sample; another one shows what its size is worth.

    Returns:
        Kernels and conjugates with the residual of the iteration and the share of the sample that counts.

    Raises:
        InputError: settings that are none; no saddle point at this width; an iteration that does not settle; a tilt
            that leaves less than 1 % of the base sample.
        UnknownNameError: another word for `order`.
        ShapeError: inputs that are no (P, D), or targets of another number of inputs.
        TargetError: targets that are neither classes nor values.
        NonFiniteError: NaN or Inf.

    Source: Fischer et al. 2024, arXiv:2405.10761; the equations are derived in docs/guide/theory.md.

    Example:
        >>> import numpy as np
        >>> found = map_kernels(np.eye(4), np.array([1.0, -1.0, -1.0, 1.0]), width=50, depth=1, activation="identity")
        >>> bool(found.residual < 1e-5), found.sample_share
        (True, 1.0)
    """
    if not is_word(order, get_args(Order)):
        raise UnknownNameError("order", str(order), get_args(Order))
    setting = setting_of(inputs, depth, activation, weight_variance, bias_variance)
    values = values_of(targets, len(setting.input_kernel))
    return most_probable(
        setting,
        values,
        widths=widths_of(width, setting.depth),
        noise=positive_number(noise, "noise", "the variance of the outputs' noise"),
        order=order,
        base=base_sample(as_count(samples, name="samples"), len(values), as_count(seed, name="seed", least=0)),
    )


def most_probable(
    setting: Setting,
    values: FloatArray,
    *,
    widths: tuple[int, ...],
    noise: float,
    order: Order,
    base: FloatArray,
) -> MapKernels:
    """`map_kernels` of what is read already; `base` is from `phiscope.theory.tilted.base_sample`."""
    # In an order that the data decide, the same numbers come out whatever order the inputs came in.
    places = _own_order(setting.input_kernel, values)
    sorted_setting = replace(setting, input_kernel=_reordered(setting.input_kernel, places))
    iteration = _Iteration(sorted_setting, values[places], noise, order, base)
    iteration.run(np.asarray(widths, dtype=np.float64))
    if not iteration.residual <= REFUSED_RESIDUAL:
        raise InputError(
            f"the kernels of width {'-'.join(map(str, widths))} do not settle: they still change by "
            f"{iteration.residual:.2g} of themselves after {iteration.steps} steps, expected {REFUSED_RESIDUAL:g} or "
            "less; pass a larger width, more noise or smaller targets"
        )
    if iteration.share < REFUSED_SHARE:
        raise InputError(
            f"the tilt leaves {100 * iteration.share:.2g} % of the base sample, expected {100 * REFUSED_SHARE:g} % or "
            "more: averages over it mean nothing; pass a larger width, more noise, smaller targets or more samples"
        )
    back = np.argsort(places)
    return MapKernels(
        kernels=tuple(_reordered(one, back) for one in iteration.kernels),
        conjugates=tuple(_reordered(one, back) for one in iteration.conjugates),
        residual=iteration.residual,
        sample_share=iteration.share,
        widths=widths,
        noise=noise,
        order=order,
        steps=iteration.steps,
        activation=setting.activation.name,
        depth=setting.depth,
        weight_variances=setting.weight_variances,
        bias_variances=setting.bias_variances,
    )


def _own_order(kernel: FloatArray, values: FloatArray) -> IntArray:
    """Places of the inputs in an order that does not depend on how they came, but where two are alike."""
    by_pull, by_size = product(kernel, values).sum(axis=1), np.square(kernel).sum(axis=1)
    places: IntArray = np.asarray(sorted(range(len(kernel)), key=lambda at: (by_size[at], by_pull[at])))
    return places


def _reordered(kernel: FloatArray, places: IntArray) -> FloatArray:
    return np.ascontiguousarray(kernel[np.ix_(places, places)])


def top_conjugate(kernel: FloatArray, values: FloatArray, noise: float) -> FloatArray:
    """T_L = (V V^T - C A) / 2 with A = (C_L + kappa)^-1 and V = A Y: the slope of ln N(Y; 0, C_L + kappa).

    Args:
        kernel: C_L, shape (P, P).
        values: Y, shape (P, C).
        noise: kappa.

    Raises:
        InputError: kappa is lost in the kernel's rounding.

    Example:
        >>> top_conjugate(np.eye(1), np.array([[4.0]]), 1.0).round(9).tolist()
        [[1.75]]
    """
    factor = cholesky_factor(kernel + noise * np.eye(len(kernel)))
    if factor is None:
        raise InputError(f"noise={noise:g} is lost beside a kernel of size {length(kernel):.3g}; pass more noise")
    inverse = inverse_of(factor)
    pull = product(inverse, values)
    return np.asarray((product(pull, np.ascontiguousarray(pull.T)) - values.shape[1] * inverse) / 2.0)


class _Iteration:
    """Kernels and conjugates on their way to the saddle point; width after width, from wide to narrow."""

    def __init__(self, setting: Setting, values: FloatArray, noise: float, order: Order, base: FloatArray) -> None:
        self._setting, self._values, self._noise = setting, values, noise
        self._exact, self._base = order == "full", base
        self.kernels: list[FloatArray] = list(infinite_kernels(setting).kernels)
        self.conjugates: list[FloatArray] = [np.zeros_like(one) for one in self.kernels]
        self.residual, self.share, self.steps = np.inf, 1.0, 0

    def run(self, widths: FloatArray) -> None:
        """Settle at each width on the way, on part of the sample, and at the last one for good."""
        whole, factor = self._base, STARTING_WIDTH
        self._base = base_sample(max(len(whole) // ROUGH, 4 * whole.shape[1]), whole.shape[1])
        while factor > 1.0:
            self._settle(widths * factor, SETTLED_ON_THE_WAY)
            if not self.residual <= REFUSED_RESIDUAL:
                # Narrower it would only be worse.
                return
            factor /= NARROWING
        self._base = whole
        self._settle(widths, SETTLED)
        # Nothing depends on the inputs' own conjugate, so it waits until all else is known.
        self.conjugates[0] = widths[0] * self._law(self.kernels[0], self.conjugates[1], 1, widths).pulled()

    def _settle(self, widths: FloatArray, enough: float) -> None:
        mixing, before = MIXING, None
        for _ in range(STEPS):
            kernels, conjugates = self._step(widths)
            # The inputs' own kernel does not move, and nothing depends on its conjugate.
            old = (*self.kernels[1:], *self.conjugates[1:])
            moves = [new - one for new, one in zip((*kernels[1:], *conjugates[1:]), old, strict=True)]
            self.residual = max(
                _share(move, new) for move, new in zip(moves, (*kernels[1:], *conjugates[1:]), strict=True)
            )
            if self.residual <= enough:
                return
            mixing = mixing if before is None else _adapted(mixing, moves, before)
            before = moves
            self.kernels = [_mixed(one, new, mixing) for one, new in zip(self.kernels, kernels, strict=True)]
            self.conjugates = [_mixed(one, new, mixing) for one, new in zip(self.conjugates, conjugates, strict=True)]
            self.steps += 1

    def _step(self, widths: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
        """One undamped round: from the targets backward, then forward."""
        depth, setting = self._setting.depth, self._setting
        conjugates = [*self.conjugates[:-1], top_conjugate(self.kernels[-1], self._values, self._noise)]
        for layer in range(depth, 1, -1):
            law = self._law(self.kernels[layer - 1], conjugates[layer], layer, widths)
            conjugates[layer - 1] = widths[layer - 1] * law.pulled()
        kernels, shares = [self.kernels[0]], []
        for layer in range(1, depth + 1):
            law = self._law(kernels[-1], conjugates[layer], layer, widths)
            shares.append(law.share)
            kernels.append(setting.weight_variances[layer] * law.outer() + setting.bias_variances[layer])
        self.share = min(shares)
        return kernels, conjugates

    def _law(self, kernel: FloatArray, conjugate: FloatArray, layer: int, widths: FloatArray) -> Tilted | TiltedLinear:
        tilt = self._setting.weight_variances[layer] / widths[layer - 1] * conjugate
        return tilted_law(self._setting.activation, kernel, tilt, self._base, exact=self._exact)


def _mixed(old: FloatArray, new: FloatArray, share: float) -> FloatArray:
    return old + share * (new - old)


def _share(move: FloatArray, of: FloatArray) -> float:
    """Relative change; of what was and is zero, none."""
    size = length(of)
    return length(move) / size if size > 0 else 0.0


def _adapted(mixing: float, moves: list[FloatArray], before: list[FloatArray]) -> float:
    """A smaller share where the last moves turn around, for the steps overshoot, and a larger one where they go on."""
    cosines = [
        float(np.vdot(move, last)) / (length(move) * length(last))
        for move, last in zip(moves, before, strict=True)
        if move.any() and last.any()
    ]
    turned = min(cosines, default=0.0)
    if turned < 0.0:
        return max(mixing * SHORTER, LEAST_MIXING)
    return min(mixing * LONGER, MOST_MIXING) if turned > GOING_ON else mixing
