"""Measuring a network: one streaming pass over data, one frozen `Measurement` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from phiscope.accumulator import MomentAccumulator
from phiscope.arrays import as_head
from phiscope.batches import batches_of, is_shuffling, known_length, peeked
from phiscope.errors import EmptyDataError, InputError
from phiscope.gathered import Gathered
from phiscope.measurement import Measurement
from phiscope.split import FeatureMap, Rows, split_on
from phiscope.split.alignment import Samples, labels_are_inputs, samples_of
from phiscope.split.initial import InitialFeatures
from phiscope.split.isolation import isolated, unwrapped
from phiscope.split.reading import Batch, with_targets


def measure(
    model: nn.Module,
    data: Any,
    *,
    head: nn.Module | str | None = None,
    targets: Any = None,
    device: torch.device | str | None = None,
    max_samples: int | None = None,
    rank_tolerance: float = 1e-4,
    progress: bool | None = None,
) -> Measurement:
    """Diagonalize the forward feature map of a network on data, in one pass.

    The pass runs in eval mode without gradients and outside autocast. The model, its mode, its hooks, its
    buffers and every random state are as before, also after an exception or Ctrl-C.

    Args:
        model: any module; compile and data-parallel wrappers are looked through.
        data: a DataLoader, Dataset, (x, y) tensors, a mapping of tensors, or any iterable of batches. A batch is
            (x, y), a mapping whose "labels" are the targets, or x alone.
        head: None = find it; or the layer, or its dotted name, which is then checked.
        targets: None = from the batch; an array aligned with the data; or a callable(batch) -> targets.
            Integers are classes (C of them; two for a single output), -100 is left out; floats are values.
        device: where to run; None = where the parameters are. The model itself is not moved.
        max_samples: stop after exactly this many samples; None = all.
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        progress: True shows a bar, False none, None one on a terminal.

    Returns:
        The measurement; its provenance says which head, which layout and which reading of the targets.

    Raises:
        NoHeadError: no linear layer produces the model's output.
        AmbiguousHeadError: several do.
        NonFiniteError: a feature is NaN or Inf; the message names the batch.
        EmptyDataError: no batch, or fewer than two samples.
        ShapeError: targets do not fit the samples.
        TargetError: targets outside the head's classes.

    Source:
        arXiv:2410.04264v1, section 2; arXiv:2410.04264v3 for `dynamical_low_rank`.

    Example:
        >>> import itertools
        >>> signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)))
        >>> round(measure(nn.Sequential(nn.Identity(), nn.Linear(3, 2)), signs)["effective_dimension"], 9)
        3.0
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; expected a torch.nn.Module (arrays go to diagonalize)")
    if is_shuffling(data) and targets is not None and not callable(targets):
        raise InputError("targets given as an array cannot follow a shuffling loader; use shuffle=False")
    model = unwrapped(model)
    where = None if device is None else torch.device(device)
    with isolated(model, data=data, device=where):
        first, batches = peeked(batches_of(data))
        feature_map = split_on(model, first, head=head, device=where).feature_map
        return measure_batches(
            feature_map,
            batches,
            targets=targets,
            max_samples=max_samples,
            rank_tolerance=rank_tolerance,
            progress=progress,
            total=known_length(data),
        )


def measure_batches(
    feature_map: FeatureMap,
    batches: Iterator[Any],
    *,
    targets: Any = None,
    max_samples: int | None = None,
    rank_tolerance: float = 1e-4,
    progress: bool | None = False,
    total: int | None = None,
    initial: Mapping[str, Tensor] | None = None,
    provenance: Mapping[str, str] | None = None,
    corrected: bool = True,
) -> Measurement:
    """Measure a feature map on raw batches; meant for the inside of `isolated`.

    Args:
        feature_map: from `split`.
        batches: raw batches.
        targets: see `measure`.
        max_samples: see `measure`.
        rank_tolerance: see `measure`.
        progress: see `measure`.
        total: number of batches, for the bar.
        initial: parameters and buffers by name at initialization; adds `initial_kernel_similarity`.
        provenance: further entries.
        corrected: gather shards, from which bias-corrected numbers and intervals are made.

    Raises:
        InputError: max_samples is not a positive integer.
    """
    gathered = gather_batches(
        feature_map,
        batches,
        targets=targets,
        max_samples=max_samples,
        progress=progress,
        total=total,
        initial=None if initial is None else InitialFeatures(feature_map, initial),
        corrected=corrected,
    )
    return gathered.measurement(rank_tolerance=rank_tolerance, provenance=provenance)


