"""What one pass gathered, before any eigendecomposition: all that the numbers need and nothing of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phiscope.arrays import FloatArray
from phiscope.assemble import measurement_from_moments
from phiscope.measurement import Measurement
from phiscope.metrics.similarity import kernel_similarity
from phiscope.moments import Moments


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Moments and head of one pass.

    It shares no memory with the network, so the expensive half of a measurement can be done later, and on another
    thread, while the network goes on training.

    Attributes:
        moments: of features, and of targets where there are any.
        shards: moments of disjoint random shards of the same samples; empty or one gives no intervals.
        head: W (C, p) and b (C,) at the time of the pass, copies.
        paired: joint moments of initial and present features; None without an initial state.
        provenance: where the samples came from.
        warnings: what a reader has to know.
    """

    moments: Moments
    shards: Sequence[Moments]
    head: tuple[FloatArray, FloatArray]
    paired: Moments | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def measurement(self, *, rank_tolerance: float = 1e-4, provenance: Mapping[str, str] | None = None) -> Measurement:
        """Diagonalize, and read every number.

        Args:
            rank_tolerance: relative tolerance on the eigenvalues of the outputs' moments.
            provenance: further entries.
        """
        warnings = list(self.warnings)
        similarity = None if self.paired is None else _similarity(self.paired)
        if self.paired is not None and similarity is None:
            warnings.append("the features are constant, so they cannot be compared with the initial ones")
        return measurement_from_moments(
            self.moments,
            shards=self.shards,
            head=self.head,
            rank_tolerance=rank_tolerance,
            provenance={**self.provenance, **(provenance or {})},
            warnings=warnings,
            initial_kernel_similarity=similarity,
        )


def _similarity(paired: Moments) -> float | None:
    before = paired.covariance("features").squared_norm()
    after = paired.covariance("outputs").squared_norm()
    if before <= 0 or after <= 0:
        return None
    return kernel_similarity(paired.cross_covariance("outputs"), before, after)
