"""Those who disturb a training on purpose; a comparison that does not see them proves nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn

from undisturbed_parts.watches import Scene, Watch


class Clumsy(Watch):
    """Somebody who disturbs: what the comparison has to see, and under which heading."""

    part = ""

    def _record(self, epoch: float) -> None:
        self._disturb(self.scene)

    def _disturb(self, scene: Scene) -> None:
        """Do it."""
        raise NotImplementedError


class DrawsANumber(Clumsy):
    """Takes one random number of torch's."""

    name, part = "draws a random number", "random states"

    def _disturb(self, scene: Scene) -> None:
        torch.rand(1)


class TakesABatch(Clumsy):
    """Begins to walk through the training's loader."""

    name, part = "takes a batch of the training's loader", "random states"

    def _disturb(self, scene: Scene) -> None:
        next(iter(scene.loader))


class LeavesEvalMode(Clumsy):
    """Switches to eval mode and forgets to switch back."""

    name, part = "leaves eval mode on", "modes"

    def _disturb(self, scene: Scene) -> None:
        scene.network.eval()


class MovesAWeight(Clumsy):
    """Changes the head in its last digits."""

    name, part = "moves a weight", "weights"

    @torch.no_grad()
    def _disturb(self, scene: Scene) -> None:
        for parameter in scene.layer.parameters():
            parameter.mul_(1 + 1e-6)


class LeavesAGradient(Clumsy):
    """Leaves something in `.grad`, as a backward pass of one's own would."""

    name, part = "leaves a gradient", "gradients"

    def _disturb(self, scene: Scene) -> None:
        for parameter in scene.layer.parameters():
            parameter.grad = torch.ones_like(parameter)


def _nothing(*args: Any) -> None:
    """A hook that does nothing but stay."""


class LeavesAHook(Clumsy):
    """Registers a hook and drops its handle."""

    name, part = "leaves a hook", "hooks"

    def _disturb(self, scene: Scene) -> None:
        scene.layer.register_forward_hook(_nothing)


class KeepsTheNetwork(Clumsy):
    """Holds on to the network when the training is over."""

    name, part = "keeps the network", "memory"
    kept: list[nn.Module] = []  # noqa: RUF012 - beyond the life of the watch, which is the point

    def _disturb(self, scene: Scene) -> None:
        self.kept.append(scene.network)

    def tidy(self) -> None:
        """Let it go."""
        self.kept.clear()


class LeavesAThread(Clumsy):
    """Starts a thread that does not end."""

    name, part = "leaves a thread", "threads"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._over = threading.Event()
        self._started: list[threading.Thread] = []

    def _disturb(self, scene: Scene) -> None:
        self._started.append(threading.Thread(target=self._over.wait, daemon=True))
        self._started[-1].start()

    def tidy(self) -> None:
        """End it."""
        self._over.set()
        for thread in self._started:
            thread.join()


CLUMSY: tuple[type[Clumsy], ...] = (
    DrawsANumber,
    TakesABatch,
    LeavesEvalMode,
    MovesAWeight,
    LeavesAGradient,
    LeavesAHook,
    KeepsTheNetwork,
    LeavesAThread,
)
