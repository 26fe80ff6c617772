"""Whether data come in an order that an array of targets can follow: proven, or refused with the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

from phiscope.errors import InputError, named_kind, with_article
from phiscope.inputs.parts import check_same_index, is_frame

_INSIDE = ("base_dataloader", "dataloader", "loader", "iterable", "dl")
"""Where wrappers keep the loader they wrap: accelerate's, progress bars, people's own."""

_KNOWN_COLLATORS = ("torch.", "torch_geometric.", "transformers.", "phiscope.")
"""Modules whose collate functions keep the order of the samples."""


def check_order(data: Any, targets: Any) -> None:
    """Refuse an array of targets beside data that do not provably come in the order of the data set.

    Arrays, data sets and iterables of batches come as their owner put them. A DataLoader does when its sampler is
    torch's own SequentialSampler and nothing behind it, neither workers nor a collate function, can change the order.

    Args:
        data: anything `phiscope.measure` takes.
        targets: None and functions of a batch pass, whatever the order.

    Raises:
        InputError: the order is not proven; the message says what stands against it, and the ways out.

    Example:
        >>> check_order(DataLoader(range(4)), [0, 1, 0, 1])
        >>> doubt_about_order(DataLoader(range(4), shuffle=True))
        'the loader draws them with a RandomSampler'
    """
    if targets is None or callable(targets):
        return
    doubt = doubt_about_order(data)
    if doubt:
        raise InputError(
            f"targets given as an array follow the samples by their order, but {doubt}; use a plain DataLoader with "
            "shuffle=False, put the targets into the batches, or pass targets=a function of the batch"
        )
    check_same_index(data, targets)


def doubt_about_order(data: Any) -> str:
    """Why the samples may come in another order than that of the data set, in words; empty where they do not."""
    if isinstance(data, DataLoader):
        return _of_loader(data)
    if isinstance(data, _BaseDataLoaderIter):
        return _of_parts(data._index_sampler, data._collate_fn) or _of_workers(data, data._dataset)
    if isinstance(data, (Mapping, Sequence, Dataset)) or is_frame(data) or hasattr(data, "__array__"):
        return ""
    for name in _INSIDE:
        inner = getattr(data, name, None)
        if inner is not None and inner is not data and not callable(inner):
            return doubt_about_order(inner)
    if isinstance(data, Iterator) or (hasattr(data, "with_format") and hasattr(data, "column_names")):
        return ""
    return f"{named_kind(data)} is no DataLoader of torch, and reads in an order of its own"


def _of_loader(loader: DataLoader[Any]) -> str:
    kind = type(loader)
    if kind.__iter__ is not DataLoader.__iter__ and not kind.__module__.startswith(_KNOWN_COLLATORS):
        return f"{with_article(kind.__name__)} iterates in its own way"
    sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    return _of_parts(sampler, loader.collate_fn) or _of_workers(loader, loader.dataset)


def _of_parts(sampler: Any, collate: Any) -> str:
    if type(sampler) is BatchSampler:
        sampler = sampler.sampler
    name = type(sampler).__name__
    # torch's stand-in where an iterable data set decides itself.
    if type(sampler) is not SequentialSampler and name != "_InfiniteConstantSampler":
        return f"the loader draws them with {with_article(name)}"
    origin = getattr(collate, "__module__", None) or type(collate).__module__
    if not f"{origin}.".startswith(_KNOWN_COLLATORS):
        called = getattr(collate, "__name__", type(collate).__name__)
        return f"the loader's collate_fn {called!r} may sort them or leave some out"
    return ""


def _of_workers(loader: Any, dataset: Any) -> str:
    workers = int(getattr(loader, "num_workers", getattr(loader, "_num_workers", 0)))
    if workers > 1 and isinstance(dataset, IterableDataset):
        return f"{workers} workers share an iterable data set, whose parts come interleaved"
    if workers > 1 and not getattr(loader, "in_order", getattr(loader, "_in_order", True)):
        return "the loader has in_order=False and gives batches as they are ready"
    return ""
