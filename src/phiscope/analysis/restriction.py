"""The network restricted to its leading eigenfunctions, and its agreement with the nearest class mean.

These need the samples themselves, so they are a second pass over features, in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from torch import nn

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError, named_kind
from phiscope.inputs.arrays import as_head, as_rows, as_targets, classes_of_head
from phiscope.inputs.batches import batches_of, peeked
from phiscope.inputs.order import check_order
from phiscope.inputs.prepared import unprepared
from phiscope.inputs.settings import check_flag
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.network import FeatureChoice, feature_map_of
from phiscope.network.batch import with_targets
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.samples import samples_of
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

Sample = tuple[Any, Any]
"""Features (b, p) and targets (b,) or (b, c) of one batch."""

_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """The trained head on the k leading eigenfunctions only, for every k = 0..K.

    f_k(x) = W (mean + V_k V_k^T (phi(x) - mean)) + b for the centered operator, W V_k V_k^T phi(x) + b for the raw
    one. At k = K it is the network itself on the measured samples, unless the measurement holds only its leading
    eigenfunctions (`phiscope.diagonalize` with k=).

    Attributes:
        centered: which operator's eigenfunctions.
        accuracy: share of right answers, shape (K + 1,), index k; None for regression targets.
        loss: cross-entropy in nats for classes, mean squared error for values, shape (K + 1,).
        nc4: share of samples where the head and the nearest class mean disagree, 0..1; None for regression.
        n_samples: samples in the pass.
        network_accuracy: share of right answers of the head without restriction; None for regression targets.
        network_loss: its loss.
    """

    centered: bool
    accuracy: FloatArray | None
    loss: FloatArray
    nc4: float | None
    n_samples: int
    network_accuracy: float | None
    network_loss: float

    def figure(self) -> Drawing:
        """Accuracy and loss over the number of eigenfunctions kept (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.sheets import restriction_sheet

        return drawn(restriction_sheet(self), purpose="Restriction.figure()")

    def _repr_html_(self) -> str:
        """The picture in a notebook, with the values folded below."""
        from phiscope.figures.paper.notebook import shown

        accuracy = [""] * len(self.loss) if self.accuracy is None else [f"{value:.4g}" for value in self.accuracy]
        rows = "".join(
            f"<tr><td>{k}</td><td>{right}</td><td>{loss:.4g}</td></tr>"
            for k, (right, loss) in enumerate(zip(accuracy, self.loss, strict=True))
        )
        table = f"<table><tr><th>k</th><th>accuracy</th><th>loss</th></tr>{rows}</table>"
        least = self.least_k()
        said = "" if least is None else f"99 % of the network's accuracy is reached with {least} eigenfunctions"
        if self.accuracy is not None and least is None:
            said = f"99 % of the network's accuracy is not reached with {len(self.loss) - 1} eigenfunctions"
        return shown(said, [self.figure], f"{len(self.loss)} values, n = {self.n_samples}", table)

    def least_k(self, share: float = 0.99) -> int | None:
        """Least k at which `share` of the full network's accuracy is reached; None for regression, or if none does."""
        if self.accuracy is None or self.network_accuracy is None:
            return None
        reached = self.accuracy >= share * self.network_accuracy
        return int(np.argmax(reached)) if reached.any() else None


def restrict(
    measurement: Measurement,
    samples: Any,
    head: Any,
    *,
    centered: bool = True,
    features: nn.Module | str | None = None,
    layer: Any = None,
    targets: Any = None,
    padding: bool = False,
    next_token: bool | None = None,
) -> Restriction:
    """Accuracy and loss of the network restricted to its top k eigenfunctions, for every k, and NC4.

    Args:
        measurement: of the same feature map; its eigenvectors and class means are used.
        samples: (features, targets), or an iterable of such batches; with a network as head, the data as `measure`
            takes them. May be other samples than those measured.
        head: the pair (W (C, p), b (C,)), or the network itself, which is then run once as by `measure`. A single
            output tells class 1 from class 0 by its sign, its loss is the logistic one.
        centered: restrict to eigenfunctions of the covariance; False uses the second moment.
        features: with a network, the features that were measured; see `phiscope.measure`.
        layer: with a network, its head where that was chosen: a layer, its dotted name, or (W, b).
        targets: with a network, see `phiscope.measure`.
        padding: with a network, see `phiscope.measure`.
        next_token: with a network, see `phiscope.measure`.

    Returns:
        The curves over k and NC4.

    Raises:
        EmptyDataError: no samples.
        ShapeError: features or targets do not fit the measurement or the head.
        NonFiniteError: NaN or Inf in the features or the targets.
        InputError: the samples are no pairs of features and targets.
        TargetError: a class index at or above C.

    Source: eigenfunctions arXiv:2410.04264 v1; NC4 Papyan, Han and Donoho 2020; the curve is phiscope's own.

    Example:
        >>> from phiscope.measurement.diagonalize import diagonalize
        >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [3.0, 1.0], [-3.0, -1.0]])
        >>> y = np.array([0, 1, 0, 1])
        >>> head = (np.array([[1.0, 0.0], [-1.0, 0.0]]), None)
        >>> restrict(diagonalize(x, head=head, targets=y), (x, y), head).accuracy.tolist()
        [0.5, 1.0, 1.0]
    """
    as_measurement(measurement)
    check_flag(centered, name="centered")
    check_flag(padding, name="padding")
    if isinstance(head, nn.Module):
        samples = unprepared(samples, split=False)
        check_order(samples, targets)
        choice = FeatureChoice(features=features, head=layer, padding=padding, next_token=next_token)
        return _restrict_network(measurement, samples, head, centered, choice, targets)
    own = (features, layer, targets, next_token)
    if padding or any(one is not None for one in own):
        raise InputError(
            "features, layer, targets, padding and next_token belong to a network as head; with (W, b), samples are "
            "pairs of features and targets"
        )
    pair = isinstance(samples, tuple) and len(samples) == 2
    if not pair and not isinstance(samples, Iterable):
        raise InputError(
            f"samples are {named_kind(samples)}, expected the pair (features, targets), or an iterable of such pairs"
        )
    batches = [samples] if pair else samples
    return _over(measurement, batches, as_head(head, measurement.n_features), centered)


def _restrict_network(
    measurement: Measurement, data: Any, model: nn.Module, centered: bool, choice: FeatureChoice, targets: Any
) -> Restriction:
    """The same pass over a network's own features, leaving no trace in it."""
    model = unwrapped(model)
    with isolated(model, data=data, device=None):
        first, batches = peeked(batches_of(data))
        feature_map = feature_map_of(model, first, choice, device=None, targets=targets)
        call = feature_map.caller()

        def features_and_targets() -> Iterator[Sample]:
            for index, batch in enumerate(with_targets(batches, feature_map.reader(), targets)):
                rows = feature_map.rows(batch, call=call, index=index)
                chosen = samples_of(batch, rows, feature_map)
                if chosen.targets is None:
                    raise TargetError("the data hold no targets, expected (x, y) batches or a mapping with labels")
                yield rows.features[chosen.rows.to(rows.features.device)], chosen.targets

        rows = feature_map.rows(feature_map.reader().without_targets(first), call=call, index=0)
        if rows.weight is None:
            raise InputError(
                "these features have no head, so there are no outputs to restrict; name one with layer=<a layer, its "
                "name, or (W, b)>"
            )
        head = as_head((rows.weight, rows.bias), measurement.n_features)
        return _over(measurement, features_and_targets(), head, centered)


def _over(
    measurement: Measurement, batches: Iterable[Sample], head: tuple[FloatArray, FloatArray], centered: bool
) -> Restriction:
    pass_ = _Pass(measurement, *head, centered)
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise InputError(
                f"a batch of samples is {named_kind(batch)}, expected the pair (features, targets), or an "
                "iterable of such pairs"
            )
        features, targets = batch
        rows, goal = as_rows(features, name="features", letter="p"), as_targets(targets)
        for name, part in (("features", rows), ("targets", goal)):
            # argmax of NaN is an index like any other, so that accuracy and NC4 would come out as numbers.
            if not np.isfinite(part).all():
                raise NonFiniteError(f"{name} hold NaN or Inf, expected finite numbers", where=name)
        if rows.shape[1] != measurement.n_features or len(goal) != len(rows):
            raise ShapeError(
                f"a batch has features {rows.shape} and targets {goal.shape}, expected (b, p) with "
                f"p = {measurement.n_features} and b targets"
            )
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            pass_.add(rows[block].astype(np.float64), goal[block])
    return pass_.result()


class _Pass:
    """Sums over samples; one block of logits for all k is the largest array."""

    def __init__(self, measurement: Measurement, weight: FloatArray, bias: FloatArray, centered: bool) -> None:
        spectrum = measurement.spectrum(centered=centered)
        if spectrum.eigenvectors.shape[1] < len(spectrum.eigenvalues):
            raise InputError(
                f"it stores {spectrum.eigenvectors.shape[1]} of {len(spectrum.eigenvalues)} eigenvectors; "
                "expected all; restrict one that was just measured"
            )
        self.centered = centered
        self.vectors = spectrum.eigenvectors
        self.mean = measurement.feature_mean if centered else np.zeros(measurement.n_features)
        self.directions = weight @ self.vectors
        self.start = weight @ self.mean + bias
        self.weight, self.bias = weight, bias
        self.class_means = measurement.class_means
        # Behind the K + 1 restricted heads, the head as it is.
        self.right = np.zeros(self.vectors.shape[1] + 2)
        self.loss = np.zeros(self.vectors.shape[1] + 2)
        self.disagree = 0
        self.n_samples = 0
        self.classes: bool | None = None

    def add(self, rows: FloatArray, goal: FloatArray | IntArray) -> None:
        """Add a block of at most 512 samples."""
        is_class = goal.ndim == 1
        if self.classes is not None and is_class != self.classes:
            raise TargetError("some batches have integer targets and some floats; expected one kind in all of them")
        self.classes = is_class
        self._check(goal)
        coefficients = (rows - self.mean) @ self.vectors
        logits = np.broadcast_to(self.start, (len(rows), len(self.start))).copy()
        self._count(0, logits, goal)
        for k in range(coefficients.shape[1]):
            logits += np.outer(coefficients[:, k], self.directions[:, k])
            self._count(k + 1, logits, goal)
        whole = rows @ self.weight.T + self.bias
        self._count(-1, whole, goal)
        if is_class and self.class_means is not None:
            answer = np.argmax(_class_logits(whole), axis=1)
            self.disagree += int((answer != self._nearest(rows)).sum())
        self.n_samples += len(rows)

    def _check(self, goal: FloatArray | IntArray) -> None:
        # A single output still separates two classes.
        last = classes_of_head(len(self.start)) - 1
        if goal.ndim == 1 and len(goal) and (goal.min() < 0 or goal.max() > last):
            raise TargetError(
                f"integer targets run from {goal.min()} to {goal.max()}, expected 0 .. {last}, one for each class that "
                "the head tells apart"
            )
        if goal.ndim == 2 and goal.shape[1] != len(self.start):
            raise ShapeError(f"targets have {goal.shape[1]} columns, the head has {len(self.start)} outputs")

    def _count(self, k: int, logits: FloatArray, goal: FloatArray | IntArray) -> None:
        if goal.ndim == 1:
            chosen = goal.astype(np.int64)
            scores = _class_logits(logits)
            self.right[k] += (np.argmax(scores, axis=1) == chosen).sum()
            self.loss[k] -= log_softmax(scores, axis=1)[np.arange(len(chosen)), chosen].sum()
        else:
            self.loss[k] += ((logits - goal) ** 2).sum()

    def _nearest(self, rows: FloatArray) -> IntArray:
        means = np.asarray(self.class_means)
        # Centering first keeps the digits of means far from the origin.
        shift = np.nanmean(means, axis=0)
        shifted = means - shift
        distance = (shifted**2).sum(axis=1) - 2 * (rows - shift) @ shifted.T
        return np.asarray(np.argmin(np.where(np.isnan(distance), np.inf, distance), axis=1))

    def result(self) -> Restriction:
        """Averages over all samples."""
        if self.n_samples == 0:
            raise EmptyDataError("no samples came, expected at least 1; check that the data are not used up")
        known = bool(self.classes)
        right, loss = self.right / self.n_samples, self.loss / self.n_samples
        return Restriction(
            centered=self.centered,
            accuracy=right[:-1] if known else None,
            loss=loss[:-1],
            nc4=self.disagree / self.n_samples if known and self.class_means is not None else None,
            n_samples=self.n_samples,
            network_accuracy=float(right[-1]) if known else None,
            network_loss=float(loss[-1]),
        )


def _class_logits(logits: FloatArray) -> FloatArray:
    """One column for each class: a single output z is the logit of class 1, beside 0 for class 0."""
    return logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1)
