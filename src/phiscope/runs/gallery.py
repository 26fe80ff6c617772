"""The samples that a run's eigenfunctions are shown on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from phiscope.archive import is_file, read_arrays
from phiscope.errors import RunFormatError
from phiscope.runs import layout


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The samples that eigenfunctions are shown on.

    Attributes:
        inputs: shape (g, ...), one sample a row, as the network received them.
        targets: shape (g,) or (g, c), or None.
        words: for each sample the text before, the marked text and the text after it; None without a decoder.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None = None
    words: tuple[tuple[str, str, str], ...] | None = None


def read_gallery(path: Path) -> Gallery | None:
    """Read the file of one split, or None when there is none.

    Raises:
        RunFormatError: the file is damaged.
    """
    if not is_file(path):
        return None
    arrays, facts = read_arrays(path)
    inputs, targets = arrays.get("inputs"), arrays.get("targets")
    if inputs is None or not inputs.ndim:
        raise RunFormatError(f"{path} holds no inputs")
    if targets is not None and (not targets.ndim or len(targets) != len(inputs)):
        raise RunFormatError(f"{path} has {len(inputs)} inputs and targets of shape {targets.shape}; it is damaged")
    words = facts.get("words")
    if words is not None and not _are_marked(words, len(inputs)):
        raise RunFormatError(f"{path} has words that are no text before, marked and after for each sample")
    return Gallery(inputs=inputs, targets=targets, words=None if words is None else tuple(map(tuple, words)))


def _are_marked(words: Any, count: int) -> bool:
    return (
        isinstance(words, list)
        and len(words) == count
        and all(isinstance(one, list) and len(one) == 3 and all(isinstance(part, str) for part in one) for one in words)
    )


def damaged_galleries(folder: Path, header: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What is wrong with the galleries, by split."""
    measured = (split for line in lines for split in line["numbers"])
    splits = dict.fromkeys([*map(str, header.get("splits") or ()), *measured])
    files = {split: layout.gallery_file(folder, split) for split in splits}
    found = {split: layout.damage_of(path) for split, path in files.items() if is_file(path)}
    return {split: damage for split, damage in found.items() if damage}
