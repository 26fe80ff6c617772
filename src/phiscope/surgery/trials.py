"""Trials of an intervention: the outputs of a network under it, at the head's input or at any layer.

At the head's input outputs follow from coefficients; elsewhere the network runs again for each trial.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import InputError, NoHeadError, named_kind
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureChoice, feature_map_of
from phiscope.network.batch import Batch, answered
from phiscope.network.hooks import Ear
from phiscope.network.isolation import isolated, same_draws
from phiscope.network.layer_calls import ModuleCall, module_calls
from phiscope.network.layer_plan import ReadingChoice, plan_reading
from phiscope.network.layer_reading import LayerReading, layers_listened, mask_of
from phiscope.network.linear_layers import layer_of
from phiscope.surgery.costs import outputs_of
from phiscope.surgery.editing import Editor
from phiscope.surgery.samples import Parts, Tried, first_of, samples_of_trial
from phiscope.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Edit:
    """What is done to the coefficients of some eigenfeatures, or to all that is outside the first ones.

    Attributes:
        taken: which, from 0; all others where `spared` is set.
        kind: "remove", "replace" or "shuffle"; not "replace" where `spared` is set.
        noise: of noise and shuffling.
        spared: None, or so many leading eigenfeatures stay and everything outside their span is taken, also along
            eigenvectors that nobody knows.
    """

    taken: IntArray
    kind: str
    noise: np.random.Generator
    spared: int | None = None

    def change(self, coefficients: FloatArray, rho: FloatArray) -> FloatArray:
        """What is added to the coefficients of all samples, shape (n, len(taken))."""
        now = coefficients[:, self.taken]
        if self.kind == "replace":
            return np.asarray(self.noise.standard_normal(now.shape) * np.sqrt(rho[self.taken]) - now)
        return self._without(now)

    def change_outside(self, outside: FloatArray) -> FloatArray:
        """What is added to the part of all samples that lies outside the first `spared` eigenfeatures, same shape."""
        return self._without(outside)

    def _without(self, now: FloatArray) -> FloatArray:
        if self.kind == "remove":
            return -now
        return np.asarray(now[self.noise.permutation(len(now))] - now)


SAME = 1e-5
"""Largest relative difference between two readings of the same features."""


class Trial(ABC):
    """Outputs of some samples under interventions.

    Attributes:
        reading: how the features were read, in words.
        targets: of the samples, (n,) classes or (n, c) values; known after the first call of `outputs`.
        units: which input each sample comes from, (n,); known after the first call, too.
    """

    reading = "what the head reads"

    def __init__(self) -> None:
        self.targets = np.empty(0)
        self.units = np.empty(0, dtype=np.int64)

    @abstractmethod
    def outputs(self, edit: Edit | None) -> FloatArray:
        """Outputs of all samples under an intervention, shape (n, C); None leaves the network as it is."""


class HeadTrial(Trial):
    """The head's input: no forward pass is needed for each trial."""

    def __init__(self, tried: Tried, measurement: Measurement) -> None:
        super().__init__()
        self._vectors, self._rho = measurement.centered.eigenvectors, measurement.centered.eigenvalues
        features, weight, bias = [], np.empty(0), np.zeros(1)
        parts = Parts()
        head = ""
        with same_draws(tried.data):
            for told, targets in samples_of_trial(tried, tried.of_head):
                rows, head = told.rows, told.head
                if rows.weight is None:
                    raise InputError("these features have no head, so nothing can be lost; pass layer=")
                weight, bias = _array(rows.weight), np.zeros(1) if rows.bias is None else _array(rows.bias)
                features.append(_array(rows.features))
                parts.add(targets, told.units)
        self.targets, self.units = parts.whole()
        whole = np.concatenate(features)
        measured = place_of(measurement)
        if measured is not None and _untyped(measured) != _untyped(f"{head}, input"):
            raise InputError(
                f"the measurement is of {measured!r}, and eigenfeatures are taken from what the head {head!r} reads; "
                "pass the measurement of this head's input, name the measured layer with layer=, or the measured head "
                "with head="
            )
        if whole.shape[1] != measurement.n_features:
            raise InputError(
                f"the head reads {whole.shape[1]} features and the measurement has {measurement.n_features}; pass the "
                "measurement of this head's input, or layer="
            )
        self._coefficients = product(whole - measurement.feature_mean, self._vectors)
        self._columns = product(weight, self._vectors).T
        self._outputs = product(whole, weight.T) + bias
        self._away = self._outputs - (product(weight, measurement.feature_mean) + bias)

    def outputs(self, edit: Edit | None) -> FloatArray:
        """See `Trial.outputs`."""
        if edit is None:
            return self._outputs
        if edit.spared is not None:
            first = slice(edit.spared)
            held = product(self._coefficients[:, first], self._columns[first])
            return np.asarray(self._outputs + edit.change_outside(self._away - held))
        change = edit.change(self._coefficients, self._rho)
        return np.asarray(self._outputs + product(change, self._columns[edit.taken]))


