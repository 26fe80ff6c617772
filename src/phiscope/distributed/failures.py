"""An error on one rank becomes the same sentence on every rank, so that none waits for an answer that never comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phiscope import errors
from phiscope.errors import PhiscopeError, RankError


def as_facts(error: Exception) -> dict[str, Any]:
    """An error as text, to be told to the other ranks."""
    ours = isinstance(error, PhiscopeError) and hasattr(errors, type(error).__name__)
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "ours": ours,
        "facts": dict(vars(error)) if ours else {},
    }


def raise_first(told: Sequence[Mapping[str, Any] | None], rank: int, own: Exception | None) -> None:
    """Raise what the lowest failing rank has told; return when none has failed.

    Args:
        told: of each rank its `as_facts`, or None.
        rank: this one.
        own: this rank's own error; one that is not phiscope's is raised as it is, with its traceback.
    """
    failed = [(place, facts) for place, facts in enumerate(told) if facts is not None]
    if not failed:
        return
    if own is not None and not isinstance(own, PhiscopeError):
        raise own
    place, facts = failed[0]
    more = f" (and on {len(failed) - 1} more of the {len(told)} ranks)" if len(failed) > 1 else ""
    where = f"rank {place} of {len(told)}{more}"
    if facts["ours"]:
        raise _rebuilt(facts, f"{where}: {facts['text']}") from own
    raise RankError(f"{where} failed with {facts['kind']}: {facts['text']}") from own


def _rebuilt(facts: Mapping[str, Any], text: str) -> PhiscopeError:
    kind: type[PhiscopeError] = getattr(errors, facts["kind"])
    # Not through __init__: each class has another one, and the sentence is already made.
    error = kind.__new__(kind, text)
    error.__dict__.update(
        {name: tuple(value) if isinstance(value, list) else value for name, value in facts["facts"].items()}
    )
    return error
