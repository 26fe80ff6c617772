"""The moments of all ranks as one, by sums of p x p arrays.

`phiscope.moments.moments.merge` joins two sets; here all ranks join at once. Each rank moves its scatter within groups
to the means of the union, and the moved matrices are summed. Means travel as deviations from a mean that one rank
holds, so that a mean of 1000 spreads costs no digits.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from phiscope.distributed.exchange import Exchange, ProcessGroupExchange, told_by_all
from phiscope.errors import EmptyDataError, ShapeError
from phiscope.linalg.products import add_outer, pack_symmetric, unpack_symmetric
from phiscope.moments.moments import Layout, Moments, fold, merge, moments_from_rows, with_all_classes, with_groups
from phiscope.typing import FloatArray

TRAVEL_NUMBERS = 2**23
"""Numbers summed over the ranks at one time; 64 MiB."""

Job = Generator[FloatArray, FloatArray, Moments]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One shard of one rank, as far as every rank knows it."""

    rank: int
    index: int
    n_samples: int
    weight: float
    squared_weight: float
    n_groups: int
    keeps_rows: bool
    output_eps: float


def merge_across_ranks(shards: Sequence[Moments], group: Any = None) -> tuple[Moments, tuple[Moments, ...]]:
    """Moments of the samples of all ranks together; every rank calls it, and every rank gets the same.

    Shards of the union are made of one shard of each rank. Equal, up to float64 rounding, to the moments that one
    process gathers from all samples. While a shard of the union has at most p rows and every rank still keeps them,
    rows travel and nothing of size p x p is made; afterwards each shard costs a sum of one (p + C + c)^2 array.

    Args:
        shards: this rank's disjoint shards, as `MomentAccumulator.shards` gives them; one for no shards; empty for a
            rank without samples.
        group: torch process group; None = all ranks.

    Returns:
        Moments of the union, and its shards.

    Raises:
        ShapeError: ranks hold other columns; the same sentence on every rank.
        EmptyDataError: fewer than two samples on all ranks together.
        RankError: a rank did not come.

    Source:
        Chan, Golub and LeVeque 1983, for any number of sets at once.
    """
    return merged(ProcessGroupExchange(group), shards)


def merged(exchange: Exchange, shards: Sequence[Moments]) -> tuple[Moments, tuple[Moments, ...]]:
    """`merge_across_ranks` over any exchange."""
    # Ranks agree on groups by their number only.
    shards = [with_all_classes(shard) for shard in shards]
    layout_here = [int(width) for width in shards[0].layout] if shards else None
    told = told_by_all(exchange, {"layout": layout_here, "parts": _known(shards)})
    layout = _agreed([facts["layout"] for facts in told])
    parts = [
        _Part(rank=rank, index=index, **part)
        for rank, facts in enumerate(told)
        for index, part in enumerate(facts["parts"])
    ]
    n = sum(part.n_samples for part in parts)
    if layout is None or n < 2:
        raise EmptyDataError(
            f"{n} sample{'s' * (n != 1)} came on all {exchange.size} ranks together, expected at least 2; check that "
            "the data are not empty or used up"
        )
    n_groups = max(part.n_groups for part in parts)
    jobs = []
    for members in _slots(parts, max(len(facts["parts"]) for facts in told)):
        mine = next((shards[part.index] for part in members if part.rank == exchange.rank), None)
        jobs.append(_joined(exchange, None if mine is None else with_groups(mine, n_groups), members, layout, n_groups))
    coarsest = max(part.output_eps for part in parts)
    union = [replace(one, output_eps=coarsest) for one in _done(exchange, jobs, sum(layout[:3]))]
    return reduce(merge, union), tuple(union)


