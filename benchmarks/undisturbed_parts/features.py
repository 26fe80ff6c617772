"""The features that went into a record, beside those of a plain forward pass on another road."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from undisturbed_parts.traces import modules_of

EIGENVALUES_MAY_DIFFER = 1e-9
"""Of the largest one: both sides are float64, one sums batch by batch and one all rows at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What one record, or one plain road, read.

    Attributes:
        features: (n, p), an array: tensors that this benchmark keeps would count as left in memory.
        eigenvalues: of their covariance, as the record says them; None on the plain road.
    """

    features: NDArray[Any]
    eigenvalues: Any


class SpiedPasses:
    """Notes the features that enter the moments of records while its `with` block is open.

    The observer keeps sums, not samples: what it read can only be seen on the way in.
    """

    def __init__(self) -> None:
        # The pass is kept with its rows: the name of one that is gone would be given to the next.
        self._rows: dict[int, tuple[Any, list[Tensor]]] = {}
        self._original: Any = None

    def __enter__(self) -> None:
        from phiscope.measurement.network_pass import Pass

        self._original = original = Pass.add_rows
        rows = self._rows

        def add_rows(one: Any, batch: Any, told: Any, *more: Any, **named: Any) -> Any:
            rows.setdefault(id(one), (one, []))[1].append(told.features.detach().clone())
            return original(one, batch, told, *more, **named)

        Pass.add_rows = add_rows  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        from phiscope.measurement.network_pass import Pass

        Pass.add_rows = self._original  # type: ignore[method-assign]

    def taken(self) -> NDArray[Any] | None:
        """The features of the first pass since the last call: that of the probe."""
        first = next(iter(self._rows.values()), None)
        self._rows.clear()
        return None if first is None else rows_of(first[1])

    def clear(self) -> None:
        """Keep nothing."""
        self._rows.clear()


def rows_of(parts: list[Tensor]) -> NDArray[Any]:
    """Batches of features (..., p) as one array of rows; bfloat16 and float16 become float32, to the same values."""
    rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]).cpu()
    # An array made by `numpy()` alone would hold on to the tensor.
    return (rows if rows.dtype == torch.float64 else rows.float()).numpy().copy()


@contextmanager
def heard_inputs(layer: nn.Module, heard: list[Tensor]) -> Iterator[None]:
    """Note copies of what goes into a layer, by one hook of torch."""
    handle = layer.register_forward_pre_hook(lambda module, args: heard.append(args[0].detach().clone()))
    try:
        yield
    finally:
        handle.remove()


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of parameters and buffers by the names of the unwrapped network; sharded ones are gathered."""
    told = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        told[name.replace("_orig_mod.", "").removeprefix("module.")] = full.detach().clone()
    return told


@torch.no_grad()
def plain_readings(
    make: Callable[[], nn.Module],
    states: list[dict[str, Tensor]],
    head: str,
    batches: Any,
    call: Callable[[nn.Module, Any], Any],
) -> list[Reading]:
    """Features of a fresh network with the numbers of each record, in eval mode, batch by batch.

    Args:
        make: gives the network.
        states: from `snapshot`.
        head: dotted name of the layer whose inputs are the features.
        batches: what the observer measured.
        call: calls the network on a raw batch.
    """
    readings = []
    for state in states:
        fresh = make()
        own = dict([*fresh.named_parameters(), *fresh.named_buffers()])
        for name, tensor in own.items():
            tensor.copy_(state[name])
        fresh.eval()
        heard: list[Tensor] = []
        with heard_inputs(modules_of(fresh)[head], heard):
            for raw in batches:
                call(fresh, raw)
        readings.append(Reading(features=rows_of(heard), eigenvalues=None))
    return readings


def disagreement(records: list[Reading], plain: list[Reading], *, whole: bool) -> str | None:
    """What differs between the features of records and those of the plain road, in words; None for nothing.

    Args:
        records: of an observer.
        plain: of the plain road, one for each record.
        whole: the record holds all rows, so that its eigenvalues can be compared; not where ranks merge theirs.
    """
    if not records:
        return "no record was measured"
    if len(records) != len(plain):
        return f"{len(records)} records were measured, expected {len(plain)}"
    for index, (one, other) in enumerate(zip(records, plain, strict=True)):
        if one.features.shape != other.features.shape or one.features.tobytes() != other.features.tobytes():
            return f"features of record {index} differ from a plain forward pass"
        if whole and not _same_eigenvalues(one):
            return f"eigenvalues of record {index} are not those of its features"
    return None


def _same_eigenvalues(reading: Reading) -> bool:
    rows = reading.features.astype(np.float64)
    rows = rows - rows.mean(axis=0)
    expected = np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1]
    told = np.asarray(reading.eigenvalues)
    padded = np.zeros(len(expected))
    padded[: len(told)] = told[: len(expected)]
    return bool(np.abs(padded - expected).max() <= EIGENVALUES_MAY_DIFFER * expected[0])
