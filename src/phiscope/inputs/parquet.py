"""Columns of Parquet files as rows: one column of lists, or several columns of numbers."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError
from phiscope.inputs.rows import Rows

WIDE = ("features", "outputs")
"""What always has columns, even when it is one; targets and weights from one column of numbers have shape (n,)."""


def parquet_rows(file: Path, *, columns: str | None, name: str) -> Rows:
    """Open one Parquet file; it is read row group by row group, only the columns wanted.

    Which columns: those named (comma-separated, `*` matches); else the column called like `name`; else the only
    column; else, for features and outputs, all columns when they hold numbers of one type. Beyond that nothing is
    guessed.

    Args:
        file: the file.
        columns: names or patterns, or None.
        name: what the rows are: ``"features"``.

    Returns:
        Rows of shape (n, width): the lists of one column, or the numbers of several; (n,) for targets and weights
        from one column of numbers.

    Raises:
        InputError: the file cannot be read, or its columns hold no numbers or cannot be chosen.
        UnknownNameError: no column of that name.
        MissingDependencyError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(file) as opened:
            schema, n_rows = opened.schema_arrow, opened.metadata.num_rows
            chosen = _choose({field.name: field.type for field in schema}, columns, file, name)
            types = [schema.field(column).type for column in chosen]
            width = _list_width(opened, chosen[0]) if _is_list(types[0]) else None
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{name}: {file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    for column, kind in zip(chosen, types, strict=True):
        _check_kind(kind, len(chosen), where=f"{name}: column {column!r} of {file}")
    values = [kind.value_type if _is_list(kind) else kind for kind in types]
    shape: tuple[int, ...] = (n_rows, len(chosen) if width is None else width)
    if width is None and len(chosen) == 1 and name not in WIDE:
        shape = (n_rows,)
    read = _Reader(file=file, columns=tuple(chosen), width=width, flat=len(shape) == 1, name=name)
    return Rows(
        name=name,
        place=f"{file}, column{'s' * (len(chosen) > 1)} {_listed(chosen)}",
        shape=shape,
        dtype=np.result_type(*(np.dtype(kind.to_pandas_dtype()) for kind in values)),
        pieces=read.pieces,
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="reading Parquet", extra="parquet") from error
    return pyarrow, pyarrow.parquet


def _choose(types: dict[str, Any], wanted: str | None, file: Path, name: str) -> list[str]:
    if wanted is not None:
        patterns = [pattern.strip() for pattern in wanted.split(",")]
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(column, pattern) for column in types):
                raise UnknownNameError(f"column of {file}", pattern, types)
        return [column for column in types if any(fnmatch.fnmatchcase(column, pattern) for pattern in patterns)]
    if name in types:
        return [name]
    kinds = set(types.values())
    alike = name in WIDE and len(kinds) == 1 and not _is_list(next(iter(kinds)))
    if len(types) == 1 or alike:
        return list(types)
    raise InputError(
        f"{name}: {file} has the columns {_listed(list(types))}, and which of them hold the {name} is not clear; "
        f"say it as {file}:COLUMN, or {file}:A,B,C or {file}:f* for several"
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns if len(columns) <= 6 else [*columns[:3], "...", columns[-1]])


def _is_list(kind: Any) -> bool:
    types = _pyarrow()[0].types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _check_kind(kind: Any, n_columns: int, *, where: str) -> None:
    types = _pyarrow()[0].types
    value = kind.value_type if _is_list(kind) else kind
    if _is_list(kind) and n_columns > 1:
        raise InputError(f"{where} holds lists, expected numbers beside other columns; name this column alone")
    if not (types.is_floating(value) or types.is_integer(value) or types.is_boolean(value)):
        raise InputError(f"{where} has type {kind}; expected numbers, or lists of numbers of one length")


def _list_width(opened: Any, column: str) -> int:
    """Length of the lists: from the type, or from the first list."""
    kind = opened.schema_arrow.field(column).type
    if _pyarrow()[0].types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in opened.iter_batches(batch_size=1, columns=[column]):
        return len(batch.column(0)[0].as_py() or ())
    return 1


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads chosen columns of one file; `width` is the length of the lists, None for columns of numbers."""

    file: Path
    columns: tuple[str, ...]
    width: int | None
    flat: bool
    name: str

    def pieces(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """All rows in order."""
        arrow, parquet = _pyarrow()
        start = 0
        try:
            # A buffer, or the packed columns of a whole row group would be held beside what is unpacked from them.
            with parquet.ParquetFile(self.file, buffer_size=2**20, pre_buffer=False) as opened:
                for batch in opened.iter_batches(batch_size=n_rows, columns=list(self.columns), use_threads=False):
                    yield self._unpacked(batch, start)
                    start += batch.num_rows
        except (arrow.ArrowException, OSError) as error:
            raise InputError(
                f"{self.name}: {self.file} cannot be read from row {start} on: {str(error).splitlines()[0]}"
            ) from error

    def _unpacked(self, batch: Any, start: int) -> NDArray[Any]:
        rows = f"{self.file} in rows {start} to {start + batch.num_rows - 1}"
        columns = [batch.column(column) for column in self.columns]
        values = columns if self.width is None else [columns[0].flatten()]
        if any(part.null_count for part in (*columns, *values)):
            raise InputError(f"{self.name}: {rows} has missing values, expected numbers only; fill or drop those rows")
        if self.width is None:
            numbers = [column.to_numpy(zero_copy_only=False) for column in columns]
            return np.asarray(numbers[0] if self.flat else np.column_stack(numbers))
        lengths = columns[0].value_lengths().to_numpy(zero_copy_only=False)
        if (lengths != self.width).any():
            odd = int(np.flatnonzero(lengths != self.width)[0])
            raise InputError(
                f"{self.name}: row {start + odd} of {self.file} holds a list of {lengths[odd]} numbers, expected "
                f"{self.width} as in the first row"
            )
        return np.asarray(values[0].to_numpy(zero_copy_only=False)).reshape(-1, self.width)
