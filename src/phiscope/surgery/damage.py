"""A causal probe: what the network loses when eigenfeatures of a layer are taken from it.

Utilization says where the head reads; this asks the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import EmptyDataError, InputError, UnknownNameError
from phiscope.inputs.batches import batches_of
from phiscope.inputs.progress import bar_of
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureChoice, feature_map_of
from phiscope.network.hooks import Ear
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.linear_layers import layer_of
from phiscope.network.rows import Rows
from phiscope.network.samples import samples_of
from phiscope.surgery.costs import Cost, cost_of, losses_of, outputs_of, paired_means, paired_proportions, right_of
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

Of = Literal["single", "first", "last"]
"""Which eigenfeatures are taken: the k-th alone, the first k, or all from the k-th on."""

Kind = Literal["remove", "replace", "shuffle"]
"""What stands in their place: their mean, noise of the same energy, or another sample's."""

MOST = 64
"""So many leading eigenfeatures are tried unless others are named."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What each intervention costs, on the samples it was tried on.

    Attributes:
        of: which eigenfeatures were taken.
        kind: what stood in their place.
        k: eigenfeatures, from 1, shape (K,).
        n_samples: samples that it was tried on.
        accuracy_before: share right without intervention; None for values.
        loss_before: cross-entropy in nats, or squared error summed over outputs.
        accuracy_lost: rows of value, low and high end of the 95 % interval over samples, shape (K, 3); None for values.
        loss_added: the same of the loss.
        logit_change: mean squared change of the outputs, summed over outputs, shape (K,).
        eigenvalues: rho_k, shape (K,), in squared feature units.
        utilization: share of the outputs in e_k, shape (K,); None where the measurement has none.
        quality: share of the targets in e_k, shape (K,); None where it has none.
    """

    of: str
    kind: str
    k: IntArray = field(repr=False)
    n_samples: int
    accuracy_before: float | None
    loss_before: float
    accuracy_lost: FloatArray | None = field(repr=False)
    loss_added: FloatArray = field(repr=False)
    logit_change: FloatArray = field(repr=False)
    eigenvalues: FloatArray = field(repr=False)
    utilization: FloatArray | None = field(repr=False)
    quality: FloatArray | None = field(repr=False)

    def figure(self) -> Drawing:
        """Damage over k, and against strength, utilization and quality (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.surgery_sheets import damage_sheet

        return drawn(damage_sheet(self), purpose="Damage.figure()")


def damage(
    model: nn.Module,
    data: Any,
    measurement: Measurement,
    *,
    of: Of = "single",
    kind: Kind = "remove",
    layer: nn.Module | str | None = None,
    k: Sequence[int] | None = None,
    seed: int = 0,
    max_samples: int | None = None,
    progress: bool | None = None,
) -> Damage:
    """Take eigenfeatures from a network and see what it loses.

    Args:
        model: the network; it is not changed.
        data: samples with targets, as for `phiscope.measure`; others than those of the measurement are fairer.
        measurement: of the features that are tampered with, with eigenvectors: of the head's input, or of `layer`, from
            `phiscope.measure_layers`.
        of: "single", "first" or "last"; see `Of`.
        kind: "remove" (the mean takes its place), "replace" (noise with variance rho_k), "shuffle" (of another
            sample; with `layer`, of the same batch).
        layer: None for the head's input; or a layer whose output has shape (b, p), or its dotted name.
        k: which, from 1; None takes the leading 64 that there are.
        seed: of noise and shuffling.
        max_samples: samples to try it on; None = all.
        progress: a bar; None = when somebody watches.

    Returns:
        Accuracy lost and loss added, each with its interval over samples: of paired proportions for accuracy, which is
        never of width zero, and of paired means for the loss.

    Raises:
        UnknownNameError: another word for `of` or `kind`.
        InputError: k beyond the eigenvectors; a layer of another shape; data without targets.

    Source: phiscope's own; intervals of paired proportions by Agresti and Min 2005.

    Example:
        >>> from phiscope.measurement.measure import measure
        >>> net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> data = (torch.randn(200, 4), torch.arange(200) % 2)
        >>> damage(net, data, measure(net, data), of="first").k.tolist()
        [1, 2, 3, 4, 5, 6]
    """
    for value, known, what in ((of, get_args(Of), "of"), (kind, get_args(Kind), "kind")):
        if value not in known:
            raise UnknownNameError(what, str(value), known)
    chosen = _places(measurement, k)
    network = unwrapped(model)
    noise = np.random.default_rng(seed)
    trial: _HeadTrial | _LayerTrial
    if layer is None:
        trial = _HeadTrial(network, data, measurement, max_samples)
    else:
        trial = _LayerTrial(network, data, measurement, max_samples, layer_of(network, layer, "layer"))
    before = trial.outputs(None)
    results = []
    with bar_of(chosen.tolist(), shown=progress, desc="eigenfeatures", leave=False) as bar:
        for place in bar:
            taken = {"single": [place - 1], "first": range(place), "last": range(place - 1, trial.most)}[of]
            after = trial.outputs(_Edit(np.asarray(list(taken)), kind, noise))
            results.append(cost_of(before, after, trial.targets))
    return _summary(measurement, trial, chosen, before, results, of, kind)


def _places(measurement: Measurement, k: Sequence[int] | None) -> IntArray:
    most = measurement.centered.eigenvectors.shape[1]
    if not most:
        raise InputError("the measurement holds no eigenvectors; measure again, or observe with keep_eigenvectors=None")
    places = np.arange(1, min(most, MOST) + 1) if k is None else np.asarray(list(k))
    if places.ndim != 1 or not len(places) or not np.issubdtype(places.dtype, np.integer):
        raise InputError(f"k={k!r:.60}; expected numbers of eigenfeatures, from 1")
    if places.min() < 1 or places.max() > most:
        raise InputError(f"k={k!r:.60}; expected numbers from 1 to {most}, the eigenvectors that there are")
    return places.astype(np.int64)


@dataclass(frozen=True)
class _Edit:
    """What is done to the coefficients of some eigenfeatures."""

    taken: IntArray
    kind: str
    noise: np.random.Generator

    def change(self, coefficients: FloatArray, rho: FloatArray) -> FloatArray:
        """What is added to the coefficients of all samples, shape (n, len(taken))."""
        now = coefficients[:, self.taken]
        if self.kind == "remove":
            return -now
        if self.kind == "replace":
            return np.asarray(self.noise.standard_normal(now.shape) * np.sqrt(rho[self.taken]) - now)
        return np.asarray(now[self.noise.permutation(len(now))] - now)


class _HeadTrial:
    """The head's input: outputs follow from coefficients, and no forward pass is needed for each trial."""

    def __init__(self, network: nn.Module, data: Any, measurement: Measurement, max_samples: int | None) -> None:
        self._vectors, self._rho = measurement.centered.eigenvectors, measurement.centered.eigenvalues
        self.most = self._vectors.shape[1]
        features, targets = [], []
        count = 0
        for rows, goal in _samples(network, data, max_samples):
            if rows.weight is None:
                raise InputError("these features have no head, so nothing can be lost; pass layer=")
            weight, bias = _array(rows.weight), None if rows.bias is None else _array(rows.bias)
            features.append(_array(rows.features))
            targets.append(goal.numpy())
            count += len(goal)
        if not count:
            raise EmptyDataError("no sample came; check that the data are not empty")
        whole = np.concatenate(features)
        if whole.shape[1] != measurement.n_features:
            raise InputError(
                f"the head reads {whole.shape[1]} features and the measurement has {measurement.n_features}; pass the "
                "measurement of this head's input, or layer="
            )
        self.targets = np.concatenate(targets)
        self._coefficients = product(whole - measurement.feature_mean, self._vectors)
        self._columns = product(weight, self._vectors).T
        self._outputs = product(whole, weight.T) + (0.0 if bias is None else bias)

    def outputs(self, edit: _Edit | None) -> FloatArray:
        """Outputs of all samples under an intervention, shape (n, C)."""
        if edit is None:
            return self._outputs
        change = edit.change(self._coefficients, self._rho)
        return np.asarray(self._outputs + product(change, self._columns[edit.taken]))


