"""One plain training function: settings in, one outcome out, the same for the same seed."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import phiscope
from phiscope.errors import NonFiniteError
from phiscope.reproduction.outcome import NUMBERS, Outcome, Point, Status, short
from phiscope.reproduction.probing import Probe
from phiscope.reproduction.samples import SampleSet, samples_of
from phiscope.reproduction.settings import Setup
from phiscope.studies.architectures import build_network
from phiscope.studies.cutting import channel_numbers, unit_numbers
from phiscope.studies.distorted import Distortions, distort
from phiscope.studies.networks import StudyNetwork
from phiscope.theory.tangent import parameter_distance, parameter_norm, tangent_kernel, tangent_kernel_distance

MOST_EVALUATED = 10_000
"""Training samples on which loss and accuracy are read; test samples are all read."""

_BATCH = 1000
_CHECKED_EVERY = 50


class _DivergedError(Exception):
    """The loss is infinite or undefined."""


def train(setup: Setup, *, folder: str | None = None, device: torch.device | None = None) -> Outcome:
    """Train one network and measure it on train and test samples at steps evenly spaced in their logarithm.

    On the CPU the same setup gives the same numbers; torch works with one thread meanwhile, and the caller's random
    state is left as it was. A training that diverges is an outcome whose status says so.

    Args:
        setup: the settings.
        folder: where the files of MNIST or CIFAR are.
        device: where to train; None is the CPU.

    Raises:
        InputError: settings that cannot be, or data that are missing.

    Example:
        >>> outcome = train(Setup(data="digits", n_train=100, width=0.05, steps=3, points=2, probe=50))
        >>> [point.step for point in outcome.points], outcome.status
        ([0, 1, 3], 'finished')
    """
    started = time.perf_counter()
    where = device or torch.device("cpu")
    with _one_thread(where), torch.random.fork_rng(devices=[]):
        samples = samples_of(setup, folder=folder)
        run = _Run(setup, samples, where)
        status, why = run.to_the_end()
    return Outcome(
        setup=setup,
        status=status,
        why=why,
        points=tuple(run.points),
        source=samples.source,
        seconds=round(time.perf_counter() - started, 2),
        device=torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        versions={"phiscope": phiscope.__version__, "torch": str(torch.__version__), "numpy": np.__version__},
        day=datetime.now(UTC).date().isoformat(),
        numbers=NUMBERS,
    )


class _Run:
    """A training under way."""

    def __init__(self, setup: Setup, samples: SampleSet, device: torch.device) -> None:
        self.setup, self.samples, self.points = setup, samples, list[Point]()
        self.network = build_network(
            setup.network,
            input_shape=samples.input_shape,
            num_outputs=samples.num_outputs,
            width=setup.width,
            depth=setup.depth,
            batch_norm=setup.batch_norm,
            init_scale=setup.init_scale,
            seed=setup.seed,
        ).to(device)
        self.distortions = self._distorted()
        if setup.frozen:
            self.network.freeze_features()
        if setup.decays_frozen:
            # Gradients that are zero and never change: AdamW takes its decay off and nothing else.
            for parameter in self.network.features.parameters():
                parameter.requires_grad_(True)
                parameter.grad = torch.zeros_like(parameter)
        self.inputs, self.targets = samples.train_x.to(device), samples.train_y.to(device)
        self.tests = {"test": samples.test_x, **samples.further}
        self.tests = {name: part.to(device) for name, part in self.tests.items()}
        self.test_targets = samples.test_y.to(device)
        self.optimizer = _optimizer(setup, self.network)
        self.order = torch.Generator().manual_seed(setup.seed)
        self.before = self._initial_outputs()
        n = setup.probe
        self.probe = Probe(
            self.network,
            {
                "train": (self.inputs[:n], self.targets[:n]),
                "test": (self.tests["test"][:n], self.test_targets[:n]),
            },
            before={split: part[:n] for split, part in self.before.items()},
        )
        self.kernel = self._kernel()

    def _distorted(self) -> Distortions | None:
        setup = self.setup
        if not setup.distortion:
            return None
        share, block, strength = setup.distorted_share, setup.distorted_block, setup.distortion_strength
        return distort(
            self.network, setup.distortion, probability=share, block=block, strength=strength, seed=setup.seed
        )

    def to_the_end(self) -> tuple[Status, str]:
        """Take all steps; say how it went."""
        wanted, step = set(self.setup.measured_steps()), 0
        try:
            self._measure(0)
            for step, rows in enumerate(self._rows(), start=1):
                self._step(step, rows)
                if step in wanted:
                    self._measure(step)
        except (_DivergedError, NonFiniteError) as error:
            return "diverged", f"after step {step}: {error}"
        return "finished", ""

    def _rows(self) -> Iterator[Tensor]:
        """Row numbers of every step's batch; an epoch is a random order of all samples."""
        left, size = self.setup.steps, self.setup.batch_size
        while True:
            for rows in torch.split(torch.randperm(len(self.inputs), generator=self.order), size):
                # Batch norm cannot normalize a batch of one.
                if len(rows) > 1 or len(self.inputs) == 1:
                    yield rows
                    left -= 1
                if not left:
                    return

    def _step(self, step: int, rows: Tensor) -> None:
        self.network.train()
        rows = rows.to(self.inputs.device)
        inputs = self.inputs[rows]
        if self.setup.crops:
            inputs = cropped(inputs, self.order)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.setup, step)
        if self.distortions is not None:
            self.distortions.begin_step((step - 1) / self.setup.steps)
        network, trained = self.network, self.network.head if self.setup.decays_frozen else self.network
        outputs = network.head(network.features(inputs).detach()) if self.setup.decays_frozen else network(inputs)
        loss = self._loss(self._modeled(outputs, "train", rows), self.targets[rows])
        if self.setup.alpha:
            loss = loss / self.setup.alpha**2
        trained.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.distortions is not None:
            self.distortions.end_step()
        if step % _CHECKED_EVERY == 0 and not math.isfinite(float(loss.detach())):
            raise _DivergedError("the training loss is not finite")

    def _initial_outputs(self) -> dict[str, Tensor]:
        """f0 of every sample that the model is asked for; empty where f itself is trained."""
        if not self.setup.alpha:
            return {}
        return {name: self._outputs(part) for name, part in {"train": self.inputs, **self.tests}.items()}

    def _modeled(self, outputs: Tensor, name: str, rows: Tensor | slice) -> Tensor:
        """What is trained, of the network's outputs: f itself, or alpha (f - f0)."""
        return self.setup.alpha * (outputs - self.before[name][rows]) if self.before else outputs

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.setup.loss == "cross-entropy":
            return functional.cross_entropy(outputs, targets)
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, self.samples.num_outputs) * self.setup.target_scale
        return functional.mse_loss(outputs, targets.to(outputs.dtype))

    def _measure(self, step: int) -> None:
        final = step == self.setup.steps
        scalars = self._evaluate()
        readings = {split: self.probe.read(split, final=final) for split in ("train", "test")}
        if final and self.kernel is not None:
            scalars["tangent_kernel_distance"] = tangent_kernel_distance(self.kernel, self._kernel())
        if final:
            scalars |= self._afterwards()
        self.points.append(
            Point(
                step=step,
                epoch=round(step * self.setup.batch_size / len(self.inputs), 4),
                scalars={name: short(value) for name, value in scalars.items()},
                train=readings["train"].numbers,
                test=readings["test"].numbers,
                regimes={split: reading.regime for split, reading in readings.items()},
                layers=self.probe.read_layers("train") if self.setup.layers and (final or step == 0) else {},
            )
        )

    def _evaluate(self) -> dict[str, float]:
        scalars = {
            "parameter_norm": parameter_norm(self.network),
            "parameter_distance": parameter_distance(self.network, self.probe.initial),
        }
        train = self.inputs[:MOST_EVALUATED], self.targets[:MOST_EVALUATED]
        splits = {"train": train, **{name: (part, self.test_targets) for name, part in self.tests.items()}}
        for name, (inputs, targets) in splits.items():
            outputs = self._modeled(self._outputs(inputs), name, slice(len(inputs)))
            loss = float(self._loss(outputs, targets))
            if not math.isfinite(loss):
                raise _DivergedError(f"the loss on {name} samples is not finite")
            scalars[f"{name}_loss"] = loss
            scalars[f"{name}_{'r2' if self.samples.is_regression else 'accuracy'}"] = _fit(outputs, targets)
        return scalars

    def _afterwards(self) -> dict[str, float]:
        """What is read of the trained network alone."""
        found = {} if self.distortions is None else {"realized_share": self.distortions.realized}
        if self.setup.cut:
            numbers = unit_numbers if self.setup.cut == "units" else channel_numbers
            train, test = (self.inputs.cpu(), self.targets.cpu()), (self.samples.test_x, self.samples.test_y)
            found |= numbers(copy.deepcopy(self.network).cpu().eval(), train, test, self.setup.seed)
        return found

    @torch.no_grad()
    def _outputs(self, inputs: Tensor) -> Tensor:
        self.network.eval()
        return torch.cat([self.network(part) for part in torch.split(inputs, _BATCH)])

    def _kernel(self) -> object:
        n = self.setup.tangent
        return tangent_kernel(self.network, self.inputs[:n]) if n else None


