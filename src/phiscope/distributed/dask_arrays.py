"""Features larger than one machine: Dask arrays in, moments out, one task for each chunk of rows and a tree of merges.

Every task is a pure function of its chunk: what is random in it is drawn from the chunk's index. So a task that runs
again after its worker was killed gives the same bits, and so does the whole.

Each chunk deals its rows at random to all shards. Whole chunks as shards would be cheaper to send, but chunks are often
ordered (one class a file, one day a file), and intervals made from such shards mean nothing. What this costs is bounded
twice: a shard with at most p rows is sent as its rows and any other as half a symmetric matrix, so a chunk never sends
more than itself in float64, and the matrices of all shards together are bounded; where they would be more, fewer shards
are gathered, and numbers come without intervals, then without corrected twins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import EmptyDataError, InputError, MissingDependencyError, ShapeError
from phiscope.inputs.arrays import as_array, as_count, as_weights
from phiscope.inputs.groups import as_groups
from phiscope.inputs.packed import Packing, packing_of
from phiscope.inputs.rows import is_stored
from phiscope.linalg.products import pack_symmetric, unpack_symmetric
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.dealing import GroupDeal
from phiscope.moments.gathered import Gathered
from phiscope.moments.moments import Moments, merge, with_all_classes, with_groups
from phiscope.moments.precision import check_range
from phiscope.moments.row_table import (
    PARTS,
    check_shapes,
    classes_named,
    distinct_whole,
    doubts_about_labels,
    locate,
)
from phiscope.moments.shards import shards_of_chunks
from phiscope.typing import FloatArray, IntArray


def is_dask(data: Any) -> bool:
    """Whether something is a Dask collection, or an xarray DataArray that holds one."""
    if not hasattr(type(data), "__dask_graph__"):
        return False
    return not hasattr(data, "dims") or getattr(data, "chunks", None) is not None


class DaskTable:
    """Features with what belongs beside them as Dask arrays in equal chunks of whole rows.

    Rows are chunked as the features are. Features chunked by columns too are joined to whole rows first, in chunks
    of the size that Dask is configured for (``array.chunk-size``). Everything else is rechunked to follow.

    Args:
        parts: Dask arrays by name (``"features"``, ``"outputs"``, ``"targets"``, ``"weights"``), at least one; what is
            in memory, in a memory map or in Zarr is wrapped. ``"groups"`` are read at once.

    Raises:
        ShapeError: shapes do not fit together, or lengths are not known.
        InputError: something holds no real numbers or is no array.
        MissingDependencyError: dask is not installed.

    Example:
        >>> import dask.array as da
        >>> table = DaskTable({"features": da.ones((10, 4), chunks=(3, 2)), "targets": np.zeros(10)})
        >>> table.n_features, table.has_classes
        (4, False)
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        given = {name: parts[name] for name in PARTS if name != "groups" and parts.get(name) is not None}
        self._packings = {name: packing_of(part, place=name) for name, part in given.items() if _is_lazy(part)}
        arrays = {name: _as_dask(part, name) for name, part in given.items()}
        check_shapes({name: array.shape for name, array in arrays.items()})
        features = arrays["features"]
        if features.numblocks[1] > 1:
            arrays["features"] = features = features.rechunk({0: "auto", 1: -1})
        self._lengths: tuple[int, ...] = features.chunks[0]
        self._arrays = {
            name: array.rechunk({0: self._lengths} | dict.fromkeys(range(1, array.ndim), -1))
            for name, array in arrays.items()
        }
        groups = parts.get("groups")
        # Whole, and here: rows of one group may lie in any chunk, and have to be in one shard.
        self._groups = None if groups is None else GroupDeal(as_groups(groups, int(features.shape[0])))

    @property
    def n_features(self) -> int:
        """p."""
        return int(self._arrays["features"].shape[1])

    @property
    def n_outputs(self) -> int:
        """C, 0 without outputs."""
        return int(self._arrays["outputs"].shape[1]) if "outputs" in self._arrays else 0

    @property
    def has_classes(self) -> bool:
        """Whether the targets are class indices."""
        if "targets" not in self._arrays:
            return False
        packing = self._packings.get("targets") or Packing()
        return packing.dtype(self._arrays["targets"].dtype).kind in "iub"

    def gather(
        self, *, num_classes: int | None = None, n_shards: int | None = None, precision: str = "exact"
    ) -> Gathered:
        """Run the graph: on the connected cluster if there is one, else on the threads of this process.

        Args:
            num_classes: see `phiscope.diagonalize`.
            n_shards: shards to deal to; None takes as many as are quick to send.
            precision: see `MomentAccumulator`.

        Raises:
            InputError: a chunk cannot be used; the message names it.
            EmptyDataError: fewer than two samples.
        """
        part: Part | None = self._graph(num_classes, n_shards, precision).compute()
        if part is None or part.n_samples < 2:
            n = 0 if part is None else part.n_samples
            raise EmptyDataError(
                f"{n} sample{'s' * (n != 1)} came with positive weight, expected at least 2; check that the data are "
                "not empty"
            )
        for name, reach in part.reach.items():
            check_range(reach, name=name, precision=precision)
        found = [shard for shard in part.shards if shard is not None]
        n_groups = max(part.n_groups, num_classes or 1)
        shards = tuple(with_groups(shard, n_groups) if shard.classes else shard for shard in found)
        return Gathered(
            moments=reduce(merge, shards),
            shards=shards,
            warnings=doubts_about_labels(classes_named(part.whole, part.n_rows)),
            provenance={"source": "dask arrays", "chunks": str(len(self._lengths))},
            n_groups=None if self._groups is None else self._groups.n_groups,
        )

    def _graph(self, num_classes: int | None, n_shards: int | None, precision: str) -> Any:
        """One delayed `Part` of everything."""
        dask = _dask()
        n_shards = n_shards or shards_of_chunks(self._width())
        n_rows = sum(self._lengths)
        seats = None if self._groups is None else self._groups.part(slice(None))(np.ones(n_rows, dtype=bool), n_shards)
        options = {
            "num_classes": None if num_classes is None else as_count(num_classes, name="num_classes"),
            "n_shards": n_shards,
            "n_chunks": len(self._lengths),
            "precision": precision,
            "packings": {name: packing for name, packing in self._packings.items() if packing is not None},
        }
        chunks = [array.to_delayed().ravel() for array in self._arrays.values()]
        measure = dask.delayed(chunk_part)
        starts = np.cumsum([0, *self._lengths]).tolist()
        parts = [
            measure(
                dict(zip(self._arrays, blocks, strict=True)),
                index,
                starts[index],
                seats=None if seats is None else seats[starts[index] : starts[index + 1]].astype(np.int8),
                **options,
            )
            for index, blocks in enumerate(zip(*chunks, strict=True))
        ]
        # Pairs: with wider merges a worker would have to hold more parts at once.
        join = dask.delayed(merge_parts)
        while len(parts) > 1:
            pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
            parts = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return parts[0]

    def _width(self) -> int:
        width = self.n_features + self.n_outputs
        targets = self._arrays.get("targets")
        if targets is not None and not self.has_classes:
            width += 1 if targets.ndim == 1 else int(targets.shape[1])
        return width


