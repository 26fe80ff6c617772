"""Settings that are a loop of plain torch: each says how it differs from the plain one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from undisturbed_parts.networks import Net, X, Y, probe_loader, training_loader
from undisturbed_parts.traces import Left
from undisturbed_parts.watches import Scene, Watch

EPOCHS = 3


class Plain:
    """A loop over batches with AdamW.

    Args:
        device: where to train.
    """

    key = "plain"
    title = "plain loop"
    about = "AdamW, shuffled batches"
    ranks = 1
    on_cards = True
    observes_loader = False
    merges = False

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def fresh(self) -> nn.Module:
        """A network at its start."""
        return Net().to(self.device)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network as the training calls it."""
        return network

    def loader(self) -> DataLoader[Any]:
        """The training's batches."""
        return training_loader()

    def probe(self) -> Any:
        """What an observer measures."""
        return probe_loader()

    def prepare(self, network: nn.Module) -> None:
        """Make what the setting needs beside network and optimizer."""

    def run(self, watch: Watch) -> Left:
        """Train, with somebody looking on."""
        network = self.fresh()
        self.model = self.wrapped(network)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        loader = self.loader()
        self.prepare(network)
        watch.begin(self.scene(network, loader))
        watch.record(0)
        for epoch in range(EPOCHS):
            self.model.train()
            for index, (x, y) in enumerate(loader):
                self.step(watch, x.to(self.device), y.to(self.device), index, epoch)
            self.after_epoch(epoch)
            watch.record(epoch + 1)
        self.finish()
        return self.left(network)

    def forget(self) -> None:
        """Let go of what the last training made: it is this setting's to keep, and no observer's."""
        device = self.device
        vars(self).clear()
        self.device = device

    def scene(self, network: nn.Module, loader: Any) -> Scene:
        """What whoever looks on gets."""
        return Scene(
            model=getattr(self, "model", network),
            network=network,
            make=self.fresh,
            head="head",
            probe=self.probe(),
            loader=loader,
            example=(X[:16], Y[:16]),
            more={"train": loader} if self.observes_loader else {},
            measured=self.measured(),
            merges=self.merges,
            call=self.called,
        )

    def called(self, model: nn.Module, raw: Any) -> Any:
        """A fresh network's answer to a batch of the probe."""
        return model(raw[0].to(self.device))

    def measured(self) -> nn.Module | None:
        """The network that an observer measures, where it is not the trained one."""
        return None

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """One step; in the middle of an epoch there is a record between gradients and the optimizer's step."""
        self.optimizer.zero_grad()
        with watch.batch((x, y)):
            loss = self.loss(x, y)
        watch.lost(loss)
        loss.backward()
        if index == 2:
            watch.record(epoch + 0.5)
        self.optimizer.step()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Of one batch."""
        return nn.functional.cross_entropy(self.model(x), y)

    def after_epoch(self, epoch: int) -> None:
        """What comes after an epoch, before its record."""

    def finish(self) -> None:
        """What comes after the last record."""

    def left(self, network: nn.Module) -> Left:
        """What the training leaves."""
        return Left(network=network, optimizers=[self.optimizer])


class Dropout(Plain):
    """Dropout draws from torch's random state in every step."""

    key, title, about = "dropout", "dropout", "random numbers in every step"

    def fresh(self) -> nn.Module:
        """With dropout."""
        return Net(dropout=True).to(self.device)


class BatchNorm(Plain):
    """Batch norm moves its running averages in every pass in training mode."""

    key, title, about = "batch-norm", "batch norm", "running averages that every pass in training mode moves"

    def fresh(self) -> nn.Module:
        """With batch norm and dropout."""
        return Net(dropout=True, batch_norm=True).to(self.device)


class Workers(BatchNorm):
    """The observer measures the very loader that the training walks through."""

    key, title = "workers", "shuffling loader with workers"
    about = "two persistent worker processes, a generator of its own; the observer also measures this loader"
    observes_loader = True

    def loader(self) -> DataLoader[Any]:
        """With two workers."""
        generator = torch.Generator().manual_seed(7)
        return training_loader(num_workers=2, persistent_workers=True, generator=generator)


class Bf16(BatchNorm):
    """Forward passes in bfloat16 where autocast thinks it safe."""

    key, title, about = "bf16", "bf16 autocast", "forward passes in bfloat16, a short number format"

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Under autocast."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return super().loss(x, y)


class Accumulation(BatchNorm):
    """Records fall between the backward passes of one step."""

    key, title = "accumulation", "gradient accumulation"
    about = (
        "a step of the optimizer every three batches; a record falls between them, another with gradients half summed"
    )

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """Three batches make a step."""
        with watch.batch((x, y)):
            loss = self.loss(x, y) / 3
        watch.lost(loss)
        loss.backward()
        if index == 3:
            watch.record(epoch + 0.5)
        # Sums run on over the end of an epoch, so that its record meets gradients that are half summed.
        if (epoch * 7 + index) % 3 == 2:
            self.optimizer.step()
            self.optimizer.zero_grad()


class Checkpointing(BatchNorm):
    """Layers run a second time in the backward pass."""

    key, title = "checkpointing", "activation checkpointing"
    about = "layers run again in the backward pass instead of keeping what they gave"

    def fresh(self) -> nn.Module:
        """Batch norm is left out: it would move twice in each step, observed or not."""
        return Net(dropout=True, checkpointed=True).to(self.device)
