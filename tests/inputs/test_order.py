"""Arrays of targets follow data whose order is proven, and no others."""

import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler
from tqdm import tqdm

import phiscope
from phiscope.errors import InputError
from phiscope.inputs.order import check_order, doubt_about_order

N = 120
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
NET = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
DATA = TensorDataset(X)


class Backwards(Sampler):
    def __init__(self):
        pass

    def __iter__(self):
        return iter(range(N - 1, -1, -1))

    def __len__(self):
        return N


class BackwardsSequential(SequentialSampler):
    def __iter__(self):
        return iter(range(N - 1, -1, -1))


class BackwardsLoader(DataLoader):
    def __iter__(self):
        return iter(list(super().__iter__())[::-1])


class Streamed(IterableDataset):
    def __iter__(self):
        return iter(X)


class Foreign:
    """A loader of another library."""

    sampler = None

    def __iter__(self):
        return iter([X.flip(0)])


class Wrapped:
    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)


def by_first_number(samples):
    return torch.stack(sorted((x for (x,) in samples), key=lambda x: float(x[0])))


IN_ORDER = {
    "tensor": lambda: X,
    "data set": lambda: DATA,
    "streamed": Streamed,
    "list of batches": lambda: [X[:50], X[50:]],
    "generator": lambda: (part for part in X.split(50)),
    "loader": lambda: DataLoader(DATA, 32),
    "loader that drops nothing": lambda: DataLoader(DATA, 30, drop_last=True),
    "loader of a subset": lambda: DataLoader(Subset(DATA, range(N)), 32),
    "loader with workers": lambda: DataLoader(DATA, 32, num_workers=2),
    "sequential batch sampler": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 32, False)
    ),
    "batches by sampler": lambda: DataLoader(X, sampler=BatchSampler(SequentialSampler(X), 32, False), batch_size=None),
    "streamed loader": lambda: DataLoader(Streamed(), 32),
    "progress bar": lambda: tqdm(DataLoader(DATA, 32), disable=True),
    "iterator of a loader": lambda: iter(DataLoader(DATA, 32)),
}

NOT_IN_ORDER = {
    "RandomSampler": lambda: DataLoader(DATA, 32, shuffle=True),
    "SubsetRandomSampler": lambda: DataLoader(DATA, 32, sampler=SubsetRandomSampler(range(N))),
    "WeightedRandomSampler": lambda: DataLoader(DATA, 32, sampler=WeightedRandomSampler(torch.ones(N), N, False)),
    "DistributedSampler": lambda: DataLoader(DATA, 32, sampler=DistributedSampler(DATA, 2, 0, shuffle=False)),
    "Backwards": lambda: DataLoader(DATA, 32, sampler=Backwards()),
    "BackwardsSequential": lambda: DataLoader(DATA, 32, sampler=BackwardsSequential(DATA)),
    "list": lambda: DataLoader(DATA, 32, sampler=list(range(N - 1, -1, -1))),
    "with a RandomSampler": lambda: DataLoader(DATA, batch_sampler=BatchSampler(RandomSampler(DATA), 32, False)),
    "draws them with a list": lambda: DataLoader(DATA, batch_sampler=[range(60, N), range(60)]),
    "draws them with a Random": lambda: DataLoader(
        X, sampler=BatchSampler(RandomSampler(X), 32, False), batch_size=None
    ),
    "collate_fn 'by_first_number'": lambda: DataLoader(DATA, 32, collate_fn=by_first_number),
    "2 workers share": lambda: DataLoader(Streamed(), 32, num_workers=2),
    "in_order=False": lambda: DataLoader(DATA, 32, num_workers=2, in_order=False),
    "BackwardsLoader iterates": lambda: BackwardsLoader(DATA, 32),
    "Foreign is no DataLoader": Foreign,
    "a RandomSampler;": lambda: tqdm(DataLoader(DATA, 32, shuffle=True), disable=True),
    "but the loader draws them with a RandomSampler": lambda: Wrapped(DataLoader(DATA, 32, shuffle=True)),
    "RandomSampler; use": lambda: iter(DataLoader(DATA, 32, shuffle=True)),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_targets_follow_a_proven_order(name):
    expected = phiscope.measure(NET, (X, Y))["readout_r2"]
    # Other batch sizes round float32 features differently.
    assert phiscope.measure(NET, IN_ORDER[name](), targets=Y)["readout_r2"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("words", NOT_IN_ORDER)
def test_any_other_order_is_refused_with_the_way_out(words):
    with pytest.raises(
        InputError, match="shuffle=False, put the targets into the batches, or pass targets="
    ) as refused:
        phiscope.measure(NET, NOT_IN_ORDER[words](), targets=Y)
    assert words in str(refused.value)


def test_every_door_refuses(tmp_path):
    loader = DataLoader(DATA, 32, sampler=Backwards())
    doors = (
        lambda: phiscope.measure(NET, loader, targets=Y),
        lambda: phiscope.measure_layers(NET, loader, targets=Y),
        lambda: phiscope.Observer(NET, loader, targets=Y, run=tmp_path / "run"),
        lambda: phiscope.restrict(phiscope.measure(NET, (X, Y)), loader, NET, targets=Y),
    )
    for door in doors:
        with pytest.raises(InputError, match="draws them with a Backwards"):
            door()


def test_functions_and_own_targets_need_no_order():
    loader = DataLoader(TensorDataset(X, Y), 32, shuffle=True)
    check_order(loader, None)
    expected = phiscope.measure(NET, (X, Y))["readout_r2"]
    by_function = phiscope.measure(NET, loader, targets=lambda batch: batch[1])
    assert by_function["readout_r2"] == pytest.approx(expected, rel=1e-4)


def test_a_wrapper_of_a_proven_loader_is_proven():
    assert doubt_about_order(Wrapped(DataLoader(DATA))) == ""
