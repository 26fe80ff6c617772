"""Settings of torch with something around the network: compilation, averages, a scaler."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from undisturbed_parts.loops import BatchNorm, Plain
from undisturbed_parts.networks import Net, training_loader
from undisturbed_parts.traces import Left
from undisturbed_parts.watches import Watch


class CompiledBefore(BatchNorm):
    """The observer gets a network that is compiled already."""

    key, title = "compile-before", "torch.compile before the observer"
    about = "the observer is made after `torch.compile`, before the first compiled step"

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Compiled."""
        return torch.compile(network)

    def forget(self) -> None:
        """What is compiled is torch's, which keeps it, and tensors with it, until it is told to let go."""
        super().forget()
        torch.compiler.reset()


class CompiledAfter(BatchNorm):
    """The network is compiled in place when the observer has been made."""

    key, title = "compile-after", "torch.compile after the observer"
    about = "the observer is made first, `network.compile()` comes after the first record"

    def forget(self) -> None:
        """What is compiled is torch's, which keeps it, and tensors with it, until it is told to let go."""
        super().forget()
        torch.compiler.reset()

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """Compiled before the first step."""
        if index == epoch == 0:
            self.model.compile()
        super().step(watch, x, y, index, epoch)


class Ema(BatchNorm):
    """The observer measures the running average of the weights; the passive one listens to the trained network."""

    key, title = "ema", "EMA: exponential average of weights"
    about = "`Observer` measures the network with the averaged weights, `PassiveObserver` the trained one"
    average: Any

    def prepare(self, network: nn.Module) -> None:
        """The average, moved after every step."""
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    def measured(self) -> nn.Module | None:
        """The average."""
        return self.average

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """The average follows."""
        super().step(watch, x, y, index, epoch)
        self.average.update_parameters(self.model)

    def left(self, network: nn.Module) -> Left:
        """With the average."""
        return Left(network=network, optimizers=[self.optimizer], modules={"average": self.average})


class Swa(BatchNorm):
    """Weights are averaged over epochs, batch norm is measured anew at the end."""

    key, title = "swa", "SWA: weights averaged over epochs"
    about = "a learning rate of its own, batch norm of the average measured at the end"
    average: Any
    rates: Any

    def prepare(self, network: nn.Module) -> None:
        """The average and its learning rate."""
        self.average = AveragedModel(network)
        self.rates = SWALR(self.optimizer, swa_lr=5e-3, anneal_epochs=2)

    def after_epoch(self, epoch: int) -> None:
        """The average follows from the second epoch on."""
        if epoch:
            self.average.update_parameters(self.model)
            self.rates.step()

    def finish(self) -> None:
        """Batch norm of the average."""
        update_bn(training_loader(), self.average, device=self.device)

    def left(self, network: nn.Module) -> Left:
        """With the average."""
        modules = {"average": self.average}
        return Left(network=network, optimizers=[self.optimizer], modules=modules, states={"rates": self.rates})


class Fp16Scaler(Plain):
    """Losses are scaled so that gradients do not vanish in float16; steps that overflow are left out."""

    key, title = "fp16", "fp16 autocast with a gradient scaler"
    about = "forward passes in float16, losses scaled up, steps whose gradients overflow left out"
    scaler: Any

    def fresh(self) -> nn.Module:
        """With batch norm and dropout."""
        return Net(dropout=True, batch_norm=True).to(self.device)

    def prepare(self, network: nn.Module) -> None:
        """A first scale so large that the first steps overflow, as they do in practice."""
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=2.0**24)

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """Scaled."""
        self.optimizer.zero_grad()
        with watch.batch((x, y)), torch.autocast(self.device.type, dtype=torch.float16):
            loss = self.loss(x, y)
        watch.lost(loss)
        self.scaler.scale(loss).backward()
        if index == 2:
            watch.record(epoch + 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def left(self, network: nn.Module) -> Left:
        """With the scaler."""
        return Left(network=network, optimizers=[self.optimizer], states={"scaler": self.scaler})
