"""The probe data of an observer by split, the state it began with, and what a run that goes on knows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from phiscope.errors import InputError
from phiscope.inputs.order import check_order
from phiscope.inputs.parts import TARGET_KEYS
from phiscope.inputs.prepared import unprepared
from phiscope.metrics.regime import Regime
from phiscope.observe.ranks import Writer
from phiscope.runs import RunWriter, open_run
from phiscope.runs.initial import load_initial, save_initial

_MODEL_INPUTS = frozenset({"labels", "input_ids", "pixel_values", "attention_mask", "inputs_embeds", "input_values"})


def named_splits(probe_data: Any, targets: Any = None) -> dict[str, Any]:
    """Read probe data as splits by name; a single data set is called "probe".

    Args:
        probe_data: as an observer is given it.
        targets: beside them, for all splits.

    Raises:
        InputError: a mapping whose keys are no names, or an array of targets that belongs to no one data set.
    """
    # A mapping of model inputs is one data set, as `measure` reads it, not a mapping of splits.
    mapping = isinstance(probe_data, Mapping)
    whole = not mapping or not _MODEL_INPUTS.isdisjoint(probe_data) or _holds_targets(probe_data)
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


def _holds_targets(named: Mapping[Any, Any]) -> bool:
    """Whether arrays by name are inputs and their targets, {"x": x, "y": y}, and no splits of inputs alone."""
    key = next((key for key in TARGET_KEYS if key in named), None)
    arrays = [value for value in named.values() if hasattr(value, "shape") and len(value.shape) > 0]
    if key is None or len(named) < 2 or len(arrays) < len(named) or len({len(one) for one in arrays}) > 1:
        return False
    # {"source": x, "target": x} may well be two domains.
    others = [value for name, value in named.items() if name != key]
    return not key.startswith("target") or named[key].shape[1:] != others[0].shape[1:]


def initial_words(writer: Writer) -> dict[str, Regime | None]:
    """The regime that the initial state read, by split, from the first record of a run that goes on."""
    if not isinstance(writer, RunWriter) or not writer.n_records:
        return {}
    records = open_run(writer.path).records
    measured = {} if not records else {name: records[0].measurement(name) for name in records[0].splits}
    return {name: one.regime for name, one in measured.items() if one.evidence is not None and one.evidence.is_start}


def initial_state(
    writer: Writer, own: Mapping[str, Tensor], given: Mapping[str, Tensor] | str | None, *, resume: bool
) -> Mapping[str, Tensor] | None:
    """The state that features are compared with, kept in a run that begins; None where a run that goes on kept none.

    Args:
        writer: of the run.
        own: parameters and buffers as they are now.
        given: the observer's ``initial``, not None.
        resume: whether a run may be there.
    """
    stored = load_initial(writer.path, own) if resume and isinstance(writer, RunWriter) else None
    if isinstance(given, Mapping):
        # What is not given is as it is now: a run whose state lacks tensors could not be resumed.
        known = {name: given.get(name, tensor).detach().clone() for name, tensor in own.items()}
    elif stored is not None or (isinstance(writer, RunWriter) and writer.n_records):
        # Where a run kept nothing, its model has moved since: it must not pass for the initial one.
        return stored
    else:
        known = {name: tensor.clone() for name, tensor in own.items()}
    if isinstance(writer, RunWriter) and not writer.n_records:
        save_initial(writer.path, known)
    return known
