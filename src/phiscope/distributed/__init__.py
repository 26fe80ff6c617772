"""Many processes under torch.distributed: their moments become one."""

from __future__ import annotations

from phiscope.distributed.crew import ALONE, Crew, Ranks, crew_of
from phiscope.distributed.exchange import Exchange, told_by_all
from phiscope.distributed.merging import merge_across_ranks, merged

__all__ = ["ALONE", "Crew", "Exchange", "Ranks", "crew_of", "merge_across_ranks", "merged", "told_by_all"]
