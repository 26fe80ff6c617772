"""Arrays of rows that are read piece by piece: memory maps, Zarr, HDF5, bfloat16, and several of them in a row."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phiscope.errors import InputError, ShapeError, first_line
from phiscope.inputs.arrays import as_array, plain
from phiscope.inputs.packed import is_hdf5, is_zarr, missing_error, missing_in, packing_of

Pieces = Callable[[int], Iterator[NDArray[Any]]]


WHOLE_ROWS = 2**16
"""Rows read at a time when all of them are wanted."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """An array whose rows are read in order and need not fit into memory.

    Attributes:
        name: what it holds: ``"features"``, ``"outputs"``, ``"targets"``, ``"weights"`` or ``"groups"``.
        place: where it comes from, for messages.
        shape: (n,) or (n, width).
        dtype: of its numbers.
        pieces: given the wanted number of rows, reads the array once in order, in pieces of whatever length the
            storage likes, masked where entries are missing; every call starts anew.
        provenance: what a reader of the numbers has to know about the choice of columns.
        eps: relative rounding of numbers that are widened when they are read; None where dtype says it.
    """

    name: str
    place: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Pieces
    provenance: Mapping[str, str] = field(default_factory=dict)
    eps: float | None = None

    def __post_init__(self) -> None:
        # Groups are only told apart, so they may have any names.
        if self.dtype.kind not in "fiub" and self.name != "groups":
            raise InputError(f"{self.name}: {self.place} has dtype {self.dtype}; expected float, integer or bool")
        if len(self.shape) not in (1, 2):
            raise ShapeError(
                f"{self.name} have shape {self.shape} in {self.place}, expected (n,) or (n, columns); reshape them"
            )

    def whole(self) -> NDArray[Any]:
        """All rows as one array in memory, for what is small beside the features: targets and weights."""
        return np.concatenate(list(self.blocks(WHOLE_ROWS)))

    def blocks(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """The rows in order, in blocks of exactly `n_rows`, the last one shorter.

        Raises:
            InputError: entries are missing, or other rows came than the shape promised.
        """
        held: list[NDArray[Any]] = []
        count = total = 0
        pieces = self.pieces(n_rows)
        for piece in pieces:
            if isinstance(piece, np.ma.MaskedArray):
                self._refuse_missing(piece, total, pieces)
                piece = np.asarray(piece)
            total += len(piece)
            start = 0
            while start < len(piece):
                taken = piece[start : start + n_rows - count]
                start, count = start + len(taken), count + len(taken)
                held.append(taken)
                if count == n_rows:
                    yield _joined(held)
                    held, count = [], 0
        if held:
            yield _joined(held)
        if total != self.shape[0]:
            raise InputError(
                f"{self.name}: {self.place} gave {total} rows after promising {self.shape[0]}; it changed while it "
                "was read, so start again"
            )

    def _refuse_missing(self, piece: NDArray[Any], start: int, rest: Iterator[NDArray[Any]]) -> None:
        """Refuse a piece in which entries are missing; the rest is read only to count them."""
        missing = missing_in(piece)
        if missing.any():
            raise missing_error(
                self.name,
                count=int(missing.sum()) + sum(int(missing_in(later).sum()) for later in rest),
                first=start + int(missing.argmax()),
                total=self.shape[0],
                place=self.place,
            )


def _joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def is_stored(data: Any) -> bool:
    """Whether an array lies in a file and should be read piece by piece: a memory map, or Zarr's or HDF5's."""
    return _is_mapped(data) or is_zarr(data) or is_hdf5(data)


def is_narrow(data: Any) -> bool:
    """Whether it is a tensor here of a type that NumPy lacks (bfloat16, 8 bits), to be widened piece by piece."""
    return (
        isinstance(data, torch.Tensor)
        and data.device.type == "cpu"
        and data.layout == torch.strided
        and data.is_floating_point()
        and data.dtype not in (torch.float16, torch.float32, torch.float64)
    )


def _is_mapped(data: Any) -> bool:
    # A copy of a memory map keeps the type but has nothing mapped.
    return isinstance(data, np.memmap) and getattr(data, "_mmap", None) is not None


def as_row_source(data: Any, *, name: str, place: str | None = None) -> Rows:
    """Read anything with rows as `Rows`: memory maps, Zarr arrays, HDF5 data sets, arrays and tensors in memory.

    Args:
        data: the array.
        name: what it holds, for messages: ``"features"``.
        place: where it comes from, for messages; None tells its kind.

    Raises:
        InputError: it holds no real numbers.
        ShapeError: it has neither one nor two dimensions.
    """
    if isinstance(data, Rows):
        return data
    if is_zarr(data):
        return _chunked_rows(data, name, place or f"the Zarr array {data.name or data.store}")
    if is_hdf5(data):
        return _chunked_rows(data, name, place or f"the data set {data.name} of {data.file.filename}")
    if _is_mapped(data):
        return _mapped_rows(data, name, place or f"the memory map of {data.filename}")
    narrow = is_narrow(data) and data.ndim > 0
    array = data if narrow else as_array(data, name=name)

    def pieces(n_rows: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(array), n_rows):
            yield as_array(array[start : start + n_rows], name=name)

    return Rows(
        name=name,
        place=place or "an array in memory",
        shape=tuple(array.shape),
        dtype=np.dtype(np.float32) if narrow else array.dtype,
        pieces=pieces,
        eps=torch.finfo(data.dtype).eps if narrow else None,
    )


def _mapped_rows(array: Any, name: str, place: str) -> Rows:
    def pieces(n_rows: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(array), n_rows):
            yield plain(np.array(array[start : start + n_rows]), name=name)
            _let_go(array)

    return Rows(name=name, place=place, shape=array.shape, dtype=array.dtype.newbyteorder("="), pieces=pieces)


def _let_go(array: Any) -> None:
    """Give the pages read so far back, or the process would grow by the size of the file.

    A copy-on-write map would lose what was written to it, and is left alone.
    """
    if array.mode in ("r", "r+") and hasattr(array._mmap, "madvise"):
        array._mmap.madvise(mmap.MADV_DONTNEED)


def _chunked_rows(array: Any, name: str, place: str) -> Rows:
    """An array of Zarr or HDF5, unpacked where its attributes say how."""
    if len(array.shape) not in (1, 2):
        raise ShapeError(f"{name} have shape {array.shape} in {place}, expected (n,) or (n, columns)")
    # HDF5 may keep an array in one stretch; a dtype of strings or records is for `Rows` to refuse.
    chunk = max(int(array.chunks[0]), 1) if array.chunks else 1
    dtype = np.dtype(array.dtype)
    packing = packing_of(array, place=place) if dtype.kind in "fiub" else None

    def pieces(n_rows: int) -> Iterator[NDArray[Any]]:
        # Whole chunks: a chunk cut in two would be unpacked twice.
        step = chunk * max(1, n_rows // chunk)
        for start in range(0, array.shape[0], step):
            stop = min(start + step, array.shape[0])
            try:
                rows = np.asarray(array[start:stop])
            # Stores and codecs raise whatever they like when a chunk is damaged.
            except (OSError, ValueError, RuntimeError, TypeError) as error:
                reason = first_line(error)
                raise InputError(
                    f"{name}: rows {start} to {stop - 1} of {place} cannot be read ({reason}); write the array again"
                ) from error
            yield plain(rows, name=name) if packing is None else packing.unpack(rows)

    values = dtype.newbyteorder("=") if packing is None else packing.dtype(dtype)
    return Rows(name=name, place=place, shape=tuple(array.shape), dtype=values, pieces=pieces)


def in_a_row(parts: Sequence[Rows], *, place: str) -> Rows:
    """Several arrays one after the other, read as one.

    Args:
        parts: at least one.
        place: what to call them together.

    Raises:
        ShapeError: they differ in width.
        InputError: some hold whole numbers and others do not, so that classes and values would mix.
    """
    first = parts[0]
    for part in parts:
        if part.shape[1:] != first.shape[1:]:
            raise ShapeError(
                f"{first.name}: {part.place} has shape {part.shape} but {first.place} has {first.shape}; all parts "
                "need the same columns"
            )
        if (part.dtype.kind == "f") != (first.dtype.kind == "f"):
            raise InputError(
                f"{first.name}: {part.place} has dtype {part.dtype} but {first.place} has {first.dtype}; save all "
                "parts as floats or all as integers"
            )

    def pieces(n_rows: int) -> Iterator[NDArray[Any]]:
        for part in parts:
            yield from part.pieces(n_rows)

    n_rows = sum(part.shape[0] for part in parts)
    dtype = np.result_type(*(part.dtype for part in parts))
    return replace(first, place=place, shape=(n_rows, *first.shape[1:]), dtype=dtype, pieces=pieces)