def _done(exchange: Exchange, jobs: Sequence[Job], width: int) -> list[Moments]:
    """Run jobs, several side by side: what they want to sum at one time travels together."""
    at_once = max(1, TRAVEL_NUMBERS // width**2)
    results: list[Moments] = []
    for start in range(0, len(jobs), at_once):
        group = jobs[start : start + at_once]
        sent: list[FloatArray | Moments] = [next(job) for job in group]
        while wanted := {place: one for place, one in enumerate(sent) if isinstance(one, np.ndarray)}:
            for place, sums in zip(wanted, _totals(exchange, list(wanted.values())), strict=True):
                sent[place] = _sent_next(group[place], sums)
        results += [one for one in sent if isinstance(one, Moments)]
    return results


def _sent_next(job: Job, sums: FloatArray) -> FloatArray | Moments:
    try:
        return job.send(sums)
    except StopIteration as stop:
        moments: Moments = stop.value
        return moments


def _totals(exchange: Exchange, arrays: Sequence[FloatArray]) -> list[FloatArray]:
    ends = np.cumsum([array.size for array in arrays])
    whole = exchange.total(np.concatenate([array.ravel() for array in arrays]))
    return [part.reshape(array.shape) for part, array in zip(np.split(whole, ends[:-1]), arrays, strict=True)]


def _known(shards: Sequence[Moments]) -> list[dict[str, Any]]:
    return [
        {
            "n_samples": shard.n_samples,
            "weight": shard.weight,
            "squared_weight": shard.squared_weight,
            "n_groups": len(shard.group_counts),
            "keeps_rows": shard.rows is not None,
            "output_eps": shard.output_eps,
        }
        for shard in shards
    ]


def _agreed(layouts: Sequence[Sequence[Any] | None]) -> Layout | None:
    there = [
        (rank, (int(layout[0]), int(layout[1]), int(layout[2]), bool(layout[3])))
        for rank, layout in enumerate(layouts)
        if layout is not None
    ]
    for rank, layout in there:
        if layout != there[0][1]:
            raise ShapeError(
                f"rank {rank} holds moments with (p, C, c, classes) = {layout}, rank {there[0][0]} with {there[0][1]}; "
                "measure the same model and the same kind of targets on every rank"
            )
    return there[0][1] if there else None


def _slots(parts: Sequence[_Part], n_shards: int) -> list[list[_Part]]:
    """Which shards of the ranks become one shard of the union."""
    slots: list[list[_Part]] = [[] for _ in range(n_shards)]
    # Dealt out one rank after the other, so that many ranks with a few samples each fill all shards.
    for place, part in enumerate(parts):
        slots[place % n_shards].append(part)
    return slots


def _joined(exchange: Exchange, own: Moments | None, members: Sequence[_Part], layout: Layout, n_groups: int) -> Job:
    """One shard of the union; yields arrays of which it is sent the sums over the ranks."""
    if all(part.keeps_rows for part in members) and sum(part.n_samples for part in members) <= layout[0]:
        return _joined_rows(exchange, own, members, layout, n_groups)
    return _summed(exchange, own, members, layout, n_groups)


def _joined_rows(
    exchange: Exchange, own: Moments | None, members: Sequence[_Part], layout: Layout, n_groups: int
) -> Job:
    """Moments from the rows of all ranks, in rank order."""
    width = sum(layout[:3])
    whole = np.zeros((sum(part.n_samples for part in members), width + 2))
    start = sum(part.n_samples for part in members if part.rank < exchange.rank)
    if own is not None and own.rows is not None and own.row_groups is not None and own.row_weights is not None:
        held = np.column_stack([own.rows, own.row_groups, own.row_weights])
        whole[start : start + len(held)] = held
    # Adding zeros is exact, and unlike a gather this never holds more than p rows.
    whole = yield whole
    rows, groups, weights = whole[:, :width].copy(), whole[:, -2].astype(np.int64), whole[:, -1].copy()
    return moments_from_rows(layout, rows, groups, weights, n_groups)


def _summed(exchange: Exchange, own: Moments | None, members: Sequence[_Part], layout: Layout, n_groups: int) -> Job:
    """Moments from the scatter of all ranks, moved to the means of the union."""
    p, width = layout[0], sum(layout[:3])
    folded = None if own is None else fold(own)
    weights = np.zeros(n_groups) if folded is None else folded.group_weights
    means = np.zeros((n_groups, width)) if folded is None else folded.group_means
    told = np.zeros((exchange.size, n_groups))
    told[exchange.rank] = weights
    by_rank = yield told
    union_weights = by_rank.sum(axis=0)
    # One rank's mean of each group, to the last bit: the others only add zeros.
    pilot = yield np.where((by_rank.argmax(axis=0) == exchange.rank)[:, None], means, 0.0)
    occupied = weights > 0
    offset = np.where(occupied[:, None], means - pilot, 0.0)
    divisor = np.where(union_weights > 0, union_weights, 1.0)
    union_offset = (yield offset * weights[:, None]) / divisor[:, None]
    step = np.where(occupied[:, None], offset - union_offset, 0.0)
    bridge = (step * np.sqrt(weights)[:, None])[occupied]
    within, squares = (
        add_outer(np.zeros((width, width)), bridge),
        weights * np.einsum("ij,ij->i", step[:, :p], step[:, :p]),
    )
    counts = np.zeros(n_groups)
    if folded is not None:
        within += np.asarray(folded.within)
        squares += folded.group_squares
        counts += folded.group_counts
    sums = yield np.concatenate([counts, squares, pack_symmetric(within)])
    return Moments(
        n_samples=sum(part.n_samples for part in members),
        weight=math.fsum(part.weight for part in members),
        squared_weight=math.fsum(part.squared_weight for part in members),
        n_features=layout[0],
        n_outputs=layout[1],
        n_values=layout[2],
        classes=layout[3],
        group_counts=sums[:n_groups].astype(np.int64),
        group_weights=union_weights,
        group_means=pilot + union_offset,
        group_squares=sums[n_groups : 2 * n_groups].copy(),
        within=unpack_symmetric(sums[2 * n_groups :], width),
    )
