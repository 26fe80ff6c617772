"""Data in the shapes people have them, as a stream of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from phiscope.errors import EmptyDataError, InputError, ShapeError, named_kind
from phiscope.inputs.parts import (
    as_tensor,
    check_no_targets,
    check_same_index,
    described,
    is_frame,
    is_rows,
    is_sample,
)

DATASET_BATCH_SIZE = 256


def batches_of(data: Any) -> Iterator[Any]:
    """Iterate the batches of a data set, as they come.

    Args:
        data: a DataLoader; a Dataset (torch's, or Hugging Face's), read in batches of 256; a tensor or
            array x; a tuple (x, y) of tensors or arrays; a mapping of tensors of equal length; or any
            iterable of batches. A list is an iterable of batches, a tuple that starts with an array is (x, y).
            A list of rows (mappings) whose target is a single number is cut into batches of 256.

    Raises:
        InputError: data is none of these.
        ShapeError: x and y differ in length.

    Example:
        >>> import torch
        >>> [x.shape[0] for x, y in batches_of((torch.zeros(300, 2), torch.zeros(300)))]
        [256, 44]
    """
    # A batch without samples (filtered, or drawn by chance) adds nothing.
    return (raw for raw in _batches(_plain(data)) if not is_empty(raw))


def is_empty(raw: Any) -> bool:
    """Say whether the first array of a raw batch has no rows."""
    if _is_array(raw):
        return len(raw) == 0
    if isinstance(raw, list) and is_rows(raw):
        return False
    parts = raw.values() if isinstance(raw, Mapping) else raw if isinstance(raw, (tuple, list)) else ()
    first = next((part for part in parts if _is_array(part) or isinstance(part, (Mapping, tuple, list))), None)
    return first is not None and is_empty(first)


def _batches(data: Any) -> Iterator[Any]:
    if type(data) is DataLoader:
        yield from _own_iterator(data)
    elif hasattr(data, "with_format") and hasattr(data, "column_names"):
        yield from DataLoader(data.with_format("torch"), batch_size=DATASET_BATCH_SIZE, collate_fn=_collated)
    elif isinstance(data, Dataset):
        yield from DataLoader(data, batch_size=DATASET_BATCH_SIZE, collate_fn=_collated)
    elif _are_rows(data):
        yield from (data[start : start + DATASET_BATCH_SIZE] for start in range(0, len(data), DATASET_BATCH_SIZE))
    elif _is_array(data) or isinstance(data, Mapping) or _is_pair(data):
        yield from _slices(data)
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes, Tensor, np.ndarray)):
        yield from data
    else:
        raise InputError(
            f"data is {named_kind(data)}; expected a DataLoader, a Dataset, (x, y) tensors or an iterable of batches"
        )


def _collated(samples: list[Any]) -> Any:
    try:
        return default_collate(samples)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"samples of the data set make no batch, the first is {described(samples[0])}: {error}; pass a loader that "
            "pads or chooses, DataLoader(data, batch_size=32, collate_fn=...)"
        ) from error


def _are_rows(data: Any) -> bool:
    """Whether a list is rows rather than batches: a single number is the target of no batch."""
    return isinstance(data, list) and is_rows(data) and is_sample(data[0])


def _plain(data: Any) -> Any:
    """Frames as tensors; what is no data set but looks like one is refused."""
    if isinstance(data, tuple) and len(data) == 2:
        data = _apart(data[0], data[1]), _apart(data[1], data[0])
    if isinstance(data, Mapping) and any(map(_is_data_set, data.values())):
        first = next(iter(data), "train")
        raise InputError(
            f"data is {described(data)}, several data sets; expected one of them, for example data[{first!r}]"
        )
    if is_frame(data) or (isinstance(data, tuple) and any(map(_is_pandas, data))):
        parts = data if isinstance(data, tuple) else (data,)
        tensors = tuple(_of_pandas(part) if _is_pandas(part) else part for part in parts)
        if len(parts) == 2:
            check_same_index(*parts)
        for part, tensor in zip(parts, tensors, strict=True):
            if is_frame(part):
                check_no_targets(part)
            if part is not None and tensor is None:
                raise InputError(
                    f"data hold {described(part)}, not all of them numbers; expected numbers in every column, or arrays"
                )
        return tensors if isinstance(data, tuple) else tensors[0]
    if isinstance(data, list) and len(data) == 2 and all(map(_is_array, data)) and _is_x_and_y(*data):
        raise InputError(
            f"data is a list of {described(data[0])} and {described(data[1])}; a list is a list of batches, so pass x "
            "and y as a tuple: (x, y)"
        )
    return data


def _apart(part: Any, other: Any) -> Any:
    """A list of several inputs or targets as a tuple, where each is as long as what stands beside; rows stay a list."""
    if not isinstance(part, list) or not part or not all(map(_is_array, part)) or isinstance(other, list):
        return part
    n = next((len(one) for one in _arrays_in(other) if _is_array(one)), None)
    return tuple(part) if n != len(part) and {len(one) for one in part} == {n} else part


def _is_data_set(value: Any) -> bool:
    return isinstance(value, (Dataset, DataLoader)) or hasattr(value, "column_names")


def _is_pandas(value: Any) -> bool:
    return is_frame(value) or (hasattr(value, "iloc") and hasattr(value, "to_numpy"))


def _of_pandas(table: Any) -> Tensor | None:
    """A table of whole numbers is inputs all the same; a column of them may be classes."""
    tensor = as_tensor(table)
    return tensor if tensor is None or not is_frame(table) or tensor.is_floating_point() else tensor.double()


def _is_x_and_y(x: Any, y: Any) -> bool:
    """Whether two arrays of one length cannot both be batches of the same inputs."""
    return len(x) == len(y) and (x.ndim != y.ndim or x.shape[1:] != y.shape[1:]) and y.ndim < 3


def peeked(batches: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    """Return the first batch, and all batches with the first one still among them.

    Raises:
        EmptyDataError: there is no batch.
    """
    for first in batches:
        return first, chain([first], batches)
    raise EmptyDataError("the data hold no batch; if they are a generator, it may have been used up already")


def known_length(data: Any) -> int | None:
    """Return the number of batches when it is known without reading."""
    if isinstance(data, Dataset) or _is_array(data) or isinstance(data, Mapping) or _is_pair(data) or _are_rows(data):
        return None
    try:
        return len(data)
    except TypeError:
        return None


def _own_iterator(loader: DataLoader[Any]) -> Iterable[Any]:
    if not loader.persistent_workers:
        return loader
    # A loader with persistent workers has one iterator for all: iterating it here would rewind the training
    # loop that is walking through it. The copy shares data set and sampler and has its own workers.
    shared: dict[str, Any] = {
        name: getattr(loader, name)
        for name in ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator")
    }
    shared |= {
        "multiprocessing_context": loader.multiprocessing_context,
        "prefetch_factor": loader.prefetch_factor,
    }
    if loader.batch_sampler is None:
        return DataLoader(loader.dataset, batch_size=None, sampler=loader.sampler, **shared)
    return DataLoader(loader.dataset, batch_sampler=loader.batch_sampler, **shared)


def _slices(data: Any) -> Iterator[Any]:
    if is_sample(data):
        raise InputError(
            f"data is {described(data)}, whose target is a single number: it looks like one row; expected n samples, "
            "such as a list of rows"
        )
    for part in _arrays_in(data):
        if np.ndim(part) == 0:
            raise InputError(
                f"data is {described(data)}, which holds a single number: it looks like one sample; expected n "
                "samples, with a target for each"
            )
        if isinstance(part, Tensor) and part.layout != torch.strided:
            raise InputError(
                "data holds a sparse Tensor, whose rows cannot be cut into batches; pass its to_dense(), or batches of "
                "your own"
            )
    lengths = {len(part) for part in _arrays_in(data)}
    if len(lengths) != 1:
        raise ShapeError(f"the parts of the data differ in length: {sorted(lengths)}; expected n samples in each")
    for start in range(0, lengths.pop(), DATASET_BATCH_SIZE):
        yield _sliced(data, slice(start, start + DATASET_BATCH_SIZE))


def _sliced(data: Any, rows: slice) -> Any:
    if isinstance(data, Mapping):
        return {key: _sliced(value, rows) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(_sliced(part, rows) for part in data)
    return None if data is None else data[rows]


def _arrays_in(data: Any) -> Iterator[Any]:
    if isinstance(data, Mapping):
        data = tuple(data.values())
    if isinstance(data, tuple):
        for part in data:
            yield from _arrays_in(part)
    elif data is not None:
        yield data


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0


def _is_pair(data: Any) -> bool:
    if not isinstance(data, tuple) or not 0 < len(data) <= 2:
        return False
    several = isinstance(data[0], tuple) and len(data) == 2 and all(map(_is_array, (*data[0], data[1])))
    return _is_array(data[0]) or isinstance(data[0], Mapping) or (several and len(data[0]) > 0)
