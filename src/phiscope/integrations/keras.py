"""An observer as a callback of Keras' fit, on its torch backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import keras
from torch import nn

from phiscope.errors import InputError
from phiscope.inputs.batches import DATASET_BATCH_SIZE
from phiscope.integrations.callers import in_callers
from phiscope.integrations.fit import ObservesFits, Start, observer_signature
from phiscope.integrations.settings import kept_settings
from phiscope.observe.recording import how_it_ended


class KerasObserver(ObservesFits, keras.callbacks.Callback):  # type: ignore[misc]  # the base is not checked here
    """Observes a training by ``model.fit(..., callbacks=[KerasObserver(run="runs/mine")])`` on the torch backend.

    Every fit gets a run of its own: ``runs/mine``, ``runs/mine-2``, ... The initial state is recorded before the first
    epoch, and a record at the end of each takes Keras' logs, those of the validation included. Keras' checkpoints carry
    nothing of a callback: ``resume=True`` beside ``fit(initial_epoch=...)`` goes on in the last run of that name.

    Keras does not tell its callbacks of exceptions. What fails in a training step, and what ends the process, is said
    in the run all the same; for all else fit inside of ``with observer:``.

    Args:
        probe_data: what to measure, see `Observer`; None takes fit's validation data.
        run: name of the run's folder; ``{trial}`` in it becomes 0.
        resume: go on with the last run of that name.
        trackers: see `Observer`; None and () are none: Keras has no loggers of its own.
        header: see `Observer`.
        settings: of `Observer`, by their names: every, every_steps, head, features, alerts, ...

    Raises:
        InputError: no such setting, another backend than torch, or there are no validation data and none were given.
    """

    __signature__ = observer_signature()

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if keras.backend.backend() != "torch":
            raise InputError(
                f"Keras runs on {keras.backend.backend()}, and phiscope measures torch networks; set "
                "KERAS_BACKEND=torch before keras is imported, or measure arrays of features with phiscope.diagonalize"
            )
        self._step = self._epoch = 0
        self._began = False
        self._given_back: Callable[[], None] | None = None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._let_go()
        super().__exit__(kind, error, trace)

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the observer; the initial state is recorded when the first epoch's number is known."""
        facts = {**_facts(self.model, self.params), "weights": "those in training"}
        probe_data = self._fit.choices.probe_data
        if probe_data is None:
            probe_data, facts["data"] = validation_data()
        self._fit.begin(Start(network=self.model, probe_data=probe_data, facts=facts))
        self._began = False
        self._watch_steps()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Record the state before the first epoch."""
        self._epoch = epoch
        if not self._began:
            self._began = True
            self._step = self._steps(0)
            self._record(float(epoch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record at a step that is due."""
        step, before = self._steps(self._step + 1), self._step
        self._step = step
        share = (batch + 1) / self.params["steps"] if self.params.get("steps") else None
        epoch = None if share is None else self._epoch + share
        if step > before and self._fit.due(epoch, step):
            self._record(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch with Keras' logs."""
        if not self._fit.choices.by_steps:
            self._record(float(epoch + 1), logs)
        else:
            self._fit.wait(logs or {})
            if self.model.stop_training or epoch + 1 == self.params.get("epochs"):
                self._record(float(epoch + 1))

    def on_train_end(self, logs: Any = None) -> None:
        """Say how the training ended."""
        self._let_go()
        self._fit.end("completed")

    def _record(self, epoch: float | None, logs: Any = None) -> None:
        if self._fit.record(epoch, self._step, logs):
            self.model.stop_training = True

    def _steps(self, counted: int) -> int:
        """Optimizer steps; Keras' own count goes on over fits and checkpoints."""
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return counted if iterations is None else int(iterations)

    def _watch_steps(self) -> None:
        """Hear of what fails in a training step: Keras calls a function that it keeps on the model."""
        model, step = self.model, self.model.train_function
        if step is None:
            return

        def watched(data: Any) -> Any:
            try:
                return step(data)
            except BaseException as error:
                self._let_go()
                self._fit.end(*how_it_ended(error))
                raise

        def give_back() -> None:
            if model.train_function is watched:
                model.train_function = step

        model.train_function = watched
        self._given_back = give_back

    def _let_go(self) -> None:
        if self._given_back is not None:
            self._given_back()
            self._given_back = None


def validation_data() -> tuple[Any, str]:
    """The validation data of the fit that calls, with fit's own batches, and words that say so.

    Raises:
        InputError: there are none.
    """

    def of(names: Mapping[str, Any]) -> Any:
        known = "validation_split" in names and "epoch_iterator" in names
        return names if known else None

    fit = in_callers(of)
    given = None if fit is None else fit["validation_data"]
    if given is None:
        raise InputError(
            "probe_data is None and fit got no validation data; pass KerasObserver(probe_data=...), or "
            "fit(validation_data=...)"
        )
    words = "fit's own validation data"
    if hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, tuple | list):
        return {"validation": _Batches(given)}, words
    if not isinstance(given, tuple | list):
        return {"validation": given}, words
    # A third part of a tuple weighs samples in Keras' loss; each counts once here.
    pair = tuple(tuple(part) if isinstance(part, list) else part for part in given[:2])
    several = any(isinstance(part, tuple | Mapping) for part in pair)
    return {"validation": _Slices(pair) if several else pair}, words


class _Slices:
    """Several inputs or targets, in lists and mappings, as batches to read again and again."""

    def __init__(self, pair: tuple[Any, ...]) -> None:
        self._pair = pair

    def __iter__(self) -> Iterator[Any]:
        n = len(keras.tree.flatten(self._pair)[0])
        for start in range(0, n, DATASET_BATCH_SIZE):
            rows = slice(start, start + DATASET_BATCH_SIZE)
            yield keras.tree.map_structure(lambda part, rows=rows: part[rows], self._pair)


class _Batches:
    """A PyDataset as batches to read again and again; by its numbers, so that nothing of its epochs is moved."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self._dataset)):
            batch = self._dataset[index]
            yield batch[:2] if isinstance(batch, tuple | list) else batch


def _facts(model: nn.Module, params: Mapping[str, Any]) -> dict[str, Any]:
    optimizer = getattr(model, "optimizer", None)
    settings: dict[str, Any] = {"epochs": params.get("epochs"), "steps_per_epoch": params.get("steps")}
    if optimizer is not None:
        settings |= {"optimizer": type(optimizer).__name__, "learning_rate": _rate(optimizer)}
        # By its signature: making another one would count up the names that Keras gives.
        usual = {name: row.default for name, row in inspect.signature(type(optimizer).__init__).parameters.items()}
        now = optimizer.get_config()
        settings |= {
            name: value
            for name, value in now.items()
            if name not in ("name", "learning_rate") and name in usual and usual[name] != value
        }
    loss = getattr(model, "loss", None)
    settings["loss"] = loss if isinstance(loss, str) else type(loss).__name__ if loss is not None else None
    return {"framework": f"Keras {version('keras')} on torch", "settings": kept_settings(settings)}


def _rate(optimizer: Any) -> float | None:
    rate = getattr(optimizer, "learning_rate", None)
    # Kept in float32, whose further digits nobody wrote.
    return None if rate is None else float(f"{float(rate):.6g}")