class LayerTrial(Trial):
    """Any layer: the network runs again for each trial, with the layer's answer changed as it was read.

    Args:
        tried: what to try on.
        measurement: of the layer.
        layer: the layer, or its dotted name, with @k behind it for the k-th of several calls.
        choice: what becomes of positions, as for the measurement.
    """

    def __init__(self, tried: Tried, measurement: Measurement, layer: nn.Module | str, choice: ReadingChoice) -> None:
        super().__init__()
        self._tried, self._measurement = tried, measurement
        name, _, call = layer.partition("@") if isinstance(layer, str) else (layer, "", "")
        self._layer = layer_of(tried.network, name, "layer")
        self._reading = _planned(tried, self._layer, call, choice)
        self.reading = self._reading.in_words()
        self._check()

    def _check(self) -> None:
        m, reading = self._measurement, self._reading
        measured, place = m.provenance.get("reading"), place_of(m)
        where = "" if place is None else f", of {place!r}"
        if reading.n_features != m.n_features:
            raise InputError(
                f"layer {reading.source.key!r} gives {reading.source.shape}, {reading.n_features} features "
                f"({self.reading}), and the measurement has {m.n_features}{where}; pass the measurement of this layer, "
                "with maps= or tokens= as for it"
            )
        if measured is not None and measured != self.reading:
            raise InputError(
                f"the measurement read this layer as '{measured}', here it is '{self.reading}'; pass maps= or tokens= "
                "as for phiscope.measure_layers"
            )
        if place is None or _untyped(place) == _untyped(str(reading)):
            return
        # What the head reads may be what this layer gives, under another name: then it is the same measurement.
        if _untyped(place) != _head_that_reads(self._tried, reading):
            raise InputError(
                f"the measurement is of {place!r}, and eigenfeatures are taken from {str(reading)!r}; pass the "
                "measurement of this layer from phiscope.measure_layers, or layer= the measured one"
            )

    def outputs(self, edit: Edit | None) -> FloatArray:
        """See `Trial.outputs`."""
        answers, parts, tried = [], Parts(), self._tried
        with same_draws(tried.data):
            for told, targets in samples_of_trial(tried, tried.of_answers, partial(self._changed, edit)):
                made = outputs_of(told.rows)
                if made is None:
                    raise InputError("the outputs of this network cannot be read, so nothing can be lost")
                answers.append(_array(made))
                parts.add(targets, told.units)
        told_now, units = parts.whole()
        if edit is not None and not np.array_equal(told_now, self.targets, equal_nan=True):
            raise InputError(
                "the data came with other targets, or in another order, when they were walked through again, so that "
                "nothing can be compared sample by sample; pass data that come the same way each time"
            )
        self.targets, self.units = told_now, units
        return np.concatenate(answers)

    @contextmanager
    def _changed(self, edit: Edit | None, batch: Batch) -> Iterator[None]:
        ear = Ear()
        try:
            if edit is not None:
                ear.after(self._layer, self._hook(edit, batch))
            yield
        finally:
            ear.on = False
            ear.close()

    def _hook(self, edit: Edit, batch: Batch) -> Callable[..., Any]:
        reading, calls = self._reading, 0
        editor = Editor(reading=reading, mask=mask_of(batch), owner=batch.owner, change=partial(self._added, edit))
        # A second pass over the batch, which finds the position that some models pick, has to meet the same noise.
        state = edit.noise.bit_generator.state

        def changed(module: nn.Module, args: Any, output: Any) -> Any:
            nonlocal calls
            calls += 1
            if (calls - 1) % reading.source.calls + 1 != reading.source.call:
                return None
            edit.noise.bit_generator.state = state
            return editor.output(output)

        return changed

    def _added(self, edit: Edit, rows: Tensor) -> Tensor:
        m = self._measurement
        vectors, away = m.centered.eigenvectors, _array(rows) - m.feature_mean
        if edit.spared is not None:
            first = vectors[:, : edit.spared]
            return torch.from_numpy(edit.change_outside(away - product(product(away, first), first.T)))
        change = edit.change(product(away, vectors), m.centered.eigenvalues)
        return torch.from_numpy(product(change, vectors[:, edit.taken].T))


