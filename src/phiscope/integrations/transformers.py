"""An observer as a callback of Hugging Face's Trainer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import has_length

from phiscope.errors import InputError
from phiscope.inputs.parts import TARGET_KEYS
from phiscope.inputs.prepared import unprepared
from phiscope.integrations.callers import in_callers
from phiscope.integrations.fit import Fit, ObservesFits, Start, observer_signature, whole
from phiscope.integrations.folders import key_of, state_under
from phiscope.integrations.settings import changed_fields, optimizer_settings
from phiscope.network.isolation import unwrapped
from phiscope.observe.recording import how_it_ended

KEY = "phiscope"
"""Where in a checkpoint's trainer_state.json an observer's state stands, with the run's key behind it."""


ENDED = "epochs_ended"
"""Beside an observer's state in a checkpoint: how many epochs had ended, which the Trainer forgets of endless data."""


class TransformersObserver(ObservesFits, TrainerCallback):  # type: ignore[misc]  # the base is not checked here
    """Observes a training of the Trainer: ``Trainer(..., callbacks=[TransformersObserver(run="runs/mine")])``.

    Every training gets a run of its own: ``runs/mine``, ``runs/mine-2``, ...; trials of a search, and starts that
    `auto_find_batch_size` tries again, too. The initial state is recorded when the training begins, and a record at the
    end of each epoch takes what the Trainer logs, also afterwards. Checkpoints carry where the run stands, so that a
    training that is resumed goes on in its run, on a branch where it went back.

    The Trainer does not tell its callbacks of exceptions. Given to its constructor, this one hears of them all the
    same: the trainer's own ``train`` is called inside of a function that says in the run what ended it. Added later, it
    can say so only when the process ends, or inside of ``with observer:``.

    Args:
        probe_data: what to measure, see `Observer`; None takes the trainer's evaluation data, with its own collator.
        run: name of the run's folder; ``{trial}`` in it becomes the trial's name.
        resume: go on with the last run of that name, also where no checkpoint says so.
        trackers: see `Observer`; None takes those of ``report_to``, () none.
        header: see `Observer`.
        settings: of `Observer`, by their names: every, every_steps, head, features, alerts, ...

    Raises:
        InputError: no such setting, or there are no evaluation data and none were given.

    Example:
        >>> callback = TransformersObserver(run="runs/mine", every_steps=500, max_samples=2000)
        >>> callback.path is None
        True
    """

    __signature__ = observer_signature()

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Hear of exceptions, which the Trainer keeps from its callbacks."""
        trainer = _trainer()
        there = None if trainer is None else vars(trainer).get("train")
        if isinstance(there, partial) and there.func is _train:
            # A Trainer may have several observers; each hears.
            there.args[1].append(self._fit)
        elif trainer is not None and there is None:
            trainer.train = partial(_train, trainer, [self._fit])

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the observer, and record the initial state."""
        trainer = _trainer()
        facts = {**_facts(args, kwargs.get("optimizer")), "weights": "those in training"}
        probe_data = self._fit.choices.probe_data
        settings: dict[str, Any] = {}
        if probe_data is None:
            probe_data, facts["data"] = evaluation_data(trainer)
            settings = named_targets(trainer)
        loader = kwargs.get("train_dataloader")
        self._endless = loader is not None and not has_length(loader)
        known = state_under(self._key, KEY, state.stateful_callbacks) if state.global_step else None
        trial = (state.trial_name or None) if state.is_hyper_param_search else None
        self._fit.begin(
            Start(
                network=kwargs["model"],
                probe_data=probe_data,
                facts=facts,
                trackers=_reporting(trainer),
                trial=trial,
                state=known,
                settings=settings,
            )
        )
        self._ended = max(_epochs_ended(known, state), self._fit.epochs_at(state.global_step) if known else 0)
        epoch = self._epoch(state)
        # Of data without a length nothing says whether a checkpoint was written within an epoch.
        at_an_end = epoch.is_integer() and not (self._endless and state.global_step)
        if at_an_end or self._fit.choices.by_steps:
            self._record(epoch, state, control)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note where the epoch begins."""
        self._began = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Record at a step that is due."""
        epoch = self._epoch(state)
        if self._fit.due(epoch, state.global_step):
            self._record(epoch, state, control)
        elif control.should_save:
            self._tell_checkpoint(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the epoch; what is logged of it comes after."""
        if self._endless and state.global_step == self._began:
            # A resumed Trainer passes over so many batches as were trained, and data without a length end meanwhile.
            return
        self._ended += 1
        epoch = self._epoch(state)
        is_last = control.should_training_stop or state.global_step >= state.max_steps
        if not self._fit.choices.by_steps or is_last:
            self._record(epoch, state, control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the scalars of a record, or keep them for the next."""
        last = self._fit.last
        here = last is not None and last[1] == state.global_step
        self._fit.hear(logs or {}, last[0] if last is not None and here else self._epoch(state), state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A checkpoint may follow, of a model that is better than those before."""
        self._tell_checkpoint(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say how the training ended."""
        self._fit.end("completed")

    def _epoch(self, state: TrainerState) -> float:
        """Epochs trained so far."""
        if not self._endless:
            return whole(state.epoch or 0.0)
        # The Trainer takes `max_steps` for the length of data that have none, so that its first epoch ends anywhere
        # between 0 and 1, and a resumed one counts from there: the ends of epochs are counted here.
        last = self._fit.last
        if last is not None and last[0] is not None and last[1] == state.global_step and last[0] > self._ended:
            return last[0]
        return float(self._ended)

    _endless = False
    _ended = _began = 0

    def _record(self, epoch: float, state: TrainerState, control: TrainerControl) -> None:
        if self._fit.record(epoch, state.global_step):
            control.should_training_stop = True
        self._tell_checkpoint(state)

    def _tell_checkpoint(self, state: TrainerState) -> None:
        # Not by `ExportableState`, with which the Trainer would replace this callback by one without its settings.
        told = self._fit.state() if self._fit.is_open else None
        if told is not None:
            state.stateful_callbacks[self._key] = {**told, ENDED: self._ended}

    @property
    def _key(self) -> str:
        return f"{KEY}:{key_of(self._fit.choices.run)}"


def _epochs_ended(known: Any, state: TrainerState) -> int:
    """Epochs that ended before a checkpoint, by what it says of them, else by the Trainer's own count."""
    said = known.get(ENDED) if isinstance(known, Mapping) else None
    return said if isinstance(said, int) else math.floor(whole(state.epoch or 0.0))


def _trainer() -> Trainer | None:
    def of(names: Mapping[str, Any]) -> Any:
        owner = names.get("self")
        return owner if isinstance(owner, Trainer) else None

    found: Trainer | None = in_callers(of)
    return found


def _train(trainer: Trainer, fits: list[Fit], *args: Any, **kwargs: Any) -> Any:
    try:
        return type(trainer).train(trainer, *args, **kwargs)
    except BaseException as error:
        for fit in fits:
            fit.end(*how_it_ended(error))
        raise


def evaluation_data(trainer: Trainer | None) -> tuple[Any, str]:
    """The trainer's evaluation data as its own loaders give them, by name where there are several, and words for them.

    Raises:
        InputError: there are none.
    """
    data = None if trainer is None else trainer.eval_dataset
    if trainer is None or data is None:
        raise InputError(
            "probe_data is None and the Trainer has no eval_dataset; pass TransformersObserver(probe_data=...), for "
            "example batches of the training set with labels"
        )
    prepared = trainer.accelerator._dataloaders
    before = len(prepared)
    names = list(data) if isinstance(data, dict) else []
    loaders = {name: trainer.get_eval_dataloader(name) for name in names} or {
        "evaluation": trainer.get_eval_dataloader()
    }
    # What was made to be read here is no part of the training.
    del prepared[before:]
    words = f"the trainer's own evaluation data ({', '.join(map(str, loaders))})"
    return {name: unprepared(loader) for name, loader in loaders.items()}, words


def named_targets(trainer: Trainer | None) -> dict[str, Any]:
    """How an observer reads the targets where the Trainer's ``label_names`` gives them a name of their own.

    Also a usual name, where the model's forward cannot do without it: what it needs is read as an input.
    """
    names: list[str] = list(getattr(trainer, "label_names", None) or [])
    if trainer is None or len(names) != 1:
        return {}
    parameter = inspect.signature(unwrapped(trainer.model).forward).parameters.get(names[0])
    needed = parameter is not None and parameter.default is inspect.Parameter.empty
    return {} if names[0] in TARGET_KEYS and not needed else {"targets": partial(_named, names[0])}


def _named(name: str, batch: Any) -> Any:
    return batch.get(name) if isinstance(batch, Mapping) else None


def _reporting(trainer: Trainer | None) -> list[Any]:
    """The clients of ``report_to``; their callbacks stand before ours and have opened them."""
    trackers: list[Any] = []
    for callback in () if trainer is None else trainer.callback_handler.callbacks:
        kind = type(callback).__name__
        if kind == "TensorBoardCallback" and callback.tb_writer is not None:
            trackers.append(callback.tb_writer)
        elif kind == "MLflowCallback" and callback._initialized and callback._ml_flow.active_run() is not None:
            trackers.append(callback._ml_flow.active_run())
        elif kind == "WandbCallback" and callback._initialized and callback._wandb.run is not None:
            trackers.append(callback._wandb.run)
        elif kind == "TrackioCallback" and callback._initialized:
            trackers.append("trackio")
    return trackers


def _facts(args: TrainingArguments, optimizer: Any) -> dict[str, Any]:
    changed = changed_fields(args)
    # Where they are reported, saved and logged says nothing of what was trained.
    settings = {name: value for name, value in changed.items() if not name.startswith(_ABOUT_REPORTING)}
    return {
        "framework": f"Transformers {version('transformers')}",
        "settings": {**optimizer_settings([optimizer]), **settings},
    }


_ABOUT_REPORTING = ("logging_", "save_", "report_to", "hub_", "push_to_hub", "disable_tqdm", "log_level", "use_cpu")
