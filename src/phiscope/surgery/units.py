"""A smaller network: units of one layer removed, and what the rest can take over from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from torch import nn

from phiscope.errors import InputError, ShapeError, TargetError, first_line
from phiscope.inputs.arrays import brief
from phiscope.inputs.batches import batches_of
from phiscope.inputs.settings import check_flag, check_max_samples, is_word
from phiscope.linalg.products import squared_lengths
from phiscope.measurement.measure import measure
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import answered
from phiscope.network.feature_map import HeadFeatures
from phiscope.network.isolation import isolated, same_draws, unwrapped
from phiscope.network.linear_layers import at_rest, layer_of
from phiscope.surgery.compensation import taken_over
from phiscope.surgery.costs import losses_of, outputs_of, right_of
from phiscope.surgery.cutting import as_linear, cut_copy
from phiscope.surgery.material import Ridge, Target
from phiscope.surgery.samples import Counted, Tried, check_lasts, counted, first_of
from phiscope.surgery.scores import Rule, UnitScores, score_units
from phiscope.typing import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class SmallerNetwork:
    """What `remove_units` made.

    Attributes:
        model: the smaller network, frozen where the given one is; that one is untouched. A parametrization of the
            two layers is folded into their weights.
        kept: units that are left, in the layer's order, shape (k,).
        scores: by which they were chosen.
        predicted: mean squared change of what the consumer answers on the measured samples, summed over its outputs,
            from their moments.
        measured: on the same samples, "consumer_change", which is the same change as `predicted`; "change", that of the
            network's outputs, the same again only where the consumer is the head; and, where there are targets,
            accuracy and loss of both networks: "accuracy", "accuracy_before", "loss", "loss_before". Outputs are those
            of the head, as logits; the network's own answers where no layer is the head, and for the loss of values.
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
        data: samples to decide by, as for `phiscope.measure`, with targets where the rule needs them; the same rows
            count (a label of -100 does not).
        keep: so many units stay.
        rule: see `score_units`.
        layer: the ``nn.Linear`` whose units are removed, or its dotted name; None takes the one before the consumer.
        consumer: the ``nn.Linear`` that reads them, or its dotted name; None takes the head. Between the two only
            functions of single units may stand (activations, dropout, BatchNorm1d, PReLU), wherever in the network
            they are registered.
        compensate: what the removed units said is read from those that stay, as far as a linear layer can: W_K += W_R
            T^T with T = (S_KK + r I)^-1 S_KR. Otherwise their mean takes their place.
        target: see `score_units`; with "outputs", what the consumer answers, targets decide nothing and need not fit
            what it reads; accuracy and loss are of the network's own answers.
        ridge: see `score_units`; also of the compensation.
        seed: of rule="random".
        max_samples: samples to decide by; None = all.

    Raises:
        InputError: a layer that is no nn.Linear (convolutions are scored, not cut), has a forward of its own (an
            adapter) or shares a parameter with another (tied), layers that do not follow each other, a network that
            cannot be copied, data that can be read only once, or keep out of range.

    Source: arXiv:2005.13796 v1 for the choice; the compensation is phiscope's own.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.randn(200, 4)
        >>> smaller = remove_units(net, (x, torch.arange(200) % 2), keep=3)
        >>> smaller.model[0], smaller.model[2]
        (Linear(in_features=4, out_features=3, bias=True), Linear(in_features=3, out_features=2, bias=True))
    """
    check_max_samples(max_samples)
    check_flag(compensate, name="compensate")
    if not is_word(target, get_args(Target)):
        raise InputError(f"target={brief(target)}; expected 'labels' or 'outputs'")
    check_lasts(data)
    network = unwrapped(model)
    reader = as_linear(
        layer_of(network, consumer, "consumer") if consumer is not None else _head_of(network, data), "consumer"
    )
    producer = as_linear(layer_of(network, layer, "layer") if layer is not None else _before(network, reader), "layer")
    measurement = _measured(network, reader, data, target, consumer is not None, max_samples)
    weight, bias = _numbers(reader)
    scores = score_units(measurement, rule=rule, target=target, ridge=ridge, head=(weight, bias), seed=seed)
    kept = scores.kept(keep)
    new_weight, new_bias, predicted = taken_over(measurement, weight, bias, kept, ridge, compensate)
    smaller = cut_copy(network, (producer, reader), data, kept, (new_weight, new_bias))
    pair = _Pair(networks=(network, smaller), data=data, max_samples=max_samples)
    name = None if consumer is None else next(name for name, one in network.named_modules() if one is reader)
    return SmallerNetwork(
        model=smaller, kept=kept, scores=scores, predicted=predicted, measured=_compared(pair, name, target)
    )


def _head_of(network: nn.Module, data: Any) -> nn.Module:
    with isolated(network, data=data):
        found = feature_map_of(network, first_of(data), FeatureChoice(), device=None)
    if not isinstance(found, HeadFeatures):
        raise InputError("this network has no head that is a layer; pass consumer=<the nn.Linear that reads the units>")
    return found.module


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


def _numbers(reader: nn.Linear) -> tuple[FloatArray, FloatArray]:
    weight = at_rest(reader, "weight").cpu().double().numpy()
    bias = np.zeros(len(weight)) if reader.bias is None else at_rest(reader, "bias").cpu().double().numpy()
    return weight, bias


def _measured(
    network: nn.Module, reader: nn.Linear, data: Any, target: Target, named: bool, max_samples: int | None
) -> Measurement:
    """The units as the reader reads them, with targets where these decide."""
    # Where outputs decide, targets need not fit what an inner layer reads: of tokens there are more than of texts.
    targets = _no_targets if target == "outputs" else None
    try:
        return measure(network, data, head=reader, targets=targets, max_samples=max_samples)
    except (ShapeError, TargetError) as error:
        # Both speak of the layer that reads as of the network's head, which a named consumer need not be.
        if not named or target == "outputs":
            raise
        raise InputError(
            f"the targets are not what the consumer's answers could be held against ({first_line(error)}); expected "
            "one for each place at which it answers (a text's label is not one for each of its tokens), of no more "
            'classes than it has outputs; pass target="outputs", which keeps what the consumer answers and needs none'
        ) from error


def _no_targets(batch: Any) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Both networks and what they are compared on.

    Attributes:
        networks: before and after.
        data: the samples.
        max_samples: so many; None = all.
    """

    networks: tuple[nn.Module, nn.Module]
    data: Any
    max_samples: int | None

    def answers(
        self, name: str | None, by_targets: bool, *, values: bool = False
    ) -> Iterator[tuple[FloatArray, FloatArray, Any]]:
        """Outputs of both on the rows of each batch that count, and their targets; for the inside of `same_draws`.

        Args:
            name: of the layer whose outputs are meant; None for the network's.
            by_targets: rows whose label does not count are left out; otherwise targets are not looked at.
            values: whether values as targets ask for the network's own answers; see `Tried.of_answers`.
        """
        count = 0
        found: list[FeatureMap] = []
        for raw in batches_of(self.data):
            found = found or [self._settled(model, raw, name, by_targets, values) for model in self.networks]
            told = [self._counted(one, raw, by_targets) for one in found]
            if self.max_samples is not None:
                told = [one.first(self.max_samples - count) for one in told]
            before, after = (_outputs(one) for one in told)
            count += len(before)
            yield before, after, told[0].targets
            if self.max_samples is not None and count >= self.max_samples:
                return

    def _settled(self, model: nn.Module, raw: Any, name: str | None, by_targets: bool, values: bool) -> FeatureMap:
        head = None if name is None else model.get_submodule(name)
        tried = Tried(network=model, data=self.data, max_samples=self.max_samples, head=head)
        with isolated(model, data=self.data):
            return tried.of_answers(raw, None if by_targets else _no_targets, values=values)

    def _counted(self, found: FeatureMap, raw: Any, by_targets: bool) -> Counted:
        with isolated(found.model, data=self.data):
            # As the features were read: of targets that fit nothing here nothing is asked.
            batch = found.reader()(raw) if by_targets else found.reader().without_targets(raw)
            rows = found.rows(batch)
        return counted(found, answered(batch, rows.leading), rows)


