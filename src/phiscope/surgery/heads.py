"""A head that reads only the leading eigenfeatures, as two smaller layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from phiscope.errors import InputError
from phiscope.inputs.arrays import as_head, brief
from phiscope.linalg.products import product, squared_lengths
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.surgery.material import all_pairs


class CompressedHead(nn.Sequential):
    """Two linear layers, p -> k -> C.

    Attributes:
        k: eigenfeatures that are read.
        predicted_error: mean squared change of the logits on the measured samples, summed over outputs: the sum over
            dropped k of rho_k norm^2(W v_k), exact for the samples that were measured.
        n_parameters: weights and biases of both layers.
        replaced_parameters: those of the head they stand for.
    """

    def __init__(self, first: nn.Linear, second: nn.Linear, predicted_error: float, replaced_parameters: int) -> None:
        super().__init__(first, second)
        self.k = first.out_features
        self.predicted_error = predicted_error
        self.n_parameters = sum(parameter.numel() for parameter in self.parameters())
        self.replaced_parameters = replaced_parameters

    @property
    def saves(self) -> bool:
        """Whether the two layers have fewer parameters than the one; only where k < p C / (p + C), about."""
        return self.n_parameters < self.replaced_parameters

    def extra_repr(self) -> str:
        """Said beside the layers."""
        word = "saves" if self.saves else "does not save"
        return (
            f"k={self.k}, predicted squared logit error {self.predicted_error:.3g}, {word} parameters: "
            f"{self.n_parameters} for {self.replaced_parameters}"
        )


def compress_head(measurement: Measurement, head: Any, k: int) -> CompressedHead:
    """Two layers that give what the head gives on the k leading centered eigenfeatures.

    Args:
        measurement: of the head's features, with all its eigenvectors: the error is a sum over those that are dropped.
        head: (W, b), as arrays or tensors; their dtype and device are kept.
        k: eigenfeatures to read, 1..K.

    Raises:
        InputError: k beyond the eigenvectors that there are, or not all are there.
        ShapeError: the head does not fit the features.

    Source: phiscope's own; the error is exact because eigenfeatures are uncorrelated.

    Example:
        >>> from phiscope.measurement.diagonalize import diagonalize
        >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 1.0], [-3.0, -1.0]])
        >>> head = compress_head(diagonalize(x), (np.array([[1.0, 0.0], [0.0, 1.0]]), None), 1)
        >>> head.k, head.saves
        (1, False)
    """
    weight, bias = as_head(head, as_measurement(measurement).n_features)
    spectrum = measurement.centered
    most = spectrum.eigenvectors.shape[1]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= most:
        raise InputError(f"k={brief(k)}; expected a number of eigenfeatures from 1 to {most}")
    k = int(k)
    vectors, mean = spectrum.eigenvectors[:, :k], measurement.feature_mean
    read = product(weight, vectors)
    like = head[0] if isinstance(head[0], torch.Tensor) else torch.empty(0)
    place = {"device": like.device, "dtype": like.dtype if like.is_floating_point() else torch.float32}
    # Without first weights, which would be drawn from the random numbers of a training and written over.
    bare: Any = skip_init
    first, second = bare(nn.Linear, len(mean), k, **place), bare(nn.Linear, k, len(weight), **place)
    with torch.no_grad():
        for layer, w, b in (
            (first, vectors.T, -product(vectors.T, mean)),
            (second, read, bias + product(weight, mean)),
        ):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(w)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(b)))
    predicted = _dropped(measurement, weight, k)
    has_bias = head[1] is not None
    replaced = weight.size + (len(weight) if has_bias else 0)
    return CompressedHead(first, second, predicted, replaced)


def _dropped(measurement: Measurement, weight: np.ndarray, k: int) -> float:
    """The sum of rho_k norm^2(W v_k) over the dropped k: tr(W S W^T) less what the k leading eigenfeatures hold."""
    vectors, rho = all_pairs(measurement, "the error of what is dropped")
    return float((rho * squared_lengths(product(weight, vectors).T))[k:].sum())
