"""Which rows of a pass count as samples, and the target of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phiscope.errors import ShapeError, TargetError
from phiscope.network.batch import Batch
from phiscope.network.rows import FeatureMap, Rows

IGNORED_LABEL = -100
"""Labels of this value are not learned from in torch and transformers, and not measured here."""

LABELS_REPEAT = (
    "labels repeat the inputs and were taken as they are; if the model predicts the next token, "
    "pass targets shifted by one"
)
"""What a reader of the numbers is told where `labels_are_inputs` says so."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The samples of one batch.

    Attributes:
        rows: indices of the rows that count, shape (s,).
        targets: integers (s,) or floats (s, c), on the CPU; None without targets.
        ignored: number of rows left out because of their label or mask.
        reading: how targets and rows were put together, in words.
    """

    rows: Tensor
    targets: Tensor | None
    ignored: int
    reading: str


def samples_of(batch: Batch, rows: Rows, feature_map: FeatureMap) -> Samples:
    """Put the rows of one batch and its targets together.

    Args:
        batch: with its targets, integers as classes or floats as values.
        rows: the features of the batch; targets have their leading shape, or one value a row.
        feature_map: its model is asked whether it predicts the next token, so that labels are shifted by one position;
            it says whether padding counts.

    Raises:
        ShapeError: targets do not fit the rows.
        TargetError: integer targets that a head of one output cannot tell apart.
    """
    total = len(rows.features)
    everything = torch.arange(total)
    real = torch.ones(total, dtype=torch.bool) if feature_map.padding else _real(batch, rows, total)
    masked = ", of those that the attention mask keeps" if not bool(real.all()) else ""
    if batch.targets is None:
        reading = "none" if len(rows.leading) < 2 else f"none, each position is a sample{masked}"
        return Samples(rows=everything[real], targets=None, ignored=int((~real).sum()), reading=reading)
    targets = batch.targets.detach().cpu()
    if rows.repeated:
        targets = _repeated(targets, rows.leading)
    if targets.is_floating_point():
        values = _values(targets, rows.leading, total, rows.channels)
        reading = f"values, one row a target{masked}"
        return Samples(rows=everything[real], targets=values[real], ignored=int((~real).sum()), reading=reading)
    if targets.is_complex():
        raise TargetError("targets are complex numbers; expected integer classes or real values")
    labels = _labels(targets.long(), rows.leading, total)
    reading = "classes, one for each sample" if labels.ndim == 1 else "classes, one for each position"
    if _predicts_next(feature_map.model, batch, labels):
        everything = everything.reshape(labels.shape)[:, :-1].reshape(-1)
        # A token counts where it and the next one are text.
        real = real.reshape(labels.shape)
        real = (real[:, :-1] & real[:, 1:]).reshape(-1)
        labels, reading = labels[:, 1:], "classes, the next token at each position (labels shifted by one)"
    labels = labels.reshape(-1)
    kept = (labels != IGNORED_LABEL) & real
    labels = labels[kept]
    if rows.n_outputs == 1 and rows.weight is not None and len(labels) and int(labels.max()) > 1:
        raise TargetError(
            f"integer targets reach {int(labels.max())}, but the head has one output, which tells two classes apart; "
            "pass values as floats"
        )
    return Samples(rows=everything[kept], targets=labels, ignored=int((~kept).sum()), reading=reading + masked)


def labels_are_inputs(batch: Batch) -> bool:
    """Say whether integer targets repeat an input element by element, as language modeling data do."""
    if batch.targets is None or batch.targets.is_floating_point() or batch.targets.ndim != 2:
        return False
    targets = batch.targets.detach().cpu()
    inputs = [value for value in (*batch.args, *batch.kwargs.values()) if isinstance(value, Tensor)]
    for value in inputs:
        if value.shape == targets.shape and not value.is_floating_point():
            agree = (value.cpu() == targets) | (targets == IGNORED_LABEL)
            return bool(agree.all()) and bool((targets != IGNORED_LABEL).any())
    return False


def _predicts_next(model: nn.Module, batch: Batch, labels: Tensor) -> bool:
    # transformers' causal models shift `labels` inside their loss; here the loss is never asked for.
    names = [kind.__name__ for kind in type(model).__mro__]
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    return causal and labels.ndim == 2 and (batch.target_key == "labels" or labels_are_inputs(batch))


def _real(batch: Batch, rows: Rows, total: int) -> Tensor:
    """Which rows are no padding, (R,): those that the batch's attention mask keeps, where it has their positions."""
    # Models with a decoder answer at its positions.
    decodes = "decoder_input_ids" in batch.kwargs or "decoder_inputs_embeds" in batch.kwargs
    mask = batch.kwargs.get("decoder_attention_mask" if decodes else "attention_mask")
    leading = rows.leading
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.numel() != total:
        return torch.ones(total, dtype=torch.bool)
    if len(leading) > 1 and tuple(mask.shape) != leading:
        return torch.ones(total, dtype=torch.bool)
    return mask.detach().cpu().reshape(-1) != 0


