"""What the theory is asked about: inputs, targets, depth, variances of weights, read or refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError
from phiscope.inputs.arrays import as_array, as_count, as_targets, check_reach
from phiscope.linalg.products import row_products
from phiscope.theory.activations import Activation, activation_of
from phiscope.typing import FloatArray

PerLayer = float | Sequence[float]
"""One number for all layers, or one for each linear layer, the first one first."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A prior over networks and the inputs it is asked about.

    Attributes:
        input_kernel: C_0, shape (P, P): the covariance of the first hidden layer's preactivations.
        activation: between the linear layers.
        depth: L, the number of hidden layers.
        weight_variances: g of each linear layer, L + 1 of them; a weight has variance g / (number of its inputs).
        bias_variances: g_b of each linear layer, L + 1 of them.
    """

    input_kernel: FloatArray = field(repr=False)
    activation: Activation
    depth: int
    weight_variances: tuple[float, ...]
    bias_variances: tuple[float, ...]

    def step(self, kernel: FloatArray, layer: int) -> FloatArray:
        """C_layer = g F(C_(layer-1)) + g_b: one step of the network of infinite width."""
        return self.weight_variances[layer] * self.activation.kernel(kernel) + self.bias_variances[layer]


def setting_of(
    inputs: Any, depth: Any, activation: object, weight_variance: PerLayer, bias_variance: PerLayer
) -> Setting:
    """Read what `nngp` and `map_kernels` are asked.

    Raises:
        InputError: an unknown activation, a depth below 1, a variance that is none, or none of the fitting number.
        ShapeError: inputs without an axis of samples, or of numbers.
        NonFiniteError: NaN or Inf.
        EmptyDataError: fewer than two inputs.
    """
    chosen = activation_of(activation)
    layers = as_count(depth, name="depth")
    weights = _per_layer(weight_variance, "weight_variance", layers + 1, least=0.0, open_end=True)
    biases = _per_layer(bias_variance, "bias_variance", layers + 1, least=0.0, open_end=False)
    rows = rows_of(inputs)
    kernel = weights[0] * row_products(rows) / rows.shape[1] + biases[0]
    return Setting(
        input_kernel=kernel, activation=chosen, depth=layers, weight_variances=weights, bias_variances=biases
    )


def rows_of(inputs: Any) -> FloatArray:
    """Inputs as float64 rows, shape (P, D); pictures are flattened."""
    array = as_array(inputs, name="inputs").astype(np.float64)
    if array.ndim < 2 or array.size == 0:
        raise ShapeError(f"inputs have shape {array.shape}, expected (P, D): P inputs of D numbers each")
    rows = np.ascontiguousarray(array.reshape(len(array), -1))
    if len(rows) < 2:
        raise EmptyDataError("one input alone has no kernel to speak of; pass two or more, (P, D)")
    if not np.isfinite(rows).all():
        raise NonFiniteError("inputs hold NaN or Inf, expected finite numbers", where="inputs")
    check_reach(float(np.abs(rows).max()), name="inputs")
    if not rows.any():
        raise InputError(
            "inputs are zero everywhere, so that their kernel says nothing; pass the inputs of the network"
        )
    return rows


def values_of(targets: Any, n_inputs: int) -> FloatArray:
    """Targets as float64 values, shape (P, C): classes become one column each, 1 for the class and 0 for others.

    Raises:
        TargetError: neither classes (P,) nor values (P,) or (P, C).
        ShapeError: of another number of inputs.
        NonFiniteError: NaN or Inf.
    """
    array = as_targets(targets)
    if len(array) != n_inputs:
        raise ShapeError(
            f"targets are of {len(array)} samples and inputs of P = {n_inputs}; pass a target for each input"
        )
    if array.ndim == 1:
        if array.min() < 0:
            raise TargetError(
                f"whole-number targets are classes from 0, and {array.min()} came; pass values such as -1 and 1 as "
                "floats"
            )
        return np.asarray((array[:, None] == np.unique(array)).astype(np.float64))
    if not np.isfinite(array).all():
        raise NonFiniteError("targets hold NaN or Inf, expected finite numbers", where="targets")
    check_reach(float(np.abs(array).max()), name="targets")
    return array


def widths_of(width: Any, depth: int) -> tuple[int, ...]:
    """Units of each hidden layer, the first one first.

    Raises:
        InputError: a width below 1, no whole number, or not one for each hidden layer.
    """
    given = list(width) if isinstance(width, (tuple, list, np.ndarray)) and np.ndim(width) else [width] * depth
    if len(given) != depth:
        raise InputError(
            f"width has {len(given)} numbers for {depth} hidden layers; pass one for all, or one for each of them"
        )
    return tuple(as_count(one, name="width") for one in given)


def positive_number(value: Any, name: str, meaning: str) -> float:
    """A finite number above 0.

    Raises:
        InputError: it is none.
    """
    number = _number(value)
    if number is None or number <= 0:
        raise InputError(f"{name}={value!r:.60}; expected a number above 0, {meaning}")
    return number


def bias_number(value: Any) -> float:
    """A finite number of at least 0.

    Raises:
        InputError: it is none.
    """
    number = _number(value)
    if number is None or number < 0:
        raise InputError(f"bias_variance={value!r:.60}; expected a number of at least 0, g_b of a layer")
    return number


def _per_layer(given: Any, name: str, count: int, *, least: float, open_end: bool) -> tuple[float, ...]:
    several = isinstance(given, (tuple, list, np.ndarray)) and np.ndim(given) == 1
    values = [_number(one) for one in given] if several else [_number(given)] * count
    wanted = f"a number {'above' if open_end else 'of at least'} {least:g}"
    if len(values) != count:
        raise InputError(
            f"{name} has {len(values)} numbers for {count} linear layers ({count - 1} hidden ones and the output); "
            "pass one number for all, or one for each of them"
        )
    if any(one is None or one < least or (open_end and one == least) for one in values):
        raise InputError(f"{name}={given!r:.60}; expected {wanted} for each layer")
    return tuple(one for one in values if one is not None)


def _number(value: Any) -> float | None:
    """A finite real number, or None."""
    if isinstance(value, (bool, str, bytes)) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
