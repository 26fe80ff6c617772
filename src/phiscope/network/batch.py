"""One raw batch as a model takes it: what is input, what is the target."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from phiscope.errors import InputError, ShapeError
from phiscope.inputs.parts import (
    TARGET_KEYS,
    as_tensor,
    check_equal_lengths,
    columns_of,
    described,
    is_row_of_numbers,
    is_rows,
    only_input,
    owner_in,
    perhaps_classes,
)
from phiscope.network.linear_layers import is_keras


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
        owner: which graph each node is in, where the inputs are nodes and the answers are graphs.
        perhaps: what to do where a batch without targets has a part that may hold them.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Tensor | None
    size: int
    target_key: str | None = None
    ignored: tuple[str, ...] = ()
    raw: Any = None
    owner: Tensor | None = None
    perhaps: str | None = None


@dataclass(frozen=True)
class BatchReader:
    """Reads raw batches for one model: which part is input, which is the target.

    Attributes:
        model: the network; the parameter names of its forward decide which mapping keys it is given.
        device: where inputs are moved; None leaves them where they are.
        dtype: what floating inputs become, where the model has floating parameters.
    """

    model: nn.Module
    device: torch.device | None
    dtype: torch.dtype

    def __call__(self, raw: Any) -> Batch:
        """Read one raw batch: (x, y), a mapping with its targets under "labels", or x alone.

        Raises:
            InputError: a batch of another form.
        """
        return self._read(raw, with_targets=True)

    def without_targets(self, raw: Any) -> Batch:
        """Read the inputs of a raw batch whose targets come from elsewhere: of several parts the first is x."""
        return self._read(raw, with_targets=False)

    def _read(self, raw: Any, *, with_targets: bool) -> Batch:
        plain = _columns(raw) if is_rows(raw) else raw
        if isinstance(plain, Mapping):
            return self._mapping(plain, raw, with_targets)
        if is_graphs(plain):
            return self._graphs(plain, with_targets)
        if not isinstance(plain, (tuple, list)):
            return self._batch(plain, None, raw)
        parts = list(plain)
        if len(parts) == 1 or (parts and not with_targets):
            return self._batch(parts[0], None, raw)
        if len(parts) == 2:
            return self._batch(parts[0], parts[1], raw)
        if all(isinstance(part, (int, float)) for part in parts) or all(map(is_row_of_numbers, parts)):
            return self._batch(plain, None, raw)
        raise InputError(
            f"a batch has {len(parts)} parts ({', '.join(map(described, parts[:4]))}); expected (x, y), a mapping with "
            "'labels', or x alone: say which part is the target with targets=lambda batch: batch[1], the first is then "
            "x (two inputs go into one: ((x1, x2), y))"
        )

    def inputs(self, x: Any) -> Batch:
        """Read inputs alone: a tensor, a tuple of positional inputs, or a mapping of keyword inputs."""
        return self._mapping(x, x, True) if isinstance(x, Mapping) else self._batch(x, None, x)

    def _batch(self, x: Any, targets: Any, raw: Any) -> Batch:
        x = _columns(x) if is_rows(x) else x
        if isinstance(x, Mapping):
            read = self._mapping(x, raw, True)
            args, kwargs, ignored = read.args, read.kwargs, read.ignored
        else:
            several = isinstance(x, (tuple, list)) and not is_row_of_numbers(x)
            args = tuple(self._moved(part) for part in x) if several else (self._moved(x),)
            if several and is_keras(self.model) and len(_forward_parameters(self.model)[1]) == 1:
                # Keras takes several inputs as one list; what comes second in `call` is no input.
                args = (list(args),)
            kwargs, ignored = {}, ()
        return self._made(args, kwargs, as_targets(targets, _size_of(args, kwargs)), raw, ignored=ignored)

    def _made(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], targets: Tensor | None, raw: Any, **more: Any
    ) -> Batch:
        size = _size_of(args, kwargs)
        if targets is not None and targets.ndim == 0:
            raise InputError(
                f"a batch is {described(raw)}, whose target is a single number: it looks like one sample; expected a "
                "batch of n samples, such as DataLoader(samples, batch_size=256) makes of a list of them"
            )
        if size is None:
            raise InputError(
                f"a batch is {described(raw)}, in which no tensor or array has samples on its first axis; expected "
                "(x, y), a mapping, or x alone, of tensors or arrays of numbers"
            )
        owner = owner_in(args, kwargs)
        if owner is not None:
            n_graphs = int(owner.max()) + 1
            owner, size = (owner, n_graphs) if targets is None or len(targets) == n_graphs else (None, size)
        elif _says_time_first(self.model):
            # nn.LSTM and nn.Transformer take (T, n, f) unless told otherwise.
            size = _second_axis(_shapes(args, kwargs), targets) or size
        return Batch(args=args, kwargs=kwargs, targets=targets, size=size, raw=raw, owner=owner, **more)

    def _mapping(self, inputs: Mapping[str, Any], raw: Any, with_targets: bool) -> Batch:
        parameters = _forward_parameters(self.model)
        names, required, open_ended = parameters
        target_key = next((key for key in TARGET_KEYS if key in inputs and key not in required), None)
        whole = inputs
        inputs = _collated(inputs, target_key)
        inputs = {key: value for key, value in inputs.items() if key != target_key and value is not None}
        taken = inputs if open_ended else {key: value for key, value in inputs.items() if key in names}
        ignored = tuple(key for key in inputs if key not in taken)
        args: tuple[Any, ...] = ()
        if not set(inputs) & set(names) and len(required) == 1:
            # forward(self, x) given {"image": ...}: the name differs, the meaning does not.
            known = _inputs_of_keras(self.model)
            if known and known <= set(inputs):
                args, taken = (self._moved({key: inputs[key] for key in inputs if key in known}),), {}
                ignored = tuple(key for key in inputs if key not in known)
            elif _wants_mapping(self.model, required[0]):
                args, taken, ignored = (self._moved(dict(whole)),), {}, ()
            else:
                key = only_input(inputs)
                args, taken = (self._moved(inputs if key is None else inputs[key]),), {}
                ignored = () if key is None else tuple(name for name in inputs if name != key)
        if isinstance(whole, _Columns):
            check_equal_lengths(taken or {key: inputs[key] for key in inputs if key not in ignored})
        kwargs = self._moved(dict(taken))
        if target_key is not None:
            kwargs |= self._decoder_inputs(kwargs, whole[target_key])
        read = with_targets and target_key is not None
        targets = as_targets(whole[target_key]) if read and target_key is not None else None
        made = self._made(args, kwargs, targets, raw, target_key=target_key, ignored=ignored)
        if not with_targets or target_key is not None:
            return made
        unread = (*ignored, *(key for key in TARGET_KEYS if key in required and key in inputs))
        key = perhaps_classes(inputs, unread, made.size)
        how = f"pass targets=lambda batch: batch[{key!r}]" if isinstance(raw, Mapping) else "call it 'labels'"
        return made if key is None else replace(made, perhaps=f"if {key!r} has the classes, {how}")

    def _graphs(self, data: Any, with_targets: bool) -> Batch:
        """A batch of PyTorch Geometric: the model takes the object itself, or its parts by name."""
        names, required, _ = _forward_parameters(self.model)
        data = data if self.device is None else data.to(self.device)
        parts = {key: value for key, value in data.to_dict().items() if key != "y"}
        by_name = {name: parts[name] for name in names if name in parts and parts[name] is not None}
        whole = len(required) == 1 and required[0] not in ("x", "pos")
        args, kwargs = ((data,), {}) if whole else ((), self._moved(by_name))
        y = data.y if "y" in data and with_targets else None
        n_graphs = getattr(data, "num_graphs", 1) if "batch" in parts else 1
        per_node = y is not None and len(y) == data.num_nodes and n_graphs != data.num_nodes
        owner = parts.get("batch") if not per_node and n_graphs > 1 else None
        size = data.num_nodes if owner is None else n_graphs
        target_key = None if y is None else "y"
        targets = as_targets(y)
        return Batch(args=args, kwargs=kwargs, targets=targets, size=size, target_key=target_key, raw=data, owner=owner)

    def _decoder_inputs(self, kwargs: Mapping[str, Any], labels: Any) -> dict[str, Any]:
        # Labels never go into the model: transformers would compute a loss and may write the problem type
        # into the configuration. Sequence-to-sequence models need them shifted as the decoder's input.
        # Classifiers that have a decoder (BART, T5Gemma) make its input of the text: their labels are answers about it.
        generates = getattr(self.model, "can_generate", None)
        if "decoder_input_ids" in kwargs or "decoder_inputs_embeds" in kwargs or (generates and not generates()):
            return {}
        labels, shifted = self._moved(labels), getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if shifted is not None:
            return {"decoder_input_ids": shifted(labels=labels)}
        config, names = getattr(self.model, "config", None), parameter_names(self.model)
        start, padding = (getattr(config, name, None) for name in ("decoder_start_token_id", "pad_token_id"))
        decodes = getattr(config, "is_encoder_decoder", False) and {"labels", "decoder_input_ids"} <= set(names)
        if not decodes or start is None or not isinstance(labels, Tensor) or labels.is_floating_point():
            return {}
        # Whisper and others shift labels within their forward, and offer no method for it.
        before = torch.cat([torch.full_like(labels[..., :1], start), labels[..., :-1]], -1)
        return {"decoder_input_ids": before.masked_fill(before == -100, start if padding is None else padding)}

    def _moved(self, value: Any) -> Any:
        """Numbers on the model's device and in its floating type; what holds none stays as it is."""
        if isinstance(value, Mapping):
            return {key: self._moved(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)) and not is_row_of_numbers(value):
            parts = [self._moved(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        tensor = as_tensor(value)
        if tensor is None:
            return value
        if tensor.is_floating_point() and self._floating and not self._takes(tensor.dtype):
            tensor = tensor.to(self.dtype)
        return tensor if self.device is None else tensor.to(self.device)

    def _takes(self, dtype: torch.dtype) -> bool:
        """Whether inputs keep a type: one that the model has, too; double is what NumPy makes unasked."""
        return dtype in self._floating and (dtype != torch.float64 or dtype == self.dtype)

    @cached_property
    def _floating(self) -> frozenset[torch.dtype]:
        """The floating types of the parameters."""
        return frozenset(part.dtype for part in self.model.parameters() if part.is_floating_point())


def as_targets(targets: Any, n: int | None = None) -> Tensor | None:
    """Return targets as a tensor; None stays None.

    Args:
        targets: of one batch, or of all of them.
        n: how many samples there are, see `as_tensor`.

    Raises:
        InputError: they are no array of numbers.
    """
    tensor = None if targets is None else as_tensor(targets, name="targets", n=n)
    if targets is not None and (tensor is None or (isinstance(targets, tuple) and not is_row_of_numbers(targets))):
        hint = "batch[1][<key>]" if isinstance(targets, Mapping) else "<what to do with batch[1]>"
        raise InputError(
            f"targets are {described(targets)}; expected one array of numbers, integers for classes or floats for "
            f"values: choose or number them with targets=lambda batch: {hint}"
        )
    if tensor is not None and tensor.layout != torch.strided:
        raise InputError("targets are a sparse Tensor; expected a dense one, as targets.to_dense() is")
    return tensor


def with_targets(batches: Iterator[Any], read: BatchReader, targets: Any) -> Generator[Batch, None, None]:
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
            if targets is None:
                yield read(raw)
            else:
                # The batch's own targets may be what nobody can read.
                batch = read.without_targets(raw)
                chosen = as_targets(targets(raw), batch.size)
                if chosen is not None and chosen.ndim == 0:
                    raise ShapeError("targets gave a single number for a batch; expected one target for each sample")
                yield replace(batch, targets=chosen, target_key=None)
        return
    whole = as_targets(targets)
    if whole is None or whole.ndim == 0:
        raise ShapeError("targets hold a single number; expected one target for each of the n samples")
    start = 0
    for raw in batches:
        batch = read.without_targets(raw)
        part = whole[start : start + batch.size]
        start += batch.size
        if len(part) < batch.size:
            raise ShapeError(f"there are {len(whole)} targets, but at least {start} samples; expected one each")
        yield replace(batch, targets=part, target_key=None)
    if start < len(whole):
        raise ShapeError(f"there are {len(whole)} targets, but {start} samples; expected one each")


def parameter_names(model: nn.Module) -> tuple[str, ...]:
    """The names under which a model's forward takes inputs."""
    return _forward_parameters(model)[0]


def _forward_parameters(model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    kinds = inspect.Parameter
    parameters = _signature(model).parameters
    named = [p for p in parameters.values() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    required = tuple(p.name for p in named if p.default is kinds.empty)
    open_ended = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    return tuple(p.name for p in named), required, open_ended


def _signature(model: nn.Module) -> inspect.Signature:
    # Keras' forward is (*args, **kwargs), what it means stands in `call`.
    return inspect.signature(getattr(model, "call", model.forward) if is_keras(model) else model.forward)


def _inputs_of_keras(model: nn.Module) -> set[str]:
    """Names of the inputs of a model that Keras knows to have several."""
    several = (getattr(model, "inputs", None) or ()) if is_keras(model) else ()
    return {one.name for one in several} if len(several) > 1 else set()


def _wants_mapping(model: nn.Module, name: str) -> bool:
    """Whether the one parameter of forward is a whole batch, by its name or annotation."""
    annotation = str(_signature(model).parameters[name].annotation)
    return name in _WHOLE or annotation.lower().startswith(
        ("dict", "typing.dict", "mapping", "typing.mapping", "<class 'dict")
    )


_WHOLE = ("batch", "data", "sample", "samples", "example", "examples", "item", "batch_data")


def is_graphs(value: Any) -> bool:
    """Say whether something is PyTorch Geometric's data: one graph, or a batch of them."""
    return any(kind.__module__.startswith("torch_geometric.data") for kind in type(value).__mro__)


def _shapes(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[tuple[int, ...]]:
    return [tuple(one.shape) for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim > 1]


def _second_axis(shapes: list[tuple[int, ...]], targets: Tensor | None) -> int | None:
    """n of inputs (T, n), (S, n): lengths differ, the second axis does not, or is as long as the targets."""
    if targets is not None and targets.ndim == 1 and all(shape[0] != len(targets) for shape in shapes):
        return next((shape[1] for shape in shapes if shape[1] == len(targets)), None)
    seconds = {shape[1] for shape in shapes}
    return seconds.pop() if len({shape[0] for shape in shapes}) > 1 and len(seconds) == 1 else None


def _says_time_first(model: nn.Module) -> bool:
    return any(getattr(part, "batch_first", None) is False for part in model.modules())


def _collated(inputs: Mapping[str, Any], target_key: str | None) -> dict[str, Any]:
    """Lists of tensors as one tensor, where the targets or another input say how many samples there are.

    Rows that are lists come from `default_collate` as columns. What may be rows as well as columns stays a list.
    """
    tensors = [
        part for part in (inputs.get(target_key or ""), *inputs.values()) if isinstance(part, Tensor) and part.ndim
    ]
    n = len(tensors[0]) if tensors else None
    made = {key: as_tensor(value, n=n) if isinstance(value, list) else None for key, value in inputs.items()}
    return {key: value if made[key] is None else made[key] for key, value in inputs.items()}


def answered(batch: Batch, leading: tuple[int, ...]) -> Batch:
    """The batch with the number of inputs that the model's answers tell, where its first axis is time."""
    if len(leading) != 1 or leading[0] == batch.size or batch.owner is not None:
        return batch
    first = next(iter(_shapes(batch.args, batch.kwargs)), ())
    return replace(batch, size=leading[0]) if first[1:2] == leading else batch


class _Columns(dict[str, Any]):
    """Columns that came as rows: the inputs among them have to be of equal length in every row."""


def _columns(rows: Any) -> _Columns:
    return _Columns(columns_of(rows))


def _size_of(*parts: Any) -> int | None:
    """Length of the first tensor; None where there is none."""
    for part in parts:
        for value in part.values() if isinstance(part, Mapping) else part:
            if isinstance(value, Tensor) and value.ndim > 0:
                return int(value.shape[0])
            if isinstance(value, (Mapping, list, tuple)) and (nested := _size_of(value)) is not None:
                return nested
    return None
