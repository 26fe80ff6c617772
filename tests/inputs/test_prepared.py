"""Prepared loaders are read as the loaders they were made of: every sample once, nothing of the training moved."""

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset, WeightedRandomSampler

from phiscope.inputs.prepared import unprepared

accelerate = pytest.importorskip("accelerate")
from accelerate.data_loader import BatchSamplerShard, IterableDatasetShard, prepare_data_loader  # noqa: E402

X = torch.arange(103).float()[:, None]


def prepared(loader, rank, ranks=2, **settings):
    return prepare_data_loader(loader, num_processes=ranks, process_index=rank, put_on_device=False, **settings)


def rows(loader):
    return torch.cat([batch[0].flatten() for batch in loader]).long().tolist()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("settings", [{}, {"split_batches": True}, {"even_batches": False}])
def test_all_samples_come_once_and_in_order(rank, settings):
    loader = prepared(DataLoader(TensorDataset(X), batch_size=10), rank, **settings)
    assert isinstance(loader.batch_sampler, BatchSamplerShard)
    assert rows(loader) != list(range(103))  # the control: the prepared loader gives a part
    plain = unprepared(loader)
    assert rows(plain) == list(range(103))
    assert rows(plain) == list(range(103))
    assert loader.iteration == 1  # only the pass of the control was counted


def test_one_process_keeps_its_loader_as_it_was():
    loader = prepared(DataLoader(TensorDataset(X), batch_size=10, drop_last=True), 0, ranks=1)
    assert rows(unprepared(loader)) == list(range(103))


def test_a_sampler_with_a_rule_of_its_own_is_left_whole():
    weighted = WeightedRandomSampler([1.0] * 50 + [0.0] * 53, 400, generator=torch.Generator().manual_seed(0))
    seen = rows(unprepared(prepared(DataLoader(TensorDataset(X), batch_size=10, sampler=weighted), 1)))
    assert len(seen) == 400
    assert set(seen) == set(range(50))


def test_a_shuffling_loader_still_shuffles():
    plain = unprepared(prepared(DataLoader(TensorDataset(X), batch_size=10, shuffle=True), 0))
    assert isinstance(plain.batch_sampler.sampler, RandomSampler)
    assert sorted(rows(plain)) == list(range(103))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(row,) for row in X])


def test_a_stream_is_read_whole():
    loader = prepared(DataLoader(Stream(), batch_size=10), 1)
    assert isinstance(loader.dataset, IterableDatasetShard)
    assert rows(unprepared(loader)) == list(range(103))


def test_collate_functions_stay():
    loader = DataLoader(TensorDataset(X), batch_size=10, collate_fn=lambda rows: (torch.stack([r[0] for r in rows]),))
    plain = unprepared(prepared(loader, 0))
    assert plain.collate_fn is loader.collate_fn
    assert rows(plain) == list(range(103))


def test_lightnings_wrapped_sampler_is_unwrapped():
    distributed = pytest.importorskip("lightning.fabric.utilities.distributed")
    sampler = distributed.DistributedSamplerWrapper(range(7), num_replicas=2, rank=1, shuffle=False)
    loader = DataLoader(TensorDataset(X), batch_size=3, sampler=sampler)
    assert rows(loader) == [1, 3, 5, 0]  # the control: a part, filled up
    assert rows(unprepared(loader)) == list(range(7))


@pytest.mark.parametrize("data", [[1, 2], (X, X), {"a": X}, DataLoader(TensorDataset(X))])
def test_what_was_not_prepared_comes_back(data):
    assert unprepared(data) is data
