"""Settings of two processes that train together; they run inside a process group of torch.distributed."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, DistributedSampler

from undisturbed_parts.loops import BatchNorm
from undisturbed_parts.networks import BATCH, PROBE_X, Net, X, probe_loader, training_loader


class Ddp(BatchNorm):
    """Each process trains on its part of the data; gradients are averaged."""

    key, title = "ddp", "DDP, two processes observe together"
    about = (
        "two processes average their gradients (over gloo); each measures its part of the probe, the first one writes"
    )
    ranks = 2
    merges = True

    def wrapped(self, network: nn.Module) -> nn.Module:
        """By torch's own wrapper."""
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def loader(self) -> DataLoader[Any]:
        """This process' part, in smaller batches: as many steps as one process makes."""
        sampler = DistributedSampler(range(len(X)), shuffle=True, seed=3)
        return training_loader(sampler=sampler, batch_size=BATCH // self.ranks)

    def probe(self) -> Any:
        """This process' part."""
        return probe_loader(sampler=DistributedSampler(range(len(PROBE_X)), shuffle=False))


class DdpAlone(Ddp):
    """The probe is the same for all processes, so that one of them measures it, as `ranks="auto"` does."""

    key, title = "ddp-alone", "DDP, one of two processes observes"
    about = "the same, but the first process measures the whole probe, and the other one does nothing"
    merges = False

    def probe(self) -> Any:
        """All of it."""
        return probe_loader()


class Fsdp(Ddp):
    """Each process holds a part of every weight; a forward pass gathers them."""

    key, title = "fsdp2", "FSDP2, two processes"
    about = "each process holds a part of every weight (`fully_shard` on CPUs, over gloo); they measure together"

    def fresh(self) -> nn.Module:
        """Without batch norm, whose averages FSDP2 leaves to each process."""
        return Net(dropout=True).to(self.device)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Sharded in place: the body, the head, and the rest."""
        mesh = init_device_mesh(self.device.type, (self.ranks,))
        for part in (network.get_submodule("body"), network.get_submodule("head")):
            fully_shard(part, mesh=mesh)
        return fully_shard(network, mesh=mesh)
