"""An observer as a callback of Lightning's Trainer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor, nn

from phiscope.errors import InputError
from phiscope.integrations.fit import ObservesFits, Start, observer_signature
from phiscope.integrations.folders import key_of, state_under
from phiscope.integrations.settings import kept_settings, optimizer_settings
from phiscope.observe.recording import how_it_ended

AVERAGING = ("StochasticWeightAveraging", "WeightAveraging", "EMAWeightAveraging")
"""Callbacks of Lightning that keep an averaged copy of the weights."""

OLD_KEY = "LightningObserver"
"""Where in a checkpoint the observer's state stood when a Trainer could have one observer only."""


class LightningObserver(ObservesFits, Callback):  # type: ignore[misc]  # the base is not checked here
    """Observes a training of Lightning's Trainer: ``Trainer(callbacks=[LightningObserver(run="runs/mine")])``.

    Every fit gets a run of its own: ``runs/mine``, ``runs/mine-2``, ... The initial state is recorded when the training
    begins, and a record at the end of each epoch takes the metrics that were logged. Checkpoints carry where the run
    stands, so that a training that is resumed goes on in its run, on a branch where it went back.

    Args:
        probe_data: what to measure, see `Observer`; None takes the trainer's validation loaders.
        run: name of the run's folder; ``{trial}`` in it becomes 0.
        resume: go on with the last run of that name.
        trackers: see `Observer`; None takes the trainer's loggers, () none.
        header: see `Observer`.
        module: the network in the LightningModule, or its dotted name; None is the module itself when it has a
            ``forward``, else the one part of it that has parameters.
        settings: of `Observer`, by their names: every, every_steps, head, features, alerts, ...

    Raises:
        InputError: no such setting, or there are no validation data and none were given.

    Example:
        >>> callback = LightningObserver(run="runs/mine", every="log", max_samples=2000)
        >>> callback.path is None
        True
    """

    def __init__(self, *arguments: Any, module: nn.Module | str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.module = module
        self._state: dict[str, Any] | None = None
        self._step = -1
        self._taken: dict[str, tuple[Tensor, float]] = {}

    __signature__ = observer_signature(last=inspect.Parameter("module", inspect.Parameter.KEYWORD_ONLY, default=None))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the observer, and record the initial state."""
        network = network_of(pl_module, self.module)
        facts = {**_facts(trainer, pl_module), "weights": _weights(trainer)}
        probe_data = self._fit.choices.probe_data
        if probe_data is None:
            probe_data, facts["data"] = validation_data(trainer, pl_module)
        self._taken, self._step = {}, -1
        with _quiet(pl_module):
            self._fit.begin(
                Start(
                    network=network,
                    probe_data=probe_data,
                    facts=facts,
                    trackers=_loggers(trainer),
                    state=self._state,
                )
            )
            self._state = None
            epoch, between = epochs_trained(trainer)
            # Inside of an epoch no record stands where records stand at epochs; the next is at its end.
            if not between or self._fit.choices.by_steps:
                self._record(trainer, epoch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record at a step that is due."""
        if trainer.global_step == self._step or not self._fit.choices.by_steps or _is_refreshing(trainer):
            return
        epoch, _ = epochs_trained(trainer)
        if self._fit.due(epoch, trainer.global_step):
            with _quiet(pl_module):
                self._record(trainer, epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, with what was logged during it and its validation."""
        if (self._fit.choices.by_steps and not _is_last(trainer)) or _is_refreshing(trainer):
            self._fit.wait(self._news(trainer))
            return
        with _quiet(pl_module):
            self._record(trainer, epoch_at_its_end(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take what was logged after the record of the last epoch."""
        self._hear(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the training ended."""
        self._hear(trainer)
        self._fit.end("interrupted" if trainer.interrupted else "completed")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say what ended the training."""
        status, reason = how_it_ended(exception)
        self._fit.end(status, reason)

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoints: where the run stands."""
        state = self._fit.state()
        return {} if state is None else {"observer": state}

    @property
    def state_key(self) -> str:
        """Where in a checkpoint the state stands: by the run, so that a Trainer may have several observers."""
        return f"{OLD_KEY}:{key_of(self._fit.choices.run)}"

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Find the state where Lightning does not look: under the key of earlier versions, or of a moved run."""
        found = state_under(self.state_key, OLD_KEY, checkpoint.get("callbacks") or {})
        if found is not None:
            self.load_state_dict(found)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint when the training begins."""
        self._state = state_dict.get("observer")

    def _record(self, trainer: Trainer, epoch: float) -> None:
        self._step = trainer.global_step
        if self._fit.record(epoch, trainer.global_step, self._news(trainer)):
            trainer.should_stop = True

    def _hear(self, trainer: Trainer) -> None:
        """Scalars join the last record when nothing was trained since; else they wait for the next."""
        last = self._fit.last
        if last is not None and trainer.global_step == self._step:
            self._fit.hear(self._news(trainer), *last)
        else:
            self._fit.wait(self._news(trainer))

    def _news(self, trainer: Trainer) -> dict[str, Tensor]:
        """What was logged since this was asked last: Lightning goes on to show the values of earlier validations."""
        known = self._taken
        shown = {name: (value, float(value)) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        # A value that was logged anew lies elsewhere in memory, as the one before is still held here; a metric that
        # adds up in place lies where it did and has moved.
        self._taken = shown
        return {
            name: value
            for name, (value, number) in shown.items()
            if name not in known or value.data_ptr() != known[name][0].data_ptr() or not _same(number, known[name][1])
        }


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def epochs_trained(trainer: Trainer) -> tuple[float, bool]:
    """Epochs trained so far, the share of the one that runs included, and whether this is between two ends of epochs.

    Args:
        trainer: before or during an epoch; not at its end, see `epoch_at_its_end`.
    """
    # Not trainer.current_epoch: where a checkpoint was written at the end of an epoch's validation, Lightning counts
    # that epoch as over only once it has gone on.
    epochs, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress.current
    if epochs.started == epochs.processed:
        return float(epochs.processed), False
    # Of data without a length no share is known.
    epoch = epochs.processed + batches.processed / trainer.num_training_batches
    return epoch, 0 < batches.processed < trainer.num_training_batches


def epoch_at_its_end(trainer: Trainer) -> float:
    """Epochs trained so far when Lightning ends one; `max_steps` or an alert may end it before its last batch."""
    loop = trainer.fit_loop.epoch_loop
    epochs, batches = trainer.fit_loop.epoch_progress.current.processed, loop.batch_progress.current.processed
    whole = loop.batch_progress.is_last_batch or math.isinf(trainer.num_training_batches)
    return float(epochs) if whole else epochs - 1 + min(batches / trainer.num_training_batches, 1.0)


def network_of(pl_module: LightningModule, chosen: nn.Module | str | None) -> nn.Module:
    """The network in a LightningModule.

    Args:
        pl_module: of the training.
        chosen: a module, or its dotted name; None is the LightningModule itself when it has a ``forward``, else the one
            part of it that has parameters.

    Raises:
        InputError: there is no such part, or no one part that could be meant.
    """
    if isinstance(chosen, nn.Module):
        return chosen
    parts: dict[str, nn.Module] = dict(pl_module.named_children())
    if isinstance(chosen, str):
        named: dict[str, nn.Module] = dict(pl_module.named_modules())
        if chosen not in named:
            raise InputError(
                f"module={chosen!r} is no part of {type(pl_module).__name__}; its parts are {', '.join(parts)}"
            )
        return named[chosen]
    whole: nn.Module = pl_module
    if type(pl_module).forward not in (nn.Module.forward, LightningModule.forward):
        return whole
    trained = [name for name, part in parts.items() if next(part.parameters(), None) is not None]
    if len(trained) == 1:
        return parts[trained[0]]
    raise InputError(
        f"{type(pl_module).__name__} has no forward, and {len(trained)} parts with parameters{': ' * bool(trained)}"
        f"{', '.join(trained)}; pass module=<the name of the network in it>"
    )


@contextmanager
def _quiet(pl_module: LightningModule) -> Iterator[None]:
    """Let no `self.log` of a forward pass for measuring reach the training's logs, nor fail where none is allowed."""
    modules = [module for module in pl_module.modules() if isinstance(module, LightningModule)]
    hidden = [(module, name) for module in modules for name in ("log", "log_dict") if name not in vars(module)]
    for module, name in hidden:
        vars(module)[name] = _unlogged
    try:
        yield
    finally:
        for module, name in hidden:
            vars(module).pop(name, None)


def _unlogged(*args: Any, **kwargs: Any) -> None:
    """Stands for `self.log` while the observer measures."""


def validation_data(trainer: Trainer, pl_module: LightningModule) -> tuple[Any, str]:
    """The trainer's validation loaders, by name where there are several, and words that say so.

    Raises:
        InputError: there are none.
    """
    loaders = trainer.val_dataloaders
    if loaders is None:
        # No validation has run yet: a resumed training, or one without a check at its start.
        loaders = _asked_loaders(trainer, pl_module)
    named = loaders if isinstance(loaders, Mapping) else None
    if named is None:
        several = list(loaders) if isinstance(loaders, list | tuple) else [loaders]
        several = [loader for loader in several if loader is not None]
        named = {f"validation_{index}": loader for index, loader in enumerate(several)}
        if len(several) == 1:
            named = {"validation": several[0]}
    if not named:
        raise InputError(
            "probe_data is None and the trainer has no validation data; pass LightningObserver(probe_data=...), for "
            "example a loader of the training set in fixed order"
        )
    return dict(named), f"the trainer's own validation data ({', '.join(map(str, named))})"


def _asked_loaders(trainer: Trainer, pl_module: LightningModule) -> Any:
    source = trainer.fit_loop.epoch_loop.val_loop._data_source
    return source.dataloader() if source.is_defined() else None


def _is_last(trainer: Trainer) -> bool:
    """Whether this epoch is the last, as far as can be told: averaging callbacks exchange the weights after it."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return bool(
        trainer.should_stop
        or (epochs is not None and 0 <= epochs <= trainer.current_epoch + 1)
        or trainer.current_epoch + 1 == _trained_before_swapping(trainer)
        or (0 <= steps <= trainer.global_step)
    )


def _is_refreshing(trainer: Trainer) -> bool:
    """Whether this epoch trains nothing: averaged weights are in the network, whose batch norms are measured anew."""
    trained = _trained_before_swapping(trainer)
    return trained is not None and trainer.current_epoch >= trained


def _trained_before_swapping(trainer: Trainer) -> float | None:
    """Epochs that are trained before Lightning's stochastic weight averaging puts its copy into the network."""
    averaging = [one for one in trainer.callbacks if isinstance(one, StochasticWeightAveraging)]
    return averaging[0].swa_end + 1 if averaging and (trainer.max_epochs or 0) > 0 else None


def _loggers(trainer: Trainer) -> list[Any]:
    return [logger for logger in trainer.loggers if type(logger).__name__ != "DummyLogger"]


def _weights(trainer: Trainer) -> str:
    averaging = [type(one).__name__ for one in trainer.callbacks if type(one).__name__ in AVERAGING]
    return f"those in training, not the copy averaged by {averaging[0]}" if averaging else "those in training"


def _facts(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    usual = {"accumulate_grad_batches": 1, "gradient_clip_val": None, "precision": "32-true", "num_devices": 1}
    mine = {name: getattr(trainer, name, value) for name, value in usual.items()}
    changed = {name: value for name, value in mine.items() if value != usual[name]}
    limits = {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps}
    changed |= {name: value for name, value in limits.items() if value is not None and value > 0}
    strategy = type(trainer.strategy).__name__
    if strategy != "SingleDeviceStrategy":
        changed["strategy"] = strategy
    hparams = kept_settings(dict(pl_module.hparams))
    rates = optimizer_settings(trainer.optimizers)
    return {
        "framework": f"Lightning {version('lightning')}",
        "settings": {**hparams, **rates, **kept_settings(changed)},
    }
