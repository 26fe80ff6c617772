"""The passes of several ranks become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from torch import nn

from phiscope.distributed import Crew, Exchange, merged, told_by_all
from phiscope.errors import EmptyDataError, InputError
from phiscope.measurement.network_pass import Pass, RankPart, Seen
from phiscope.moments.gathered import Gathered
from phiscope.typing import FloatArray


def gather_ranks(crew: Crew, model: nn.Module, run: Callable[[], Pass | None]) -> Gathered:
    """Run the pass of every rank that takes part; meant for the inside of `isolated`.

    Args:
        crew: which ranks those are, perhaps this process alone.
        model: the network, unwrapped.
        run: this rank's pass; None when ranks merge and this one has no data.

    Raises:
        EmptyDataError: fewer than two samples counted.
        PhiscopeError: an error of `run`, on every rank that takes part.
    """

    def part() -> RankPart | None:
        done = run()
        return None if done is None else done.part()

    def result() -> Gathered:
        done = run()
        if done is None:
            raise EmptyDataError("the data hold no batch")
        return done.result()

    if crew.exchange is not None and crew.merges:
        return unite(crew, crew.exchange, crew.attempt(part, model))
    gathered = crew.attempt(result, model)
    if not crew.alone_of:
        return gathered
    alone = {"ranks": f"the samples of one process of {crew.alone_of}"}
    return replace(gathered, provenance={**gathered.provenance, **alone})


def unite(crew: Crew, exchange: Exchange, part: RankPart | None) -> Gathered:
    """Make one pass of the passes of all ranks; every rank calls it and gets the same.

    Args:
        crew: which ranks.
        exchange: between them.
        part: what this rank gathered; None when it had no data.

    Raises:
        EmptyDataError: fewer than two samples on all ranks together.
        InputError: the ranks hold different networks.
    """
    told = told_by_all(exchange, {"seen": None, "head": None} if part is None else _facts(part))
    moments, shards = merged(exchange, () if part is None else part.shards)
    holders = [rank for rank, facts in enumerate(told) if facts["seen"] is not None]
    _check_same_network([told[rank]["head"] for rank in holders], holders)
    paired = None
    if all(told[rank]["paired"] for rank in holders):
        paired, _ = merged(exchange, () if part is None else part.paired or ())
    seen = _together([told[rank]["seen"] for rank in holders])
    return Gathered(
        moments=moments,
        shards=shards,
        head=_lent_head(exchange, part, holders[0], told[holders[0]]["head"]["shape"]),
        paired=paired,
        head_change=told[holders[0]]["head_change"],
        provenance={**seen.provenance(), **_about(crew, exchange)},
        warnings=(*seen.warnings(), *_doubts(crew)),
    )


def _facts(part: RankPart) -> dict[str, Any]:
    weight, bias = (np.zeros((0, 0)), np.zeros(0)) if part.head is None else part.head
    return {
        "seen": asdict(part.seen),
        "head": {"shape": list(weight.shape), "size": float(np.abs(weight).sum() + np.abs(bias).sum())},
        "paired": part.paired is not None,
        "head_change": part.head_change,
    }


def _check_same_network(heads: Sequence[Mapping[str, Any]], ranks: Sequence[int]) -> None:
    for rank, head in zip(ranks, heads, strict=True):
        first = heads[0]
        if head["shape"] != first["shape"] or abs(head["size"] - first["size"]) > 1e-6 * first["size"]:
            raise InputError(
                f"rank {rank} has another head than rank {ranks[0]} (sum of absolute weights {head['size']:.9g} "
                f"against {first['size']:.9g}); moments of different networks do not merge: wrap the model in "
                "DistributedDataParallel, or pass ranks='local'"
            )


def _lent_head(
    exchange: Exchange, part: RankPart | None, lender: int, shape: Sequence[int]
) -> tuple[FloatArray, FloatArray] | None:
    if shape[0] == 0:
        return None
    whole = np.zeros((shape[0], shape[1] + 1))
    if part is not None and part.head is not None and exchange.rank == lender:
        whole[:, :-1], whole[:, -1] = part.head
    whole = exchange.total(whole)
    return whole[:, :-1].copy(), whole[:, -1].copy()


def _together(seen: Sequence[Mapping[str, Any]]) -> Seen:
    return Seen(
        network=seen[0]["network"],
        devices=_once(one["devices"] for one in seen),
        precisions=_once(one["precisions"] for one in seen),
        products=_once(one["products"] for one in seen),
        readings=_once(one["readings"] for one in seen),
        ignored_inputs=_once(one["ignored_inputs"] for one in seen),
        n_batches=sum(one["n_batches"] for one in seen),
        n_ignored=sum(one["n_ignored"] for one in seen),
        doubts=_once(one["doubts"] for one in seen),
        whole=_values_of([one["whole"] for one in seen]),
        n_samples=sum(one["n_samples"] for one in seen),
    )


def _values_of(parts: Sequence[Sequence[float] | None]) -> tuple[float, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(sorted({value for part in known for value in part})) if len(known) == len(parts) else None


def _once(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for values in lists for value in values))


def _about(crew: Crew, exchange: Exchange) -> dict[str, str]:
    told = {"ranks": f"the samples of {exchange.size} processes, merged"}
    if crew.share is not None and crew.share.n_repeated:
        told["repeated"] = (
            f"{crew.share.n_repeated} samples that DistributedSampler repeats to make the parts equally long, "
            "counted once"
        )
    return told


def _doubts(crew: Crew) -> tuple[str, ...]:
    if crew.share is None or crew.share.n_samples is not None:
        return ()
    return (
        "the loader's sampler has its own rule; samples that it gives to several ranks were counted more than once",
    )
