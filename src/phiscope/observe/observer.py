"""The observer: measures probe data during a training, one set or several by name, and appends to a run on disk."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from os import PathLike
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from phiscope.distributed import Ranks
from phiscope.errors import EmptyDataError, InputError, PhiscopeError
from phiscope.inputs.batches import batches_of, peeked
from phiscope.inputs.settings import device_of
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import Pass, PassOptions, batches_here, run_pass
from phiscope.measurement.ranks import gather_ranks
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import Batch, with_targets
from phiscope.network.hooks import own_tensors
from phiscope.network.initial import InitialFeatures
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.layer_plan import ReadingChoice
from phiscope.network.layer_reading import Maps, Tokens
from phiscope.observe.alerts import Alert
from phiscope.observe.decoding import Decoder
from phiscope.observe.desk import OnError
from phiscope.observe.gallery import NO_IDS, Gallery, Shown, kept_gallery
from phiscope.observe.looks import NO_LOOKS, can_look
from phiscope.observe.probes import initial_state, initial_words, named_splits
from phiscope.observe.ranks import SilentWriter, Writer, watch_of
from phiscope.observe.recording import Recording, as_numbers, header_of, leave_nothing
from phiscope.observe.schedule import schedule, steps_schedule
from phiscope.observe.settings import check_initial, check_values
from phiscope.runs import KEPT_EIGENVECTORS, RunWriter
from phiscope.runs.units import read_moment

T = TypeVar("T")


@dataclass
class Observer(Recording):
    """Measures a fixed probe set at chosen epochs of a training and stores the run.

    The observer does not listen to the training: at a due record it runs its own pass in eval mode. Training
    with and without it ends in bit-identical weights. The state at construction is kept as the initial one.

    Args:
        model: the network in training; wrappers are looked through.
        probe_data: one data set, called "probe", or a mapping of split names to data sets, for example
            {"train": ..., "test": ...}. Anything `measure` takes; generators are kept as lists.
        run: folder of the run.
        every: "epoch", a number k, "log", or epochs; see `schedule`.
        every_steps: the same in optimizer steps, in place of `every`: records have to give their step, and stand at
            their steps on the page.
        head: None = find it; or the layer, its dotted name, or (W, b); see `measure`.
        features: None = the input of the head; or a layer, its dotted name, or "output"; see `measure`.
        outputs: with features, what they are read against; see `measure`.
        maps: see `measure`.
        tokens: see `measure`.
        padding: see `measure`.
        next_token: see `measure`.
        targets: of every split, see `measure`; an array belongs to a single data set.
        header: what to tell about the run (title, description, settings, data, class_names, ...); class_names may also
            be a mapping, a function of a class, or a tokenizer.
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        gallery: number of samples of each split to show eigenfunctions on; 0 for none.
        decode: makes text of them: a tokenizer with ``.decode``, or a function of a list of token ids (of an array,
            where samples are none). Where the model answers at each token, the gallery then shows tokens in their text.
        gradients: of so many leading eigenfunctions also store where in the input they look: the gradient by it at the
            gallery's extreme samples. Each record then runs so many backward passes over the gallery, at once.
        restricted: also store accuracy and loss of the network on its k leading eigenfunctions alone, for every k, on
            the gallery's samples; see `phiscope.restrict`.
        max_samples: samples measured of each split; None = all.
        device: where to measure; None = where the parameters are.
        initial: the state to compare features with: "now", parameters and buffers by name, or None for no
            comparison. It is stored in the run, once, and a resumed observer takes it from there.
        resume: go on with the run in the folder, or begin it where there is none. A first record at an epoch that the
            run has already begins a branch; nothing is deleted (see `Run.branch`).
        keep_eigenvectors: store this many leading eigenvectors a measurement, as many as pictures show; None = all.
        corrected: also measure the bias-corrected numbers; without them a record of 512 features takes a quarter of
            the time.
        background: diagonalize and write on a thread of its own while the training goes on; only the pass over the
            probe data holds it up. An error in writing is then raised by the next `record` or by `close`.
        on_error: when a record cannot be written (a full disk, a deleted folder): "raise" a RunError, or "warn" and go
            on; the next record tries again.
        ranks: under torch.distributed, "merge" measures the samples of all ranks, each of which makes an observer and
            records; rank 0 writes, and all get the same. "local" observes this rank alone. "auto" merges when a
            loader has a `DistributedSampler`; otherwise rank 0 observes and the others do nothing. See `measure`.
        trackers: where numbers go beside the run, as ``phiscope/SPLIT/NUMBER``: "tensorboard", "wandb", "mlflow",
            "trackio", a client's own writer or run, or a function; see `phiscope.trackers`. One that fails warns once.
        pictures: when trackers get a picture of the spectrum, in the words of `every`; None = never.
        alerts: limits for numbers; see `Alert`.

    Raises:
        RunExistsError: the folder holds a run and resume is False.
        RunLockedError: somebody else writes this run.
        RunWriteError: the folder cannot be written.
        HeadError: the head was not found.
        InputError: the schedule or the probe data cannot be used.

    Example:
        >>> import tempfile
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> probe = (torch.randn(50, 4), torch.randint(2, (50,)))
        >>> with Observer(net, probe, run=tempfile.mkdtemp() + "/mine") as observer:
        ...     measured = observer.record(epoch=0, train_loss=0.7)
        >>> measured.n_samples
        50
    """

    model: nn.Module
    probe_data: Any
    _: KW_ONLY
    run: str | PathLike[str]
    every: str | int | Iterable[float] = "epoch"
    every_steps: str | int | Iterable[float] | None = None
    head: Any = None
    features: nn.Module | str | None = None
    outputs: nn.Module | str | None = None
    maps: Maps | None = None
    tokens: Tokens | None = None
    padding: bool = False
    next_token: bool | None = None
    targets: Any = None
    header: Mapping[str, Any] | None = None
    rank_tolerance: float = 1e-4
    gallery: int = 256
    decode: Any = None
    gradients: int = 0
    restricted: bool = False
    max_samples: int | None = None
    device: torch.device | str | None = None
    initial: Mapping[str, Tensor] | Literal["now"] | None = "now"
    resume: bool = False
    keep_eigenvectors: int | None = KEPT_EIGENVECTORS
    corrected: bool = True
    background: bool = False
    on_error: OnError = "raise"
    ranks: Ranks = "auto"
    trackers: Iterable[Any] = ()
    pictures: str | int | Iterable[float] | None = "log"
    alerts: Iterable[Alert] = ()

    def __post_init__(self) -> None:
        check_values(vars(self))
        self._begin(background=self.background, on_error=self.on_error)
        self._schedule = schedule(self.every) if self.every_steps is None else steps_schedule(self.every_steps)
        self._asked: float | None = None
        self._network = unwrapped(self.model)
        self._choice = FeatureChoice(
            features=self.features,
            outputs=self.outputs,
            head=self.head,
            reading=ReadingChoice(maps=self.maps, tokens=self.tokens),
            padding=self.padding,
            next_token=self.next_token,
        )
        self._decoder = None if self.decode is None else Decoder(self.decode)
        self._where = device_of(self.device)
        self._splits = named_splits(self.probe_data, self.targets)
        self._watch = watch_of(self.ranks, self._splits, self._network)
        if not self._watch.idle:
            try:
                with self._stopwatch:
                    self._prepare()
            except KeyboardInterrupt:
                leave_nothing(self._network)
                raise

    def _prepare(self) -> None:
        self._check_initial()
        chosen = self._chosen_listeners()
        apart = self._taken_apart()
        self._feature_map = None if apart is None else apart[0]
        self._writer = self._watch.crew.attempt(partial(self._made_writer, apart), self._network)
        self._initial_words = initial_words(self._writer)
        try:
            initial = self._kept_initial()
            self._initial_features = {
                name: InitialFeatures(apart[0], initial)
                for name in self._splits
                if initial is not None and apart is not None
            }
            self._galleries = {name: self._of_split(self._kept_gallery, name) for name in self._splits}
            self._listen(chosen, self._settings())
        except BaseException:
            self._writer.close()
            raise

    def record(self, *, epoch: float | None = None, step: int | None = None, **scalars: Any) -> Measurement | None:
        """Store the caller's scalars, and measure every split when the schedule says so.

        A second call for the moment of the last record measures nothing; its scalars join that record, as with `note`.

        Args:
            epoch: epochs trained so far, 0 before the first; None takes the step, or counts the calls.
            step: optimizer steps so far.
            scalars: numbers to store beside, such as train_loss=0.12; one-element tensors are read.

        Returns:
            The measurement of the first split; None when none was due, or the moment is recorded already.

        Raises:
            NonFiniteError: the features have become NaN or Inf; the scalars are stored all the same.
            InputError: the observer is closed, a scalar or the epoch is not a number, or the step no whole one.
            RunError: the record cannot be written, and on_error is "raise".
        """
        self._check_open()
        epoch, step = self._checked_moment(epoch, step)
        if self._watch.idle:
            self._asked = None if step is None else float(step)
            return None
        numbers = as_numbers(scalars)
        try:
            with self._stopwatch:
                return self._recorded(self._position(epoch, step), step, numbers)
        except KeyboardInterrupt:
            leave_nothing(self._network)
            raise

    def is_due(self, *, epoch: float | None = None, step: int | None = None) -> bool:
        """Whether a record at this moment would measure; a loop over steps asks, so as not to record each of them.

        Args:
            epoch: epochs trained so far.
            step: optimizer steps so far.
        """
        epoch, step = read_moment(epoch, step)
        at = step if self.every_steps is not None or epoch is None else epoch
        if at is None:
            raise InputError("is_due() got no moment; pass epoch=, or step= with every_steps")
        return self._schedule.due_since(self._asked, float(at))

    def _checked_moment(self, epoch: Any, step: Any) -> tuple[float | None, int | None]:
        if self.every_steps is not None and step is None:
            raise InputError("every_steps counts optimizer steps; pass step= to record()")
        return read_moment(epoch, step)

    def _due_now(self, position: float, step: int | None) -> bool:
        if step is None or self.every_steps is None:
            return self._schedule.due(position)
        due = self._schedule.due_since(self._asked, step)
        self._asked = float(step)
        return due

    def _recorded(self, position: float, step: int | None, numbers: Mapping[str, float]) -> Measurement | None:
        if self._is_recorded(position, step):
            self._desk.do(partial(self._writer.note, position, step, numbers))
            return None
        measurements: dict[str, Measurement] = {}
        shown: dict[str, Shown] = {}
        try:
            if self._due_now(position, step):
                for name in self._splits:
                    measurements[name], features = self._of_split(self._measured_split, name)
                    shown |= {} if features is None else {name: features}
                self._measured += 1
        except Exception:
            # A diverged network cannot be measured, but its losses are what shows that it diverged; and who goes on
            # after an accelerator ran out of memory has them, too.
            self._desk.do(partial(self._writer.append, position, step, numbers, {}))
            raise
        job = partial(self._finish, position, step, numbers, measurements, shown)
        self._store(position, step, job, measurements)
        return next(iter(measurements.values()), None)

    def _settings(self) -> dict[str, Any]:
        names = ("every", "every_steps", "rank_tolerance", "max_samples", "corrected", "gallery")
        return {name: getattr(self, name) for name in names}

    def _check_initial(self) -> None:
        if self._watch.crew.sharded and isinstance(self.initial, Mapping):
            raise InputError("FSDP holds the weights in parts, which no others can stand in for; pass initial=None")
        check_initial(self.initial, own_tensors(self._network))

    def _kept_initial(self) -> Mapping[str, Tensor] | None:
        """The state that features are compared with; the writing rank knows it, and lends it to the others."""
        if self.initial is None or self._watch.crew.sharded:
            return None
        own = own_tensors(self._network)
        task = partial(initial_state, self._writer, own, self.initial, resume=self.resume)
        known = self._watch.crew.attempt(task, self._network)
        if self.resume and self._watch.crew.exchange is not None:
            known = self._watch.crew.exchange.lent(known, 0)
            known = None if known is None else {name: tensor.to(own[name].device) for name, tensor in known.items()}
        return known

    def _taken_apart(self) -> tuple[FeatureMap, Batch] | None:
        """The network on a first batch; None on a rank that has none."""

        def apart() -> tuple[FeatureMap, Batch] | None:
            for name, data in self._splits.items():
                batches = batches_here(self._watch.crews[name], data, None)
                if batches is not None:
                    first, _ = peeked(batches)
                    feature_map = feature_map_of(
                        self._network, first, self._choice, device=self._where, targets=self.targets
                    )
                    return feature_map, next(with_targets(iter([first]), feature_map.reader(), self.targets))
            return None

        with isolated(self._network, data=next(iter(self._splits.values())), device=self._where):
            return self._watch.crew.attempt(apart, self._network)

    def _made_writer(self, apart: tuple[FeatureMap, Batch] | None) -> Writer:
        if not self._watch.writes:
            return SilentWriter()
        if apart is None:
            raise EmptyDataError("rank 0 writes the run and has no probe sample; give it at least one batch")
        axis = {} if self.every_steps is None else {"axis": "step"}
        header = header_of(self._network, *apart, splits=self._splits, own={**axis, **(self.header or {})})
        return RunWriter.create(self.run, header, resume=self.resume, keep_eigenvectors=self.keep_eigenvectors)

    def _kept_gallery(self, name: str) -> Gallery | None:
        data, feature_map = self._splits[name], self._feature_map

        def kept() -> Gallery | None:
            if feature_map is None or not self._watch.writes:
                return None
            shown = kept_gallery(feature_map, batches_of(data), self.gallery, self.targets, self._decoder)
            if shown is None and self._decoder is not None and self.gallery:
                warnings.warn(f"the samples of {name!r} cannot be decoded: {NO_IDS}", stacklevel=2)
            if self.gradients and (shown is None or not can_look(shown)):
                warnings.warn(f"no gradients by the samples of {name!r} are stored: {NO_LOOKS}", stacklevel=2)
            if shown is not None and not self._writer.save_gallery(name, shown.inputs, shown.targets, shown.words):
                warnings.warn(
                    f"the first samples of {name!r} are others than those the run shows (a loader that shuffles?), so "
                    "the records from here on have no gallery; give the observer a probe in fixed order",
                    stacklevel=2,
                )
                return None
            return shown

        with isolated(self._network, data=data, device=self._where):
            return self._watch.crews[name].attempt(kept, self._network)

    def _finish(
        self,
        position: float,
        step: int | None,
        numbers: Mapping[str, float],
        measurements: Mapping[str, Measurement],
        shown: Mapping[str, Shown],
    ) -> None:
        """Read everything that was left for later, and write it."""
        for name, measured in measurements.items():
            if measured.evidence is not None and measured.evidence.is_start:
                self._initial_words[name] = measured.regime
        extras = {name: one.extras(measurements[name]) for name, one in shown.items()}
        self._writer.append(position, step, numbers, measurements, extras)

    def _of_split(self, read: Callable[[str], T], name: str) -> T:
        try:
            return read(name)
        except PhiscopeError as error:
            if len(self._splits) > 1:
                # Which of the data sets it is of is the first thing to know.
                error.args = (f"split {name!r}: {error}", *error.args[1:])
            raise

    def _measured_split(self, name: str) -> tuple[Measurement, Shown | None]:
        data, gallery, crew = self._splits[name], self._galleries[name], self._watch.crews[name]
        feature_map = self._feature_map

        def run() -> Pass | None:
            batches = batches_here(crew, data, self.max_samples)
            if batches is None or feature_map is None:
                return None
            options = PassOptions(
                targets=self.targets,
                max_samples=crew.quota(self.max_samples),
                initial=self._initial_features.get(name),
                corrected=self.corrected,
                own_inputs=crew.own_inputs,
            )
            return run_pass(feature_map, batches, options)

        def shown() -> Shown | None:
            if gallery is None or feature_map is None:
                return None
            return gallery.shown(feature_map, measurement, self.gradients, restricted=self.restricted)

        with isolated(self._network, data=data, device=self._where):
            gathered = gather_ranks(crew, self._network, run)
            measurement = measurement_of(
                gathered,
                rank_tolerance=self.rank_tolerance,
                provenance={"split": name},
                initial_word=partial(self._initial_words.get, name),
            )
            return measurement, crew.attempt(shown, self._network)
