"""Columns of Parquet files as rows: one column of lists, or several columns of numbers."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, MissingDependencyError, first_line
from phiscope.inputs.columns import BESIDE, WIDE, Choice, Schema, Wish, check_alike, choose, listed
from phiscope.inputs.rows import Rows, in_a_row

_INDEX = re.compile(r"__index_level_\d+__")
_NO_KEY = "__HIVE_DEFAULT_PARTITION__"


def parquet_parts(wishes: Sequence[Wish], places: Mapping[str, str]) -> dict[str, Rows]:
    """Open Parquet files; they are read row group by row group, only the columns wanted.

    Which columns: those named (comma-separated, in that order; `*` matches); else the column called like the part;
    else the only column; else, for features and outputs, all columns when they hold numbers of one type. All, and a
    pattern, leave out the index of a data frame and what is another part in the same files: a column that is named as
    targets is no feature. Beyond that nothing is guessed. Several files are joined by the names of their columns.

    Args:
        wishes: what is wanted of which files; those that lie in the same files are chosen together.
        places: what to call the files of each part, by its name.

    Returns:
        Rows of shape (n, width) by name: the lists of one column, or the numbers of several; (n,) for targets, weights
        and groups from one column. Their provenance lists the columns, and those that were left out.

    Raises:
        InputError: a file cannot be read, or its columns hold no numbers or cannot be chosen.
        UnknownNameError: no column of that name.
        MissingDependencyError: pyarrow is not installed.
    """
    schemas = {wish.name: [_schema_of(file, wish.name) for file in wish.files] for wish in wishes}
    taken: dict[str, dict[str, str]] = {wish.name: _claims(wish, wishes, schemas) for wish in wishes}
    opened: dict[str, Rows] = {}
    # Features are what is left, so they come last.
    for wish in sorted(wishes, key=lambda wish: [*BESIDE, "features"].index(wish.name)):
        _check_both_are_not_all(wish, wishes, schemas)
        choices = [choose(schema, wish, taken[wish.name], is_list=_is_list) for schema in schemas[wish.name]]
        for schema, choice in zip(schemas[wish.name][1:], choices[1:], strict=True):
            check_alike(wish, schemas[wish.name][0], choices[0], schema, choice)
        for other in wishes:
            if other is not wish and wish.shares_files(other):
                taken[other.name] |= {name: wish.name for name in choices[0].columns if name not in taken[other.name]}
        opened[wish.name] = _rows_of(wish, schemas[wish.name], choices[0], places[wish.name])
    return opened


def _claims(wish: Wish, wishes: Sequence[Wish], schemas: Mapping[str, Sequence[Schema]]) -> dict[str, str]:
    """Columns that other parts in the same files name outright, with what they are."""
    others = [other for other in wishes if other is not wish and wish.shares_files(other)]
    return {name: other.name for other in others for name in sorted(other.claimed(schemas[other.name][0]))}


def _check_both_are_not_all(wish: Wish, wishes: Sequence[Wish], schemas: Mapping[str, Sequence[Schema]]) -> None:
    features = next((other for other in wishes if other.name == "features"), None)
    if features is None or wish.name != "outputs" or not wish.shares_files(features):
        return
    if all(each.asked is None and not each.claimed(schemas[each.name][0]) for each in (wish, features)):
        raise InputError(
            f"features and outputs both came as {wish.files[0]} without columns, and which is which is not clear; name "
            f"those of one of them, as in {wish.files[0]}:o*"
        )


def _rows_of(wish: Wish, schemas: Sequence[Schema], choice: Choice, place: str) -> Rows:
    keys = {
        name: _key_values(name, schemas, as_text=wish.name == "groups")
        for name in choice.columns
        if name not in schemas[0].types
    }
    parts = []
    for index, schema in enumerate(schemas):
        constants = {name: values[index] for name, values in keys.items()}
        parts.append(_file_rows(schema, wish.name, choice, constants))
    whole = parts[0] if len(parts) == 1 else in_a_row(parts, place=f"{place} ({len(parts)} files)")
    told = {f"{wish.name}_columns": ", ".join(choice.columns)}
    if choice.left_out:
        told[f"{wish.name}_left_out"] = ", ".join(f"{name} ({reason})" for name, reason in choice.left_out.items())
    return Rows(
        name=wish.name,
        place=f"{whole.place}, column{'s' * (len(choice.columns) > 1)} {listed(choice.columns)}",
        shape=whole.shape,
        dtype=whole.dtype,
        pieces=whole.pieces,
        provenance=told,
    )


def _file_rows(schema: Schema, name: str, choice: Choice, constants: Mapping[str, Any]) -> Rows:
    stored = [column for column in choice.columns if column not in constants]
    types = [schema.types[column] for column in stored]
    _check_kinds(dict(zip(stored, types, strict=True)), choice, schema.file, name)
    width = _list_width(schema.file, stored[0], name) if len(types) == 1 and _is_list(types[0]) else None
    values = [kind.value_type if _is_list(kind) else kind for kind in types]
    shape: tuple[int, ...] = (schema.n_rows, len(choice.columns) if width is None else width)
    if width is None and len(choice.columns) == 1 and name not in WIDE:
        shape = (schema.n_rows,)
    dtypes = [np.dtype(object) if name == "groups" else np.dtype(kind.to_pandas_dtype()) for kind in values]
    read = _Reader(
        file=schema.file, columns=choice.columns, constants=constants, width=width, flat=len(shape) == 1, name=name
    )
    return Rows(
        name=name,
        place=str(schema.file),
        shape=shape,
        dtype=np.result_type(*dtypes, *(np.asarray(value).dtype for value in constants.values())),
        pieces=read.pieces,
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="reading Parquet", extra="parquet") from error
    return pyarrow, pyarrow.parquet


@contextmanager
def _opened(file: Path, name: str, **options: Any) -> Iterator[Any]:
    """The open file; whatever goes wrong with it is one sentence."""
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(file, **options) as opened:
            yield opened
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{name}: {file} cannot be read as Parquet: {first_line(error)}") from error


def _schema_of(file: Path, name: str) -> Schema:
    with _opened(file, name) as opened:
        schema, n_rows = opened.schema_arrow, opened.metadata.num_rows
    keys = [folder.partition("=") for folder in file.parts[:-1] if "=" in folder]
    return Schema(
        file=file,
        n_rows=n_rows,
        names=tuple(schema.names),
        types={field.name: field.type for field in schema},
        index=_index_columns(schema, file, name),
        keys={key: urllib.parse.unquote(value) for key, _, value in keys if key not in schema.names},
    )


def _index_columns(schema: Any, file: Path, name: str) -> frozenset[str]:
    """Columns in which pandas keeps the index: it says so beside the schema, or gives them a name of its own."""
    said = (schema.metadata or {}).get(b"pandas")
    try:
        columns = [] if said is None else json.loads(said).get("index_columns", [])
        # The index of rows that are only counted is a mapping, and no column.
        named = {column for column in columns if isinstance(column, str)}
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{name}: what pandas wrote into {file} about its index cannot be read ({error}); write the file again"
        ) from error
    return frozenset(column for column in schema.names if column in named or _INDEX.fullmatch(column))


def _key_values(key: str, schemas: Sequence[Schema], *, as_text: bool) -> list[Any]:
    """What the folders of each file say under one key: whole numbers, else numbers, else text."""
    texts = [schema.keys[key] for schema in schemas]
    for kind in () if as_text else (int, float):
        try:
            return [kind(text) for text in texts]
        except ValueError:
            continue
    return texts


def _is_list(kind: Any) -> bool:
    types = _pyarrow()[0].types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _check_kinds(kinds: Mapping[str, Any], choice: Choice, file: Path, name: str) -> None:
    """Refuse columns that hold no numbers, all of them in one sentence; groups may have any names."""
    types = _pyarrow()[0].types
    if len(choice.columns) > 1 and (lists := [column for column, kind in kinds.items() if _is_list(kind)]):
        raise InputError(
            f"{name}: column {lists[0]!r} of {file} holds lists, expected numbers beside other columns; name this "
            "column alone"
        )
    values = {column: kind.value_type if _is_list(kind) else kind for column, kind in kinds.items()}
    wrong = [
        f"{column} (type {kinds[column]})"
        for column, value in values.items()
        if not (types.is_floating(value) or types.is_integer(value) or types.is_boolean(value)) and name != "groups"
    ]
    if wrong:
        raise InputError(
            f"{name}: {file} holds no numbers in {listed(wrong)}, expected numbers, or lists of numbers of one length; "
            "name other columns"
        )
    if name == "groups" and (len(choice.columns) > 1 or any(map(_is_list, kinds.values()))):
        raise InputError(f"groups: {listed(choice.columns)} of {file} is not one column of names; name a single one")


def _list_width(file: Path, column: str, name: str) -> int:
    """Length of the lists: from the type, or from the first list."""
    with _opened(file, name) as opened:
        kind = opened.schema_arrow.field(column).type
        if _pyarrow()[0].types.is_fixed_size_list(kind):
            return int(kind.list_size)
        for batch in opened.iter_batches(batch_size=WIDTH_ROWS, columns=[column]):
            lengths = batch.column(0).drop_null().value_lengths()
            if len(lengths):
                return int(lengths[0].as_py())
    return 1


WIDTH_ROWS = 1024
"""Rows read at a time to find the first list."""


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads chosen columns of one file; `width` is the length of the lists, None for columns of numbers."""

    file: Path
    columns: tuple[str, ...]
    width: int | None
    flat: bool
    name: str
    constants: Mapping[str, Any] = field(default_factory=dict)

    def pieces(self, n_rows: int) -> Iterator[NDArray[Any]]:
        """All rows in order, masked where a value is missing."""
        start = 0
        stored = [column for column in self.columns if column not in self.constants]
        # A buffer, or the packed columns of a whole row group would be held beside what is unpacked from them.
        with _opened(self.file, self.name, buffer_size=2**20, pre_buffer=False) as opened:
            for batch in opened.iter_batches(batch_size=n_rows, columns=stored, use_threads=False):
                yield self._unpacked(batch, start)
                start += batch.num_rows

    def _unpacked(self, batch: Any, start: int) -> NDArray[Any]:
        if self.width is not None:
            return self._lists(batch.column(self.columns[0]), start)
        parts = [self._numbers(batch, column) for column in self.columns]
        if self.flat:
            return parts[0]
        masked = any(isinstance(part, np.ma.MaskedArray) for part in parts)
        return np.asarray(np.column_stack(parts)) if not masked else np.ma.column_stack(parts)

    def _numbers(self, batch: Any, column: str) -> NDArray[Any]:
        if column in self.constants:
            value = self.constants[column]
            values = np.full(batch.num_rows, value)
            return np.ma.MaskedArray(values, np.full(len(values), True)) if value == _NO_KEY else values
        stored = batch.column(column)
        if not stored.null_count:
            return np.asarray(stored.to_numpy(zero_copy_only=False))
        missing = stored.is_null().to_numpy(zero_copy_only=False)
        numbers = np.zeros(len(stored), dtype=object if self.name == "groups" else stored.type.to_pandas_dtype())
        return np.ma.MaskedArray(numbers, missing)

    def _lists(self, lists: Any, start: int) -> NDArray[Any]:
        arrow, _ = _pyarrow()
        values, width = lists.flatten(), self.width or 0
        missing = lists.is_null().to_numpy(zero_copy_only=False)
        lengths = np.where(missing, width, lists.value_lengths().fill_null(width).to_numpy(zero_copy_only=False))
        if (lengths != width).any():
            odd = int(np.flatnonzero(lengths != width)[0])
            raise InputError(
                f"{self.name}: row {start + odd} of {self.file} holds a list of {lengths[odd]} numbers, expected "
                f"{width} as in the first row"
            )
        if not missing.any() and not values.null_count:
            return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, width)
        owner = arrow.compute.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        missing[owner[values.is_null().to_numpy(zero_copy_only=False)]] = True
        numbers = np.zeros((len(lists), width), dtype=values.type.to_pandas_dtype())
        return np.ma.MaskedArray(numbers, np.repeat(missing[:, None], width, axis=1))
