"""Moments of many processes or chunks become one; who measures together, and what if one fails.

::

    crew.py         which ranks measure together, and which samples of a data set each reads
    exchange.py     what processes tell each other; an error on one becomes the same sentence on all
    lockstep.py     forward passes of a sharded model, which every rank has to enter
    merging.py      the moments of all ranks as one, by sums of p x p arrays
    dask_arrays.py  Dask arrays in, moments out: a task for each chunk and a tree of merges
"""

from __future__ import annotations

from phiscope.distributed.crew import ALONE, Crew, Ranks, crew_of
from phiscope.distributed.exchange import Exchange, told_by_all
from phiscope.distributed.merging import merge_across_ranks, merged

__all__ = ["ALONE", "Crew", "Exchange", "Ranks", "crew_of", "merge_across_ranks", "merged", "told_by_all"]
