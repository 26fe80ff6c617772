"""One training loop for every study, observed, and the same numbers for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from phiscope.errors import InputError
from phiscope.inputs.progress import bar_of
from phiscope.measurement.record import Measurement
from phiscope.observe import Observer
from phiscope.studies.afterwards import AFTERWARDS
from phiscope.studies.datasets.bundled import Samples, StudyData
from phiscope.studies.distorted import Distortions, distort
from phiscope.studies.networks import StudyNetwork
from phiscope.studies.recipes import OptimizerSettings, StopRule, Study, WidthSweep


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """What a progress callable is told after an epoch; epoch 0 is the initial state.

    Attributes:
        study: the study's name.
        epoch: epochs trained so far; of a sweep, widths done.
        epochs: epochs to train at most; of a sweep, widths.
        scalars: the numbers recorded at this epoch; empty when nothing was recorded.
        measurement: of the training split; None when nothing was recorded.
    """

    study: str
    epoch: int
    epochs: int
    scalars: Mapping[str, float]
    measurement: Measurement | None


Progress = Callable[[EpochDone], None]

DISTORTED = (0.09, 0.4, 5.0)
"""Share of the maps that is hit at the end, side of a block as a share of the map's, strength of the noise."""


def run_training(study: Study, *, folder: Path, epochs: int, seed: int, progress: Progress) -> None:
    """Train a study and write its run.

    Ctrl-C ends the training; the run keeps every record and has the status "interrupted". The caller's random
    state is left as it was, and so is torch's number of threads, which is 1 meanwhile.

    Args:
        study: what to train.
        folder: the run's folder.
        epochs: epochs to train at most.
        seed: decides the split, the initial weights and the order of the samples.
        progress: told after each epoch.

    Raises:
        KeyboardInterrupt: stopped before the initial state was recorded.
        NonFiniteError: the network diverged; the run keeps what was recorded before.
    """
    with _one_thread(), torch.random.fork_rng(devices=[]):
        training = _made(study, epochs, seed)
        data, network = training.data, training.network
        finished = False
        with Observer(
            network,
            {"train": (data.train.inputs, data.train.targets), "test": (data.test.inputs, data.test.targets)},
            run=folder,
            head="head",
            header=_header(study, data, network, epochs, seed),
        ) as observer:
            training.observe(observer, progress)
            try:
                training.run(observer, progress)
                finished = True
            except KeyboardInterrupt:
                observer.close("interrupted", training.results())
            observer.close("completed", training.results())
        if finished and study.afterwards:
            AFTERWARDS[study.afterwards](training, partial(_another, study, epochs), folder)


def _another(study: Study, epochs: int, *, seed: int, **changes: Any) -> Training:
    return _made(replace(study, **changes), epochs, seed)


def _made(study: Study, epochs: int, seed: int) -> Training:
    torch.manual_seed(seed)
    data = study.data.load(seed)
    network = study.network.build(data.input_shape, data.n_outputs)
    if study.freeze_features:
        network.freeze_features()
    return Training(study, data, network, epochs, seed)


class Training:
    """A training under way: the network with its optimizer, and how far it has come.

    Attributes:
        study: what is trained.
        data: on what.
        network: the network itself.
        distortions: of its maps in training; None where the study distorts none.
        epoch: epochs trained so far.
        epochs: epochs to train at most.
        seed: decides everything.
        scalars: recorded last.
    """

    def __init__(self, study: Study, data: StudyData, network: StudyNetwork, epochs: int, seed: int) -> None:
        self.study, self.data, self.network, self.seed = study, data, network, seed
        self.distortions = distorted_by(study, network, seed)
        self.optimizer = _optimizer(study.optimizer, network)
        self.order = torch.Generator().manual_seed(seed)
        self.epoch = self.step = 0
        self.epochs = epochs
        self.last_step = epochs * math.ceil(len(data.train) / study.batch_size)
        self.scalars: dict[str, float] = {}
        self._streak = 0

    def run(self, observer: Observer, progress: Progress) -> None:
        """Train to the end, or until the study's stop rule says so."""
        while self.epoch < self.epochs and not self._is_enough(self.study.stop):
            self.train_epoch()
            self.epoch += 1
            self.observe(observer, progress)

    @property
    def learning_rate(self) -> float:
        """Of the step under way or just taken; of the first one before it."""
        return self.study.optimizer.learning_rate_at(max(self.step, 1), self.last_step)

    def train_epoch(self) -> None:
        """Pass over the training split once, in random order."""
        self.network.train()
        inputs, targets = self.data.train.inputs, self.data.train.targets
        for rows in torch.split(torch.randperm(len(inputs), generator=self.order), self.study.batch_size):
            self.step += 1
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate
            if self.distortions is not None:
                self.distortions.begin_step((self.step - 1) / self.last_step)
            loss = self._loss(self.network(inputs[rows]), targets[rows])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if self.distortions is not None:
                self.distortions.end_step()

    def observe(self, observer: Observer, progress: Progress) -> None:
        """Record this epoch when the study says so, and tell the progress."""
        measurement, scalars = None, {}
        if self.study.is_recorded(self.epoch, self.epochs):
            scalars = self.evaluate()
            measurement = observer.record(epoch=self.epoch, step=self.step, **scalars)
            self.scalars = scalars
            rule = self.study.stop
            if rule is not None:
                self._streak = self._streak + 1 if scalars[rule.scalar] >= rule.at_least else 0
        progress(
            EpochDone(
                study=self.study.name,
                epoch=self.epoch,
                epochs=self.epochs,
                scalars=scalars,
                measurement=measurement,
            )
        )

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy (or R²) of both splits in eval mode, and the learning rate of the last step."""
        scalars = {"learning_rate": self.learning_rate}
        with _evaluating(self.network):
            for split, samples in (("train", self.data.train), ("test", self.data.test)):
                outputs = self.network(samples.inputs)
                scalars[f"{split}_loss"] = float(self._loss(outputs, samples.targets))
                kind = "accuracy" if self.data.task == "classification" else "r2"
                scalars[f"{split}_{kind}"] = _fit(outputs, samples)
        return scalars

    def results(self) -> dict[str, Any]:
        """What to keep with the finished run."""
        finite = {name: value for name, value in self.scalars.items() if math.isfinite(value)}
        return {"epochs_trained": self.epoch, "steps_trained": self.step, **finite}

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.study.loss == "square":
            return functional.mse_loss(outputs, targets)
        return functional.cross_entropy(outputs, targets)

    def _is_enough(self, rule: StopRule | None) -> bool:
        return rule is not None and self._streak >= rule.records


def distorted_by(study: Study, network: StudyNetwork, seed: int) -> Distortions | None:
    """Put the study's distortion into a network; None where it has none."""
    if not study.distortion:
        return None
    share, block, strength = DISTORTED
    return distort(network, study.distortion, probability=share, block=block, strength=strength, seed=seed)


