"""A smaller network: units of one layer removed, and what the rest can take over from them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import InputError, named_kind
from phiscope.inputs.batches import batches_of, peeked
from phiscope.linalg.products import squared_lengths
from phiscope.measurement.measure import measure
from phiscope.network import FeatureChoice, feature_map_of
from phiscope.network.feature_map import HeadFeatures
from phiscope.network.hooks import listening
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.linear_layers import layer_of
from phiscope.surgery.compensation import taken_over
from phiscope.surgery.costs import losses_of, outputs_of, right_of
from phiscope.surgery.material import Ridge, Target
from phiscope.surgery.scores import Rule, UnitScores, score_units
from phiscope.typing import FloatArray, IntArray

PER_UNIT = (nn.BatchNorm1d, nn.PReLU)
"""Layers between the two that keep parameters of their own for each unit."""

AGREES = 1e-4
"""Largest relative difference, on one batch, between the smaller network's features and the kept ones."""


@dataclass(frozen=True, kw_only=True)
class SmallerNetwork:
    """What `remove_units` made.

    Attributes:
        model: the smaller network; the given one is untouched.
        kept: units that are left, in the layer's order, shape (k,).
        scores: by which they were chosen.
        predicted: mean squared change of what the consumer answers on the measured samples, summed over its outputs,
            from their moments.
        measured: on the same samples, "consumer_change", which is the same change as `predicted`; "change", that of the
            network's outputs, the same again only where the consumer is the head; and, where there are targets,
            accuracy and loss of both networks: "accuracy", "accuracy_before", "loss", "loss_before".
    """

    model: nn.Module = field(repr=False)
    kept: IntArray = field(repr=False)
    scores: UnitScores = field(repr=False)
    predicted: float
    measured: dict[str, float]


def remove_units(
    model: nn.Module,
    data: Any,
    *,
    keep: int,
    rule: Rule = "greedy",
    layer: nn.Module | str | None = None,
    consumer: nn.Module | str | None = None,
    compensate: bool = True,
    target: Target = "labels",
    ridge: Ridge = None,
    seed: int = 0,
    max_samples: int | None = None,
) -> SmallerNetwork:
    """Remove units of a fully connected layer, and let the layer that reads them make up for it by least squares.

    Args:
        model: the network; it is copied, never changed.
        data: samples to decide by, as for `phiscope.measure`, with targets where the rule needs them.
        keep: so many units stay.
        rule: see `score_units`.
        layer: the ``nn.Linear`` whose units are removed, or its dotted name; None takes the one before the consumer.
        consumer: the ``nn.Linear`` that reads them, or its dotted name; None takes the head. Between the two only
            functions of single units may stand (activations, dropout, BatchNorm1d, PReLU).
        compensate: what the removed units said is read from those that stay, as far as a linear layer can: W_K += W_R
            T^T with T = (S_KK + r I)^-1 S_KR. Otherwise their mean takes their place.
        target: see `score_units`.
        ridge: see `score_units`; also of the compensation.
        seed: of rule="random".
        max_samples: samples to decide by; None = all.

    Raises:
        InputError: a layer that is no nn.Linear (convolutions are scored, not cut), layers that do not follow each
            other, or keep out of range.

    Source: arXiv:2005.13796 v1 for the choice; the compensation is phiscope's own.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.randn(200, 4)
        >>> smaller = remove_units(net, (x, torch.arange(200) % 2), keep=3)
        >>> smaller.model[0], smaller.model[2]
        (Linear(in_features=4, out_features=3, bias=True), Linear(in_features=3, out_features=2, bias=True))
    """
    network = unwrapped(model)
    reader = layer_of(network, consumer, "consumer") if consumer is not None else _head_of(network, data)
    measurement = measure(network, data, features=None, head=reader, max_samples=max_samples)
    producer = layer_of(network, layer, "layer") if layer is not None else _before(network, reader)
    weight, bias = _numbers(reader)
    scores = score_units(measurement, rule=rule, target=target, ridge=ridge, head=(weight, bias), seed=seed)
    kept = scores.kept(keep)
    new_weight, new_bias, predicted = taken_over(measurement, weight, bias, kept, ridge, compensate)
    smaller = _cut(network, producer, reader, kept, new_weight, new_bias)
    _check_cut(network, smaller, reader, data, kept)
    return SmallerNetwork(
        model=smaller,
        kept=kept,
        scores=scores,
        predicted=predicted,
        measured=_compared(network, smaller, data, max_samples, None if consumer is None else reader),
    )