def _dask() -> Any:
    try:
        import dask
        import dask.array
    except ImportError as error:
        raise MissingDependencyError("dask", purpose="measuring Dask arrays", extra="dask") from error
    return dask


def _as_dask(data: Any, name: str) -> Any:
    arrays = _dask().array
    data = data.data if is_dask(data) and hasattr(data, "dims") else data
    if is_dask(data) and not isinstance(data, arrays.Array):
        raise InputError(
            f"{name} came as a Dask {type(data).__name__}, expected a dask.array; a data frame becomes one with "
            "to_dask_array(lengths=True)"
        )
    if not is_dask(data):
        data = arrays.from_array(data if _is_lazy(data) else as_array(data, name=name))
    if data.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {data.dtype}, expected real numbers; convert it to float or integer")
    if any(np.isnan(length) for length in data.shape):
        raise ShapeError(
            f"{name} has shape {data.shape}: Dask does not know how long its chunks are; call compute_chunk_sizes() "
            "on it first"
        )
    if data.ndim not in (1, 2):
        raise ShapeError(f"{name} has shape {data.shape}, expected (n,) or (n, columns); reshape it first")
    return data


def _is_lazy(data: Any) -> bool:
    """Whether its chunks are read by the tasks, and unpacked there; anything else is read here, as a whole."""
    return is_dask(data) or is_stored(data) or (hasattr(data, "chunks") and hasattr(data, "shape"))


def chunk_part(
    blocks: Mapping[str, Any],
    index: int,
    start: int,
    *,
    num_classes: int | None,
    n_shards: int,
    n_chunks: int,
    precision: str = "exact",
    packings: Mapping[str, Packing] | None = None,
    seats: IntArray | None = None,
) -> Part | None:
    """The moments of one chunk of rows, its rows dealt to shards at random; None for a chunk without samples.

    Args:
        blocks: ``"features"`` and what belongs beside them, of equal length.
        index: the chunk's index, which also seeds what is random.
        start: index of its first row.
        num_classes: see `phiscope.diagonalize`.
        n_shards: shards to deal to.
        n_chunks: chunks there are, for messages.
        precision: see `MomentAccumulator`.
        packings: of those blocks that are stored in another unit.
        seats: the shard of each row, where rows of a group have to stay together; None deals them here.

    Raises:
        InputError: the chunk cannot be used.
    """
    where = f"batch 0 here is chunk {index} of {n_chunks}, rows {start} to {start + len(blocks['features']) - 1}"
    try:
        arrays = {name: _unpacked_block(block, (packings or {}).get(name), name) for name, block in blocks.items()}
    except InputError as error:
        locate(error, where, index=index)
        raise
    n_rows = len(arrays["features"])
    if n_rows == 0:
        return None
    # Of its own for every chunk: the same deal in each would follow any period of the chunks' length.
    rng = np.random.default_rng([0, index])
    accumulator = MomentAccumulator(num_classes=num_classes, n_shards=n_shards, precision=precision)
    try:
        deal = None if seats is None else lambda counted, n_shards: seats
        accumulator.update(**arrays, units=rng.permutation(n_rows), deal=deal)
    except InputError as error:
        locate(error, where, index=index)
        raise
    # Chunks agree on groups by their number only.
    found = [with_all_classes(shard) for shard in accumulator.shards()]
    # A chunk with fewer rows than shards must not always fill the first ones.
    places = rng.permutation(n_shards)[: len(found)]
    if seats is not None:
        places = np.unique(seats[as_weights(arrays.get("weights"), n_rows, batch=0) > 0])
    placed = dict(zip(places.tolist(), found, strict=True))
    return Part(
        shards=tuple(placed.get(seat) for seat in range(n_shards)),
        reach=_reach(arrays),
        whole=distinct_whole(arrays.get("targets"), frozenset()),
        n_rows=n_rows,
        n_groups=_groups_in(arrays.get("targets")),
    )


