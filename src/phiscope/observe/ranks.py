"""Which ranks take part in observing a training, and which one writes the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch.distributed as dist
from torch import nn

from phiscope.distributed import Crew, Ranks, crew_of


class Writer(Protocol):
    """What an observer needs of the writer of a run; see `phiscope.runs.RunWriter`."""

    @property
    def header(self) -> Mapping[str, Any]:
        """What the header file says."""

    @property
    def last_index(self) -> int:
        """Number of the record where the training stands."""

    def append(self, epoch: float, step: int | None, scalars: Any, measurements: Any, extras: Any = None) -> None:
        """Add a record."""

    def note(self, epoch: float | None, step: int | None, scalars: Any) -> None:
        """Add scalars to a record."""

    def go_on_from(self, index: int) -> None:
        """Stand at a record."""

    def save_gallery(self, split: str, inputs: Any, targets: Any, words: Any = None) -> bool:
        """Keep the samples that eigenfunctions are shown on; False when the run has others."""

    def finish(self, status: Any, results: Any = None, reason: Any = None) -> None:
        """Say how the training ended."""

    def close(self) -> None:
        """Let go of the run."""


class SilentWriter:
    """Writes nothing: rank 0 does."""

    header: Mapping[str, Any] = {}
    last_index = -1

    def append(self, epoch: float, step: int | None, scalars: Any, measurements: Any, extras: Any = None) -> None:
        """Do nothing."""

    def note(self, epoch: float | None, step: int | None, scalars: Any) -> None:
        """Do nothing."""

    def go_on_from(self, index: int) -> None:
        """Do nothing."""

    def save_gallery(self, split: str, inputs: Any, targets: Any, words: Any = None) -> bool:
        """Do nothing."""
        return True

    def finish(self, status: Any, results: Any = None, reason: Any = None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """The part of one rank in observing.

    Attributes:
        crews: for each split, the ranks that measure it together.
        writes: this rank writes the run.
        idle: this rank neither measures nor writes.
    """

    crews: Mapping[str, Crew]
    writes: bool
    idle: bool

    @property
    def crew(self) -> Crew:
        """For what concerns no split."""
        return next(iter(self.crews.values()))


def watch_of(ranks: Ranks, splits: Mapping[str, Any], network: nn.Module) -> Watch:
    """Decide what this rank does.

    Args:
        ranks: see `Observer`.
        splits: data sets by name.
        network: unwrapped.

    Raises:
        InputError: see `phiscope.distributed.crew_of`.
    """
    crews = {name: crew_of(ranks, data, network) for name, data in splits.items()}
    exchange = next((crew.exchange for crew in crews.values() if crew.exchange is not None), None)
    if exchange is not None:
        # Ranks that meet in one split have to hear of errors in all of them.
        crews = {name: replace(crew, exchange=crew.exchange or exchange) for name, crew in crews.items()}
        return Watch(crews=crews, writes=exchange.rank == 0, idle=False)
    # Nothing says that the ranks' data differ: one of them is enough, and the others must not wait for it.
    idle = any(crew.alone_of for crew in crews.values()) and dist.get_rank() > 0
    return Watch(crews=crews, writes=not idle, idle=idle)
