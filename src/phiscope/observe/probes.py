"""The data sets that an observer measures, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phiscope.errors import InputError

_MODEL_INPUTS = frozenset({"labels", "input_ids", "pixel_values", "attention_mask", "inputs_embeds", "input_values"})


def named_splits(probe_data: Any) -> dict[str, Any]:
    """Read probe data as splits by name; a single data set is called "probe".

    Raises:
        InputError: a mapping whose keys are no names.
    """
    # A mapping of model inputs is one data set, as `measure` reads it, not a mapping of splits.
    whole = not isinstance(probe_data, Mapping) or not _MODEL_INPUTS.isdisjoint(probe_data)
    named = {"probe": probe_data} if whole else probe_data
    if not named or not all(isinstance(name, str) for name in named):
        raise InputError("probe data given as a mapping need split names as keys, for example {'train': ...}")
    # A generator gives its batches once, and every record reads them again.
    return {name: list(data) if isinstance(data, Iterator) else data for name, data in named.items()}
