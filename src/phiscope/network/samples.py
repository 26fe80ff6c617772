"""Which rows of a pass count as samples, and the target of each; language models are asked which one that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phiscope.errors import InputError, ShapeError, TargetError
from phiscope.network.batch import Batch, parameter_names
from phiscope.network.hooks import Caller
from phiscope.network.output_layout import tensors_in
from phiscope.network.rows import FeatureMap, LabelRule, Rows

IGNORED_LABEL = -100
"""Labels of this value are not learned from in torch and transformers, and not measured here."""

LABELS_REPEAT = (
    "labels repeat the inputs and were taken as they are; if the model predicts the next token, "
    "pass next_token=True, or targets shifted by one"
)
"""What a reader of the numbers is told where labels are the inputs, element by element."""

MASK_UNUSED = (
    "the attention mask leaves places out, but does not have the positions at which the network answers, so padding "
    "counts as samples; label it -100, or pass padding=True if that is meant"
)
"""What a reader of the numbers is told where a mask of another resolution came."""

MASK_UNREAD = "the attention mask does not have the positions of this layer, so padding was read like the rest"
"""The same of a layer whose tokens are put together."""


CLASSES_UNREAD = "no targets were read, so outputs are taken as they are; "
"""The same of a mapping that has a number for each sample, under a name that says nothing; what to do follows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The samples of one batch.

    Attributes:
        rows: indices of the rows that count, shape (s,).
        targets: integers (s,) or floats (s, c), on the CPU; None without targets.
        ignored: number of rows left out because of their label or mask.
        reading: how targets and rows were put together, in words.
        doubts: what a reader of the numbers has to know about labels and mask, in sentences.
    """

    rows: Tensor
    targets: Tensor | None
    ignored: int
    reading: str
    doubts: tuple[str, ...] = ()


def samples_of(batch: Batch, rows: Rows, feature_map: FeatureMap) -> Samples:
    """Put the rows of one batch and its targets together.

    Args:
        batch: with its targets, integers as classes or floats as values.
        rows: the features of the batch; targets have their leading shape, or one value a row.
        feature_map: says whether padding counts, and whether labels are those of the next token.

    Raises:
        ShapeError: targets do not fit the rows.
        InputError: the caller said next_token=True where there is no label at each position.
        TargetError: integer targets that a head of one output cannot tell apart.
    """
    total = len(rows.features)
    everything = torch.arange(total)
    real, doubts = _real(batch, rows, feature_map)
    masked = ", of those that the attention mask keeps" if not bool(real.all()) else ""
    _check_next_token(feature_map.labels, batch, rows)
    if batch.targets is None:
        reading = "none" if len(rows.leading) < 2 else f"none, each position is a sample{masked}"
        return Samples(rows=everything[real], targets=None, ignored=int((~real).sum()), reading=reading, doubts=doubts)
    targets = batch.targets.detach().cpu()
    if rows.repeated:
        targets = _repeated(targets, rows.leading)
    if targets.is_floating_point():
        values = _values(targets, rows.leading, total, rows.channels)
        reading = f"values, one row a target{masked}"
        return Samples(
            rows=everything[real], targets=values[real], ignored=int((~real).sum()), reading=reading, doubts=doubts
        )
    if targets.is_complex():
        raise TargetError("targets are complex numbers; expected integer classes or real values")
    labels = _labels(targets.long(), rows, batch)
    shifted, why = _predicts_next(feature_map, batch, labels)
    reading = f"classes, one for each {'sample' if labels.ndim == 1 else 'position'}{why}"
    if shifted:
        everything, real, labels = _of_next(everything, real, labels)
        reading = f"classes, the next token at each position (labels shifted by one){why}"
    labels = labels.reshape(-1)
    counted = (labels != IGNORED_LABEL) & real
    # Who leaves places out by label has said which.
    doubts = () if len(rows.leading) > 1 and bool((labels == IGNORED_LABEL).any()) else doubts
    labels = labels[counted]
    _check_two_classes(labels, rows, batch)
    # A model whose own loss was asked knows better.
    unasked = feature_map.labels.next_token is None
    return Samples(
        rows=everything[counted],
        targets=labels,
        ignored=int((~counted).sum()),
        reading=reading + masked,
        doubts=(*doubts, LABELS_REPEAT) if unasked and not shifted and _labels_are_inputs(batch) else doubts,
    )


def _check_two_classes(labels: Tensor, rows: Rows, batch: Batch) -> None:
    if rows.n_outputs == 1 and rows.weight is not None and len(labels) and int(labels.max()) > 1:
        raise TargetError(
            f"integer targets reach {int(labels.max())}, but the head has one output, which tells two classes apart; "
            + ("if they are 1 and 2, subtract 1, else " if set(labels.tolist()) == {1, 2} else "")
            + f"pass values as floats, as with targets=lambda batch: {_spelled_targets(batch)}.float()"
        )


def _spelled_targets(batch: Batch) -> str:
    return "batch[1]" if batch.target_key is None else f"batch[{batch.target_key!r}]"


def _of_next(rows: Tensor, real: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, whether each counts, and labels, where the target at a position is the label at the next one.

    Positions are the last axis: several texts of one input, as choices, stand before it.
    """
    real = real.reshape(labels.shape)
    # A token counts where it and the next one are text.
    both = real[..., :-1] & real[..., 1:]
    return rows.reshape(labels.shape)[..., :-1].reshape(-1), both.reshape(-1), labels[..., 1:]


