"""Values computed when they are first read, so that nobody pays for what they do not look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import RLock
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class LateField:
    """A dataclass field that may be given as a function; the first reading calls it and keeps the result.

    Args:
        default: makes the value where none is given; without it the field has to be given.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Record:
        ...     total: int = LateField()
        >>> Record(total=lambda: 2 + 3).total
        5
    """

    def __init__(self, default: Callable[[], Any] | None = None) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = f"_{name}"
        self._name = name

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        if record is None:
            # The dataclass decorator asks for a default.
            if self._default is None:
                raise AttributeError(self._name)
            return self._default
        value = vars(record)[self._key]
        if isinstance(value, Later) or callable(value):
            value = value()
            vars(record)[self._key] = value
        return value

    def __set__(self, record: Any, value: Any) -> None:
        vars(record)[self._key] = value


class Later(Generic[Value]):
    """A value that several readers share and the first of them computes; the others wait, on other threads too."""

    def __init__(self, compute: Callable[[], Value]) -> None:
        self._compute: Callable[[], Value] | None = compute
        self._value: list[Value] = []
        self._lock = RLock()

    def __call__(self) -> Value:
        """The value."""
        with self._lock:
            if self._compute is not None:
                self._value.append(self._compute())
                # Whatever the function holds on to is free from now on.
                self._compute = None
        return self._value[0]


class LateMapping(Mapping[str, Value]):
    """A mapping of which some entries are known and the rest is computed when it is first asked for.

    Args:
        known: entries at hand.
        names: keys that only the rest may have.
        rest: computes the rest; it may name entries at hand again, to say where they stand.
    """

    def __init__(
        self, known: Mapping[str, Value], names: frozenset[str], rest: Callable[[], Mapping[str, Value]]
    ) -> None:
        self._known, self._names, self._rest = known, names, rest
        self._all: dict[str, Value] | None = None

    def _complete(self) -> dict[str, Value]:
        if self._all is None:
            # In the order of the rest; what was told once stays as it was told.
            complete = dict(self._rest())
            complete.update(self._known)
            self._all = complete
        return self._all

    def __getitem__(self, name: str) -> Value:
        if name in self._names or self._all is not None:
            return self._complete()[name]
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._complete() if name in self._names else name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._complete())

    def __len__(self) -> int:
        return len(self._complete())


def settled(record: Any) -> dict[str, Any]:
    """The state of a record with everything read that it would compute later: functions do not travel, values do.

    Args:
        record: an instance whose class may have `LateField` and whose attributes may be `LateMapping`.

    Returns:
        What ``__getstate__`` gives to pickle and copy.
    """
    for kind in type(record).__mro__:
        for name, late in vars(kind).items():
            if isinstance(late, LateField):
                getattr(record, name)
    return {name: dict(value) if isinstance(value, LateMapping) else value for name, value in vars(record).items()}
