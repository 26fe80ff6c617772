"""Where in the input an eigenfunction looks: its gradient with respect to the input, exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.inputs.settings import device_of, walked
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import Batch
from phiscope.network.hooks import differentiated, is_differentiable
from phiscope.network.isolation import isolated, unwrapped
from phiscope.typing import FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class InputGradients:
    """Gradients of eigenfunctions with respect to some inputs.

    Attributes:
        k: which eigenfunctions, counted from 1.
        of: "inputs", or "embeddings" where inputs are token ids: then by the vectors that the first embedding gives.
        values: e_k of each sample, shape (K, n).
        gradients: shape (K, n, ...), the further axes those of an input, or of its embedding (T, d).
    """

    k: tuple[int, ...]
    of: Literal["inputs", "embeddings"]
    values: FloatArray
    gradients: NDArray[np.float64]

    def norms(self) -> FloatArray:
        """Length of the gradient at each position of a text, over the axis of its embedding: shape (K, n, T).

        Raises:
            InputError: inputs were no token ids.
        """
        if self.of != "embeddings":
            raise InputError("norms() sums over the axis of an embedding, and these are gradients by inputs themselves")
        return np.asarray(np.sqrt((self.gradients**2).sum(axis=-1)))


def input_gradients(
    model: nn.Module,
    inputs: Any,
    measurement: Measurement,
    *,
    k: int | Sequence[int] = 1,
    centered: bool = True,
    head: Any = None,
    features: nn.Module | str | None = None,
    device: torch.device | str | None = None,
) -> InputGradients:
    """Gradient of eigenfunctions with respect to the input: de_k/dx = (dphi/dx)^T v_k / sqrt(rho_k).

    By automatic differentiation through the feature map, in eval mode and outside autocast. A large entry says that
    e_k changes when this number of the input does; of token ids, by how much it changes with the vector of each token.
    The model, its gradients, its mode, its hooks and every random state are as before. Samples are taken to be
    independent of each other, which networks in eval mode are.

    Args:
        model: the measured network.
        inputs: of n samples: a tensor, a tuple of positional inputs, or a mapping of keyword inputs; the first floating
            one counts, and without one the first embedding.
        measurement: of the same feature map, with eigenvectors.
        k: the first so many eigenfunctions, or which ones, counted from 1.
        centered: of the covariance; False takes the second moment.
        head: see `phiscope.measure`.
        features: see `phiscope.measure`.
        device: where to run; None = where the parameters are.

    Returns:
        Values and gradients.

    Raises:
        InputError: k is out of range, the model answers at every position, or nothing can be differentiated by.
        ShapeError: the model has another number of features than the measurement.
        NonFiniteError: a feature or a gradient is NaN or Inf.

    Source: the eigenfunctions are those of arXiv:2410.04264 v1; the gradient is phiscope's own.

    Example:
        >>> from phiscope.measurement.measure import measure
        >>> net = nn.Sequential(nn.Identity(), nn.Linear(2, 2))
        >>> x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> found = input_gradients(net, x, measure(net, x))
        >>> abs(found.gradients[0, 0].round(4)).tolist()  # e_1 = x_1 / sqrt(2)
        [0.7071, 0.0]
    """
    places = _places(k, as_measurement(measurement), centered)
    model = unwrapped(model)
    where = device_of(device)
    first = (inputs, None) if isinstance(inputs, (tuple, list)) else inputs
    with isolated(model, device=where):
        feature_map = feature_map_of(model, first, FeatureChoice(features=features, head=head), device=where)
        batch = feature_map.reader().inputs(inputs)
        return gradients_in(feature_map, batch, measurement, places, centered=centered)


def gradients_in(
    feature_map: FeatureMap,
    batch: Batch,
    measurement: Measurement,
    places: Sequence[int],
    *,
    centered: bool = True,
    smaller: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> InputGradients:
    """The gradients of one batch; meant for the inside of `isolated`. See `input_gradients`.

    Args:
        feature_map: of the network.
        batch: its inputs.
        measurement: of the same feature map.
        places: which eigenfunctions, counted from 1.
        centered: which operator.
        smaller: what is kept of each function's gradients (n, ...), so that not all of them are in memory at once.
    """
    floating = any(is_differentiable(one, batch.size) for one in (*batch.args, *batch.kwargs.values()))
    with differentiated(feature_map.model, batch) as (lent, leaves):
        rows = feature_map.rows(lent)
        if rows.leading != (batch.size,):
            raise InputError(
                f"the model answers at {len(rows.features)} positions of {batch.size} inputs; gradients are of models "
                "with one answer an input"
            )
        if not leaves:
            raise InputError("no input is of floating type and no embedding reads one, so nothing has a gradient")
        functions = _functions(rows.features, measurement, places, centered)
        found = (_gradient(functions[:, i], leaves[0]) for i in range(len(places)))
        gradients = [one if smaller is None else smaller(one) for one in found]
    return InputGradients(
        k=tuple(places),
        of="inputs" if floating else "embeddings",
        values=functions.detach().cpu().numpy().T,
        gradients=np.stack(gradients),
    )


def _functions(features: Tensor, measurement: Measurement, places: Sequence[int], centered: bool) -> Tensor:
    spectrum = measurement.spectrum(centered=centered)
    if features.shape[1] != measurement.n_features:
        raise ShapeError(
            f"the model has {features.shape[1]} features, this measurement has p = {measurement.n_features}"
        )
    chosen = np.asarray(places) - 1
    vectors = spectrum.eigenvectors[:, chosen] / np.sqrt(spectrum.eigenvalues[chosen])
    # Devices such as MPS know no float64; there the features' own type has to do.
    dtype = torch.float32 if features.device.type == "mps" else torch.float64
    there = features.to(dtype)
    if centered:
        there = there - torch.as_tensor(measurement.feature_mean, dtype=dtype, device=features.device)
    return there @ torch.as_tensor(vectors, dtype=dtype, device=features.device)


def _gradient(function: Tensor, leaf: Tensor) -> NDArray[np.float64]:
    # The sum over samples has each sample's own gradient, because a sample's value depends on no other.
    (found,) = torch.autograd.grad(function.sum(), leaf, retain_graph=True, allow_unused=True)
    gradient = torch.zeros_like(leaf) if found is None else found
    if not bool(torch.isfinite(gradient).all()):
        raise NonFiniteError("a gradient by the input is NaN or Inf", where="gradients")
    return np.asarray(gradient.detach().cpu().double().numpy())


def _places(k: int | Sequence[int], measurement: Measurement, centered: bool) -> tuple[int, ...]:
    stored = measurement.spectrum(centered=centered).eigenvectors.shape[1]
    wrong = f"k={k!r:.80}; expected how many, or which, of the {stored} eigenfunctions that are stored"
    if isinstance(k, int | np.integer) and not isinstance(k, bool):
        if k > stored:
            raise InputError(wrong)
        places = tuple(range(1, int(k) + 1))
    else:
        places = () if isinstance(k, Mapping) else tuple(walked(k) or ())
    if not places or not all(_is_place(place, stored) for place in places):
        raise InputError(wrong)
    return tuple(map(int, places))


def _is_place(value: object, stored: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and 1 <= int(value) <= stored  # type: ignore[call-overload]
