"""The passive observer: measures the features of the training batches themselves, without a forward pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from os import PathLike
from typing import Any

import torch
from torch import nn

from phiscope.distributed import Ranks
from phiscope.errors import InputError, PhiscopeError
from phiscope.inputs.batches import batches_of, peeked
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import Pass, PassOptions
from phiscope.measurement.ranks import gather_ranks
from phiscope.measurement.record import Measurement
from phiscope.moments.gathered import Gathered
from phiscope.network import FeatureChoice, FeatureMap, feature_map_of
from phiscope.network.batch import BatchReader, with_targets
from phiscope.network.isolation import isolated, placement, unwrapped
from phiscope.network.layer_plan import ReadingChoice
from phiscope.network.layer_reading import Maps, Tokens
from phiscope.network.overhearing import Overheard, check_can_overhear, overhearing
from phiscope.observe.alerts import Alert
from phiscope.observe.desk import OnError
from phiscope.observe.listeners import Chosen
from phiscope.observe.ranks import SilentWriter, Writer, watch_of
from phiscope.observe.recording import Recording, as_numbers, header_of, leave_nothing
from phiscope.observe.settings import check_values
from phiscope.runs import KEPT_EIGENVECTORS, RunWriter
from phiscope.runs.units import read_moment

_MOVING = (
    "the features were gathered from {} forward passes of the training while the weights changed{}; they are not "
    "those of one network: measure a fixed probe set with Observer for numbers to compare"
)


@dataclass
class PassiveObserver(Recording):
    """Gathers the training batches' own features in the forward passes that the training makes anyway.

    Each `record` measures the batches since the last one and stores a record of a run. The numbers belong to a feature
    map that moved meanwhile, in training mode (dropout, batch statistics), with the head as it stands at the record;
    each measurement says so. `Observer` measures a fixed probe set on one network instead.

    Nothing of the training is touched: hooks exist inside the blocks only, and no random number is drawn.

    Args:
        model: the network in training; data-parallel wrappers are looked through, compiled networks are refused.
        example: data whose first batch shows how the head gives the output; anything `measure` takes.
        run: folder of the run.
        split: name of what is measured.
        head: None = find it; or the layer, its dotted name, or (W, b); see `measure`.
        features: None = the input of the head; or a layer, its dotted name, or "output"; see `measure`.
        outputs: with features, what they are read against; see `measure`.
        maps: see `measure`.
        tokens: see `measure`.
        padding: see `measure`.
        next_token: see `measure`.
        targets: None = from the batch; or a function of the batch.
        header: what to tell about the run (title, description, settings, data, class_names, ...).
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        corrected: also measure the bias-corrected numbers and intervals.
        background: diagonalize and write on a thread of its own while the training goes on.
        on_error: see `Observer`.
        keep_eigenvectors: see `Observer`.
        resume: see `Observer`.
        ranks: see `Observer`; with "merge" the batches of all ranks count, and all ranks have to record.
        trackers: see `Observer`.
        pictures: see `Observer`.
        alerts: see `Observer`.

    Raises:
        RunExistsError: the folder holds a run and resume is False.
        HeadError: the head was not found.
        InputError: a hook cannot hear this network: it is compiled, or its output is a picked position.

    Example:
        >>> import tempfile
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> x, y = torch.randn(50, 4), torch.randint(2, (50,))
        >>> with PassiveObserver(net, (x, y), run=tempfile.mkdtemp() + "/mine") as observer:
        ...     with observer.batch((x, y)):
        ...         loss = nn.functional.cross_entropy(net(x), y)
        ...     measured = observer.record(epoch=1, train_loss=loss)
        >>> measured.n_samples
        50
    """

    model: nn.Module
    example: Any
    _: KW_ONLY
    run: str | PathLike[str]
    split: str = "train"
    head: Any = None
    features: nn.Module | str | None = None
    outputs: nn.Module | str | None = None
    maps: Maps | None = None
    tokens: Tokens | None = None
    padding: bool = False
    next_token: bool | None = None
    targets: Callable[[Any], Any] | None = None
    header: Mapping[str, Any] | None = None
    rank_tolerance: float = 1e-4
    corrected: bool = True
    background: bool = False
    on_error: OnError = "raise"
    keep_eigenvectors: int | None = KEPT_EIGENVECTORS
    resume: bool = False
    ranks: Ranks = "auto"
    trackers: Iterable[Any] = ()
    pictures: str | int | Iterable[float] | None = "log"
    alerts: Iterable[Alert] = ()

    def __post_init__(self) -> None:
        check_values(vars(self))
        self._begin(background=self.background, on_error=self.on_error)
        if self.targets is not None and not callable(self.targets):
            raise InputError("targets of a passive observer come with each batch; pass None or a function of the batch")
        self._network = unwrapped(self.model)
        self._choice = FeatureChoice(
            features=self.features,
            outputs=self.outputs,
            head=self.head,
            reading=ReadingChoice(maps=self.maps, tokens=self.tokens),
            padding=self.padding,
            next_token=self.next_token,
        )
        self._watch = watch_of(self.ranks, {self.split: self.example}, self._network)
        self._modes: set[bool] = set()
        if not self._watch.idle:
            try:
                with self._stopwatch, isolated(self._network, data=self.example):
                    chosen = self._chosen_listeners()
                    self._feature_map, self._writer = self._watch.crew.attempt(self._prepared, self._network)
                    self._hear(chosen)
            except KeyboardInterrupt:
                leave_nothing(self._network)
                raise
            self._read = BatchReader(self._network, None, placement(self._network)[1])
            self._window = self._new_window()

    def _hear(self, chosen: Chosen) -> None:
        try:
            settings = {"passive": True, "rank_tolerance": self.rank_tolerance, "corrected": self.corrected}
            self._listen(chosen, settings)
        except BaseException:
            self._writer.close()
            raise

    def _prepared(self) -> tuple[FeatureMap, Writer]:
        first, _ = peeked(batches_of(self.example))
        feature_map = feature_map_of(self._network, first, self._choice, device=None, targets=self.targets)
        check_can_overhear(feature_map, self.model)
        if not self._watch.writes:
            return feature_map, SilentWriter()
        batch = next(with_targets(iter([first]), feature_map.reader(), self.targets))
        header = {"passive": True, **header_of(self._network, feature_map, batch, [self.split], own=self.header)}
        writer = RunWriter.create(self.run, header, resume=self.resume, keep_eigenvectors=self.keep_eigenvectors)
        return feature_map, writer

    def _new_window(self) -> Pass:
        self._modes.clear()
        return Pass(feature_map=self._feature_map, options=PassOptions(corrected=self.corrected))

    @contextmanager
    def batch(self, raw: Any) -> Iterator[None]:
        """Listen to the one forward pass in this block.

        Args:
            raw: the batch, as `measure` reads it: (x, y), a mapping with "labels", or x alone.

        Raises:
            HeadError: the network ran not once in the block; what the block did stays done.
            NonFiniteError: the features are NaN or Inf; the batch does not count.
            InputError: the observer is closed.
        """
        self._check_open()
        if self._watch.idle:
            yield
            return
        try:
            batch = next(with_targets(iter([raw]), self._read, self.targets))
            with overhearing(self._feature_map, batch) as heard:
                yield
        except KeyboardInterrupt:
            leave_nothing(self._network)
            raise
        with self._stopwatch, torch.no_grad():
            self._add(heard)

    def _add(self, heard: Overheard) -> None:
        index = self._window.n_batches
        # Whether the head's answer is the output is asked once a record: it cannot change from batch to batch.
        rows = heard.rows(index=index, checked=index == 0)
        self._window.add_rows(heard.batch, rows, index)
        self._modes.add(heard.training)

    def record(self, *, epoch: float | None = None, step: int | None = None, **scalars: Any) -> Measurement | None:
        """Measure the batches since the last record, and store it with the caller's scalars.

        Args:
            epoch: epochs trained so far; None takes the step, or counts the calls.
            step: optimizer steps so far.
            scalars: numbers to store beside, such as train_loss=0.12.

        Returns:
            The measurement; None when no batch has passed since the last record. Without a batch, scalars for the
            moment of the last record join it, as with `note`.

        Raises:
            EmptyDataError: only one sample has passed.
            InputError: the observer is closed, a scalar or the epoch is not a number, or the step no whole one.
            RunError: the record cannot be written, and on_error is "raise".
        """
        self._check_open()
        epoch, step = read_moment(epoch, step)
        if self._watch.idle:
            return None
        numbers = as_numbers(scalars)
        try:
            with self._stopwatch:
                return self._recorded(self._position(epoch, step), step, numbers)
        except KeyboardInterrupt:
            leave_nothing(self._network)
            raise

    def _recorded(self, position: float, step: int | None, numbers: Mapping[str, float]) -> Measurement | None:
        window, mode = self._window, self._mode()
        self._window = self._new_window()
        if window.n_samples == 0 and not self._watch.crew.merges:
            if self._is_recorded(position, step):
                self._desk.do(partial(self._writer.note, position, step, numbers))
            else:
                self._store(position, step, partial(self._writer.append, position, step, numbers, {}))
            return None
        try:
            gathered = self._gathered(window)
        except PhiscopeError:
            self._desk.do(partial(self._writer.append, position, step, numbers, {}))
            raise
        # Of all ranks that were merged, this one may have heard nothing.
        told = _MOVING.format(gathered.provenance["batches"], mode)
        measurement = measurement_of(
            replace(gathered, warnings=(*gathered.warnings, told)),
            rank_tolerance=self.rank_tolerance,
            provenance={"split": self.split, "passive": "features of the training's own forward passes"},
        )
        self._measured += 1
        job = partial(self._writer.append, position, step, numbers, {self.split: measurement})
        self._store(position, step, job, {self.split: measurement})
        return measurement

    def _gathered(self, window: Pass) -> Gathered:
        # A rank's samples are what its batches held; a sampler's repeats cannot be told from new ones here.
        crew = replace(self._watch.crew, share=None)
        return gather_ranks(crew, self._network, lambda: window if window.n_samples else None)

    def _mode(self) -> str:
        modes = {frozenset({True}): ", in training mode", frozenset({False}): ", in eval mode", frozenset[bool](): ""}
        return modes.get(frozenset(self._modes), ", partly in training mode, partly in eval mode")
