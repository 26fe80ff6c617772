"""A loader that shuffles: a network compared with a copy of itself has to be the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from judged_parts.cases.case import Case, Row, theirs


def network() -> nn.Sequential:
    """A small network with fixed weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


def loader(shuffle: bool) -> DataLoader[tuple[torch.Tensor, ...]]:
    """500 samples in batches of 100."""
    g = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.randn(500, 6, generator=g), torch.randint(3, (500,), generator=g))
    return DataLoader(data, batch_size=100, shuffle=shuffle, generator=torch.Generator().manual_seed(2))


def by_torch_cka(shuffle: bool) -> float:
    """torch-cka of a network and its copy."""
    from torch_cka import CKA

    judge = CKA(network(), network(), "first", "second", ["1"], ["1"])
    judge.compare(loader(shuffle))
    return float(judge.export()["CKA"][0, 0])


def by_pytorch_cka(shuffle: bool) -> float:
    """pytorch-cka of a network and its copy."""
    from cka import compute_cka

    return float(compute_cka(network(), network(), loader(shuffle), layers=["1"])[0][0, 0])


def ours(shuffle: bool) -> float:
    """S_init of a network that has not been trained: both maps see each batch together."""
    net = network()
    with (
        tempfile.TemporaryDirectory() as folder,
        phiscope.Observer(net, loader(shuffle), run=f"{folder}/run", every="epoch") as observer,
    ):
        observer.record(epoch=0)
        return observer.record(epoch=1)["initial_kernel_similarity"]


JUDGES = {"torch-cka": by_torch_cka, "pytorch-cka": by_pytorch_cka}


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """In order, and shuffled."""
    for words, shuffle in (("a loader in order", False), ("a loader that shuffles", True)):
        yield Row(
            number="CKA of a layer and its copy",
            condition=words,
            exact=1.0,
            ours=ours(shuffle),
            others={name: theirs(lambda by=by, s=shuffle: by(s)) for name, by in JUDGES.items() if there(name)},
        )


CASE = Case(
    key="shuffling-loader",
    title="A loader that shuffles",
    packages={"torch-cka": "torch_cka", "pytorch-cka": "cka"},
    computes="torch-cka goes through the loader twice at the same time, once for each network. A loader that "
    "shuffles gives each of them an order of its own, so that rows of different samples are compared. "
    "pytorch-cka hands each batch to both.",
    advice="Use a loader with `shuffle=False`, or fix the order of the samples before. phiscope's `compare` takes "
    "two arrays and cannot see whether their rows belong together either: make both from the same batches. "
    "Its numbers that pair two times of one network (S_init, here) are taken from one pass.",
    rows=rows,
)
