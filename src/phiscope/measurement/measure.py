"""Measuring a network: one streaming pass over data, one frozen `Measurement` out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from phiscope.distributed import Ranks, crew_of
from phiscope.errors import InputError
from phiscope.inputs.batches import is_shuffling, known_length, peeked
from phiscope.inputs.progress import bar_of
from phiscope.measurement.assemble import Gathered
from phiscope.measurement.network_pass import Pass, batches_here
from phiscope.measurement.ranks import gather_ranks
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureMap, split_on
from phiscope.network.batch import with_targets
from phiscope.network.initial import InitialFeatures
from phiscope.network.isolation import isolated, unwrapped

_ALONE = (
    "measured on the samples of one process of {}; if each holds a part of the data, let every one call this with "
    "ranks='merge' (ranks='local' says that one is enough)"
)


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
    ranks: Ranks = "auto",
    precision: str = "auto",
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
        max_samples: stop after exactly this many samples, each merged rank after its part; None = all.
        rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
        progress: True shows a bar, False none, None one on a terminal.
        ranks: under torch.distributed, "merge" makes one set of the samples of all ranks, all of which have to call
            this and get the same; "local" measures this rank's samples alone; "auto" merges when the loader has a
            `DistributedSampler`, whose repeated samples count once. A process group merges its ranks.
        precision: of the products that moments are made of: "exact" (float64), "fast" (float32 about a pilot mean,
            summed in float64; eigenvalues within 1e-6 of the largest one) or "auto": exact on the CPU and on cards
            that multiply float64 well, fast on others. The provenance says which, under "products".

    Returns:
        The measurement; its provenance says which head, which layout and which reading of the targets.

    Raises:
        NoHeadError: no linear layer produces the model's output.
        AmbiguousHeadError: several do.
        NonFiniteError: a feature is NaN or Inf; the message names the batch.
        EmptyDataError: no batch, or fewer than two samples.
        ShapeError: targets do not fit the samples.
        TargetError: targets outside the head's classes.
        RankError: another rank failed with a foreign error, or did not come.

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
    crew = crew_of(ranks, data, model)
    where = None if device is None else torch.device(device)

    def run() -> Pass | None:
        batches = batches_here(crew, data, max_samples)
        if batches is None:
            return None
        first, batches = peeked(batches)
        return run_batches(
            split_on(model, first, head=head, device=where).feature_map,
            batches,
            targets=targets,
            max_samples=crew.quota(max_samples),
            progress=progress,
            total=known_length(data),
            own_inputs=crew.own_inputs,
            precision=precision,
        )

    with isolated(model, data=data, device=where):
        gathered = gather_ranks(crew, model, run)
    if crew.alone_of:
        gathered = replace(gathered, warnings=(*gathered.warnings, _ALONE.format(crew.alone_of)))
    return gathered.measurement(rank_tolerance=rank_tolerance)


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
    done = run_batches(
        feature_map,
        batches,
        targets=targets,
        max_samples=max_samples,
        progress=progress,
        total=total,
        initial=initial,
        corrected=corrected,
    )
    return done.result()


def run_batches(
    feature_map: FeatureMap,
    batches: Iterator[Any],
    *,
    targets: Any = None,
    max_samples: int | None = None,
    progress: bool | None = False,
    total: int | None = None,
    initial: InitialFeatures | None = None,
    corrected: bool = True,
    own_inputs: int | None = None,
    precision: str = "auto",
) -> Pass:
    """Do `gather_batches` up to the last batch; what was gathered may be too little to measure.

    Args:
        feature_map: from `split`.
        batches: raw batches.
        targets: see `measure`.
        max_samples: see `measure`.
        progress: see `measure`.
        total: see `measure_batches`.
        initial: see `gather_batches`.
        corrected: see `measure_batches`.
        own_inputs: so many inputs count; None = all.
        precision: see `measure`.

    Raises:
        InputError: max_samples is not a positive integer.
    """
    if max_samples is not None and (isinstance(max_samples, bool) or max_samples < 1):
        raise InputError(f"max_samples is {max_samples}; expected a positive integer or None")
    running = Pass(
        feature_map=feature_map,
        initial=initial,
        n_shards=None if corrected else 1,
        own_inputs=own_inputs,
        precision=precision,
    )
    read = with_targets(batches, feature_map.reader(), targets)
    with bar_of(read, shown=progress, total=total, desc="measuring", unit="batch", leave=False) as bar:
        for index, batch in enumerate(bar):
            left = None if max_samples is None else max_samples - running.n_samples
            running.add(batch, index, left)
            if max_samples is not None and running.n_samples >= max_samples:
                # Closed here, so that a generator with array targets does not ask for more samples.
                read.close()
                break
    return running