def _labels_are_inputs(batch: Batch) -> bool:
    """Say whether integer targets repeat an input element by element, as language modeling data do."""
    if batch.targets is None or batch.targets.is_floating_point() or batch.targets.ndim < 2 or _decodes(batch):
        return False
    targets = batch.targets.detach().cpu()
    inputs = [value for value in (*batch.args, *batch.kwargs.values()) if isinstance(value, Tensor)]
    for value in inputs:
        if value.shape == targets.shape and not value.is_floating_point():
            agree = (value.cpu() == targets) | (targets == IGNORED_LABEL)
            return bool(agree.all()) and bool((targets != IGNORED_LABEL).any())
    return False


def label_rule(call: Caller, batch: Batch, next_token: bool | None) -> LabelRule:
    """Whether labels at positions are those of the next token; meant for the inside of `isolated`.

    Names do not say: of transformers' classes some "ForCausalLM" shift labels inside their loss and some do not, and so
    do those "ForConditionalGeneration". So the model's own loss is asked, once, on labels of our own.

    Args:
        call: the model.
        batch: any batch with its targets.
        next_token: what the caller said; None asks.

    Raises:
        InputError: next_token is no truth value.
    """
    if next_token is not None:
        if not isinstance(next_token, bool):
            raise InputError(f"next_token is {next_token!r}; expected True, False, or None to ask the model's loss")
        return LabelRule(next_token=next_token, given=True, why=f"as next_token={next_token} says")
    targets = batch.targets
    # Nothing here may depend on the values: ranks of a sharded model enter each forward pass together.
    if targets is None or targets.is_floating_point() or targets.ndim < 2 or not _takes_labels(call.model):
        return LabelRule()
    # Both are classes of every head; drawn without touching a random state.
    drawn = torch.randint(2, targets.shape, generator=torch.Generator().manual_seed(0))
    device = next((part.device for part in (*batch.args, *batch.kwargs.values()) if isinstance(part, Tensor)), None)
    asked = replace(batch, kwargs={**batch.kwargs, "labels": drawn.to(device)})
    try:
        answer = call(asked)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        return LabelRule(why=f"by the model's class name (its loss could not be asked: {type(error).__name__})")
    shifted = _shift_of_loss(answer, drawn)
    return LabelRule() if shifted is None else LabelRule(next_token=shifted, why="as the model's own loss takes them")


def _takes_labels(model: nn.Module) -> bool:
    return "labels" in parameter_names(model)


