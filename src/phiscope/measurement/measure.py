"""Measuring a network: one streaming pass over data, one frozen `Measurement` out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from phiscope.distributed import Ranks, crew_of
from phiscope.errors import InputError, named_kind
from phiscope.inputs.batches import known_length, peeked
from phiscope.inputs.order import check_order
from phiscope.inputs.prepared import unprepared
from phiscope.inputs.settings import device_of
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import Pass, PassOptions, batches_here, run_pass
from phiscope.measurement.ranks import gather_ranks
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureChoice, feature_map_of
from phiscope.network.isolation import isolated, unwrapped
from phiscope.network.layer_plan import ReadingChoice
from phiscope.network.layer_reading import Maps, Tokens

_ALONE = (
    "measured on the samples of one process of {}; if each holds a part of the data, let every one call this with "
    "ranks='merge' (ranks='local' says that one is enough)"
)


def measure(
    model: nn.Module,
    data: Any,
    *,
    head: Any = None,
    features: nn.Module | str | None = None,
    outputs: nn.Module | str | None = None,
    targets: Any = None,
    maps: Maps | None = None,
    tokens: Tokens | None = None,
    padding: bool = False,
    next_token: bool | None = None,
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
        head: None = find it; or the layer, its dotted name (also where the model's output is a function of what the
            layer returned: outputs are then its own), or (W, b) with W (C, p), for heads that are no layer.
        features: None = the input of the head; or a layer, its dotted name, or "output" for what the model returns
            ("output.name" for a part of it): no head is needed then, and numbers that need outputs are absent unless
            `head` or `outputs` say what to read them against.
        outputs: with features: a layer, its dotted name, or "output", whose output is measured.
        maps: what becomes of features (n, C, H, W) of a layer, see `measure_layers`.
        tokens: what becomes of features (n, T, p) of a layer, see `measure_layers`. None = pooled, or a sample for each
            token where the targets, or outputs, have that shape.
        padding: count tokens that the batch's attention mask leaves out as samples, too.
        next_token: whether the target at a position is the label at the next one: None = as the model's own loss takes
            labels, which is asked once; True or False says it, for models that have no loss.
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
        raise InputError(f"model is {named_kind(model)}; expected a torch.nn.Module (arrays go to diagonalize)")
    data = unprepared(data)
    check_order(data, targets)
    choice = FeatureChoice(
        features=features,
        outputs=outputs,
        head=head,
        reading=ReadingChoice(maps=maps, tokens=tokens),
        padding=padding,
        next_token=next_token,
    )
    model = unwrapped(model)
    options = PassOptions(
        targets=targets, max_samples=max_samples, progress=progress, total=known_length(data), precision=precision
    )
    crew = crew_of(ranks, data, model)
    where = device_of(device)

    def run() -> Pass | None:
        batches = batches_here(crew, data, max_samples)
        if batches is None:
            return None
        first, batches = peeked(batches)
        feature_map = feature_map_of(model, first, choice, device=where, targets=targets)
        quota = crew.quota(max_samples)
        return run_pass(feature_map, batches, replace(options, max_samples=quota, own_inputs=crew.own_inputs))

    with isolated(model, data=data, device=where):
        gathered = gather_ranks(crew, model, run)
    if crew.alone_of:
        gathered = replace(gathered, warnings=(*gathered.warnings, _ALONE.format(crew.alone_of)))
    return measurement_of(gathered, rank_tolerance=rank_tolerance)