def _head_of(network: nn.Module, data: Any) -> nn.Module:
    first, _ = peeked(batches_of(data))
    with isolated(network, data=data):
        found = feature_map_of(network, first, FeatureChoice(), device=None)
    if not isinstance(found, HeadFeatures):
        raise InputError("this network has no head that is a layer; pass consumer=<the nn.Linear that reads the units>")
    return found.module


def _heard(network: nn.Module, reader: nn.Module, raw: Any, data: Any) -> tuple[Tensor, Tensor | None]:
    """What the reader reads of one batch, shape (rows, p), and the batch's targets."""
    with isolated(network, data=data):
        found = feature_map_of(network, raw, FeatureChoice(), device=None)
        batch = found.reader()(raw)
        with listening({"reader": reader}, keep_features=True, keep_outputs=False) as calls:
            found.caller()(batch)
    heard = calls.get("reader", [])
    if len(heard) != 1 or heard[0].features is None:
        raise InputError(f"the consumer ran {len(heard)} times on one batch; units are removed where it runs once")
    return heard[0].features.flatten(0, -2), batch.targets


def _linear(module: nn.Module, what: str) -> nn.Linear:
    if isinstance(module, nn.Linear):
        return module
    if isinstance(module, nn.modules.conv._ConvNd):
        raise InputError(
            f"the {what} is {named_kind(module)}: channels are scored (score_units of what "
            "phiscope.measure_layers gives), but only units of nn.Linear are removed here"
        )
    raise InputError(f"the {what} is {named_kind(module)}; expected an nn.Linear")


def _before(network: nn.Module, reader: nn.Module) -> nn.Module:
    """The nn.Linear before a layer, in the nn.Sequential that holds both."""
    for parent in network.modules():
        children = list(parent.children())
        if not isinstance(parent, nn.Sequential) or reader not in children:
            continue
        before = [
            child
            for child in children[: children.index(reader)]
            if isinstance(child, nn.Linear | nn.modules.conv._ConvNd)
        ]
        if before:
            return before[-1]
    raise InputError("no layer stands before the head in one nn.Sequential; pass layer=<its dotted name>")


def _numbers(module: nn.Module) -> tuple[FloatArray, FloatArray]:
    reader = _linear(module, "consumer")
    weight = reader.weight.detach().cpu().double().numpy()
    bias = np.zeros(len(weight)) if reader.bias is None else reader.bias.detach().cpu().double().numpy()
    return weight, bias


def _cut(
    network: nn.Module, producer: nn.Module, reader: nn.Module, kept: IntArray, weight: FloatArray, bias: FloatArray
) -> nn.Module:
    """A copy with the two layers, and what stands between them for each unit, cut down."""
    names = {module: name for name, module in network.named_modules()}
    first, second = _linear(producer, "layer"), _linear(reader, "consumer")
    if first.out_features != second.in_features:
        raise InputError(
            f"the layer has {first.out_features} units and the consumer reads {second.in_features}; they do not follow "
            "each other"
        )
    smaller = copy.deepcopy(network)
    index = torch.from_numpy(kept).to(first.weight.device)
    _put(smaller, names[producer], _rows_of(first, index))
    made = nn.Linear(len(kept), second.out_features, device=second.weight.device, dtype=second.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weight))
        made.bias.copy_(torch.from_numpy(bias))
    _put(smaller, names[reader], made.train(second.training))
    for between in _between(network, producer, reader):
        _put(smaller, names[between], _units_of(between, index))
    return smaller


def _between(network: nn.Module, producer: nn.Module, reader: nn.Module) -> Sequence[nn.Module]:
    """Layers between the two in their common nn.Sequential that keep numbers for each unit."""
    for parent in network.modules():
        children = list(parent.children())
        if isinstance(parent, nn.Sequential) and producer in children and reader in children:
            inside = children[children.index(producer) + 1 : children.index(reader)]
            return [child for child in inside if isinstance(child, PER_UNIT)]
    return []


def _rows_of(layer: nn.Linear, index: Tensor) -> nn.Linear:
    made = nn.Linear(
        layer.in_features, len(index), bias=layer.bias is not None, device=layer.weight.device, dtype=layer.weight.dtype
    )
    with torch.no_grad():
        made.weight.copy_(layer.weight[index])
        if layer.bias is not None:
            made.bias.copy_(layer.bias[index])
    return made.train(layer.training)