def _shift_of_loss(answer: Any, labels: Tensor) -> bool | None:
    """Whether the loss in an answer is that of labels one position later; None where it is neither clearly."""
    tensors = [(place, tensor) for place, tensor in tensors_in(answer) if tensor.is_floating_point()]
    losses = [tensor for _, tensor in tensors if tensor.ndim == 0]
    logits = [tensor for _, tensor in tensors if tensor.shape[:-1] == labels.shape]
    named = [tensor for place, tensor in tensors if place == ("logits",) and tensor.ndim == labels.ndim + 1]
    if not losses or not (named or logits) or labels.shape[-1] < 2:
        return None
    scores = (named or logits)[0]
    if scores.shape[:-1] != labels.shape or scores.shape[-1] < 2:
        return None
    scores, labels = scores.flatten(0, -3), labels.flatten(0, -2)
    # One text at a time: of 50,000 words, a batch of logits as one table is gigabytes.
    errors = [
        nn.functional.cross_entropy(one.float(), label.to(one.device), reduction="none")
        for one, label in zip(scores, labels, strict=True)
    ]
    later = [
        nn.functional.cross_entropy(one[:-1].float(), label[1:].to(one.device), reduction="none")
        for one, label in zip(scores, labels, strict=True)
    ]
    loss = float(losses[0])
    off, off_later = (abs(loss - float(torch.cat(one).mean())) for one in (errors, later))
    near, far = sorted((off, off_later))
    # Half precision rounds a loss by a percent; a term beside it (balance of experts) is about as small.
    if not near <= 0.02 * abs(loss) or not far > 10 * near + 1e-6 * abs(loss):
        return None
    return off_later < off


def _check_next_token(rule: LabelRule, batch: Batch, rows: Rows) -> None:
    targets = batch.targets
    if not (rule.given and rule.next_token):
        return
    if targets is None or targets.is_floating_point() or rows.repeated or not 2 <= targets.ndim == len(rows.leading):
        came = "no targets" if targets is None else f"targets of shape {tuple(targets.shape)} and {targets.dtype}"
        raise InputError(
            f"next_token=True came with {came} beside answers at {_spelled(rows.leading)}; expected integer labels "
            "(n, T), a token at each position: pass labels=input_ids, with -100 where nothing is to be predicted"
        )


def _predicts_next(feature_map: FeatureMap, batch: Batch, labels: Tensor) -> tuple[bool, str]:
    """Whether the target at a position is the label at the next one, and who says so."""
    rule = feature_map.labels
    if labels.ndim < 2:
        return False, ""
    if rule.given:
        return bool(rule.next_token), f", {rule.why}"
    names = [kind.__name__ for kind in type(feature_map.model).__mro__]
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    shifts = causal if rule.next_token is None else rule.next_token
    # What does not come as the model's own `labels`, and is not the text itself, has been shifted by the caller.
    whole = batch.target_key == "labels" or _labels_are_inputs(batch)
    told = rule.next_token is not None or causal
    return shifts and whole, f", {rule.why}" if told and whole else ""


def _decodes(batch: Batch) -> bool:
    """Whether a model with a decoder answers at positions of its own."""
    return "decoder_input_ids" in batch.kwargs or "decoder_inputs_embeds" in batch.kwargs


def token_ids(batch: Batch, leading: tuple[int, ...]) -> NDArray[Any] | None:
    """The ids at the positions where a model answers, shape (n, T); None where no input has them."""
    names = ("decoder_input_ids",) if _decodes(batch) else ("input_ids",)
    others = () if _decodes(batch) else (*batch.args, *batch.kwargs.values())
    for value in (*(batch.kwargs.get(name) for name in names), *others):
        if isinstance(value, Tensor) and value.ndim == 2 and value.shape == leading and _is_whole(value):
            return np.asarray(value.detach().cpu())
    return None


def _is_whole(value: Tensor) -> bool:
    return not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool


def real_tokens(batch: Batch, leading: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which positions the batch's attention mask keeps, of the shape of the positions; all without a mask."""
    kept = _kept(batch, tuple(leading))
    return np.ones(leading, dtype=bool) if kept is None else np.asarray(kept)


def _kept(batch: Batch, leading: tuple[int, ...], model: nn.Module | None = None) -> Tensor | None:
    """Which positions the batch's attention mask keeps, of their shape, on the CPU; None where it has others."""
    mask = _mask(batch)
    if mask is None or not leading:
        return None
    steps = getattr(model, "_get_feature_vector_attention_mask", None)
    if steps is not None and mask.ndim == len(leading) == 2 and mask.shape[1] > leading[1]:
        # Models of sound answer at steps of their convolutions, and know which of them a sample of sound reaches.
        mask = steps(leading[1], mask)
    if tuple(mask.shape) != leading and not (len(leading) == 1 and mask.ndim == 2 and mask.numel() == leading[0]):
        return None
    return (mask.detach().cpu() != 0).reshape(leading)


def _real(batch: Batch, rows: Rows, feature_map: FeatureMap) -> tuple[Tensor, tuple[str, ...]]:
    """Which rows are no padding, (R,), and what has to be said of a mask that does not tell, and of missing targets."""
    doubts: tuple[str, ...] = () if batch.perhaps is None else (CLASSES_UNREAD + batch.perhaps,)
    kept = None if feature_map.padding else _kept(batch, rows.leading, feature_map.model)
    if kept is not None:
        return kept.reshape(-1), doubts
    if not feature_map.padding and _leaves_out(batch):
        doubts += (MASK_UNUSED,) if len(rows.leading) > 1 else (MASK_UNREAD,) if feature_map.pools_padding else ()
    return torch.ones(len(rows.features), dtype=torch.bool), doubts


def _mask(batch: Batch) -> Tensor | None:
    mask = batch.kwargs.get("decoder_attention_mask" if _decodes(batch) else "attention_mask")
    return mask if isinstance(mask, Tensor) else None


def _leaves_out(batch: Batch) -> bool:
    """Whether there is a mask of positions that leaves some out."""
    mask = _mask(batch)
    return mask is not None and mask.ndim == 2 and bool((mask == 0).any())


def _labels(targets: Tensor, rows: Rows, batch: Batch) -> Tensor:
    leading, total = rows.leading, len(rows.features)
    if targets.ndim == len(leading) + 1 and targets.shape[-1] == 1:
        targets = targets.squeeze(-1)
    same = tuple(targets.shape) == leading
    if same or (targets.numel() == total and 1 in (targets.ndim, len(leading))):
        return targets
    raise ShapeError(
        f"integer targets have shape {tuple(targets.shape)}, but the head answers at {_spelled(leading)}; expected one "
        f"class index for each of them{_remedy(targets, rows, batch)}"
    )


def _remedy(targets: Tensor, rows: Rows, batch: Batch) -> str:
    """What to pass instead of integer targets of another shape than the answers, as far as they tell what they are."""
    leading, shape = rows.leading, tuple(targets.shape)
    ours = _spelled_targets(batch)
    axis = next((k for k in (-1, 1) if len(shape) > 1 and (*shape[:k], *shape[k:][1:]) == leading), None)
    if axis is not None and bool(((targets == 0) | (targets == 1)).all()):
        if bool((targets.sum(axis) == 1).all()):
            return f"; these are one-hot: pass their classes, as with targets=lambda batch: {ours}.argmax({axis})"
        return f"; several 0 and 1 for each go in as floats, as with targets=lambda batch: {ours}.float()"
    choices, left = divmod(len(rows.features), max(len(targets), 1))
    if rows.n_outputs == 1 and len(shape) == len(leading) == 1 and choices > 1 and not left:
        chosen = f"torch.nn.functional.one_hot({ours}, {choices})"
        return f"; of {choices} scores a sample, say of each whether it is right, with targets=lambda batch: {chosen}"
    return (
        "; bring labels of another length or resolution to that of the answers, or leave them out with "
        "targets=lambda batch: None"
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