def _outputs(told: Counted) -> FloatArray:
    outputs = outputs_of(told.rows)
    if outputs is None:
        raise InputError("the outputs of this network cannot be read; pass consumer=<its head>")
    return np.asarray(outputs.detach().cpu().double().numpy())


def _compared(pair: _Pair, reader: str | None, target: Target) -> dict[str, float]:
    """What changed at the reader (None: the head) on the rows that decided, and what became of accuracy and loss."""
    by_targets = target == "labels"
    with same_draws(pair.data):
        change = _change(pair, None, by_targets)
    with same_draws(pair.data):
        # Layers behind the reader make of its change another one.
        at_reader = change if reader is None else _change(pair, reader, by_targets)
    with same_draws(pair.data):
        return {"consumer_change": at_reader, "change": change, **_judged(pair)}


def _change(pair: _Pair, name: str | None, by_targets: bool) -> float:
    """Mean squared change of outputs, summed over them."""
    total, count = 0.0, 0
    for before, after, _ in pair.answers(name, by_targets):
        total += float(squared_lengths(before - after).sum())
        count += len(before)
    return total / max(count, 1)


def _judged(pair: _Pair) -> dict[str, float]:
    """Accuracy and loss of both; nothing where there are no targets."""
    sums: dict[str, float] = {}
    count = 0
    for before, after, targets in pair.answers(None, by_targets=True, values=True):
        if targets is None:
            return {}
        for key, outputs in (("_before", before), ("", after)):
            right = right_of(outputs, targets)
            told = {"loss": losses_of(outputs, targets)} | ({} if right is None else {"accuracy": right})
            for name, values in told.items():
                sums[name + key] = sums.get(name + key, 0.0) + float(values.sum())
        count += len(before)
    return {name: value / max(count, 1) for name, value in sums.items()}
