"""Which columns of tables are features, outputs, targets: by their names, never by their place, and told afterwards."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phiscope.errors import InputError, UnknownNameError

WIDE = ("features", "outputs")
"""What always has columns, even when it is one; targets, weights and groups from one column have shape (n,)."""

BESIDE = ("groups", "weights", "targets", "outputs")
"""What may lie in a table beside features; a column with one of these names is no feature unless it is asked for."""

SHOWN = 12
"""So many columns are named in a sentence; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The columns of one file.

    Attributes:
        file: where they lie.
        n_rows: rows of the file.
        names: of the columns, in order; a name may come twice.
        types: by name.
        index: columns that keep the index of a data frame.
        keys: what the file's folders say of all its rows, as in ``label=3/part-0.parquet``.
    """

    file: Path
    n_rows: int
    names: tuple[str, ...]
    types: Mapping[str, Any]
    index: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, None]:
        """Every name that can be asked for, once."""
        return dict.fromkeys([*self.names, *self.keys])


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Columns that somebody wants.

    Attributes:
        name: what they are to be: ``"features"``.
        files: where they lie.
        asked: the names or patterns that were typed, separated by commas; None leaves the choice to the names.
    """

    name: str
    files: tuple[Path, ...]
    asked: str | None = None

    def entries(self, schema: Schema) -> list[str] | None:
        """What was typed, one name or pattern each; a name with a comma in it is one."""
        if self.asked is None or self.asked in schema.known:
            return None if self.asked is None else [self.asked]
        return [entry if entry in schema.known else entry.strip() for entry in self.asked.split(",")]

    def claimed(self, schema: Schema) -> set[str]:
        """Columns that are named outright: typed as they are, or called like what they are to be."""
        entries = self.entries(schema)
        if entries is None:
            return {self.name} & set(schema.names)
        return set(entries) & set(schema.known)

    def shares_files(self, other: Wish) -> bool:
        """Whether both lie in a file together; columns of other files may well have the same names and be others."""
        return not {file.resolve() for file in self.files}.isdisjoint(file.resolve() for file in other.files)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The columns that were taken.

    Attributes:
        columns: their names, in the order that was asked for, else that of the first file.
        left_out: columns that were not, with the reason; only where all or a pattern were to be taken.
    """

    columns: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def choose(schema: Schema, wish: Wish, taken: Mapping[str, str], *, is_list: Any) -> Choice:
    """Choose columns: those named; else the one called like what they are; else the only one; else all of one type.

    Args:
        schema: of the file.
        wish: what is wanted.
        taken: columns that are something else, with what they are.
        is_list: says of a type whether it is one of lists.

    Raises:
        UnknownNameError: a name or pattern without a column.
        InputError: a column is doubled, or which are meant is not clear.

    Example:
        >>> schema = Schema(file=Path("t"), n_rows=1, names=("a", "b", "y"), types=dict.fromkeys("aby", float))
        >>> wish = Wish(name="features", files=(Path("t"),))
        >>> choose(schema, wish, {"y": "targets"}, is_list=lambda kind: False).columns
        ('a', 'b')
    """
    left_out = _left_out(schema, wish, taken)
    entries = wish.entries(schema)
    if entries is not None:
        columns, by_pattern = _matches(schema, wish, entries, left_out)
        choice = Choice(columns=columns, left_out=left_out if by_pattern else {})
    elif wish.name in schema.types:
        choice = Choice(columns=(wish.name,))
    else:
        choice = Choice(columns=_all_alike(schema, wish, left_out, is_list), left_out=left_out)
    doubled = [name for name in choice.columns if schema.names.count(name) > 1]
    if doubled:
        raise InputError(
            f"{wish.name}: {schema.file} has several columns named {doubled[0]!r}, and which is meant cannot be told; "
            "rename them in the file"
        )
    return choice


def _left_out(schema: Schema, wish: Wish, taken: Mapping[str, str]) -> dict[str, str]:
    """Columns that nobody means by all of them or by a pattern, with the reason."""
    reasons = dict.fromkeys(schema.index, "the index of the data frame")
    reasons |= {name: f"called like the {name}" for name in BESIDE if name in schema.types and name != wish.name}
    reasons |= {name: f"named as {what}" for name, what in taken.items() if name in schema.types}
    return {name: reasons[name] for name in dict.fromkeys(schema.names) if name in reasons}


def _matches(
    schema: Schema, wish: Wish, entries: Sequence[str], left_out: Mapping[str, str]
) -> tuple[tuple[str, ...], bool]:
    """The columns of names and patterns in the order in which these were typed, and whether a pattern was there."""
    columns: list[str] = []
    by_pattern = False
    for entry in entries:
        matching = [entry] if entry in schema.known else []
        if not matching:
            by_pattern = True
            candidates = [name for name in dict.fromkeys(schema.names) if name not in left_out]
            matching = [name for name in candidates if fnmatch.fnmatchcase(name, entry)]
        if not matching:
            raise UnknownNameError(f"column of {schema.file}", entry, schema.known)
        again = next((name for name in matching if name in columns), None)
        if again is not None:
            raise InputError(f"{wish.name}: column {again!r} is asked for twice in {wish.asked!r}; name each once")
        columns += matching
    return tuple(columns), by_pattern


def _all_alike(schema: Schema, wish: Wish, left_out: Mapping[str, str], is_list: Any) -> tuple[str, ...]:
    """The only column, or all of them where they are numbers of one type."""
    names = [name for name in schema.names if name not in left_out]
    if not names:
        why = "; ".join(f"{name} is {reason}" for name, reason in left_out.items()) or "it has no columns"
        raise InputError(f"{wish.name}: no column of {schema.file} is left for them: {why}; name the columns")
    kinds = {str(schema.types[name]): schema.types[name] for name in names}
    alike = wish.name in WIDE and len(kinds) == 1 and not is_list(next(iter(kinds.values())))
    if len(names) == 1 or alike:
        return tuple(names)
    by_type = [
        f"{listed([name for name in names if str(schema.types[name]) == kind])} (type {kind})"
        for kind in list(kinds)[:4]
    ]
    raise InputError(
        f"{wish.name}: {schema.file} has the columns {', '.join(by_type)}, and which of them hold {wish.name} is not "
        f"clear; say it as {schema.file}:COLUMN, or {schema.file}:A,B,C or {schema.file}:f* for several"
    )


def check_alike(wish: Wish, first: Schema, chosen: Choice, other: Schema, also: Choice) -> None:
    """Refuse a part whose columns have other names than those of the first; their order is no matter.

    Raises:
        InputError: a column is missing, or there is one more.
    """
    missing = [name for name in chosen.columns if name not in also.columns]
    extra = [name for name in also.columns if name not in chosen.columns]
    if missing or extra:
        words = [f"lacks {listed(missing)}"] * bool(missing) + [f"has {listed(extra)} besides"] * bool(extra)
        raise InputError(
            f"{wish.name}: {other.file} {' and '.join(words)}, expected the columns of {first.file}; name the columns "
            "that all parts have"
        )


def listed(names: Iterable[str]) -> str:
    """Names as text; of many, those at both ends and how many there are.

    Example:
        >>> listed("ab"), listed(f"f{i}" for i in range(512))
        ('a, b', 'f0, f1, f2, ..., f511 (512 columns)')
    """
    names = list(names)
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:3])}, ..., {names[-1]} ({len(names)} columns)"


def told_columns(provenance: Mapping[str, str]) -> list[str]:
    """What a result says of the columns that were taken and of those that were not, a sentence for each part.

    Args:
        provenance: of a measurement; `phiscope.inputs.parquet` writes these entries.

    Example:
        >>> told_columns({"features_columns": "a, b", "features_left_out": "y (named as targets)"})
        ['features are a, b; left out: y (named as targets)']
    """
    sentences = []
    for name in ("features", *reversed(BESIDE)):
        columns, left_out = provenance.get(f"{name}_columns"), provenance.get(f"{name}_left_out")
        if columns:
            rest = f"; left out: {listed(left_out.split(', '))}" if left_out else ""
            sentences.append(f"{name} are {listed(columns.split(', '))}{rest}")
    return sentences
