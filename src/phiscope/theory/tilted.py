"""Averages over the preactivations of one unit, tilted by what the data want of the layer.

A unit of a layer has preactivations h on the P inputs, Gaussian with covariance C under the prior. The posterior of a
network of finite width tilts that law: q(h) ~ N(h; 0, C) exp(phi(h)^T M phi(h)) with a small symmetric M. Averages are
taken over a fixed base sample with weights, and of each average only the difference to the untilted one is: that one is
known in closed form, so that at infinite width nothing of the sample is left.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.stats import norm, qmc

from phiscope.errors import InputError
from phiscope.linalg.dense import eigenpairs
from phiscope.linalg.positive import cholesky_factor, inverse_of
from phiscope.linalg.products import product
from phiscope.theory.activations import Activation
from phiscope.typing import FloatArray


def base_sample(count: int, width: int, seed: int = 0) -> FloatArray:
    """Standard normal rows whose mean is exactly 0 and whose second moment is exactly the identity (to rounding).

    Scrambled Sobol points, which fill space evenly: with 16,384 of them kernels of 8 inputs differ by a third of what
    as many independent draws make them differ.

    Args:
        count: rows; they come in pairs x, -x.
        width: P, columns.
        seed: of the scrambling.

    Returns:
        Shape (count, P), count rounded up to twice a power of 2.

    Raises:
        InputError: fewer rows than four a column, which cannot be whitened soundly.

    Example:
        >>> z = base_sample(64, 3)
        >>> bool(np.allclose(z.sum(axis=0), 0)), bool(np.allclose(z.T @ z, 64 * np.eye(3)))
        (True, True)
    """
    if count < 4 * width:
        raise InputError(f"samples={count} for {width} inputs; expected at least {4 * width}, better hundreds an input")
    power = max(count - 1, 1).bit_length() - 1
    half = 2**power
    drawn = norm.ppf(qmc.Sobol(width, seed=seed).random_base2(power))
    values, vectors = eigenpairs(product(drawn.T, drawn) / half)
    white = product(drawn, product(vectors / np.sqrt(values), vectors.T))
    return np.concatenate([white, -white])


def root_of(kernel: FloatArray) -> FloatArray:
    """The symmetric root of a positive kernel; eigenvalues that rounding made negative count as 0.

    Of all roots it is the one that changes smoothly with the kernel, so that a fixed sample gives a smooth iteration.
    """
    values, vectors = eigenpairs(kernel)
    return product(vectors * np.sqrt(np.maximum(values, 0.0)), vectors.T)


class Tilted:
    """The tilted law of one layer's units, by weights on a base sample.

    Attributes:
        share: effective share of the sample, (sum w)^2 / (n sum w^2), 0..1; 1 = no tilt.
    """

    def __init__(
        self, activation: Activation, kernel: FloatArray, tilt: FloatArray, base: FloatArray, *, exact: bool
    ) -> None:
        """Weigh the sample.

        Args:
            activation: phi.
            kernel: C of the preactivations, shape (P, P).
            tilt: M, symmetric, shape (P, P).
            base: from `base_sample`, shape (n, P).
            exact: weights exp(phi^T M phi); False takes their expansion to first order in M.
        """
        self._activation, self._kernel, self._tilt, self._exact = activation, kernel, tilt, exact
        self._h = product(base, root_of(kernel))
        self._phi = activation.value(self._h)
        self._pull = product(self._phi, tilt)
        power = np.einsum("ni,ni->n", self._pull, self._phi)
        if exact:
            weights = np.exp(power - power.max())
            self._weights = weights / weights.sum()
            self.share = float(1.0 / (len(base) * np.square(self._weights).sum()))
        else:
            self._weights = (1.0 + power - power.mean()) / len(base)
            self.share = 1.0
        self._extra = self._weights - 1.0 / len(base)

    def outer(self) -> FloatArray:
        """<phi phi^T> under the tilted law, shape (P, P)."""
        return self._activation.kernel(self._kernel) + _weighted(self._extra, self._phi, self._phi)

    def pulled(self) -> FloatArray:
        """d ln Z / d C, shape (P, P), with Z = <exp(phi^T M phi)> over the untilted law; symmetric.

        By parts it is half the average of S'' + S' S'^T with S = phi^T M phi, which needs no inverse of C: kernels of
        alike inputs have none.
        """
        known = self._activation
        slopes, bends = known.slopes(self._kernel), known.bends(self._kernel)
        plain = self._tilt * slopes + np.diag((self._tilt * bends).sum(axis=1))
        if not self._exact:
            return plain
        slope = known.slope(self._h)
        turned = slope * self._pull
        extra = self._tilt * _weighted(self._extra, slope, slope) + 2.0 * _weighted(self._weights, turned, turned)
        if known.name == "relu":
            np.fill_diagonal(extra, self._bent_at_a_point(extra))
        else:
            extra += np.diag(np.einsum("n,ni->i", self._extra, known.bend(self._h) * self._pull))
        return plain + extra

    def _bent_at_a_point(self, extra: FloatArray) -> FloatArray:
        """The diagonal where phi'' is a delta, which no sample sees: from <h S'^T> = 2 C d ln Z / d C, h phi' = phi."""
        scaled = np.einsum("n,ni->i", self._extra, self._phi * self._pull)
        others = extra - np.diag(np.diagonal(extra))
        rest = scaled - (self._kernel * others).sum(axis=1)
        side = np.diagonal(self._kernel)
        return np.asarray(np.divide(rest, side, out=np.zeros_like(rest), where=side > 0))


class TiltedLinear:
    """The same for the identity, where everything is known in closed form.

    Attributes:
        share: 1; there is no sample.
    """

    share = 1.0

    def __init__(self, kernel: FloatArray, tilt: FloatArray, *, exact: bool) -> None:
        """Prepare the covariance under the tilted law, (C^-1 - 2 M)^-1.

        Raises:
            InputError: the law has no norm.
        """
        self._kernel, self._tilt, self._exact = kernel, tilt, exact

    @cached_property
    def _second(self) -> FloatArray:
        C, M = self._kernel, self._tilt
        if not self._exact:
            return C + 2.0 * product(product(C, M), C)
        # C^(1/2) (1 - 2 C^(1/2) M C^(1/2))^-1 C^(1/2), which needs no inverse of C.
        root = root_of(C)
        factor = cholesky_factor(np.eye(len(C)) - 2.0 * product(product(root, M), root))
        if factor is None:
            raise InputError(NO_NORM)
        return product(product(root, inverse_of(factor)), root)

    def outer(self) -> FloatArray:
        """<h h^T> under the tilted law, shape (P, P)."""
        return self._second

    def pulled(self) -> FloatArray:
        """d ln Z / d C, shape (P, P): M + 2 M <h h^T> M."""
        if not self._exact:
            return self._tilt
        return self._tilt + 2.0 * product(product(self._tilt, self._second), self._tilt)


NO_NORM = (
    "the targets pull so hard at units of this width that their law has no norm: no most probable kernel exists here; "
    "expected a larger width, more noise or smaller targets"
)


def _weighted(weights: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """sum_n w_n left_n right_n^T, shape (P, P)."""
    return product(np.ascontiguousarray((left * weights[:, None]).T), right)


def tilted_law(
    activation: Activation, kernel: FloatArray, tilt: FloatArray, base: FloatArray, *, exact: bool
) -> Tilted | TiltedLinear:
    """The law of one layer's units, in closed form where there is one; arguments as for `Tilted`."""
    if activation.name == "identity":
        return TiltedLinear(kernel, tilt, exact=exact)
    return Tilted(activation, kernel, tilt, base, exact=exact)
