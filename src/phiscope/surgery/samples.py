"""The samples that an intervention is judged on, read as `phiscope.measure` reads them.

Which rows count (no padding, no label -100, the next token's label where the model predicts it) is asked of
`phiscope.network.samples` alone, so that everything that judges a network judges it on the same rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import EmptyDataError, InputError, NoHeadError, named_kind
from phiscope.inputs.batches import batches_of, peeked
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import Batch, answered
from phiscope.network.chosen_features import OUTPUT
from phiscope.network.feature_map import HeadFeatures
from phiscope.network.isolation import isolated, same_draws
from phiscope.network.layer_plan import ReadingChoice
from phiscope.network.rows import Rows
from phiscope.network.samples import samples_of, units_of
from phiscope.typing import IntArray


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a trial is made on.

    Attributes:
        network: unwrapped.
        data: samples with targets.
        max_samples: so many; None = all.
        head: whose outputs are judged; None asks the network.
    """

    network: nn.Module
    data: Any
    max_samples: int | None
    head: nn.Module | str | None = None

    def of_head(self, raw: Any) -> FeatureMap:
        """What the head reads and gives, settled on one batch; meant for the inside of `isolated`.

        Raises:
            HeadError: no layer is the head, or several are.
            InputError: targets are values, and the network answers another function of what its head gives.
        """
        found = feature_map_of(self.network, raw, FeatureChoice(head=self.head), device=None)
        if self.head is None and _answers_otherwise(found, raw):
            raise InputError(
                f"targets are values, and what this network answers is a function of what its head "
                f"{found.described()['head']} gives, so that these outputs are not what the values are of; pass "
                "layer=<the layer whose output the head reads> to judge by the network's answers, or head= to judge by "
                "that layer's"
            )
        return found

    def of_answers(self, raw: Any, targets: Any = None, *, values: bool = True) -> FeatureMap:
        """What the network is judged by, settled on one batch; meant for the inside of `isolated`.

        The head's outputs, as logits that a softmax follows. The network's own answers where no layer is the head, or
        where targets are values and the answers are another function of what the head gives.

        Args:
            raw: the batch.
            targets: how they are found in it; None as a measurement finds them.
            values: False takes the head's outputs for values, too.

        Raises:
            HeadError: several layers are the head, or the named one is none.
        """
        try:
            found = feature_map_of(self.network, raw, FeatureChoice(head=self.head), device=None, targets=targets)
        except NoHeadError:
            if self.head is not None:
                raise
        else:
            if self.head is not None or not (values and _answers_otherwise(found, raw)):
                return found
        reading = ReadingChoice(max_features=sys.maxsize)
        answers = FeatureChoice(features=OUTPUT, outputs=OUTPUT, reading=reading)
        return feature_map_of(self.network, raw, answers, device=None, targets=targets)


def _answers_otherwise(found: FeatureMap, raw: Any) -> bool:
    """Whether values stand against outputs of a head that a softmax, a softplus or another function follows."""
    if not isinstance(found, HeadFeatures) or not (found.found.own or found.found.layout.ending != "none"):
        return False
    targets = found.reader()(raw).targets
    return targets is not None and targets.is_floating_point()


def first_of(data: Any) -> Any:
    """The first batch of data that will be walked through again, in the order in which they come then.

    Raises:
        InputError: they can be read only once.
        EmptyDataError: there is no batch.
    """
    check_lasts(data)
    with same_draws(data):
        first, _ = peeked(batches_of(data))
    return first


def check_lasts(data: Any) -> None:
    """Refuse what is empty after it was read, before anything of it is.

    Raises:
        InputError: it is a generator or another iterator.
    """
    if isinstance(data, Iterator):
        raise InputError(
            f"data is {named_kind(data)}, which can be read only once, and they are walked through several times; pass "
            "a DataLoader, arrays, or list(data)"
        )


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The rows of one batch that count.

    Attributes:
        rows: of these alone.
        targets: of each, on the CPU, classes (n,) or values (n, c); None where the batch has none.
        units: which input of the batch each comes from, (n,).
        head: the head that reads the features, as a provenance names it; empty where none is a layer.
    """

    rows: Rows
    targets: Tensor | None
    units: Tensor
    head: str

    def first(self, room: int) -> Counted:
        """At most so many of them."""
        targets = None if self.targets is None else self.targets[:room]
        few = torch.arange(min(room, len(self.units)))
        return replace(self, rows=rows_at(self.rows, few), targets=targets, units=self.units[:room])


def rows_at(rows: Rows, places: Tensor) -> Rows:
    """Some rows of a batch, as rows of their own."""
    kept = places.to(rows.features.device)
    outputs = None if rows.outputs is None else rows.outputs[kept]
    return replace(rows, features=rows.features[kept], outputs=outputs, leading=(len(kept),))


def counted(feature_map: FeatureMap, batch: Batch, rows: Rows) -> Counted:
    """The rows of a batch that count, with their targets.

    Args:
        feature_map: says whether padding counts, and whether labels are those of the next token.
        batch: with its targets; without them every row that is no padding counts.
        rows: of the whole batch.
    """
    chosen = samples_of(batch, rows, feature_map)
    targets = None if chosen.targets is None else chosen.targets.detach().cpu()
    return Counted(
        rows=rows_at(rows, chosen.rows),
        targets=targets,
        units=units_of(rows, batch)[chosen.rows],
        head=feature_map.described().get("head", ""),
    )


class Parts:
    """Targets of all batches, and which input each comes from."""

    def __init__(self) -> None:
        self._targets: list[Any] = []
        self._units: list[Any] = []
        self._inputs = 0

    def add(self, targets: Tensor, units: Tensor) -> None:
        """Add those of one batch."""
        self._targets.append(targets.numpy())
        self._units.append(self._inputs + units.numpy())
        self._inputs += 1 + int(units.max()) if len(units) else 0

    def whole(self) -> tuple[Any, IntArray]:
        """All targets, and the input of each."""
        if not sum(map(len, self._targets)):
            raise EmptyDataError("no sample came; check that the data are not empty")
        return np.concatenate(self._targets), np.concatenate(self._units)


def _no_change(batch: Batch) -> AbstractContextManager[None]:
    return nullcontext()


def samples_of_trial(
    tried: Tried,
    settled: Callable[[Any], FeatureMap],
    around: Callable[[Batch], AbstractContextManager[None]] = _no_change,
) -> Iterator[tuple[Counted, Tensor]]:
    """What counts of each batch, with its targets, in eval mode; to be walked through inside of `same_draws`.

    Args:
        tried: the network and its data.
        settled: what is read, from the first batch; `Tried.of_head` or `Tried.of_answers`.
        around: goes around the passes over batches alone.

    Raises:
        InputError: the data hold no targets.
    """
    count, feature_map = 0, None
    for index, raw in enumerate(batches_of(tried.data)):
        with isolated(tried.network, data=tried.data):
            feature_map = feature_map or settled(raw)
            batch = feature_map.reader()(raw)
            with around(batch):
                rows = feature_map.rows(batch, index=index)
            batch = answered(batch, rows.leading)
        told = counted(feature_map, batch, rows)
        if tried.max_samples is not None:
            told = told.first(tried.max_samples - count)
        if told.targets is None:
            raise InputError("damage needs targets; pass (x, y) batches or a mapping with labels")
        count += len(told.units)
        yield told, told.targets
        if tried.max_samples is not None and count >= tried.max_samples:
            return