def _optimizer(settings: OptimizerSettings, network: StudyNetwork) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    kind = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
    return kind(trained, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay)


def _fit(outputs: Tensor, samples: Samples) -> float:
    if not samples.targets.is_floating_point():
        return float((outputs.argmax(dim=1) == samples.targets).double().mean())
    spread = (samples.targets - samples.targets.mean(dim=0)).square().sum()
    return float(1 - (outputs - samples.targets).square().sum() / spread)


@contextmanager
def _one_thread() -> Iterator[None]:
    # The networks are small: on two busy cores a second thread made digits-cnn eight times slower. And sums that
    # are always cut the same way give the same numbers on machines with different numbers of cores.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _evaluating(network: StudyNetwork) -> Iterator[None]:
    network.eval()
    with torch.no_grad():
        yield
    network.train()


def _header(study: Study, data: StudyData, network: StudyNetwork, epochs: int, seed: int) -> dict[str, Any]:
    return {
        "name": study.name,
        "title": study.title,
        "description": study.description,
        "task": data.task,
        "model": type(study.network).__name__.removesuffix("Settings"),
        "data": data.description,
        "class_names": None if data.class_names is None else list(data.class_names),
        "settings": {**study.settings(), "epochs": epochs, "seed": seed},
    }


def progress_bar(progress: bool, epochs: int, name: str, unit: str = "epoch") -> tuple[Progress, Callable[[], None]]:
    """A progress bar on stderr with the current numbers, and what closes it.

    Args:
        progress: False shows nothing.
        epochs: epochs to train at most.
        name: what to write before the bar.
        unit: what is counted.
    """

    @cache
    def bar() -> Any:
        # Drawn when the initial state is there: where the data are missing, that sentence stands alone.
        return bar_of(shown=progress, total=epochs, desc=name, unit=unit)

    def show(done: EpochDone) -> None:
        bar().update(done.epoch - bar().n)
        if done.measurement is not None:
            bar().set_postfix_str(current_numbers(done))

    def close() -> None:
        if bar.cache_info().currsize:
            bar().close()

    return show, close


def current_numbers(done: EpochDone) -> str:
    """The recorded numbers of an epoch in one short line.

    Accuracy or R² of both splits, D_LR and Pihat(C) of the training split; Pihat is read on the raw spectrum for
    classes and on the centered one for regression.
    """
    told = [
        f"{split} {kind} {done.scalars[f'{split}_{key}']:.3f}"
        for kind, key in (("acc", "accuracy"), ("R²", "r2"))
        for split in ("train", "test")
        if f"{split}_{key}" in done.scalars
    ]
    measurement = done.measurement
    if measurement is None or measurement.n_outputs is None:
        return ", ".join(told)
    # The constant is the first raw eigenfunction and says nothing about a standardized target.
    spectrum = measurement.centered if "train_r2" in done.scalars else measurement.raw
    curve, c = spectrum.cumulative_utilization, measurement.n_outputs
    if "dynamical_low_rank" in measurement.numbers:
        told.append(f"D_LR {measurement['dynamical_low_rank']:.3f}")
    if curve is not None and len(curve):
        told.append(f"Pihat({c}) {curve[min(c, len(curve)) - 1]:.3f}")
    return ", ".join(told)


def checked_epochs(study: Study | WidthSweep, epochs: int | None) -> int:
    """The number of epochs to train.

    Raises:
        InputError: fewer than one.
    """
    if epochs is not None and epochs < 1:
        raise InputError(f"a training needs one epoch or more, got epochs={epochs}")
    return study.epochs if epochs is None else epochs
