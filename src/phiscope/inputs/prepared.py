"""Loaders that accelerate, the Trainer or Lightning have prepared, read as the loaders they were made of."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, SequentialSampler

_COPIED = ("collate_fn", "num_workers", "worker_init_fn", "multiprocessing_context", "generator", "prefetch_factor")


def unprepared(data: Any, *, split: bool = True) -> Any:
    """The loader that a framework's prepared loader was made of.

    A prepared loader gives each process a part, filled up with samples that another part has already, moves random
    states, and counts its own passes. Measuring needs each sample once, and nothing of the training's moved. Samples in
    the order of the data set are split over the processes by a `DistributedSampler`, whose repeats are known; a sampler
    with a rule of its own is left whole.

    Args:
        data: anything; what was not prepared comes back as it is.
        split: under torch.distributed, give every process its part; else all of it.

    Example:
        >>> unprepared([1, 2])
        [1, 2]
    """
    if _has_own_parts(data):
        return _of_accelerate(data, split)
    sampler = getattr(data, "sampler", None)
    if type(sampler).__name__ == "DistributedSamplerWrapper" and type(sampler).__module__.startswith("lightning."):
        # Lightning wraps a sampler of the user's; its repeats cannot be told from samples drawn twice on purpose.
        own: Any = sampler
        return _loader(data, data.dataset, BatchSampler(own.dataset._sampler, data.batch_size, data.drop_last))
    return data


def _has_own_parts(data: Any) -> bool:
    return type(data).__module__.startswith("accelerate.") and hasattr(data, "base_dataloader")


def _of_accelerate(data: Any, split: bool) -> DataLoader[Any]:
    dataset, batches = data.dataset, data.batch_sampler
    n_parts = 1
    if hasattr(batches, "process_index"):  # its share of the batches
        n_parts = batches.num_processes if batches.split_batches else 1
        batches = batches.batch_sampler
    if hasattr(dataset, "process_index"):  # its share of an iterable data set
        dataset = dataset.dataset
    if isinstance(dataset, IterableDataset) or batches is None:
        return _loader(data, dataset, None)
    if type(batches) is not BatchSampler or type(batches.sampler) is not SequentialSampler:
        return _loader(data, dataset, batches)
    size = max(batches.batch_size // n_parts, 1)
    if split and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _loader(data, dataset, BatchSampler(DistributedSampler(dataset, shuffle=False), size, drop_last=False))
    return _loader(data, dataset, BatchSampler(SequentialSampler(dataset), size, drop_last=False))


def _loader(made: Any, dataset: Any, batches: Any) -> DataLoader[Any]:
    settings: dict[str, Any] = {name: getattr(made, name, None) for name in _COPIED}
    if batches is None:
        return DataLoader(dataset, batch_size=made.batch_size, **settings)
    return DataLoader(dataset, batch_sampler=batches, **settings)
