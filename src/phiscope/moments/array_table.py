"""One pass over arrays that are in memory, here or on a device: they are handed on whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from phiscope.inputs.arrays import as_row_tensor, as_rows, as_targets, look_like_labels
from phiscope.inputs.groups import as_groups
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.dealing import GroupDeal
from phiscope.moments.gathered import Gathered
from phiscope.moments.precision import eps_of
from phiscope.moments.row_table import doubts_about_labels


class ArrayTable:
    """Features with what belongs beside them as arrays in memory.

    The third of the tables beside `phiscope.moments.row_table.RowTable` (read block by block) and
    `phiscope.distributed.dask_arrays.DaskTable`: all have `n_features`, `n_outputs`, `has_classes` and `gather`.

    Args:
        parts: array-likes by name: ``"features"``, and ``"outputs"``, ``"targets"``, ``"weights"``, ``"groups"`` where
            there are any; features that are a tensor on a device stay there.

    Raises:
        ShapeError: features or outputs are not rows of columns, or lengths differ.
        InputError: something holds no real numbers.

    Example:
        >>> import numpy as np
        >>> table = ArrayTable({"features": np.eye(4), "targets": np.arange(4) % 2})
        >>> table.n_features, table.n_outputs, table.has_classes, table.gather().moments.n_samples
        (4, 0, True, 4)
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        features, outputs, targets = (parts.get(name) for name in ("features", "outputs", "targets"))
        self._device = device_of(features)
        read: Any = as_rows if self._device is None else as_row_tensor
        self._features = read(features, name="features", letter="p")
        self._output_eps = eps_of(outputs)
        self._outputs = None if outputs is None else as_rows(outputs, name="outputs", letter="C")
        self._targets = None if targets is None else as_targets(targets)
        self._weights = parts.get("weights")
        groups = parts.get("groups")
        self._groups = None if groups is None else as_groups(groups, len(self._features))

    @property
    def n_features(self) -> int:
        """p."""
        return int(self._features.shape[1])

    @property
    def n_outputs(self) -> int:
        """C, 0 without outputs."""
        return 0 if self._outputs is None else int(self._outputs.shape[1])

    @property
    def has_classes(self) -> bool:
        """Whether the targets are class indices."""
        return self._targets is not None and self._targets.ndim == 1

    def parts(self) -> dict[str, Any]:
        """The arrays by name, those that there are."""
        named = {
            "features": self._features,
            "outputs": self._outputs,
            "targets": self._targets,
            "weights": self._weights,
        }
        return {name: part for name, part in named.items() if part is not None}

    def gather(
        self, *, num_classes: int | None = None, n_shards: int | None = None, precision: str = "exact"
    ) -> Gathered:
        """Add everything at once.

        Args:
            num_classes: see `phiscope.diagonalize`.
            n_shards: see `MomentAccumulator`.
            precision: see `MomentAccumulator`.

        Raises:
            InputError: the rows cannot be used.
        """
        accumulator = MomentAccumulator(
            num_classes=num_classes,
            n_shards=n_shards,
            precision=precision,
            device=self._device,
            output_eps=self._output_eps,
        )
        groups = None if self._groups is None else GroupDeal(self._groups)
        deal = None if groups is None else groups.part(slice(None))
        accumulator.update(self._features, self._outputs, self._targets, self._weights, deal=deal)
        moments, shards = accumulator.finish()
        return Gathered(
            moments=moments,
            shards=shards,
            provenance={"source": "arrays"},
            warnings=doubts_about(self._targets),
            n_groups=None if groups is None else groups.n_groups,
        )


def doubts_about(targets: NDArray[Any] | None) -> tuple[str, ...]:
    """What may be meant differently than it is read, of targets as `as_targets` gives them.

    Args:
        targets: int64 (n,), float64 (n, c), or None.
    """
    one_column = targets is not None and targets.shape[1:] == (1,)
    return doubts_about_labels(look_like_labels(targets[:, 0]) if one_column and targets is not None else 0)


def device_of(features: Any) -> torch.device | None:
    """Where a tensor is, None for what is on the CPU or nowhere."""
    elsewhere = isinstance(features, torch.Tensor) and features.device.type not in ("cpu", "meta")
    return features.device if elsewhere else None