class _LayerTrial:
    """Any layer with outputs (b, p): the network runs again for each trial, with the layer's answer changed."""

    def __init__(
        self, network: nn.Module, data: Any, measurement: Measurement, max_samples: int | None, layer: nn.Module
    ) -> None:
        self._network, self._data, self._layer, self._most_samples = network, data, layer, max_samples
        self._measurement = measurement
        self.most = measurement.centered.eigenvectors.shape[1]
        self.targets = np.empty(0)

    def outputs(self, edit: _Edit | None) -> FloatArray:
        """Outputs of all samples under an intervention, shape (n, C)."""
        answers, targets = [], []
        for rows, goal in _samples(self._network, self._data, self._most_samples, partial(self._changed, edit)):
            made = outputs_of(rows)
            if made is None:
                raise InputError("the outputs of this network cannot be read, so nothing can be lost")
            answers.append(_array(made))
            targets.append(goal.numpy())
        if not answers:
            raise EmptyDataError("no sample came; check that the data are not empty")
        self.targets = np.concatenate(targets)
        return np.concatenate(answers)

    @contextmanager
    def _changed(self, edit: _Edit | None) -> Iterator[None]:
        ear = Ear()
        try:
            if edit is not None:
                ear.after(self._layer, self._answer(edit))
            yield
        finally:
            ear.on = False
            ear.close()

    def _answer(self, edit: _Edit) -> Callable[..., Tensor]:
        m = self._measurement

        def changed(module: nn.Module, args: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] != m.n_features:
                shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise InputError(
                    f"the layer gives {shape}; expected a tensor (b, {m.n_features}), as the measurement has it"
                )
            rows = _array(output)
            change = edit.change(product(rows - m.feature_mean, m.centered.eigenvectors), m.centered.eigenvalues)
            added = product(change, m.centered.eigenvectors[:, edit.taken].T)
            return output + torch.from_numpy(added).to(output)

        return changed


