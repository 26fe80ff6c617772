"""What one pass over samples brought home, before any eigendecomposition: all that the numbers need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phiscope.moments.moments import Moments
from phiscope.typing import AffineHead


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Moments of one pass, whatever was read: arrays in memory, tables on disk, a network.

    It shares no memory with a network, so the expensive half of a measurement can be done later, and on another
    thread, while the network goes on training.

    Attributes:
        moments: of features, and of outputs and targets where there are any.
        shards: moments of disjoint random shards of the same samples; empty or one gives no intervals.
        head: W (C, p) and b (C,) at the time of the pass, copies; None where no head belongs to the features.
        paired: joint moments of initial and present features; None without an initial state.
        head_change: norm(W - W_0) / norm(W_0) since the initial state; None without one.
        provenance: where the samples came from.
        warnings: what a reader has to know.
        n_groups: groups of rows that were dealt to the shards as wholes; None where nobody named any.

    Example:
        >>> import numpy as np
        >>> from phiscope.moments.array_table import ArrayTable
        >>> gathered = ArrayTable({"features": np.eye(4)}).gather()
        >>> gathered.moments.n_samples, gathered.head is None, dict(gathered.provenance)
        (4, True, {'source': 'arrays'})
    """

    moments: Moments
    shards: Sequence[Moments] = ()
    head: AffineHead | None = None
    paired: Moments | None = None
    head_change: float | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    n_groups: int | None = None
