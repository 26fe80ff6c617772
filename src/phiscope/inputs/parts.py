"""The parts of a raw batch as tensors: arrays of any library, frames, nested lists, rows in Python form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phiscope.errors import InputError
from phiscope.inputs.arrays import unpacked

_SHOWN = 8


def as_tensor(value: Any, *, name: str = "a part of the batch", n: int | None = None) -> Tensor | None:
    """Return numbers as a tensor; None where a value holds no numbers in rows of equal length.

    Args:
        value: a tensor; an array of any byte order, packed or not; a frame or column of pandas; a number; nested lists
            of numbers; a list of tensors of equal shape.
        name: what it is, for messages.
        n: how many samples there are. A list of tensors is n rows, or it is columns of n numbers each, as
            `default_collate` makes them of rows that are lists; where both or neither would do, it is None.

    Raises:
        InputError: entries are missing: masked, NA, or the fill value of an array that says so.

    Example:
        >>> as_tensor([[1, 2], [3, 4]]).tolist(), as_tensor(["a", "b"]) is None
        ([[1, 2], [3, 4]], True)
        >>> columns = [torch.zeros(5), torch.ones(5)]
        >>> as_tensor(columns, n=5).shape, as_tensor(columns, n=2).shape, as_tensor(columns) is None
        (torch.Size([5, 2]), torch.Size([2, 5]), True)
    """
    if isinstance(value, Tensor):
        if value.is_meta:
            raise InputError(
                f"{name}: a Tensor on the meta device has a shape and no numbers; pass what was computed, on 'cpu' or "
                "where the model is"
            )
        return value
    if isinstance(value, (list, tuple)):
        return _of_tensors(value, n) if _holds_tensor(value) else _of_numbers(value)
    if isinstance(value, (str, bytes, Mapping)) or value is None:
        return None
    if not (hasattr(value, "__array__") or isinstance(value, (bool, int, float, complex))):
        return None
    # Unpacked, without a mask, in this machine's byte order.
    array = unpacked(value, name=name)
    if array.dtype.kind in "fc" and array.dtype.itemsize > 8 * (1 + (array.dtype.kind == "c")):
        # Extended precision, which torch does not know.
        array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    # A copy: torch knows no read-only memory.
    return torch.from_numpy(np.array(array, order="C")) if array.dtype.kind in "fiubc" else None


def _of_tensors(value: Sequence[Any], n: int | None) -> Tensor | None:
    parts = [as_tensor(part, n=n) for part in value]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({(part.shape, part.dtype) for part in known}) != 1:
        return None
    shape = known[0].shape
    rows, columns = len(known) == n or not shape, bool(shape) and shape[0] == n
    return None if rows == columns else torch.stack(known, dim=0 if rows else 1)


def _of_numbers(value: Sequence[Any]) -> Tensor | None:
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        return None
    return as_tensor(array) if array.size and array.dtype.kind in "fiubc" else None


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensor, value))
    return isinstance(value, Tensor)


def is_rows(value: Any) -> bool:
    """Say whether a batch is a list of rows: mappings with the same keys, of numbers, arrays or tensors."""
    if not isinstance(value, (list, tuple)) or not value or not isinstance(value[0], Mapping):
        return False
    return all(isinstance(row, Mapping) and row.keys() == value[0].keys() for row in value)


def is_sample(value: Any) -> bool:
    """Say whether something is one row and no batch: a mapping whose target is a single number.

    Example:
        >>> is_sample({"x": torch.zeros(3), "labels": 1}), is_sample({"x": torch.zeros(1, 3), "labels": [1]})
        (True, False)
    """
    if not isinstance(value, Mapping):
        return False
    targets = as_tensor(next((value[key] for key in TARGET_KEYS if key in value), None))
    return targets is not None and targets.ndim == 0


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a list of rows as a mapping of columns; a column with tensors in it is one tensor, rows first.

    Tensors that differ in shape stay a list.

    Example:
        >>> columns_of([{"x": 1}, {"x": 2}])
        {'x': [1, 2]}
        >>> columns_of([{"x": torch.zeros(3)}, {"x": torch.ones(3)}])["x"].shape
        torch.Size([2, 3])
    """
    return {key: _column([row[key] for row in rows]) for key in rows[0]}


def _column(values: list[Any]) -> Any:
    if is_rows(values):
        return columns_of(values)
    if not _holds_tensor(values):
        return values
    parts = [as_tensor(value) for value in values]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({part.shape for part in known}) > 1:
        return values
    # Beside a tensor a number of Python or NumPy may be of another type; one of them holds both.
    dtype = reduce(torch.promote_types, (part.dtype for part in known))
    return torch.stack([part.to(dtype) for part in known])


def check_equal_lengths(columns: Mapping[str, Any]) -> None:
    """Refuse columns of rows whose numbers differ in length, which no model can take as one batch.

    Args:
        columns: by name, as `columns_of` returns them.

    Raises:
        InputError: one of them is ragged; the message names it, with its lengths.
    """
    for key, values in columns.items():
        ragged = isinstance(values, list) and as_tensor(values, n=len(values)) is None
        parts = [as_tensor(value) for value in values] if ragged else []
        shapes = {tuple(part.shape) for part in parts if part is not None}
        if len(shapes) > 1:
            shown = ", ".join(map(str, sorted(shapes)[:4]))
            raise InputError(
                f"the rows differ in the shape of {key!r} ({shown}{', ...' if len(shapes) > 4 else ''}); expected rows "
                "of one shape: pad them, for example with DataLoader(rows, batch_size=32, collate_fn=...) and the "
                "collator that the training uses"
            )


