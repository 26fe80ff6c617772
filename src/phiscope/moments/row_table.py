"""One pass over arrays that are read block by block, in this process, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.inputs.arrays import look_like_labels
from phiscope.inputs.groups import as_groups
from phiscope.inputs.progress import bar_of
from phiscope.inputs.rows import Rows, as_row_source, is_stored
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.dealing import GroupDeal
from phiscope.moments.gathered import Gathered
from phiscope.moments.precision import eps_of

BLOCK_BYTES = 2**24
"""A block of features has about this size in float64: small beside the p x p matrices, large beside the cache."""

BLOCK_ROWS = 2048, 2**16
"""At least and at most so many rows a block."""

MOST_DISTINCT = 10_000
"""Whole-number targets with more different values than this are not taken for labels."""

PARTS = ("features", "outputs", "targets", "weights", "groups")


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check before the pass, which can take hours, what can be known before it.

    Args:
        shapes: of features and of whatever came beside them, by name.

    Raises:
        ShapeError: features or outputs are not rows of columns, or lengths differ.
    """
    for name, letter in (("features", "p"), ("outputs", "C")):
        shape = shapes.get(name)
        if shape is not None and (len(shape) != 2 or shape[1] == 0):
            raise ShapeError(
                f"{name} has shape {shape}, expected (n, {letter}) with n samples as rows and {letter} >= 1 columns; "
                "reshape it first"
            )
    n = shapes["features"][0]
    for name, shape in shapes.items():
        if shape[0] != n:
            raise ShapeError(f"features have {n} samples but {name} have {shape[0]}; they have to match")


def locate(error: InputError, place: str, *, index: int) -> None:
    """Name the place in the data in an error that is about to be raised again, and count from there."""
    error.args = (f"{error}; {place}",)
    if isinstance(error, NonFiniteError):
        error.batch = index


def distinct_whole(targets: NDArray[Any] | None, known: frozenset[float] | None) -> frozenset[float] | None:
    """The different values of float targets so far, None as soon as they cannot be class labels."""
    if targets is None or known is None or targets.dtype.kind != "f" or targets.shape[1:] not in ((), (1,)):
        return None
    values = np.unique(targets)
    if len(values) > MOST_DISTINCT or (values != np.round(values)).any():
        return None
    known = known | frozenset(values.tolist())
    return known if len(known) <= MOST_DISTINCT else None


def doubts_about_labels(n_classes: int) -> tuple[str, ...]:
    """What to warn of when float targets look like the indices of so many classes; nothing for 0."""
    if not n_classes:
        return ()
    return (
        f"the float targets are the whole numbers 0 to {n_classes - 1} and were read as regression values; pass "
        "integers if they are classes",
    )


def classes_named(values: frozenset[float] | None, n_samples: int) -> int:
    """How many classes the different values of float targets name, 0 when they look like measured values.

    Example:
        >>> classes_named(frozenset([0.0, 1.0, 2.0]), 9), classes_named(frozenset([0.0, 2.0]), 9)
        (3, 0)
    """
    if values is None or len(values) > n_samples // 2 + 1:
        return 0
    # Twice each, because values that never repeat do not look like labels.
    return look_like_labels(np.array([*values, *values]))


class RowTable:
    """Features with what belongs beside them, row by row, none of it in memory as a whole.

    Args:
        parts: `Rows`, memory maps, Zarr arrays or arrays in memory by name: ``"features"``, and ``"outputs"``,
            ``"targets"``, ``"weights"``, ``"groups"`` where there are any.
        progress: True shows a bar on stderr while rows are read, False none, None one on a terminal.

    Raises:
        ShapeError: shapes do not fit together.
        InputError: something holds no real numbers.

    Example:
        >>> table = RowTable({"features": np.eye(4), "targets": np.arange(4) % 2})
        >>> table.n_features, table.n_outputs, table.has_classes, table.gather().moments.n_samples
        (4, 0, True, 4)
    """

    def __init__(self, parts: Mapping[str, Any], *, progress: bool | None = False) -> None:
        self.progress = progress
        self._stored = any(isinstance(part, Rows) or is_stored(part) for part in parts.values())
        read = [name for name in PARTS if name != "groups" and parts.get(name) is not None]
        self._rows = {name: as_row_source(parts[name], name=name) for name in read}
        check_shapes({name: rows.shape for name, rows in self._rows.items()})
        self._groups: Any = parts.get("groups")

    @property
    def n_features(self) -> int:
        """p."""
        return self._rows["features"].shape[1]

    def parts(self) -> dict[str, Any]:
        """What may be read again and again: features and outputs where they lie, targets and weights in memory."""
        return {name: rows.whole() if name in ("targets", "weights") else rows for name, rows in self._rows.items()}

    @property
    def n_outputs(self) -> int:
        """C, 0 without outputs."""
        return self._rows["outputs"].shape[1] if "outputs" in self._rows else 0

    @property
    def has_classes(self) -> bool:
        """Whether the targets are class indices."""
        return "targets" in self._rows and self._rows["targets"].dtype.kind in "iub"

    def gather(
        self, *, num_classes: int | None = None, n_shards: int | None = None, precision: str = "exact"
    ) -> Gathered:
        """Read everything once.

        Args:
            num_classes: see `phiscope.diagonalize`.
            n_shards: see `MomentAccumulator`.
            precision: see `MomentAccumulator`.

        Raises:
            InputError: the rows cannot be read or used; the message names them.
        """
        n = self._rows["features"].shape[0]
        # Whole, as they are small beside the features: rows of one group may lie anywhere.
        groups = None if self._groups is None else GroupDeal(as_groups(self._groups, n))
        eps = eps_of(self._rows.get("outputs"))
        accumulator = MomentAccumulator(num_classes=num_classes, n_shards=n_shards, precision=precision, output_eps=eps)
        whole: frozenset[float] | None = frozenset()
        start = 0
        words: dict[str, Any] = {"desc": "measuring", "unit": "row", "unit_scale": True, "leave": False}
        with bar_of(shown=self.progress, total=n, **words) as bar:
            for index, block in enumerate(self._blocks()):
                stop = start + len(block["features"])
                try:
                    deal = None if groups is None else groups.part(slice(start, stop))
                    accumulator.update(**block, deal=deal)
                except InputError as error:
                    locate(error, f"batch {index} is rows {start} to {stop - 1}", index=index)
                    raise
                whole = distinct_whole(block.get("targets"), whole)
                bar.update(stop - start)
                start = stop
        moments, shards = accumulator.finish()
        return Gathered(
            moments=moments,
            shards=shards,
            warnings=doubts_about_labels(classes_named(whole, n)),
            provenance=self.provenance(),
            n_groups=None if groups is None else groups.n_groups,
        )

    def provenance(self) -> dict[str, str]:
        """Where the rows lie, and which columns were taken of tables."""
        if not self._stored:
            return {"source": "arrays"}
        every = [*self._rows.values(), *([self._groups] if isinstance(self._groups, Rows) else [])]
        told = {rows.name: rows.place for rows in every}
        columns = {name: text for rows in every for name, text in rows.provenance.items()}
        return {"source": "stored arrays", **told, **columns}

    def _blocks(self) -> Iterator[dict[str, NDArray[Any]]]:
        low, high = BLOCK_ROWS
        size = min(max(BLOCK_BYTES // (8 * self.n_features), low), high)
        for block in zip(*(rows.blocks(size) for rows in self._rows.values()), strict=True):
            yield dict(zip(self._rows, block, strict=True))
