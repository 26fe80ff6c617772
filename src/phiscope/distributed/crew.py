"""Which ranks measure together, which samples each of them reads, and how they stay together when one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch.distributed as dist
from torch import nn
from torch.utils.data import DistributedSampler

from phiscope.distributed.exchange import Exchange, ProcessGroupExchange, as_facts, raise_first, told_by_all
from phiscope.distributed.lockstep import in_step, is_sharded
from phiscope.errors import InputError, named_kind

Ranks = Literal["auto", "merge", "local"] | Any
"""What `ranks=` takes: a word, or a torch process group whose ranks merge."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, eq=False)
class Crew:
    """The ranks that take part in one measurement.

    Attributes:
        exchange: between them; None when this process measures without any other.
        merges: their samples become one set.
        sharded: the model's weights are spread over them, so each forward pass needs all.
        share: the part of the data that this rank reads, when the loader says so.
        alone_of: number of ranks of which this one measures its own samples without being asked to; 0 otherwise.
    """

    exchange: Exchange | None = None
    merges: bool = False
    sharded: bool = False
    share: Share | None = None
    alone_of: int = 0

    def attempt(self, task: Callable[[], Result], model: nn.Module) -> Result:
        """Run a task on every rank; when one fails, all raise the same sentence.

        A task may run the model, also a different number of times on each rank. It must not exchange anything.

        Args:
            task: what this rank does.
            model: the network, unwrapped.

        Raises:
            PhiscopeError: the error of the lowest failing rank, of its class; RankError for a foreign one.
        """
        if self.exchange is None:
            return task()
        done: list[Result] = []
        failure: Exception | None = None
        with in_step(self.exchange, model) if self.sharded else nullcontext():
            try:
                done.append(task())
            except Exception as error:
                # Told to the others below, and raised there.
                failure = error
        told = told_by_all(self.exchange, {"error": None if failure is None else as_facts(failure)})
        raise_first([facts["error"] for facts in told], self.exchange.rank, failure)
        return done[0]

    @property
    def own_inputs(self) -> int | None:
        """So many of this rank's first inputs no other rank has; None = all."""
        return None if self.share is None else self.share.n_samples

    def quota(self, max_samples: int | None) -> int | None:
        """This rank's part of a number of samples to measure in all."""
        if self.exchange is None or not self.merges or max_samples is None:
            return max_samples
        # What is not a number of samples is refused where it is used.
        return len(range(self.exchange.rank, max_samples, self.exchange.size)) if max_samples > 0 else max_samples


ALONE = Crew()
"""One process, as without torch.distributed."""


def crew_of(ranks: Ranks, data: Any, model: nn.Module) -> Crew:
    """Decide who measures.

    Args:
        ranks: "auto" merges when the data's `DistributedSampler` says that every rank reads a part of one data set;
            "merge" merges; "local" does not; a process group merges its ranks.
        data: what is measured.
        model: the network, unwrapped.

    Raises:
        InputError: another word, or a sampler that splits over another number of ranks.
    """
    group = None if isinstance(ranks, str) else ranks
    if isinstance(ranks, str) and ranks not in ("auto", "merge", "local"):
        raise InputError(f"ranks={ranks!r}; expected 'auto', 'merge', 'local' or a torch process group")
    if not dist.is_available() or not dist.is_initialized():
        if group is not None:
            raise InputError(f"ranks is {named_kind(group)}, but torch.distributed is not initialized")
        return Crew()
    exchange = ProcessGroupExchange(group)
    if exchange.size < 1:
        raise InputError("this process is not in the process group given as ranks")
    share = share_of(data)
    splits = share is not None and share.n_ranks > 1
    merges = ranks != "local" and (ranks != "auto" or splits)
    if merges and share is not None and splits and share.n_ranks != exchange.size:
        raise InputError(
            f"the loader's DistributedSampler splits the data over {share.n_ranks} ranks, but the process group has "
            f"{exchange.size}; pass ranks=<the process group of those ranks>, or ranks='local'"
        )
    sharded = is_sharded(model)
    return Crew(
        exchange=exchange if merges or sharded else None,
        merges=merges,
        sharded=sharded,
        share=share if merges and splits else None,
        alone_of=exchange.size if ranks == "auto" and not merges and exchange.size > 1 else 0,
    )


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a data set that a `DistributedSampler` gives to one rank.

    Attributes:
        n_ranks: number of parts.
        n_samples: first samples of the part that no other rank has; None where the sampler has a rule of its own.
        n_repeated: samples at the end of all parts together that repeat others, to make the parts equally long.
    """

    n_ranks: int
    n_samples: int | None
    n_repeated: int | None


def share_of(data: Any) -> Share | None:
    """Read the share off a DataLoader; None when it has no `DistributedSampler`.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> sampler = DistributedSampler(range(203), num_replicas=2, rank=1)
        >>> share = share_of(DataLoader(range(203), sampler=sampler))
        >>> len(sampler), share.n_samples, share.n_repeated
        (102, 101, 1)
    """
    batch_sampler = getattr(data, "batch_sampler", None)
    found = (getattr(batch_sampler, "sampler", None), getattr(data, "sampler", None), batch_sampler)
    sampler = next((one for one in found if isinstance(one, DistributedSampler)), None)
    if sampler is None:
        return None
    n_ranks, rank = int(sampler.num_replicas), int(sampler.rank)
    if type(sampler).__iter__ is not DistributedSampler.__iter__:
        return Share(n_ranks=n_ranks, n_samples=None, n_repeated=None)
    # Rank r reads places r, r + R, r + 2 R, ... of the (shuffled) indices; places from n on start over.
    n = len(sampler.dataset)  # type: ignore[arg-type]
    own = min(len(sampler), len(range(rank, n, n_ranks)))
    return Share(n_ranks=n_ranks, n_samples=own, n_repeated=max(int(sampler.total_size) - n, 0))
