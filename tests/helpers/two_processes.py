"""A framework on two processes, with 603 probe samples: ``python two_processes.py FRAMEWORK FOLDER``."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from pathlib import Path

import torch
import torch.multiprocessing as mp
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def data() -> TensorDataset:
    x = torch.randn(603, 5, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def stop() -> phiscope.Alert:
    """Fires at the third record, which has to stop both processes."""
    return phiscope.Alert("effective_dimension", below=1e9, patience=3, then="stop")


def accelerate(folder: Path) -> None:
    from accelerate import Accelerator

    from phiscope.integrations import AccelerateObserver

    accelerator = Accelerator(cpu=True)
    net, loader = accelerator.prepare(network(), DataLoader(data(), batch_size=50))
    # The control: what accelerate has prepared gives more samples than there are.
    seen = sum(len(x) for x, _ in loader)
    assert accelerator.reduce(torch.tensor(seen)).item() > 603
    with AccelerateObserver(accelerator, net, run=folder / "mine", gallery=0, alerts=[stop()]) as observer:
        for epoch in range(9):
            measured = observer.record(epoch=epoch)
            assert measured is not None
            assert measured.n_samples == 603
            if observer.should_stop:
                assert accelerator.check_trigger()
                break


def transformers(folder: Path) -> None:
    from phiscope.integrations import TransformersObserver
    from texts import rows, trainer

    observer = TransformersObserver(run=folder / "mine", gallery=0, alerts=[stop()])
    trainer(folder, observer, evaluation=rows(603, 5), num_train_epochs=9).train()


def lightning(folder: Path) -> None:
    from lit import fitted, made
    from phiscope.integrations import LightningObserver

    train = DataLoader(TensorDataset(*data()[:96]), batch_size=16, shuffle=True)
    observer = LightningObserver(run=folder / "mine", gallery=0, alerts=[stop()])
    held = DataLoader(data(), batch_size=50)
    fitted(made(), folder, observer, data=(train, held), devices=2, strategy="ddp", max_epochs=9)


WORK = {"accelerate": accelerate, "transformers": transformers}


def work(rank: int, framework: str, folder: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    WORK[framework](Path(folder))
    torch.distributed.destroy_process_group()


def main(framework: str, folder: str) -> None:
    warnings.simplefilter("ignore")
    if framework == "lightning":
        lightning(Path(folder))  # which starts the second process itself
        return
    with phiscope.Observer(network(), DataLoader(data(), batch_size=50), run=Path(folder) / "alone", gallery=0) as one:
        one.record(epoch=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, args=(framework, folder, port), nprocs=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