def gather_batches(
    feature_map: FeatureMap,
    batches: Iterator[Any],
    *,
    targets: Any = None,
    max_samples: int | None = None,
    progress: bool | None = False,
    total: int | None = None,
    initial: InitialFeatures | None = None,
    corrected: bool = True,
) -> Gathered:
    """Do the first half of `measure_batches`: run the network, and keep moments instead of samples.

    Args:
        feature_map: from `split`.
        batches: raw batches.
        targets: see `measure`.
        max_samples: see `measure`.
        progress: see `measure`.
        total: see `measure_batches`.
        initial: gives features at initialization; adds what `initial_kernel_similarity` needs.
        corrected: see `measure_batches`.

    Raises:
        InputError: max_samples is not a positive integer.
        EmptyDataError: no sample to measure.
    """
    if max_samples is not None and (isinstance(max_samples, bool) or max_samples < 1):
        raise InputError(f"max_samples is {max_samples}; expected a positive integer or None")
    gathered = _Pass(feature_map=feature_map, initial=initial, n_shards=None if corrected else 1)
    read = with_targets(batches, feature_map.reader(), targets)
    disabled = None if progress is None else not progress
    with tqdm(read, total=total, disable=disabled, desc="measuring", unit="batch", leave=False) as bar:
        for index, batch in enumerate(bar):
            left = None if max_samples is None else max_samples - gathered.n_samples
            gathered.add(batch, index, left)
            if max_samples is not None and gathered.n_samples >= max_samples:
                # Closed here, so that a generator with array targets does not ask for more samples.
                read.close()
                break
    return gathered.result()


@dataclass(kw_only=True)
class _Pass:
    """What one pass has gathered so far."""

    feature_map: FeatureMap
    initial: InitialFeatures | None
    n_shards: int | None
    n_samples: int = 0
    n_inputs: int = 0
    n_batches: int = 0
    ignored: int = 0
    moments: MomentAccumulator | None = None
    paired: MomentAccumulator = field(default_factory=MomentAccumulator)
    last: Rows | None = None
    readings: Counter[str] = field(default_factory=Counter)
    ignored_keys: tuple[str, ...] = ()
    repeats_inputs: bool = False

    def __post_init__(self) -> None:
        self.now = self.feature_map.caller()

    def add(self, batch: Batch, index: int, left: int | None) -> None:
        """Add one batch, of which at most `left` samples count."""
        rows = self.feature_map.rows(batch, call=self.now, index=index)
        samples = samples_of(batch, rows, self.feature_map.model)
        self.last = rows
        self.n_batches += 1
        self.ignored += samples.ignored
        self.readings[samples.reading] += 1
        self.ignored_keys = batch.ignored or self.ignored_keys
        aligned = "shifted" not in samples.reading
        self.repeats_inputs = self.repeats_inputs or (aligned and labels_are_inputs(batch))
        chosen = samples.rows[:left]
        if len(chosen) == 0:
            return
        self.n_samples += len(chosen)
        features = rows.features[chosen.to(rows.features.device)]
        self._moments(samples, rows.weight.shape[0]).update(
            features,
            targets=None if samples.targets is None else samples.targets[:left],
            units=_units(rows, batch, self.n_inputs)[chosen],
        )
        self.n_inputs += batch.size
        if self.initial is not None:
            before = self.initial(batch, index)
            self.paired.update(before[chosen.to(before.device)], features)

    def _moments(self, samples: Samples, n_outputs: int) -> MomentAccumulator:
        if self.moments is None:
            classes = samples.targets is not None and not samples.targets.is_floating_point()
            self.moments = MomentAccumulator(num_classes=max(n_outputs, 2) if classes else None, n_shards=self.n_shards)
        return self.moments

    def result(self) -> Gathered:
        """Finish the pass."""
        if self.moments is None or self.last is None:
            raise EmptyDataError(
                f"the data hold no sample to measure ({self.ignored} were left out by label -100 or mask)"
            )
        warnings: tuple[str, ...] = ()
        if self.repeats_inputs:
            warnings = (
                "labels repeat the inputs and were taken as they are; if the model predicts the next token, "
                "pass targets shifted by one",
            )
        moments, shards = self.moments.result_with_shards()
        weight, bias = as_head((self.last.weight, self.last.bias), self.last.features.shape[1])
        return Gathered(
            moments=moments,
            shards=shards,
            # Copies, as `as_head` makes them: the training goes on writing into the parameters.
            head=(weight, bias),
            paired=None if self.initial is None else self.paired.result(),
            provenance=self._provenance(),
            warnings=warnings,
        )

    def _provenance(self) -> dict[str, str]:
        found, model = self.feature_map.found, self.feature_map.model
        told = {
            "source": "network",
            "model": type(model).__name__,
            "head": f"{found.name or 'the model itself'} ({type(found.module).__name__})",
            "layout": str(found.layout),
            "targets": "; ".join(self.readings),
            "batches": str(self.n_batches),
            "device": str(self.last.features.device) if self.last is not None else "",
            "precision": str(self.last.features.dtype) if self.last is not None else "",
        }
        if self.ignored:
            told["left_out"] = f"{self.ignored} positions or samples, by label -100 or attention mask"
        if self.ignored_keys:
            told["ignored_inputs"] = ", ".join(self.ignored_keys)
        return told


def _units(rows: Rows, batch: Batch, start: int) -> Tensor:
    """Which input each row comes from, (R,): positions of one text or image are not independent samples."""
    total, leading = len(rows.features), rows.leading
    if len(leading) > 1 and leading[0] != batch.size and leading[1] == batch.size:
        # Time first.
        shape = (1, batch.size, *[1] * (len(leading) - 2))
        return (start + torch.arange(batch.size)).reshape(shape).expand(leading).reshape(-1)
    if batch.size == 0 or total % batch.size:
        return start + torch.arange(total)
    return start + torch.arange(total) // (total // batch.size)