def learning_rate_at(setup: Setup, step: int) -> float:
    """Learning rate of a step, counted from 1.

    Example:
        >>> learning_rate_at(Setup(data="digits", learning_rate=0.1, warmup_steps=10), 5)
        0.05
    """
    risen = min(1.0, step / max(setup.warmup_steps, 1))
    if setup.schedule == "cosine":
        risen *= 0.5 * (1 + math.cos(math.pi * (step - 1) / setup.steps))
    return setup.learning_rate * risen


def cropped(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures shifted by up to 4 pixels, zeros moving in, half of them mirrored; shape (n, channels, h, w)."""
    n, _, height, width = pictures.shape
    offsets = torch.randint(9, (2, n, 1), generator=generator).to(pictures.device)
    mirrored = (torch.rand(n, 1, generator=generator) < 0.5).to(pictures.device)
    rows = offsets[0] + torch.arange(height, device=pictures.device)
    columns = torch.arange(width, device=pictures.device)
    columns = offsets[1] + torch.where(mirrored, columns.flip(0), columns)
    padded = functional.pad(pictures, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    each = torch.arange(n, device=pictures.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _optimizer(setup: Setup, network: StudyNetwork) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if setup.optimizer == "sgd":
        return torch.optim.SGD(
            trained, lr=setup.learning_rate, momentum=setup.momentum, weight_decay=setup.weight_decay
        )
    kind = torch.optim.AdamW if setup.optimizer == "adamw" else torch.optim.Adam
    return kind(trained, lr=setup.learning_rate, betas=setup.betas, weight_decay=setup.weight_decay)


def _fit(outputs: Tensor, targets: Tensor) -> float:
    if not targets.is_floating_point():
        return float((outputs.argmax(dim=1) == targets).double().mean())
    spread = (targets - targets.mean(dim=0)).square().sum()
    return float(1 - (outputs - targets).square().sum() / spread)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    # Sums cut the same way give the same numbers whatever the number of cores; jobs run side by side instead.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