def _units_of(module: nn.Module, index: Tensor) -> nn.Module:
    """A copy of a layer for some of its units: every tensor that has one number for each is cut."""
    made = copy.deepcopy(module)
    units = getattr(module, "num_features", getattr(module, "num_parameters", 0))
    for tensors in (made._parameters, made._buffers):
        for name, tensor in tensors.items():
            if tensor is not None and tensor.shape[:1] == (units,) and units > 1:
                cut = tensor.detach()[index].clone()
                tensors[name] = nn.Parameter(cut) if isinstance(tensor, nn.Parameter) else cut  # type: ignore[assignment]
    for name in ("num_features", "num_parameters"):
        if getattr(module, name, 1) > 1:
            setattr(made, name, len(index))
    return made


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent) if parent else network, last, module)


def _check_cut(network: nn.Module, smaller: nn.Module, reader: nn.Module, data: Any, kept: IntArray) -> None:
    """One batch through both: what the smaller one's reader reads has to be the kept units."""
    name = next(name for name, module in network.named_modules() if module is reader)
    first, _ = peeked(batches_of(data))
    try:
        before, _ = _heard(network, reader, first, data)
        after, _ = _heard(smaller, smaller.get_submodule(name), first, data)
    except RuntimeError as error:
        raise InputError(
            "the smaller network does not run: something between the two layers, or beside them, needs all units "
            f"({str(error).splitlines()[0]}); pass layer= and consumer= that follow each other"
        ) from error
    expected = before[:, torch.from_numpy(kept).to(before.device)]
    within = AGREES * float(expected.abs().max())
    if after.shape != expected.shape or not torch.allclose(after, expected, rtol=AGREES, atol=within):
        raise InputError(
            "the smaller network's units are not the kept ones: something between the two layers mixes units (a "
            "LayerNorm, a softmax); pass layer= and consumer= with only functions of single units between"
        )


def _compared(
    network: nn.Module, smaller: nn.Module, data: Any, max_samples: int | None, reader: nn.Module | None
) -> dict[str, float]:
    """Both networks on the same samples, also at a reader that is not the head as a matter of course."""
    sums: dict[str, float] = {"change": 0.0}
    count = 0
    for raw in batches_of(data):
        (before, targets), (after, _) = (_answered(model, raw, data) for model in (network, smaller))
        room = len(before) if max_samples is None else min(len(before), max_samples - count)
        before, after = before[:room], after[:room]
        sums["change"] += float(squared_lengths(before - after).sum())
        for key, outputs in (("_before", before), ("", after)) if targets is not None else ():
            for name, value in _judged(outputs, targets[:room]).items():
                sums[name + key] = sums.get(name + key, 0.0) + value
        count += room
        if max_samples is not None and count >= max_samples:
            break
    found = {name: value / max(count, 1) for name, value in sums.items()}
    # Layers behind the reader make of its change another one.
    change = found["change"] if reader is None else _reader_change(network, smaller, data, max_samples, reader)
    return {"consumer_change": change, **found}


def _reader_change(
    network: nn.Module, smaller: nn.Module, data: Any, max_samples: int | None, reader: nn.Module
) -> float:
    """Mean squared change of what the reader answers, on the rows that it was measured on."""
    name = {module: name for name, module in network.named_modules()}[reader]
    total, count = 0.0, 0
    for raw in batches_of(data):
        before, after = (
            _answered(model, raw, data, FeatureChoice(head=model.get_submodule(name)))[0]
            for model in (network, smaller)
        )
        room = len(before) if max_samples is None else min(len(before), max_samples - count)
        total += float(squared_lengths(before[:room] - after[:room]).sum())
        count += room
        if max_samples is not None and count >= max_samples:
            break
    return total / max(count, 1)


def _answered(model: nn.Module, raw: Any, data: Any, choice: FeatureChoice | None = None) -> tuple[FloatArray, Any]:
    with isolated(model, data=data):
        found = feature_map_of(model, raw, choice or FeatureChoice(), device=None)
        batch = found.reader()(raw)
        outputs = outputs_of(found.rows(batch))
    if outputs is None:
        raise InputError("the outputs of this network cannot be read; pass consumer=<its head>")
    targets = None if batch.targets is None else batch.targets.detach().cpu().numpy()
    return outputs.detach().cpu().double().numpy(), targets


def _judged(outputs: FloatArray, targets: Any) -> dict[str, float]:
    """Summed loss of some samples, and right answers where targets are classes."""
    right = right_of(outputs, targets)
    told = {"loss": float(losses_of(outputs, targets).sum())}
    return told if right is None else {**told, "accuracy": float(right.sum())}