def _groups_in(targets: NDArray[Any] | None) -> int:
    """How many classes the targets of a chunk show there to be, also those of samples that have no weight."""
    return 1 if targets is None or targets.dtype.kind == "f" else int(targets.max()) + 1


def _unpacked_block(block: Any, packing: Packing | None, name: str) -> NDArray[Any]:
    return as_array(block if packing is None else packing.unpack(np.asanyarray(block)), name=name)


def _reach(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Largest absolute value of each array that is measured."""
    measured: Sequence[str] = [name for name in ("features", "outputs") if name in arrays]
    if "targets" in arrays and arrays["targets"].dtype.kind == "f":
        measured = [*measured, "targets"]
    return {name: max(-float(arrays[name].min()), float(arrays[name].max()), 0.0) for name in measured}


def merge_parts(first: Part | None, second: Part | None) -> Part | None:
    """The part that two parts make together: shard s with shard s, by `phiscope.moments.moments.merge`.

    Args:
        first: one part, None for no samples.
        second: another, dealt to as many shards.
    """
    if first is None or second is None:
        return second if first is None else first
    shards = []
    for one, other in zip(first.shards, second.shards, strict=True):
        shards.append(merge(one, other) if one is not None and other is not None else other if one is None else one)
    whole = None if first.whole is None or second.whole is None else first.whole | second.whole
    return Part(
        shards=tuple(shards),
        reach={name: max(first.reach[name], second.reach[name]) for name in first.reach},
        whole=whole,
        n_rows=first.n_rows + second.n_rows,
        n_groups=max(first.n_groups, second.n_groups),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Moments of some samples, in the same shards everywhere; merge two with `merge_parts`.

    It is sent with half of every symmetric matrix, and rows that float32 holds exactly are sent as float32.

    Attributes:
        shards: moments of each shard, None where no sample fell into it.
        reach: largest absolute value of each array.
        whole: the different values of float targets while they may be labels, else None.
        n_rows: rows read, with those of weight 0.
        n_groups: classes that these rows show there to be, 1 without classes.
    """

    shards: tuple[Moments | None, ...]
    reach: Mapping[str, float]
    whole: frozenset[float] | None
    n_rows: int
    n_groups: int = 1

    @property
    def n_samples(self) -> int:
        """Samples of positive weight."""
        return sum(shard.n_samples for shard in self.shards if shard is not None)

    def __sizeof__(self) -> int:
        # Schedulers move work to where the largest inputs lie, and would take an object of unknown size for small.
        arrays = (getattr(shard, row.name) for shard in self.shards if shard is not None for row in fields(Moments))
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (tuple(map(_pack, self.shards)), dict(self.reach), self.whole, self.n_rows, self.n_groups)


def _unpacked(
    shards: tuple[Any, ...], reach: dict[str, float], whole: frozenset[float] | None, n_rows: int, n_groups: int
) -> Part:
    return Part(shards=tuple(map(_unpack, shards)), reach=reach, whole=whole, n_rows=n_rows, n_groups=n_groups)


def _pack(moments: Moments | None) -> tuple[Moments, FloatArray | None] | None:
    if moments is None:
        return None
    if moments.rows is not None:
        with np.errstate(over="ignore", under="ignore"):
            short = moments.rows.astype(np.float32)
        exact = np.array_equal(short, moments.rows)
        # Only on its way is it short; `_unpack` restores float64.
        return replace(moments, rows=short if exact else moments.rows), None  # type: ignore[arg-type]
    return replace(moments, within=None), pack_symmetric(np.asarray(moments.within))


def _unpack(packed: tuple[Moments, FloatArray | None] | None) -> Moments | None:
    if packed is None:
        return None
    moments, upper = packed
    if upper is None:
        return replace(moments, rows=np.asarray(moments.rows, dtype=np.float64))
    return replace(moments, within=unpack_symmetric(upper, sum(moments.layout[:3])))