def _planned(tried: Tried, layer: nn.Module, call: str, choice: ReadingChoice) -> LayerReading:
    """How the layer is read, settled on the first batch."""
    first = first_of(tried.data)
    with isolated(tried.network, data=tried.data):
        feature_map = tried.of_answers(first)
        batch = feature_map.reader()(first)
        calls = [one for one in module_calls(feature_map.caller(), batch) if one.module is layer]
        rows = feature_map.rows(batch, index=0)
    batch = answered(batch, rows.leading)
    return plan_reading(
        _call_of(calls, layer, call),
        size=batch.size,
        leading=rows.leading,
        choice=choice,
        mask=mask_of(batch),
        owner=batch.owner,
    )


def place_of(measurement: Measurement) -> str | None:
    """Where the features of a measurement are, as its provenance says; None where it does not, as of arrays.

    Example:
        >>> from phiscope.measurement.measure import measure
        >>> net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> place_of(measure(net, torch.randn(50, 4)))
        '2 (Linear), input'
    """
    told = measurement.provenance
    place = told.get("layer") or told.get("features")
    if place:
        return str(place)
    head = told.get("head", "")
    # A matrix that the caller gave has no name.
    return f"{head}, input" if head and not head.startswith("(W, b)") else None


def _untyped(place: str) -> str:
    """A place without the class of its layer: a parametrized layer is another class at the same place."""
    return re.sub(r" \(\w+\)", "", place, count=1)


def _head_that_reads(tried: Tried, reading: LayerReading) -> str | None:
    """The head's input as a place, where it is what the layer gives on the first batch; else None."""
    first = first_of(tried.data)
    with isolated(tried.network, data=tried.data):
        try:
            feature_map = feature_map_of(tried.network, first, FeatureChoice(head=tried.head), device=None)
        except NoHeadError:
            # Then the measurement is of no head's input; it is of another layer, which the caller says.
            return None
        batch = feature_map.reader()(first)
        mask = mask_of(batch)
        with layers_listened(tried.network, [reading], mask, batch.owner) as heard:
            rows = feature_map.rows(batch, index=0)
        given, _ = reading.rows(heard.told(reading, 0), rows.leading, batch.size, mask)
    head = feature_map.described().get("head")
    if head is None or given.shape != rows.features.shape:
        return None
    read = rows.features.to(given)
    same = torch.allclose(given, read, rtol=SAME, atol=SAME * float(read.abs().max()))
    return _untyped(f"{head}, input") if same else None


def _call_of(calls: list[ModuleCall], layer: nn.Module, call: str) -> ModuleCall:
    if not calls:
        raise InputError(f"the layer, {named_kind(layer)}, does not run in the first batch")
    keys = [one.key for one in calls]
    wanted = f"{calls[0].name}@{call}" if call else calls[0].name
    if wanted not in keys:
        raise InputError(f"there is no call {wanted!r} in a pass; expected layer= one of {', '.join(map(repr, keys))}")
    return calls[keys.index(wanted)]


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().double().numpy())
