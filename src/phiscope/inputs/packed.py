"""Numbers as NetCDF, HDF5 and Zarr pack them: scale, offset, fill value; and the sentence for rows that are missing."""

from __future__ import annotations

import base64
import binascii
import math
import struct
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, named_kind

_FILLS = ("_FillValue", "missing_value")
_NAMES = ("scale_factor", "add_offset", *_FILLS, "_Unsigned")
_CODED = 12
"""Letters of eight bytes in base 64, as which xarray writes a fill value of floats into a Zarr array of format 3."""

Number = int | float


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How stored numbers become values: scale * stored + offset, and which stored numbers say that there is none.

    Attributes:
        scale: ``scale_factor``.
        offset: ``add_offset``.
        fills: ``_FillValue`` and ``missing_value``, in the unit of what is stored.
        unsigned: signed integers are to be read as unsigned ones.

    Source: NetCDF Climate and Forecast conventions 1.11, sections 2.5.1 and 8.1.

    Example:
        >>> Packing(scale=0.5, offset=1.0, fills=(-1,)).unpack(np.array([4, -1], dtype=np.int16)).tolist()
        [3.0, None]
    """

    scale: float = 1.0
    offset: float = 0.0
    fills: tuple[Number, ...] = ()
    unsigned: bool = False

    @property
    def scaled(self) -> bool:
        """Whether values are other numbers than those that are stored."""
        return (self.scale, self.offset) != (1.0, 0.0)

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Of the values; integers that are only marked as missing stay integers, so that classes stay classes."""
        if self.scaled:
            return np.dtype(np.float64)
        return self._read_as(stored).newbyteorder("=")

    def _read_as(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(stored.str.replace("i", "u")) if self.unsigned and stored.kind == "i" else stored

    def unpack(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The values; a masked array where some of them are missing."""
        read = stored.view(self._read_as(stored.dtype))
        missing = np.zeros(stored.shape, dtype=bool)
        for fill in self.fills:
            # A fill value may be written in either sign; NumPy compares numbers out of range as unequal.
            missing |= np.isnan(read) if fill != fill else (stored == fill) | (read == fill)
        values = read * self.scale + self.offset if self.scaled else read
        values = values.astype(self.dtype(stored.dtype), copy=False)
        return np.ma.MaskedArray(values, missing) if missing.any() else values


def packing_of(data: Any, *, place: str) -> Packing | None:
    """What the attributes of an array say about its numbers, None where they say nothing.

    Args:
        data: a Zarr array, an HDF5 data set, or an xarray DataArray or Variable; anything else says nothing.
        place: what to call it.

    Raises:
        InputError: an attribute holds no number, or an xarray array of floats says to be scaled, so that nobody can
            tell whether it is already.
    """
    attributes = _attributes_of(data)
    if not attributes:
        return None
    dtype = np.dtype(data.dtype)
    fills = [fill for name in _FILLS if name in attributes for fill in _numbers(attributes[name], name, dtype, place)]
    scale, offset = (
        _one(attributes[name], name, dtype, place) if name in attributes else plain
        for name, plain in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    packing = Packing(
        scale=scale, offset=offset, fills=tuple(fills), unsigned=str(attributes.get("_Unsigned", "")).lower() == "true"
    )
    if packing.scaled and dtype.kind == "f" and _is_xarray(data):
        raise InputError(
            f"{place} is {named_kind(data)} of {dtype} that carries scale_factor or add_offset, and whether they "
            "are applied already cannot be told; open it with mask_and_scale=True, or take them out of its attrs"
        )
    return packing if packing != Packing() else None


def _attributes_of(data: Any) -> dict[str, Any]:
    if is_zarr(data):
        written = {name: data.attrs[name] for name in _NAMES if name in data.attrs}
        # In format 2 xarray keeps `_FillValue` where Zarr keeps the value of chunks that were never written; in arrays
        # of other writers that value marks nothing as missing.
        old = getattr(getattr(data, "metadata", None), "zarr_format", 2) == 2
        if old and data.fill_value is not None and (written or "_ARRAY_DIMENSIONS" in data.attrs):
            written.setdefault("_FillValue", data.fill_value)
        return written
    if is_hdf5(data) or _is_xarray(data):
        return {name: data.attrs[name] for name in _NAMES if name in data.attrs}
    return {}


def _one(value: Any, name: str, dtype: np.dtype[Any], place: str) -> float:
    numbers = _numbers(value, name, dtype, place)
    if len(numbers) != 1 or not math.isfinite(numbers[0]):
        raise InputError(f"{place} has the attribute {name} = {value!r}, expected one finite number; write it again")
    return float(numbers[0])


def _numbers(value: Any, name: str, dtype: np.dtype[Any], place: str) -> list[Number]:
    """An attribute as plain numbers: HDF5 keeps arrays of one, JSON has neither NaN nor bytes."""
    parts = value if isinstance(value, (list, tuple)) else np.asarray(value).ravel().tolist()
    try:
        return [_number(part, dtype) for part in parts]
    except (TypeError, ValueError, binascii.Error, struct.error) as error:
        raise InputError(f"{place} has the attribute {name} = {value!r}, expected a number; write it again") from error


def _number(value: Any, dtype: np.dtype[Any]) -> Number:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        if dtype.kind == "f" and len(value) == _CODED and value.endswith("="):
            return float(struct.unpack("<d", base64.standard_b64decode(value))[0])
        return float(value)
    number = value.item() if isinstance(value, np.generic) else value
    # Beyond 2**53 a float would not be the fill value any more.
    return int(number) if isinstance(number, int) else float(number)


def is_zarr(data: Any) -> bool:
    """Whether it is a Zarr array."""
    # Whoever holds a Zarr array has imported zarr; nobody else should have to.
    zarr = sys.modules.get("zarr")
    return zarr is not None and isinstance(data, zarr.Array)


def is_hdf5(data: Any) -> bool:
    """Whether it is a data set of an HDF5 file, which NetCDF 4 files are."""
    h5py = sys.modules.get("h5py")
    return h5py is not None and isinstance(data, h5py.Dataset)


def _is_xarray(data: Any) -> bool:
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(data, (xarray.DataArray, xarray.Variable))


def missing_in(rows: Any) -> NDArray[np.bool_]:
    """Which rows of a masked array have an entry that is missing, shape (n,)."""
    mask = np.ma.getmaskarray(rows)
    return mask.reshape(-1) if mask.ndim < 2 else np.asarray(mask.reshape(len(mask), -1).any(axis=1))


def missing_error(name: str, *, count: int, first: int, total: int, place: str = "") -> InputError:
    """The error for rows that are missing, to be raised.

    Args:
        name: what the rows are: ``"features"``.
        count: how many rows are missing, in whole or in part.
        first: index of the first of them.
        total: how many rows there are.
        place: where they come from, in words.

    Example:
        >>> str(missing_error("targets", count=1, first=7, total=30))[:66]
        'targets: 1 of 30 rows has missing values (masked, NA, null or the '
    """
    beside = "here and in whatever belongs beside them"
    return InputError(
        f"{name}: {count} of {total} rows{' of ' * bool(place)}{place} {'has' if count == 1 else 'have'} missing "
        f"values (masked, NA, null or the fill value), the first is row {first}; drop or fill those rows {beside}"
    )
