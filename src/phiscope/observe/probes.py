"""The probe data of an observer by split, and what a run that goes on knows of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phiscope.errors import InputError
from phiscope.inputs.order import check_order
from phiscope.inputs.prepared import unprepared
from phiscope.metrics.regime import Regime
from phiscope.observe.ranks import Writer
from phiscope.runs import RunWriter, open_run

_MODEL_INPUTS = frozenset({"labels", "input_ids", "pixel_values", "attention_mask", "inputs_embeds", "input_values"})


def check_settings(settings: Iterable[str], known: Iterable[str], of: str) -> None:
    """Refuse a setting that observers do not have, and offer the nearest.

    Args:
        settings: names that were given.
        known: names that there are.
        of: whose settings, as "an observer".

    Raises:
        InputError: one of them is not known.
    """
    names = sorted(known)
    for name in settings:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            offer = f"did you mean {nearest[0]}?" if nearest else f"expected some of {', '.join(names)}"
            raise InputError(f"{of} has no setting {name!r}; {offer}")


def named_splits(probe_data: Any, targets: Any = None) -> dict[str, Any]:
    """Read probe data as splits by name; a single data set is called "probe".

    Args:
        probe_data: as an observer is given it.
        targets: beside them, for all splits.

    Raises:
        InputError: a mapping whose keys are no names, or an array of targets that belongs to no one data set.
    """
    # A mapping of model inputs is one data set, as `measure` reads it, not a mapping of splits.
    whole = not isinstance(probe_data, Mapping) or not _MODEL_INPUTS.isdisjoint(probe_data)
    named = {"probe": probe_data} if whole else probe_data
    if not named or not all(isinstance(name, str) for name in named):
        raise InputError("probe data given as a mapping need split names as keys, for example {'train': ...}")
    # A generator gives its batches once, and every record reads them again.
    splits = {name: list(data) if isinstance(data, Iterator) else unprepared(data) for name, data in named.items()}
    for data in splits.values():
        check_order(data, targets)
    if len(splits) > 1 and targets is not None and not callable(targets):
        raise InputError(f"targets is an array beside {len(splits)} data sets; pass a function of the batch, or (x, y)")
    return splits


def initial_words(writer: Writer) -> dict[str, Regime | None]:
    """The regime that the initial state read, by split, from the first record of a run that goes on."""
    if not isinstance(writer, RunWriter) or not writer.n_records:
        return {}
    records = open_run(writer.path).records
    measured = {} if not records else {name: records[0].measurement(name) for name in records[0].splits}
    return {name: one.regime for name, one in measured.items() if one.evidence is not None and one.evidence.is_start}
