"""Which samples of a data set a rank reads, and which of them another rank reads as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.utils.data import DistributedSampler


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
