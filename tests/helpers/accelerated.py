"""Two processes under accelerate, with 603 probe samples: run as a script, ``python accelerated.py FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.multiprocessing as mp
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def data() -> TensorDataset:
    x = torch.randn(603, 5, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def work(rank: int, folder: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    from accelerate import Accelerator

    from phiscope.integrations import AccelerateObserver

    accelerator = Accelerator(cpu=True)
    net, loader = accelerator.prepare(network(), DataLoader(data(), batch_size=50))
    # The control: what accelerate has prepared gives more samples than there are.
    seen = sum(len(x) for x, _ in loader)
    assert accelerator.reduce(torch.tensor(seen)).item() > 603
    with AccelerateObserver(accelerator, net, run=Path(folder) / "mine", gallery=0) as observer:
        for epoch in range(2):
            measured = observer.record(epoch=epoch)
            assert measured is not None
            assert measured.n_samples == 603
    torch.distributed.destroy_process_group()


def main(folder: str) -> None:
    import phiscope

    with phiscope.Observer(network(), DataLoader(data(), batch_size=50), run=Path(folder) / "alone", gallery=0) as one:
        one.record(epoch=0)
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, args=(folder, port), nprocs=2)


if __name__ == "__main__":
    main(sys.argv[1])