def _samples(
    network: nn.Module,
    data: Any,
    max_samples: int | None,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Rows, Tensor]]:
    """Rows of each batch with their targets, in eval mode; `around` goes around these passes alone."""
    count, found = 0, None
    for index, raw in enumerate(batches_of(data)):
        with isolated(network, data=data):
            found = found or feature_map_of(network, raw, FeatureChoice(), device=None)
            batch = found.reader()(raw)
            with around():
                rows = found.rows(batch, index=index)
            chosen = samples_of(batch, rows, found)
        if chosen.targets is None:
            raise InputError("damage needs targets; pass (x, y) batches or a mapping with labels")
        room = len(chosen.rows) if max_samples is None else min(len(chosen.rows), max_samples - count)
        index_of = chosen.rows[:room].to(rows.features.device)
        outputs = None if rows.outputs is None else rows.outputs[index_of]
        kept = replace(rows, features=rows.features[index_of], outputs=outputs, leading=(room,))
        yield kept, chosen.targets[:room].detach().cpu()
        count += room
        if max_samples is not None and count >= max_samples:
            return


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _summary(
    m: Measurement,
    trial: _HeadTrial | _LayerTrial,
    chosen: IntArray,
    before: FloatArray,
    results: Sequence[Cost],
    of: str,
    kind: str,
) -> Damage:
    right = right_of(before, trial.targets)
    lost = None
    if right is not None:
        pairs = [(one.right_before, one.right_after) for one in results]
        lost = np.asarray([paired_proportions(a, b) for a, b in pairs if a is not None and b is not None])
    spectrum = m.centered
    index = chosen - 1
    return Damage(
        of=of,
        kind=kind,
        k=chosen,
        n_samples=len(before),
        accuracy_before=None if right is None else float(right.mean()),
        loss_before=float(losses_of(before, trial.targets).mean()),
        accuracy_lost=lost,
        loss_added=np.asarray([paired_means(one.added) for one in results]),
        logit_change=np.asarray([one.change for one in results]),
        eigenvalues=spectrum.eigenvalues[index],
        utilization=None if spectrum.utilization is None else spectrum.utilization[index],
        quality=None if spectrum.quality is None else spectrum.quality[index],
    )
