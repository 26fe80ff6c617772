"""What disjoint shards of the samples add to a measurement: corrected numbers, errors, a held-out readout."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from phiscope.accumulator import FEWEST_SHARDS, HALVES
from phiscope.arrays import FloatArray
from phiscope.corrected import correct, pieces_of
from phiscope.findings import Findings, Outputs, warn_of_bias
from phiscope.jackknife import Estimate
from phiscope.metrics import CORRECTED_TWINS, SCALARS
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.products import frobenius_norm
from phiscope.readouts import find_held_out
from phiscope.spans import Cut, affine_outputs, measured_outputs, reduced_head

HEAD_DISAGREES = 1e-3
"""From this relative difference on, outputs and head(features) are reported as two different things."""

Head = tuple[FloatArray, FloatArray]

FROM_SHARDS = frozenset({"readout_r2_held_out", *(f"{name}_corrected" for name in CORRECTED_TWINS)})
"""Numbers that are made from shards when one of them is first read."""


def add_shards(
    plain: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: Head | None,
    cut: Cut,
) -> Findings:
    """The findings with everything that shards add: corrected numbers, the held-out readout, what is biased."""
    found = deepcopy(plain)
    if len(shards) > 1:
        found.estimates.update(_corrections(found, moments, shards, outputs, head, cut))
        if moments.classes or moments.n_values:
            find_held_out(found, shards)
    if "readout_r2_held_out" not in found.numbers:
        found.absent.setdefault("readout_r2_held_out", "it needs at least 2 shards of samples")
    for name in CORRECTED_TWINS:
        if f"{name}_corrected" not in found.numbers:
            found.refuse((f"{name}_corrected",), _why_not_corrected(found, name, len(shards)))
    return found


def _why_not_corrected(found: Findings, name: str, n_shards: int) -> str:
    if name in found.absent:
        return found.absent[name]
    if n_shards < HALVES:
        return f"it is made from at least {HALVES} shards of samples, and there were {max(n_shards, 1)}"
    return "the estimate of a squared norm is not positive: too few samples for these features"


def _corrections(
    found: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: Head | None,
    cut: Cut,
) -> dict[str, Estimate]:
    """Corrected twins, and a sentence where plain numbers are off; errors only from enough shards."""
    rank = 0 if outputs is None else outputs.centered_span.rank
    quiet = Findings()
    # Reduced once, not for each shard.
    small = head if head is None or moments.n_outputs else reduced_head(head)

    def outputs_again(part: Moments, covariance: PositiveOperator) -> Outputs | None:
        return outputs_of(quiet, part, covariance, small, cut)

    pieces = pieces_of(moments, moments.covariance("features"), outputs)
    estimates = correct(shards, moments, pieces, outputs_again, rank)
    estimates = {name: value for name, value in estimates.items() if name in found.numbers}
    for name, value in estimates.items():
        row = SCALARS[name]
        low = -np.inf if row.low is None else row.low
        high = np.inf if row.high is None else row.high
        found.numbers[f"{name}_corrected"] = float(np.clip(value.value, low, high))
    warn_of_bias(found, moments.n_samples, tuple(estimates))
    return estimates if len(shards) >= FEWEST_SHARDS else {}


def outputs_of(
    found: Findings,
    moments: Moments,
    covariance: PositiveOperator,
    head: Head | None,
    cut: Cut,
) -> Outputs | None:
    """Measured outputs go before the head's; where both are known they have to agree."""
    if not moments.n_outputs:
        mean = moments.mean[: moments.n_features]
        return None if head is None else affine_outputs(covariance, mean, head, cut)
    if head is not None:
        measured, expected = moments.cross_covariance("outputs"), covariance.apply(head[0].T)
        distance, size = frobenius_norm(measured - expected), frobenius_norm(expected)
        if distance > HEAD_DISAGREES * size:
            found.warnings.append(
                f"the outputs are not head(features) (covariances differ by {distance / max(size, 1e-300):.2g}, "
                "relative); spans were taken from the outputs, NC3 from the head"
            )
    return measured_outputs(moments, cut)
