"""The fixed samples on which leading eigenfunctions are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phiscope.measurement.record import Measurement
from phiscope.network import FeatureMap, Rows
from phiscope.network.batch import Batch, answered, with_targets
from phiscope.network.samples import Samples, real_tokens, samples_of, token_ids
from phiscope.observe.decoding import BEFORE, Decoder, Marked, window_of
from phiscope.observe.looks import can_look, gallery_looks, restricted_values

LARGEST_SAMPLE = 65_536
MOST_EIGENFUNCTIONS = 24
SPREAD = 4
"""Tokens are chosen among so many times as many, so that they come from more texts."""

MOST_BATCHES = 8
"""Every record runs the batches of the gallery once more."""

_SHOWN_INPUTS = ("pixel_values", "input_values", "input_features", "input_ids", "inputs_embeds")


NO_IDS = "no input is an array of token ids (n, T) at the positions where the model answers, or of small samples"
"""Why a decoder has nothing to decode."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """The first samples of a probe set, kept so that every record shows the same ones.

    Attributes:
        inputs: what is shown, shape (g, ...).
        targets: their targets, shape (g, ...), or None.
        batches: what the model is given for them.
        rows: for each batch the rows of its features that are shown; None where that is each input, in order.
        words: text of each sample; None without a decoder.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None
    batches: tuple[Any, ...]
    rows: tuple[Tensor, ...] | None = None
    words: tuple[Marked, ...] | None = None

    def features(self, feature_map: FeatureMap) -> Tensor:
        """Run the kept samples through the network as it is now, (g, p); meant for the inside of `isolated`."""
        return self._features(self._rows(feature_map))

    def _rows(self, feature_map: FeatureMap) -> list[Rows]:
        call, read = feature_map.caller(), feature_map.reader()
        return [feature_map.rows(read.without_targets(raw), call=call) for raw in self.batches]

    def _features(self, rows: list[Rows]) -> Tensor:
        features = [one.features for one in rows]
        if self.rows is not None:
            features = [one[rows.to(one.device)] for one, rows in zip(features, self.rows, strict=True)]
        return torch.cat(features)[: len(self.inputs)]

    def shown(self, feature_map: FeatureMap, measurement: Measurement, gradients: int, *, restricted: bool) -> Shown:
        """What a record shows of these samples; meant for the inside of `isolated`.

        Args:
            feature_map: of the network as it is now.
            measurement: of this moment.
            gradients: of so many eigenfunctions the gradients by the input.
            restricted: with the network on its leading eigenfunctions alone, where samples have targets and it a head.
        """
        rows = self._rows(feature_map)
        features, looks, head = self._features(rows), {}, None
        if gradients and can_look(self):
            values = gallery_values(features, measurement)["gallery_centered"]
            looks = gallery_looks(self, feature_map, measurement, values, gradients)
        if restricted and self.targets is not None and rows[0].weight is not None:
            head = rows[0].weight, rows[0].bias
        return Shown(features=features, looks=looks, head=head, targets=self.targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What one record shows of a gallery.

    Attributes:
        features: of the samples, shape (g, p).
        looks: where functions look, see `gallery_looks`; empty unless asked for.
        head: W (C, p) and b; None unless the restricted network is asked for.
        targets: of the samples.
    """

    features: Tensor
    looks: Mapping[str, NDArray[Any]]
    head: tuple[Tensor, Tensor | None] | None = None
    targets: NDArray[Any] | None = None

    def extras(self, measurement: Measurement) -> dict[str, NDArray[Any]]:
        """What a record stores beside its measurement."""
        kept = {**gallery_values(self.features, measurement), **self.looks}
        if self.head is None or self.targets is None:
            return kept
        return kept | restricted_values(measurement, self.features, self.targets, self.head)


def gallery_values(features: Tensor, measurement: Measurement) -> dict[str, NDArray[np.float32]]:
    """Evaluate the leading eigenfunctions on the features of a gallery.

    Returns:
        "gallery_raw" and "gallery_centered", each (g, k) with k = min(2 C, 24, kept eigenfunctions).
    """
    most = min(2 * (measurement.n_outputs or MOST_EIGENFUNCTIONS), MOST_EIGENFUNCTIONS)
    return {
        f"gallery_{'centered' if centered else 'raw'}": measurement.eigenfunctions(features, centered=centered)[
            :, :most
        ].astype(np.float32)
        for centered in (False, True)
    }


def kept_gallery(
    feature_map: FeatureMap, batches: Iterable[Any], size: int, targets: Any = None, decoder: Decoder | None = None
) -> Gallery | None:
    """Keep the first samples of a probe set; meant for the inside of `isolated`.

    Where the model answers at every position and there is a decoder, samples are tokens, spread over the first batches.

    Args:
        feature_map: decides what of a batch is input.
        batches: raw batches.
        size: number of samples; 0 keeps none.
        targets: see `phiscope.measure`.
        decoder: makes text of samples.

    Returns:
        None where single samples cannot be shown: no array among the inputs, more than 65,536 numbers in
        one, or a head that answers at every position and no decoder, or no token ids for it.
    """
    batches = iter(batches)
    inputs: list[NDArray[Any]] = []
    goals: list[Any] = []
    kept: list[Any] = []
    count = 0
    for batch in with_targets(batches, feature_map.reader(), targets) if size else ():
        shown = _shown(batch)
        if shown is None or shown[:1].numel() > LARGEST_SAMPLE:
            return None
        if not kept and feature_map.rows(batch).leading != (batch.size,):
            if decoder is None:
                return None
            return _kept_tokens(feature_map, chain([batch.raw], batches), size, targets, decoder)
        inputs.append(_as_numpy(shown))
        goals.append(None if batch.targets is None else _as_numpy(batch.targets))
        kept.append(batch.raw)
        count += batch.size
        if count >= size:
            break
    if not kept or len({part.shape[1:] for part in inputs}) > 1:
        return None
    shown_inputs = np.concatenate(inputs)[:size]
    whole = all(target is not None and len(target) == len(part) for target, part in zip(goals, inputs, strict=True))
    return Gallery(
        inputs=shown_inputs,
        targets=np.concatenate(goals)[:size] if whole else None,
        batches=tuple(kept),
        words=None if decoder is None else tuple(decoder.whole(sample) for sample in shown_inputs),
    )


def _kept_tokens(
    feature_map: FeatureMap, batches: Iterable[Any], size: int, targets: Any, decoder: Decoder
) -> Gallery | None:
    """Tokens of the first batches, evenly spread, each with the text around it and the token it predicts."""
    found: list[_Token] = []
    kept: list[Any] = []
    for batch in with_targets(iter(batches), feature_map.reader(), targets):
        rows = feature_map.rows(batch)
        batch = answered(batch, rows.leading)
        ids = token_ids(batch, rows.leading)
        if ids is None:
            return None
        found += _tokens_of(batch, samples_of(batch, rows, feature_map), ids, len(kept))
        kept.append(batch.raw)
        if len(found) >= SPREAD * size or len(kept) >= MOST_BATCHES:
            break
    if not found:
        return None
    places = np.unique(np.linspace(0, len(found) - 1, min(size, len(found))).round().astype(np.int64))
    chosen = [found[place] for place in places.tolist()]
    used = sorted({token.batch for token in chosen})
    goals = [token.target for token in chosen]
    return Gallery(
        inputs=np.stack([token.window for token in chosen]),
        targets=None if any(goal is None for goal in goals) else np.stack(goals),
        batches=tuple(kept[index] for index in used),
        rows=tuple(torch.tensor([token.row for token in chosen if token.batch == index]) for index in used),
        words=tuple(decoder.token(token.window, BEFORE) for token in chosen),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Token:
    """One position of a text: which batch and row it is, the ids around it, and what it predicts."""

    batch: int
    row: int
    window: NDArray[np.int64]
    target: Any


def _tokens_of(batch: Batch, samples: Samples, ids: NDArray[Any], index: int) -> list[_Token]:
    real = real_tokens(batch, ids.shape)
    goals = None if samples.targets is None else samples.targets.numpy()
    length = ids.shape[1]
    return [
        _Token(
            batch=index,
            row=row,
            window=window_of(ids[row // length], real[row // length], row % length),
            target=None if goals is None else goals[place],
        )
        for place, row in enumerate(samples.rows.tolist())
    ]


def _shown(batch: Batch) -> Tensor | None:
    named = [batch.kwargs[name] for name in _SHOWN_INPUTS if name in batch.kwargs]
    for value in (*batch.args, *named, *batch.kwargs.values()):
        if isinstance(value, Tensor) and value.ndim > 0 and len(value) == batch.size:
            return value
    return None


def _as_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16, and pictures need no float64.
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)
