"""An observer for training loops of one's own under Hugging Face's accelerate."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal

from accelerate import Accelerator
from torch import nn
from torch.utils.data import RandomSampler

from phiscope.distributed.lockstep import is_sharded
from phiscope.errors import InputError, named_kind
from phiscope.inputs.prepared import unprepared
from phiscope.integrations.fit import ObservesFits, Start, observer_signature
from phiscope.integrations.settings import kept_settings, optimizer_settings
from phiscope.measurement.record import Measurement
from phiscope.network.hooks import own_tensors
from phiscope.network.isolation import unwrapped
from phiscope.runs.units import read_moment


class AccelerateObserver(ObservesFits):
    """Observes a loop under accelerate: ``AccelerateObserver(accelerator, model, run="runs/mine")`` behind ``prepare``.

    `record` is called as that of `Observer`, by every process. The observer is registered with the accelerator, so that
    ``save_state`` and ``load_state`` carry where the run stands; a loop that goes on from a checkpoint goes on in its
    run, on a branch where it went back. When an alert asks to stop, the accelerator's trigger is set:
    ``accelerator.check_trigger()`` says so in every process.

    Args:
        accelerator: of the loop.
        model: as ``prepare`` gave it, or before; an averaged copy is measured when that is given.
        probe_data: what to measure, see `Observer`; prepared loaders are read as the loaders they were made of, each
            sample once. None takes the one prepared loader that does not shuffle.
        run: name of the run's folder; a second one gets ``runs/mine-2``. ``{trial}`` in it becomes 0.
        resume: go on with the last run of that name, also where no checkpoint says so.
        trackers: see `Observer`; None takes those of the accelerator, () none.
        header: see `Observer`.
        settings: of `Observer`, by their names: every, every_steps, head, features, alerts, ...

    Raises:
        InputError: no such setting; no probe data, and the prepared loaders do not say which.

    Example:
        >>> import tempfile, torch
        >>> accelerator, net = Accelerator(cpu=True), nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> net, probe = accelerator.prepare(net), (torch.randn(50, 4), torch.randint(2, (50,)))
        >>> with AccelerateObserver(accelerator, net, probe, run=tempfile.mkdtemp() + "/mine") as observer:
        ...     measured = observer.record(epoch=0, step=0)
        >>> observer.path.name, measured.n_samples, observer.should_stop
        ('mine', 50, False)
    """

    __signature__ = observer_signature(
        inspect.Parameter("accelerator", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="Accelerator"),
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="nn.Module"),
    )

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        probe_data: Any = None,
        *,
        initial: Any = "now",
        **settings: Any,
    ) -> None:
        if not isinstance(accelerator, Accelerator):
            raise InputError(f"accelerator is {named_kind(accelerator)}; expected the accelerate.Accelerator")
        if not isinstance(model, nn.Module):
            raise InputError(f"model is {named_kind(model)}; expected the torch.nn.Module that is trained")
        self._accelerator = accelerator
        self._model = model
        words: dict[str, str] = {}
        if probe_data is None:
            probe_data, words["data"] = prepared_probe(accelerator)
        if initial == "now" and not is_sharded(unwrapped(model)):
            # The run is begun at the first record, when a checkpoint has been loaded or has not.
            initial = {name: tensor.clone() for name, tensor in own_tensors(unwrapped(model)).items()}
        super().__init__(probe_data, initial=initial, **settings)
        self._words = words
        self._state: Mapping[str, Any] | None = None
        self._begun = False
        accelerator.register_for_checkpointing(self)

    @property
    def should_stop(self) -> bool:
        """Whether an alert with then="stop" fired; the same in every process."""
        return self._stop

    _stop = False

    def is_due(self, *, epoch: float | None = None, step: int | None = None) -> bool:
        """Whether a record at this moment would measure; see `Observer.is_due`."""
        self._begin()
        observer = self._fit.observer
        return observer is not None and observer.is_due(epoch=epoch, step=step)

    def record(self, *, epoch: float | None = None, step: int | None = None, **scalars: Any) -> Measurement | None:
        """Record as `Observer.record` does; every process calls it.

        Args:
            epoch: epochs trained so far, 0 before the first.
            step: optimizer steps so far.
            scalars: numbers to store beside, such as train_loss=0.12.

        Returns:
            The measurement of the first split; None when none was due.
        """
        epoch, step = read_moment(epoch, step)
        self._begin()
        if self._fit.record(epoch, step, scalars):
            self._stop = True
            self._accelerator.set_trigger()
        return self._fit.measurement

    def note(self, *, epoch: float | None = None, step: int | None = None, **scalars: Any) -> None:
        """Store scalars that come late; see `Observer.note`."""
        self._begin()
        if self._fit.observer is not None:
            self._fit.observer.note(epoch=epoch, step=step, **scalars)

    def state_dict(self) -> dict[str, Any]:
        """For ``accelerator.save_state``: where the run stands."""
        state = self._fit.state()
        return {} if state is None else {"observer": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """For ``accelerator.load_state``: go on from there."""
        self._state = state.get("observer")
        if self._begun and self._state is not None and self._fit.observer is not None:
            self._fit.observer.load_state_dict(self._state)

    def close(
        self, status: Literal["completed", "interrupted", "failed"] = "completed", *, reason: str | None = None
    ) -> None:
        """Say how the training ended; see `Observer.close`."""
        self._fit.end(status, reason)

    def _begin(self) -> None:
        if self._begun:
            if not self._fit.is_open:
                raise InputError("this observer is closed; make a new one with resume=True to go on with the run")
            return
        accelerator = self._accelerator
        trackers = [getattr(one, "tracker", one) for one in accelerator.trackers]
        self._fit.begin(
            Start(
                network=self._model,
                probe_data=self._fit.choices.probe_data,
                facts={**_facts(accelerator), **self._words},
                trackers=trackers,
                state=self._state,
            )
        )
        self._begun = True


def prepared_probe(accelerator: Accelerator) -> tuple[Any, str]:
    """The prepared loader that does not shuffle, and words that say so.

    Raises:
        InputError: there is none, or there are several.
    """
    plain = [unprepared(loader) for loader in accelerator._dataloaders]
    fixed = [loader for loader in plain if not _shuffles(loader)]
    if len(fixed) != 1:
        raise InputError(
            f"probe_data is None, and {len(fixed)} of the {len(plain)} loaders that were prepared do not shuffle; pass "
            "the validation loader as probe_data"
        )
    return fixed[0], "the accelerator's prepared loader that does not shuffle"


def _shuffles(loader: Any) -> bool:
    sampler = getattr(loader.batch_sampler, "sampler", None)
    # accelerate exchanges torch's RandomSampler for one whose seed it keeps, a subclass.
    return isinstance(sampler, RandomSampler) or bool(getattr(sampler, "shuffle", False))


def _facts(accelerator: Accelerator) -> dict[str, Any]:
    usual = {"mixed_precision": "no", "gradient_accumulation_steps": 1, "num_processes": 1, "split_batches": False}
    now = {name: getattr(accelerator, name, value) for name, value in usual.items()}
    changed = {name: value for name, value in now.items() if value != usual[name]}
    return {
        "framework": f"Accelerate {version('accelerate')}",
        "settings": {**optimizer_settings(accelerator._optimizers), **kept_settings(changed)},
        "weights": "those of the model that was given",
    }
