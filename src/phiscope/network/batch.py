"""One raw batch as a model takes it: what is input, what is the target."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import InputError, ShapeError

TARGET_KEYS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch, ready to be given to a model.

    Attributes:
        args: positional inputs.
        kwargs: keyword inputs.
        targets: as they came, on the CPU or where the loader put them; None without targets.
        size: number of samples n.
        target_key: the mapping key the targets came from; None for (x, y) and x alone.
        ignored: mapping keys the model's forward does not take.
        raw: the batch as it came.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Tensor | None
    size: int
    target_key: str | None = None
    ignored: tuple[str, ...] = ()
    raw: Any = None


@dataclass(frozen=True)
class BatchReader:
    """Reads raw batches for one model: which part is input, which is the target.

    Attributes:
        model: the network; the parameter names of its forward decide which mapping keys it is given.
        device: where inputs are moved; None leaves them where they are.
        dtype: what float64 NumPy inputs become; torch tensors keep their dtype.
    """

    model: nn.Module
    device: torch.device | None
    dtype: torch.dtype

    def __call__(self, raw: Any) -> Batch:
        """Read one raw batch: (x, y), a mapping with its targets under "labels", or x alone.

        Raises:
            InputError: a batch of another form.
        """
        if isinstance(raw, Mapping):
            return self._mapping(raw)
        if isinstance(raw, (tuple, list)):
            if len(raw) not in (1, 2):
                raise InputError(
                    f"a batch has {len(raw)} parts; expected (x, y), a mapping with 'labels', or x alone "
                    "(two inputs go into one: ((x1, x2), y))"
                )
            targets = raw[1] if len(raw) == 2 else None
            return self._batch(raw[0], targets, raw=raw)
        return self._batch(raw, None, raw=raw)

    def inputs(self, x: Any) -> Batch:
        """Read inputs alone: a tensor, a tuple of positional inputs, or a mapping of keyword inputs."""
        return self._mapping(x) if isinstance(x, Mapping) else self._batch(x, None, raw=x)

    def _batch(self, x: Any, targets: Any, *, raw: Any) -> Batch:
        if isinstance(x, Mapping):
            read = self._mapping(x)
            args, kwargs, ignored = read.args, read.kwargs, read.ignored
        else:
            args = self._moved(tuple(x)) if isinstance(x, (tuple, list)) else (self._moved(x),)
            kwargs, ignored = {}, ()
        size = _size_of(args, kwargs)
        return Batch(args=args, kwargs=kwargs, targets=as_targets(targets), size=size, ignored=ignored, raw=raw)

    def _mapping(self, raw: Mapping[str, Any]) -> Batch:
        names, required, open_ended = _forward_parameters(self.model)
        target_key = next((key for key in TARGET_KEYS if key in raw and key not in required), None)
        inputs = {key: value for key, value in raw.items() if key != target_key and value is not None}
        taken = inputs if open_ended else {key: value for key, value in inputs.items() if key in names}
        ignored = tuple(key for key in inputs if key not in taken)
        args: tuple[Any, ...] = ()
        if not set(inputs) & set(names) and len(required) == 1:
            # forward(self, x) given {"image": ...}: the name differs, the meaning does not.
            args = (self._moved(next(iter(inputs.values())) if len(inputs) == 1 else inputs),)
            taken, ignored = {}, ()
        kwargs = self._moved(dict(taken))
        if target_key is not None:
            kwargs |= self._decoder_inputs(kwargs, raw[target_key])
        return Batch(
            args=args,
            kwargs=kwargs,
            targets=None if target_key is None else as_targets(raw[target_key]),
            size=_size_of(args, kwargs),
            target_key=target_key,
            ignored=ignored,
            raw=raw,
        )

    def _decoder_inputs(self, kwargs: Mapping[str, Any], labels: Any) -> dict[str, Any]:
        # Labels never go into the model: transformers would compute a loss and may write the problem type
        # into the configuration. Sequence-to-sequence models need them shifted as the decoder's input.
        shifted = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if shifted is None or "decoder_input_ids" in kwargs or "decoder_inputs_embeds" in kwargs:
            return {}
        return {"decoder_input_ids": shifted(labels=self._moved(labels))}

    def _moved(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if self.device is None else value.to(self.device)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            tensor = torch.from_numpy(np.array(value))
            if tensor.dtype == torch.float64:
                tensor = tensor.to(self.dtype)
            return tensor if self.device is None else tensor.to(self.device)
        if isinstance(value, Mapping):
            return {key: self._moved(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            parts = [self._moved(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value


def as_targets(targets: Any) -> Tensor | None:
    """Return targets as a tensor; None stays None.

    Raises:
        InputError: they are no array of numbers.
    """
    if targets is None or isinstance(targets, Tensor):
        return targets
    try:
        return torch.from_numpy(np.array(targets))
    except (TypeError, ValueError) as error:
        raise InputError(f"targets of type {type(targets).__name__} are no array of numbers") from error


def with_targets(batches: Iterator[Any], read: Callable[[Any], Batch], targets: Any) -> Generator[Batch, None, None]:
    """Read batches, with targets from the batch (None), from a function of the raw batch, or from an array.

    Args:
        batches: raw batches.
        read: how a raw batch is read.
        targets: None; a callable(raw batch) -> targets of that batch; or an array whose first axis is
            aligned with the samples in the order they come.

    Raises:
        ShapeError: an array of targets is longer or shorter than the data.
    """
    if targets is None or callable(targets):
        for raw in batches:
            batch = read(raw)
            yield (batch if targets is None else replace(batch, targets=as_targets(targets(raw)), target_key=None))
        return
    whole = as_targets(targets)
    if whole is None or whole.ndim == 0:
        raise ShapeError("targets hold a single number; expected one target for each of the n samples")
    start = 0
    for raw in batches:
        batch = read(raw)
        part = whole[start : start + batch.size]
        start += batch.size
        if len(part) < batch.size:
            raise ShapeError(f"there are {len(whole)} targets, but at least {start} samples; expected one each")
        yield replace(batch, targets=part, target_key=None)
    if start < len(whole):
        raise ShapeError(f"there are {len(whole)} targets, but {start} samples; expected one each")


def _forward_parameters(model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    kinds = inspect.Parameter
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    required = tuple(p.name for p in named if p.default is kinds.empty)
    open_ended = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    return tuple(p.name for p in named), required, open_ended


def _size_of(*parts: Any) -> int:
    for part in parts:
        for value in part.values() if isinstance(part, Mapping) else part:
            if isinstance(value, Tensor) and value.ndim > 0:
                return int(value.shape[0])
            if isinstance(value, (Mapping, list, tuple)) and (nested := _size_of(value)):
                return nested
    return 0