def _labels(targets: Tensor, leading: tuple[int, ...], total: int) -> Tensor:
    if targets.ndim == len(leading) + 1 and targets.shape[-1] == 1:
        targets = targets.squeeze(-1)
    same = tuple(targets.shape) == leading
    if same or (targets.numel() == total and 1 in (targets.ndim, len(leading))):
        return targets
    raise ShapeError(
        f"integer targets have shape {tuple(targets.shape)}, but the head answers at {_spelled(leading)}; expected one "
        "class index for each of them (classes given as several 0 and 1 go in as floats)"
    )


def _values(targets: Tensor, leading: tuple[int, ...], total: int, channels: str) -> Tensor:
    """Rows (R, c), from the layout of the answers or that of the model's output, channels first or last.

    Where lengths coincide, so that both would fit, the layout of the output decides.
    """
    shape, inner = tuple(targets.shape), leading[1:]
    first = bool(inner) and len(shape) == len(leading) + 1 and shape[:1] == leading[:1] and shape[2:] == inner
    last = shape[: len(leading)] == leading
    flat = bool(inner) and len(shape) == 2 and shape[:1] == leading[:1] and shape[1] % math.prod(inner) == 0
    if first and (channels == "first" or not last):
        return targets.movedim(1, -1).reshape(total, -1)
    if last or (shape and shape[0] == total):
        return targets.reshape(total, -1)
    if flat:
        several = targets.reshape(leading[0], -1, math.prod(inner)).movedim(1, -1)
        return (several if channels == "first" else targets).reshape(total, -1)
    if targets.numel() == total:
        return targets.reshape(total, 1)
    raise ShapeError(
        f"targets have shape {tuple(targets.shape)}, but the head answers at {_spelled(leading)}; expected one row for "
        "each of them"
    )


def _repeated(targets: Tensor, leading: tuple[int, ...]) -> Tensor:
    """One target for each input, at each of its positions."""
    if targets.ndim == 0 or len(targets) != leading[0]:
        raise ShapeError(f"targets have shape {tuple(targets.shape)}; expected one for each of {leading[0]} inputs")
    inner = leading[1:]
    return targets.reshape(len(targets), *[1] * len(inner), *targets.shape[1:]).expand(*leading, *targets.shape[1:])


def _spelled(leading: tuple[int, ...]) -> str:
    if len(leading) == 1:
        return f"{leading[0]} samples"
    return f"{' x '.join(map(str, leading))} positions (samples first)"


def units_of(rows: Rows, batch: Batch) -> Tensor:
    """Which input of the batch each row comes from, (R,): positions of one text or image are no independent samples.

    Args:
        rows: features of the batch, with the axes they had.
        batch: the batch.
    """
    total, leading = len(rows.features), rows.leading
    if len(leading) > 1 and leading[0] != batch.size and leading[1] == batch.size:
        # Time first.
        shape = (1, batch.size, *[1] * (len(leading) - 2))
        return torch.arange(batch.size).reshape(shape).expand(leading).reshape(-1)
    if batch.size == 0 or total % batch.size:
        return torch.arange(total)
    return torch.arange(total) // (total // batch.size)
