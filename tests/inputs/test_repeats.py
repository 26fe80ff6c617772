"""A loader whose workers each read the whole of an IterableDataset counts its samples several times: that is said."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import phiscope
from phiscope.inputs.repeats import REPEATED, Repeats

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


class Stream(IterableDataset):
    def __init__(self, parted):
        self.parted = parted

    def __iter__(self):
        info = get_worker_info()
        step, start = (info.num_workers, info.id) if self.parted and info is not None else (1, 0)
        return iter(zip(X[start::step], Y[start::step], strict=True))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.mark.parametrize(("workers", "parted", "n"), [(0, False, 60), (1, False, 60), (2, True, 60), (2, False, 120)])
def test_samples_that_every_worker_reads_are_said(tmp_path, workers, parted, n):
    loader = DataLoader(Stream(parted), batch_size=20, num_workers=workers)
    one = phiscope.measure(net(), loader)
    layer = next(iter(phiscope.measure_layers(net(), loader).values()))
    with phiscope.Observer(net(), loader, run=tmp_path / "r", gallery=0) as observer:
        recorded = observer.record(epoch=0)
    for measured in (one, layer, recorded):
        assert measured.n_samples == n
        assert (REPEATED in measured.warnings) == (n == 120)


def doubts(*batches):
    repeats = Repeats()
    assert len(list(repeats.watch(batches))) == len(batches)
    return repeats.doubts


SAID = {
    "tensors": [X, X.clone()],
    "arrays": [np.ones((3, 2)), np.ones((3, 2))],
    "pairs": [(X, Y), (X.clone(), Y.clone())],
    "mappings": [{"x": X, "text": ["a"] * 60}, {"x": X.clone(), "text": ["a"] * 60}],
}
UNSAID = {
    "none": [],
    "one": [X],
    "others": [X, X + 1e-6],
    "other targets": [(X, Y), (X.clone(), Y + 1)],
    "other sizes": [X, X[:-1].clone()],
    "another precision": [X, X.double()],
    "another kind": [X, X.numpy().copy()],
    "the same memory, filled anew": [X, X],
    "the same array": [X.numpy(), X.numpy()],
    "single samples": [X[:1], X[:1].clone()],
    "objects": [object(), object()],
    "only later ones": [X, X + 1, X + 1],
}


@pytest.mark.parametrize("case", SAID)
def test_two_batches_of_the_same_numbers_are_said(case):
    assert doubts(*SAID[case]) == (REPEATED,)


@pytest.mark.parametrize("case", UNSAID)
def test_control_what_differs_or_cannot_be_told_is_not(case):
    assert doubts(*UNSAID[case]) == ()