def is_frame(value: Any) -> bool:
    """Say whether something is a table of pandas or one of its kind."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


TARGET_KEYS = ("labels", "label", "targets", "target", "y")
"""Names under which data hold their targets, the first one that is there."""


_USUAL = (
    *("image", "images", "img", "pixel_values", "x", "input", "inputs", "input_ids", "features", "data"),
    "input_values",
)


def only_input(inputs: Mapping[str, Any]) -> str | None:
    """The key of the one input that a forward of one parameter takes; None for the whole mapping."""
    if len(inputs) == 1:
        return next(iter(inputs))
    usual = [key for key in _USUAL if key in inputs]
    if usual:
        return usual[0]
    tensors = {key: as_tensor(value) for key, value in inputs.items()}
    wide = [key for key, tensor in tensors.items() if tensor is not None and tensor.ndim > 1]
    return wide[0] if len(wide) == 1 else None


def owner_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Which graph each node is in, where inputs say so: `batch`, or sorted integers beside (x, edge_index)."""
    named = kwargs.get("batch")
    values = [*args, *kwargs.values()]
    edges = [value for value in values if isinstance(value, Tensor) and value.ndim == 2 and len(value) == 2]
    if not [value for value in edges if not value.is_floating_point()]:
        return None
    for value in (named, *values):
        if not isinstance(value, Tensor) or value.ndim != 1 or value.is_floating_point() or len(value) < 2:
            continue
        steps = value.diff()
        if int(value[0]) == 0 and bool(((steps == 0) | (steps == 1)).all()) and int(value[-1]) + 1 < len(value):
            return value
    return None


def perhaps_classes(batch: Mapping[str, Any], keys: Sequence[str], n: int | None) -> str | None:
    """The first of some keys of a batch without targets whose values may be the class of each sample.

    Example:
        >>> batch = {"name": ["a", "b", "a"], "index": [7, 8, 9], "cls": torch.tensor([0, 1, 0])}
        >>> perhaps_classes(batch, ("name", "index", "cls"), 3)
        'cls'
    """
    for key in keys:
        if any(part in str(key).lower() for part in _NO_CLASSES):
            continue
        values = as_tensor(batch[key])
        if values is None or values.is_floating_point() or values.is_complex() or tuple(values.shape) != (n,):
            continue
        # Each sample with a number of its own: an index.
        if len(values.unique()) < len(values):  # type: ignore[no-untyped-call]  # torch has no types for it
            return key
    return None


_NO_CLASSES = ("len", "index", "idx", "group", "weight", "mask")
"""What names of keys hold that say something else of each sample than its class."""


def is_row_of_numbers(value: Any) -> bool:
    """Say whether something is nested lists of numbers, or `default_collate`'s columns of them: one input, not several.

    Example:
        >>> is_row_of_numbers([[1, 2], [3, 4]]), is_row_of_numbers([torch.zeros(2)]), is_row_of_numbers([])
        (True, False, False)
    """
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(part, (bool, int, float)) or is_row_of_numbers(part) for part in value)


def check_no_targets(frame: Any) -> None:
    """Refuse a table of inputs that holds a column named like targets, which would become a feature.

    Raises:
        InputError: such a column is there.
    """
    named = next((name for name in frame.columns if str(name).lower() in TARGET_KEYS), None)
    if named is not None:
        raise InputError(
            f"the table has a column {named!r}, which looks like the targets among the inputs; pass "
            f"(table.drop(columns={named!r}), table[{named!r}]), or table.to_numpy() if it is an input"
        )


def check_same_index(x: Any, y: Any) -> None:
    """Refuse two tables of pandas that hold the same rows in another order; by position they would not belong together.

    Args:
        x: one table, or anything without an index.
        y: another.

    Raises:
        InputError: their indexes are the same but for the order.
    """
    one, other = (getattr(table, "index", None) for table in (x, y))
    if not (hasattr(one, "equals") and hasattr(other, "sort_values")) or one is None or other is None:
        return
    if not one.equals(other) and len(one) == len(other) and one.sort_values().equals(other.sort_values()):
        raise InputError(
            "the rows of x and y have the same index in another order, so they do not belong together by position; "
            "pass y.loc[x.index]"
        )


def described(value: Any) -> str:
    """Say what came: class, and shape, keys, columns or fields.

    Example:
        >>> described({"kind": 1, "size": 2}), described(["a", "b"])
        ("a dict with the keys 'kind', 'size'", 'a list of 2 str')
    """
    name = type(value).__name__
    if isinstance(value, Tensor) or (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"{_article(name)} {name} {value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{_article(name)} {name} with the keys {_listed(value)}"
    if is_frame(value):
        return f"{_article(name)} {name} with the columns {_listed(value.columns)}"
    if isinstance(value, (list, tuple)):
        kinds = dict.fromkeys(type(part).__name__ for part in value)
        return f"{_article(name)} {name} of {len(value)} {' and '.join(list(kinds)[:3]) or 'parts'}"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{_article(name)} {name} with the fields {_listed(one.name for one in fields(value))}"
    return f"{_article(name)} {name}"


def _article(name: str) -> str:
    return "an" if name[:1].lower() in "aeiou" else "a"


def _listed(names: Any) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
